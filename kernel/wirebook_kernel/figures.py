"""Figures that callbacks draw with pyplot: each is shown once, in the callback's cell, when the callback is done.

pyplot keeps one list of figures, with the one it draws into at its end, and the inline backend shows and closes all of
them at the end of every cell. So a figure of a callback would appear in whichever cell ends next, half drawn or not,
and what a callback plots would go into the figure of the cell that is running. Here every callback has a list of its
own. It is shown as cells show theirs, on the reactor, for nobody may draw meanwhile; that takes some 50 ms.

As no cell goes on with a figure of another, no callback does, nor a step of a coroutine after an ``await``; they hand
on the ``Figure``. Where the user keeps figures open (windows, ``InlineBackend.close_figures = False``) the list is
everybody's, as ever. matplotlib may not be there, and is not loaded for this.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wirebook import reactor
from wirebook.turn import turn
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.frames import callback_on
from wirebook_kernel.hogs import is_reactor

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

BACKEND: Final = "matplotlib_inline.backend_inline"

# pyplot's figures by number, the current one last.
_List: TypeAlias = OrderedDict[Any, Any]
_shown: ContextVar[_List | None] = ContextVar("wirebook_figures_shown", default=None)


class Figures:
    """Takes the place of pyplot's list, ``Gcf.figs``, and is the right one for whoever asks."""

    def __init__(self, shell: InteractiveShell, is_running: Callable[[Cell], bool]) -> None:
        self._events = shell.events
        self._is_running = is_running
        self._backend: Any = None
        self._of_cells: _List = OrderedDict()
        self._of_callbacks: dict[FrameType, _List] = {}

    def install(self) -> None:
        """Take its place as soon as the inline backend is there: that has the shell call it at the end of cells."""
        register = self._events.register

        def registering(event: str, function: Callable[..., Any]) -> None:
            register(event, function)
            self._look_at(function)

        for function in self._events.callbacks["post_execute"]:
            self._look_at(function)
        self._events.register = registering  # type: ignore[method-assign]

    def uninstall(self) -> None:
        """Give it back."""
        del self._events.register
        if self._backend is not None:
            self._backend.Gcf.figs = self._of_cells

    def _look_at(self, function: object) -> None:
        if self._backend is None and getattr(function, "__module__", "") == BACKEND:
            self._backend = sys.modules[BACKEND]
            self._of_cells, self._backend.Gcf.figs = self._backend.Gcf.figs, self

    def __get__(self, instance: None, owner: type) -> _List:
        shown = _shown.get()
        if shown is not None:
            return shown
        callback = self._callback()
        if callback is None or not self._closes():
            return self._of_cells
        if callback not in self._of_callbacks:
            self._of_callbacks[callback] = OrderedDict()
            reactor.callFromThread(self._show, callback)
        return self._of_callbacks[callback]

    def _callback(self) -> FrameType | None:
        """Stands for the callback at work on this thread; None for a cell, and for threads of the user's."""
        cell, thread = current_cell.get(), get_ident()
        in_cell = cell is not None and self._is_running(cell) and not is_reactor(thread)
        return callback_on(thread) if turn.held() and not in_cell else None

    def _closes(self) -> bool:
        """Whether the end of a cell shows its figures and closes them."""
        shows = self._backend.flush_figures in self._events.callbacks["post_execute"]
        return shows and bool(self._backend.InlineBackend.instance().close_figures)

    def _show(self, callback: FrameType) -> None:
        """`callback` is done; called in its context."""
        _shown.set(self._of_callbacks.pop(callback))
        matplotlib = self._backend.matplotlib
        if matplotlib.is_interactive() and "inline" in matplotlib.get_backend():
            self._backend.show(close=True)
