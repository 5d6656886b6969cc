"""`watch`: everything there is to see, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook_widgets._table import HasHandles
    from wirebook_widgets.connections import Connections


def watch(reactor: HasHandles | None = None) -> Connections:
    """Display the live dashboard of `reactor` (the process's reactor by default) and return it.

    As the last expression of a cell it is displayed once, not twice. Call its ``close()`` to end it.
    """
    from wirebook_widgets.connections import Connections

    if reactor is None:
        from wirebook import reactor as process_reactor

        reactor = process_reactor
    dashboard = Connections(reactor)
    dashboard.show()
    return dashboard
