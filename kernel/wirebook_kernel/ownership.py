"""Closing what cells opened, and waiting until it is closed.

A cell that runs again must find the world as it was before its first run: its port free, its connections
gone, its timers silent. So closing is not asked for but carried out: first in order, then by force.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from wirebook import Deferred, TimeoutError, reactor
from wirebook.interfaces import IHandle
from wirebook.turn import turn
from wirebook_kernel.cells import ExecutionInfo, cell_of

PATIENCE = 1.0

_KEEP = re.compile(r"\s*%%keep\b[^\n]*\n?")
_KEEP_AMONG_MAGICS = re.compile(r"\s*(?:%%[^\n]*\n\s*)*?%%keep\b")


def handles_of(cell_id: str) -> list[IHandle]:
    """What is open and was opened by any run of the cell with this id; any thread."""
    with turn:
        return [handle for handle in reactor.handles if _belongs(handle, cell_id)]


def close_earlier_runs(cell_id: str, info: ExecutionInfo) -> None:
    """Close what earlier runs of a cell opened, unless ``%%keep`` is among the magics at its top.

    What cannot be closed is named in the cell's output, so that nobody wonders about a second answer.
    """
    if _KEEP_AMONG_MAGICS.match(info.raw_cell):
        return
    for handle in close_handles(lambda: handles_of(cell_id)):
        print(f"Could not close {handle!r}, which an earlier run of this cell opened.")  # noqa: T201


def close_handles(
    select: Callable[[], list[IHandle]], *, abort: bool = False, patience: float = PATIENCE
) -> list[IHandle]:
    """Close every handle that `select` names, until it names none; return what could not be closed.

    Ports come first, so that nothing new arrives. What is not closed after `patience` seconds is aborted, and
    waited for as long again. `abort` skips the first part. Raises `TurnHeldError` in the turn.
    """
    turn.refuse_to_wait("closing handles")
    left = select()
    for by_force in (True,) if abort else (False, True):
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            ports_first = sorted(left, key=lambda handle: handle.kind != "port")
            _wait_for([handle.closeHandle(by_force) for handle in ports_first], deadline)
            left = select()
    return left


def strip_keep(lines: list[str]) -> list[str]:
    """An input transformer: take a leading ``%%keep`` off a cell, so that the rest is an ordinary cell.

    Below another magic it is the first line again when that magic has its cell transformed.
    """
    source = "".join(lines)
    kept = _KEEP.match(source)
    return source[kept.end() :].splitlines(keepends=True) if kept else lines


def _belongs(handle: IHandle, cell_id: str) -> bool:
    cell = cell_of(handle)
    return cell is not None and cell.id == cell_id


def _wait_for(closing: Iterable[Deferred[None]], deadline: float) -> None:
    for closed in closing:
        closed.addErrback(lambda failure: None)
        try:
            closed.wait(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return
