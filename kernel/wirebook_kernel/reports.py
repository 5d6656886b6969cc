"""Showing the framework's reports in the cell that they are about.

Core says what went wrong on the logger ``wirebook``, in the context of the Deferred or connection that it is
about. In that context ``sys.stderr`` leads to the right cell, so the handler here only has to write. It never
flushes and never calls ``display``: both wait for the thread that publishes output, and this may be the
reactor's.

To format a traceback takes milliseconds, which is nothing for an error and far too much for a flood of them: a
server that fails for each of a thousand clients would do nothing else. So of errors that are alike only the first
few in a second are shown; the others are counted.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from threading import RLock
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Final

from wirebook.error import setAdviser
from wirebook.logger import log
from wirebook_kernel import tracebacks
from wirebook_kernel.advice import advise
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.errors import ErrorList, Reported, errors
from wirebook_kernel.frames import FRAMEWORK, LIBRARIES, package_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# How many errors that are alike are shown in a second.
MOST_SHOWN: Final = 3
# How many kinds of errors are known at a time.
_MOST_KINDS: Final = 50


class CellReporter(logging.Handler):
    """Writes errors as IPython tracebacks, the framework's frames folded, and other records as a line.

    Errors are put on the list `listed` too.
    """

    def __init__(self, shell: InteractiveShell, listed: ErrorList = errors) -> None:
        super().__init__()
        self._shell = shell
        self._listed = listed
        # Re-entrant, for reports of forgotten errors come from the garbage collector, which may strike anywhere.
        self._kinds_lock = RLock()
        self._kinds: OrderedDict[tuple[Cell | None, type, CodeType | None], Alike] = OrderedDict()

    def install(self) -> None:
        """Take the framework's reports over from whoever handled them; they are shown once, here."""
        self._propagated = log.propagate
        log.propagate = False
        log.addHandler(self)
        tracebacks.install(self._shell)
        setAdviser(advise)

    def uninstall(self) -> None:
        """Give them back."""
        setAdviser(None)
        tracebacks.uninstall(self._shell)
        log.removeHandler(self)
        log.propagate = self._propagated

    def createLock(self) -> None:
        """There is none: to read an error's text may take the turn, and who has the turn may be reporting too."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Show one record if the handler's filters let it."""
        passed: object = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to the ``sys.stderr`` of the current context."""
        try:
            text = self.format(record)
            if text:
                sys.stderr.write(text)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say so on standard error; where that is what fails (a cell closed or replaced it), the reactor goes on."""
        with suppress(Exception):
            super().handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """The text that is shown for `record`, with its line end; empty when it is one of a flood."""
        what = record.getMessage()
        if not record.exc_info or record.exc_info[1] is None:
            return f"{record.levelname.lower()}: {what}\n"
        _, error, trace = record.exc_info
        place = self._named(place_in(trace))
        if known := _earlier_report(error, trace, place):
            return f"{what}: {type(error).__qualname__}, which was reported already (%reactor errors {known})\n"
        alike = self._alike(error, trace)
        if not alike.shows(time.monotonic()):
            first = "this and all that follow are only counted (%reactor errors)"
            return f"{what}: {type(error).__qualname__}; {first}\n" if alike.hidden == 1 else ""
        before = f" ({alike.hidden:,} more like it were not shown)" if alike.hidden else ""
        text = tracebacks.text_of(self._shell, error, trace)
        alike.last = self._list(what, error, place, text)
        alike.hidden = 0
        return f"{what}{before}\n{text}"

    def _alike(self, error: BaseException, trace: TracebackType | None) -> Alike:
        place = place_in(trace)
        kind = (current_cell.get(), type(error), None if place is None else place.tb_frame.f_code)
        with self._kinds_lock:
            alike = self._kinds.setdefault(kind, Alike())
            self._kinds.move_to_end(kind)
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
        return alike

    def _list(self, what: str, error: BaseException, place: str, text: str) -> Reported:
        cell = current_cell.get()
        reported = Reported(
            cell="" if cell is None else str(cell),
            place=place,
            kind=type(error).__qualname__,
            message=_message(error),
            what=what,
            traceback=text,
        )
        self._listed.add(reported)
        tracebacks.note_report(error, reported.number, place)
        return reported

    def _named(self, step: TracebackType | None) -> str:
        if step is None:
            return ""
        code = step.tb_frame.f_code
        function = "" if code.co_name == "<module>" else f" in {code.co_qualname}"
        return f"{tracebacks.file_name(self._shell, code.co_filename)}:{tracebacks.line_of(step)}{function}"


class Alike:
    """Errors of one kind: which was shown ``last``, and how many since then are ``hidden``."""

    def __init__(self) -> None:
        self.hidden = 0
        self.last: Reported | None = None
        self._began = 0.0
        self._shown = 0

    def shows(self, now: float) -> bool:
        """Whether another one is to be shown; it is counted in either case."""
        if now - self._began >= 1.0:
            self._began, self._shown = now, 0
        self._shown += 1
        if self._shown <= MOST_SHOWN:
            return True
        self.hidden += 1
        if self.last is not None:
            self.last.times += 1
        return False


def _earlier_report(error: BaseException, trace: TracebackType | None, place: str) -> int | None:
    """The number of the report that has shown all there is to show of `error`; None when there is none.

    One that only says that another one was its cause (`FirstError`) adds nothing to that.
    """
    known = tracebacks.report_of(error)
    if known is not None and known[1] == place:
        return known[0]
    known = tracebacks.report_of(error.__cause__) if trace is None and error.__cause__ is not None else None
    return None if known is None else known[0]


def place_in(trace: TracebackType | None) -> TracebackType | None:
    """The innermost line of the user's own code in a traceback; the last one of all when there is none."""
    steps = tracebacks.steps_of(trace)
    for known in (FRAMEWORK | LIBRARIES, FRAMEWORK, frozenset[str]()):
        own = [step for step in steps if package_of(step.tb_frame) not in known]
        if own:
            return own[-1]
    return None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"(it cannot be shown: {type(problem).__name__})"
