"""Closing what cells opened, and waiting until it is closed.

A cell that runs again must find the world as it was before its first run: its port free, its connections
gone, its timers silent. So closing is not asked for but carried out: first in order, then by force.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from wirebook import Deferred, reactor
from wirebook.interfaces import IHandle
from wirebook.reactor.handles import close_handle
from wirebook.turn import turn
from wirebook_kernel.cells import Cell, cell_of

PATIENCE = 1.0

_KEEP = re.compile(r"\s*%%keep\b[^\n]*\n?")
_KEEP_AMONG_MAGICS = re.compile(r"\s*(?:%%[^\n]*\n\s*)*?%%keep\b")


def keeps(cell: Cell) -> bool:
    """Whether ``%%keep`` is among the magics at the top of a cell."""
    return _KEEP_AMONG_MAGICS.match(cell.source) is not None


def handles_of(cell: Cell) -> list[IHandle]:
    """What is open and was opened by this run of a cell or by an earlier one; any thread."""
    with turn:
        return [handle for handle in reactor.handles if _belongs(handle, cell)]


def close_earlier_runs(cell: Cell) -> None:
    """Close what earlier runs of the cell that begins have opened, unless it keeps it."""
    if not keeps(cell):
        close_cell(cell, "an earlier run of this cell")


def close_cell(cell: Cell, name: str) -> None:
    """Close what this run of a cell and earlier ones have opened, and wait until it is closed.

    What cannot be closed is named in the output, as what `name` has opened: nobody shall wonder about a second answer.
    """
    for handle in close_handles(lambda: handles_of(cell)):
        print(f"Could not close {handle!r}, which {name} opened.")  # noqa: T201


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
            _wait_for(begin_closing(left, by_force), deadline)
            left = select()
    return left


def begin_closing(handles: list[IHandle], abort: bool = False) -> list[Deferred[None]]:
    """Close handles, ports first, and wait for none; ports are closed on return. In any thread."""
    ports_first = sorted(handles, key=lambda handle: handle.kind != "port")
    return [close_handle(handle, abort) for handle in ports_first]


def strip_keep(lines: list[str]) -> list[str]:
    """An input transformer: take a leading ``%%keep`` off a cell, so that the rest is an ordinary cell.

    Below another magic it is the first line again when that magic has its cell transformed.
    """
    source = "".join(lines)
    kept = _KEEP.match(source)
    return source[kept.end() :].splitlines(keepends=True) if kept else lines


def _belongs(handle: IHandle, cell: Cell) -> bool:
    owner = cell_of(handle)
    return owner is not None and owner.id == cell.id and owner.run <= cell.run


def _wait_for(closing: Iterable[Deferred[None]], deadline: float) -> None:
    for closed in closing:
        try:
            closed.wait(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return
