"""What is done with a widget belongs to the cell that made the widget.

A handler of a widget, such as a button's, runs for a message of the page and not for a cell. What it opens would be
nobody's: it would outlive the widget when its cell runs again, and keep the port. So messages to a widget are handled
as its cell's. What a handler prints goes where ipykernel sends it, for ``with output:`` of ipywidgets relies on that.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from wirebook_kernel.cells import Cell, current_cell

MESSAGE = "comm_msg"


class Clicks:
    """Remembers which cell has made which widget of `kernel` (None in a terminal, where there are no widgets)."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._makers: WeakKeyDictionary[Any, Cell] = WeakKeyDictionary()

    def install(self) -> None:
        """Stand before what handles the messages of the page, and before what registers a widget's comm."""
        if self._kernel is not None:
            manager, handlers = self._kernel.comm_manager, self._kernel.shell_handlers
            self._register, manager.register_comm = manager.register_comm, self._registering
            self._handle, handlers[MESSAGE] = handlers[MESSAGE], self._handling

    def uninstall(self) -> None:
        """Stand there no more."""
        if self._kernel is not None:
            del self._kernel.comm_manager.register_comm
            self._kernel.shell_handlers[MESSAGE] = self._handle

    def _registering(self, comm: Any) -> Any:
        cell = current_cell.get()
        if cell is not None:
            self._makers[comm] = cell
        return self._register(comm)

    def _handling(self, stream: Any, ident: Any, message: Any) -> Any:
        comm = self._kernel.comm_manager.comms.get(message["content"].get("comm_id"))
        before = current_cell.set(None if comm is None else self._makers.get(comm))
        try:
            return self._handle(stream, ident, message)
        finally:
            current_cell.reset(before)
