"""IPython's tracebacks without what only the framework's authors want to see.

A call into the framework adds some five frames to a traceback. Each run of them is one line here, so that what is left
is the user's code and the error, which says in its text what is wrong. ``%xmode Verbose`` shows them all.

Nor is each step of an endless recursion shown. IPython leaves them out itself where the code is in a file, but not
where it is in a cell, and takes a second for a thousand of them, in which the reactor would stand still.
"""

from __future__ import annotations

import traceback
from collections import Counter
from contextlib import suppress
from copy import copy
from itertools import groupby
from operator import itemgetter
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from IPython.core.ultratb import AutoFormattedTB

from wirebook_kernel.frames import FRAMEWORK, LIBRARIES, package_of
from wirebook_kernel.html import counted

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# The modes of IPython that show each frame with its lines; "Verbose" adds all variables.
CONTEXT, VERBOSE = "Context", "Verbose"
# From how many frames on a traceback may be a recursion's, and how many frames at the same line are shown then.
DEEP: Final = 50
MOST_ALIKE: Final = 3


class Folding(AutoFormattedTB):
    """IPython's formatter with the framework's frames folded."""

    def structured_traceback(
        self,
        etype: type,
        evalue: BaseException | None,
        etb: TracebackType | None = None,
        tb_offset: int | None = None,
        context: int = 5,
    ) -> list[str]:
        """The traceback's lines; in the modes that show no frame in full the framework's are left out."""
        if self.mode not in (CONTEXT, VERBOSE) and isinstance(etb, TracebackType):
            etb = without_framework(etb)
        return super().structured_traceback(etype, evalue, etb, tb_offset, context)

    def get_records(self, etb: TracebackType, context: int, tb_offset: int) -> Any:
        """The frames to show, a `Fold` for each run of the framework's."""
        before, repeats, after = around_repeats(steps_of(etb))
        records = super().get_records(linked(before), context, tb_offset)
        if repeats:
            rest = super().get_records(linked(after), context, tb_offset)
            records += [LeftOut(rest[-1:], f"{counted(repeats, 'frame')} like these"), *rest]
        return records if self.mode == VERBOSE else fold(records)

    def format_record(self, frame_info: Any) -> str:
        """One frame, or what stands for several."""
        return str(frame_info) if isinstance(frame_info, LeftOut) else super().format_record(frame_info)

    def get_parts_of_chained_exception(
        self, evalue: BaseException | None
    ) -> tuple[type, BaseException, TracebackType] | None:
        """What `evalue` came from, if that says more than `evalue` does.

        It does not where the framework itself raised and caught it, and where it just came before and was reported.
        """
        parts = super().get_parts_of_chained_exception(evalue)
        if parts is None or evalue is None or self.mode == VERBOSE:
            return parts
        told = evalue.__cause__ is None and report_of(parts[1]) is not None
        return None if told or raised_in_framework(parts[2]) else parts


class LeftOut:
    """Stands for frames that are not shown; to the formatter it is the last of `records`."""

    def __init__(self, records: list[Any], what: str) -> None:
        self._last = records[-1]
        self._what = what

    def __getattr__(self, name: str) -> Any:
        return getattr(self._last, name)

    def __str__(self) -> str:
        return f"    … {self._what}\n"


class Fold(LeftOut):
    """Stands for a run of the framework's frames."""

    def __init__(self, records: list[Any]) -> None:
        packages = sorted({package_of(record.frame) for record in records} & FRAMEWORK)
        super().__init__(records, f"{counted(len(records), 'frame')} of {' and '.join(packages)}")


def install(shell: InteractiveShell) -> None:
    """Have `shell` fold its tracebacks, with the colours and the mode that it has."""
    shell.InteractiveTB = _made(Folding, shell.InteractiveTB)


def uninstall(shell: InteractiveShell) -> None:
    """Take it back; colours and mode stay as they are now."""
    if isinstance(shell.InteractiveTB, Folding):
        shell.InteractiveTB = _made(AutoFormattedTB, shell.InteractiveTB)


def _made(kind: type[AutoFormattedTB], like: AutoFormattedTB) -> AutoFormattedTB:
    formatter = kind.__new__(kind)
    formatter.__dict__.update(like.__dict__)
    return formatter


def text_of(shell: InteractiveShell, error: BaseException, trace: TracebackType | None) -> str:
    """The traceback of `error` as `shell` would show it; any thread."""
    if isinstance(error, BaseExceptionGroup):
        # As IPython itself does: its formatter knows no groups.
        return "".join(traceback.format_exception(type(error), error, trace and without_framework(trace)))
    # A copy, since it keeps notes of the traceback it formats, and the main thread may be formatting too.
    formatter = copy(shell.InteractiveTB)
    formatter = formatter if isinstance(formatter, Folding) else _made(Folding, formatter)
    if trace is None and error.__cause__ is error.__context__ is None:
        # Without frames a head that announces them would be noise.
        return "".join(f"{line.rstrip()}\n" for line in formatter.get_exception_only(type(error), error))
    lines = formatter.structured_traceback(type(error), error, trace, tb_offset=0)
    return f"{formatter.stb2text(lines)}\n"


def file_name(shell: InteractiveShell, file: str) -> str:
    """What to call a file of code: ``[3]`` when it is what was In [3] of `shell`."""
    cell = shell.compile.format_code_name(file)
    return cell[1].removeprefix("In") if cell else file


def note_report(error: BaseException, number: int, place: str) -> None:
    """Remember that `error` was reported, raised at `place`, under this number."""
    # Not every exception takes attributes.
    with suppress(Exception):
        setattr(error, _REPORT, (number, place))


def report_of(error: BaseException) -> tuple[int, str] | None:
    """The number and the place under which `error` was reported; None when it was not."""
    found: tuple[int, str] | None = getattr(error, _REPORT, None)
    return found


_REPORT: Final = "__wirebook_report__"


def fold(records: list[Any]) -> list[Any]:
    """`records` with each run of the framework's as one `Fold`, but for the first run: it is who calls callbacks.

    When there are no others, the last one says where the error comes from, and stays.
    """
    hidden = _of_framework(records)
    if all(hidden):
        return records[-1:]
    first = hidden.index(False)
    folded: list[Any] = []
    for fold_them, run in groupby(zip(hidden[first:], records[first:], strict=True), itemgetter(0)):
        members = [record for _, record in run]
        folded += [Fold(members)] if fold_them else members
    return folded


def _of_framework(records: list[Any]) -> list[bool]:
    """Whether each frame is the framework's: its own, or the standard library's between two of its own."""
    # A record of repeated frames has no frame of its own.
    frames = [getattr(record, "frame", None) for record in records]
    packages = ["" if frame is None else package_of(frame) for frame in frames]
    hidden = [package in FRAMEWORK for package in packages]
    for number, package in enumerate(packages):
        if package in LIBRARIES and number and hidden[number - 1]:
            called = next((each for each in packages[number:] if each not in LIBRARIES), "")
            hidden[number] = called in FRAMEWORK
    return hidden


def without_framework(trace: TracebackType) -> TracebackType:
    """`trace` without the framework's frames; all of it when there are no others."""
    others = [step for step in steps_of(trace) if package_of(step.tb_frame) not in FRAMEWORK]
    return linked(others) if others else trace


def around_repeats(steps: list[TracebackType]) -> tuple[list[TracebackType], int, list[TracebackType]]:
    """What comes before the repeated steps of a recursion, how many these are, and what comes after them.

    A step is one of them if there are enough like it before. The last step is none, for it says where the error was
    raised. All are before them when there are none.
    """
    alike: Counter[tuple[CodeType, int]] = Counter()
    kept, first = [], 0
    for step in steps[:-1]:
        place = step.tb_frame.f_code, line_of(step)
        alike[place] += 1
        if alike[place] <= MOST_ALIKE:
            kept.append(step)
        elif not first:
            first = len(kept)
    repeats = len(steps) - 1 - len(kept)
    if len(steps) < DEEP or not repeats:
        return steps, 0, []
    return kept[:first], repeats, kept[first:] + steps[-1:]


def linked(steps: list[TracebackType]) -> TracebackType:
    """A traceback of these steps, of which there is one at least, with a line number for each.

    Some instructions belong to no line (the jump back to a loop whose body is an ``if`` is one), and an interrupt
    may come there. IPython gives up on such a traceback.
    """
    trace: TracebackType | None = None
    for step in reversed(steps):
        trace = TracebackType(trace, step.tb_frame, step.tb_lasti, line_of(step))
    assert trace is not None
    return trace


def line_of(step: TracebackType) -> int:
    """The line at which a frame stands, or the last one before where it stands at none."""
    # None where there is none, whatever its type says.
    found: int | None = step.tb_lineno
    if found is not None:
        return found
    code = step.tb_frame.f_code
    before = [line for start, _, line in code.co_lines() if line is not None and start <= step.tb_lasti]
    return before[-1] if before else code.co_firstlineno


def raised_in_framework(trace: TracebackType | None) -> bool:
    """Whether there are frames and all of them are the framework's."""
    packages = {package_of(step.tb_frame) for step in steps_of(trace)}
    return bool(packages) and packages <= FRAMEWORK


def steps_of(trace: TracebackType | None) -> list[TracebackType]:
    """A traceback as a list, outermost first."""
    steps = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    return steps
