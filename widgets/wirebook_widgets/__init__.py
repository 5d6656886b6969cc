"""Live views of a Wirebook reactor, for notebooks: `watch` shows them all, `Connections` is the table.

A kernel that wants its cells named in the views sets `describe_cell`, and hands the messages that pages
send to a view (``views.get(comm_id)``) to its ``receive``, on any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context

from wirebook_widgets._view import View, views
from wirebook_widgets.connections import Connections
from wirebook_widgets.watch import watch

describe_cell: Callable[[Context], str] | None = None
"""Given the context in which a handle was born, the short name of its cell, for example "3"."""

__all__ = ["Connections", "View", "describe_cell", "views", "watch"]
