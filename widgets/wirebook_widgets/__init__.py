"""Live views of a Wirebook reactor, for notebooks: `watch` shows them all, `Connections` is the table.

A kernel that wants its cells named in the views sets `describe_cell`, and hands the messages that pages
send to a view (``views.get(comm_id)``) to its ``receive``, on any thread.

ipywidgets and anywidget are loaded with the first view: a kernel that shows none starts without them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

from wirebook import faces
from wirebook_widgets.watch import watch

views: dict[str, View] = {}
"""The open views by their comm's id: a kernel hands a page's messages to ``views[comm_id].receive``."""

describe_cell: Callable[[Context], str] | None = None
"""Given the context in which a handle was born, the short name of its cell, for example "3"."""

__all__ = ["Connections", "View", "describe_cell", "views", "watch"]

if TYPE_CHECKING:
    from wirebook_widgets._view import View
    from wirebook_widgets.connections import Connections
else:
    _LATER = {"wirebook_widgets._view": ["View"], "wirebook_widgets.connections": ["Connections"]}

    def __getattr__(name):
        """A class of `_LATER`."""
        return faces.load(__name__, name, _LATER)

    def __dir__():
        """Everything that can be asked for, loaded or not."""
        return sorted({*globals(), *__all__})
