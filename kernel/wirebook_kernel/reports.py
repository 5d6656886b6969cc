"""Showing the framework's reports in the cell that they are about.

Core says what went wrong on the logger ``wirebook``, in the context of the Deferred or connection that it is
about. In that context ``sys.stderr`` leads to the right cell, so the handler here only has to write. It never
flushes and never calls ``display``: both wait for the thread that publishes output, and this may be the
reactor's.
"""

from __future__ import annotations

import logging
import sys
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING

from wirebook.logger import log
from wirebook_kernel.interrupts import FRAMEWORK

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CellReporter(logging.Handler):
    """Writes errors as IPython tracebacks, the framework's frames folded, and other records as a line."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__()
        self._shell = shell

    def install(self) -> None:
        """Take the framework's reports over from whoever handled them; they are shown once, here."""
        self._propagated = log.propagate
        log.propagate = False
        log.addHandler(self)

    def uninstall(self) -> None:
        """Give them back."""
        log.removeHandler(self)
        log.propagate = self._propagated

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record to the ``sys.stderr`` of the current context."""
        try:
            sys.stderr.write(self.format(record))
        except Exception:
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """The text that is shown for `record`, with its line end."""
        line = f"{record.getMessage()}\n"
        if not record.exc_info or record.exc_info[1] is None:
            return f"{record.levelname.lower()}: {line}"
        kind, error, trace = record.exc_info
        # A copy, since it keeps notes of the traceback it formats, and the main thread may be formatting too.
        formatter = copy(self._shell.InteractiveTB)
        lines = formatter.structured_traceback(kind, error, fold(trace), tb_offset=0)
        return f"{line}{formatter.stb2text(lines)}\n"


def fold(trace: TracebackType | None) -> TracebackType | None:
    """`trace` without the framework's frames; all of it when there are no others."""
    own = []
    step = trace
    while step is not None:
        package = str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in FRAMEWORK:
            own.append(step)
        step = step.tb_next
    folded = None
    for step in reversed(own):
        folded = TracebackType(folded, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return folded or trace
