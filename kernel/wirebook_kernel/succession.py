"""A cell takes the port of its earlier run, where the front end does not say that it is the same cell.

With a cell id from the front end an edited cell is the same cell, and what it opened is closed before it runs again.
Without one its new text is another cell to `cells`, and nothing is closed that nobody asked to close. Only when a port
could not be opened otherwise, since its address is in use, the port in the way is looked at. It makes room if it is
this kernel's, has the same name (of its protocol's class or its factory's, its label as a handle), was opened by an
earlier run that has ended, and neither cell has an id or says ``%%keep``. Then that cell has been replaced, and
what it opened is closed as if it ran again. The same text counts as the same cell here, whatever the ids: JupyterLab's
code console and VS Code's interactive window make a new one for each run.

Whoever opens a port holds the turn, so nothing can be waited for: ports are free at once, and all else begins to
close. A thread carries that through, and a cell does not end before it.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from threading import Thread

from wirebook.error import CannotListenError
from wirebook.interfaces import IHandle
from wirebook_kernel.cells import Cell, Cells, cell_of
from wirebook_kernel.ownership import PATIENCE, begin_closing, close_cell, handles_of, keeps
from wirebook_kernel.status import tally
from wirebook_kernel.whose import in_the_way


class Succession:
    """Decides which port makes room for which, among those of the runs that `cells` follows."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._closing: list[Thread] = []

    def make_room(self, port: IHandle, error: CannotListenError) -> bool:
        """For ``reactor.handles.make_room``; what was closed is said in the output of the cell that listens."""
        blocking = in_the_way(error)
        if not blocking or not all(self._yields(handle, port) for handle in blocking):
            return False
        place = str(error.port) if error.interface is None else f"Port {error.port}"
        for cell in {cell.id: cell for handle in blocking if (cell := cell_of(handle))}.values():
            self._close(cell, place)
        return True

    def wait(self) -> None:
        """Wait until what was replaced is closed, or the stop button is pressed; not in the turn."""
        closing, self._closing = self._closing, []
        with suppress(KeyboardInterrupt):
            for thread in closing:
                thread.join(3 * PATIENCE)

    def _yields(self, handle: IHandle, port: IHandle) -> bool:
        """Whether `handle`, an open port, makes room for `port`."""
        old, new = cell_of(handle), cell_of(port)
        if old is None or new is None or handle.label != port.label:
            return False
        return _is_replaced(old, new) and old.order < new.order and not self._cells.is_running(old)

    def _close(self, cell: Cell, place: str) -> None:
        handles = handles_of(cell)
        begin_closing(handles)
        print(f"{place} was cell {cell}'s, which this cell replaces: closed {tally(handles)}.")  # noqa: T201
        thread = Thread(
            target=copy_context().run, args=(close_cell, cell, f"cell {cell}"), name="wirebook-closing", daemon=True
        )
        thread.start()
        self._closing.append(thread)


def _is_replaced(old: Cell, new: Cell) -> bool:
    """Whether `new` may be the cell that `old` is, with another text or another id."""
    same_text = old.source.strip() == new.source.strip()
    without_ids = old.is_known_by_source and new.is_known_by_source
    return (same_text or without_ids) and not (keeps(old) or keeps(new))
