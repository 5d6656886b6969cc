"""`Connections`: the live table of ports and connections."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from datetime import datetime
from functools import partial

import wirebook_widgets
from wirebook.deferred import maybeDeferred
from wirebook.failure import Failure
from wirebook.interfaces import IHandle
from wirebook.turn import turn
from wirebook_widgets import _static
from wirebook_widgets._page import script, style
from wirebook_widgets._publisher import Content, Publisher, publisher
from wirebook_widgets._table import Capture, HandleTable, HasHandles, add_up, vitals_of
from wirebook_widgets._view import Action, Answer, View

PICTURED = 50
"""Rows in the static picture."""


class Connections(View):
    """A live table of the ports and connections of `reactor`.

    The filter above the table takes words and ``key:value`` terms, for example
    ``state:open cell:3 -peer:10.0.0.1``; every row has buttons that close or reset it. Until the view is
    displayed it costs nothing; while nobody looks at it, next to nothing.
    """

    _esm = script("connections.js")
    _css = style("theme.css", "connections.css")

    def __init__(self, reactor: HasHandles, publish: Publisher = publisher) -> None:
        self._reactor = reactor
        self._table = HandleTable(reactor, cell_of)
        super().__init__(publish)

    @property
    def actions(self) -> Mapping[str, Action]:
        """``close`` and ``reset``, both with ``handle``: the number of a port or connection."""
        return {"close": partial(self._close_handle, False), "reset": partial(self._close_handle, True)}

    def _close_handle(self, abort: bool, content: Content, answer: Answer) -> None:
        number = content.get("handle")
        handle = self._reactor.handles.get(number) if isinstance(number, int) else None
        if handle is None:
            answer(f"Handle {number!r} is not open any more.")
        else:
            self._reactor.callFromThread(close_handle, handle, abort, answer)

    def wake(self) -> None:
        """Begin to notice closings."""
        self._table.observe()

    def rest(self) -> None:
        """Notice nothing any more."""
        self._table.unobserve()

    def capture(self) -> Capture:
        """What is open now."""
        return self._table.capture()

    def delta(self, captured: Capture, fresh: bool) -> Content | None:
        """The rows that changed; see `HandleTable.delta`."""
        return self._table.delta(captured, fresh)

    def picture(self) -> Content:
        """The first rows, the totals, and the time of day."""
        with turn:
            capture = self._table.capture()
        return {
            "now": capture.now,
            "taken": datetime.now().astimezone().isoformat(timespec="seconds"),
            "totals": add_up(capture, vitals_of(capture)),
            "rows": self._table.rows(capture, PICTURED),
        }

    def static_html(self, picture: Content) -> str:
        """A table."""
        return _static.html_table(picture)

    def static_text(self, picture: Content) -> str:
        """One line and the first rows."""
        return _static.text_table(picture)


def cell_of(context: Context) -> str:
    """The name of the cell that `context` belongs to, if somebody knows."""
    describe = wirebook_widgets.describe_cell
    return "" if describe is None else describe(context)


def close_handle(handle: IHandle, abort: bool, answer: Answer) -> None:
    """Close `handle` and answer when it is closed, or why it could not be. On the reactor's thread."""

    def failed(failure: Failure) -> None:
        answer(f"{failure.type.__name__}: {failure.getErrorMessage()}")

    def closed(_: None) -> None:
        answer(None)

    maybeDeferred(handle.closeHandle, abort=abort).addCallbacks(closed, failed)
