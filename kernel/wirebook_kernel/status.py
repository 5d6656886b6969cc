"""What ``%reactor`` shows: everything that is open, of which cell, since when."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from wirebook import reactor
from wirebook.interfaces import IHandle
from wirebook.turn import turn
from wirebook_kernel.cells import describe_cell
from wirebook_kernel.html import amount, counted, duration, in_columns, table

HEADERS = ("kind", "local", "peer", "state", "protocol", "cell", "since", "in", "out")
MOST_ROWS = 100


class Status:
    """What was open when it was made, as text and as HTML. Any thread."""

    def __init__(self) -> None:
        with turn:
            handles = list(reactor.handles)
        now = reactor.seconds()
        self.count = len(handles)
        self.rows = [describe(handle, now) for handle in handles[:MOST_ROWS]]
        running = "running" if reactor.running else "stopped"
        self.headline = f"The reactor is {running}. {tally(handles) or 'Nothing'} {_is_are(self.count)} open."

    def __repr__(self) -> str:
        if not self.rows:
            return self.headline
        return "\n".join([self.headline, "", *in_columns([HEADERS, *self.rows]), *self._left_out()])

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<div>{self.headline}</div>"
        more = "".join(f"<div>{line}</div>" for line in self._left_out())
        return table(self.headline, HEADERS, self.rows, HEADERS.index("state")) + more

    def _left_out(self) -> list[str]:
        hidden = self.count - len(self.rows)
        return [f"... and {hidden:,} more; watch() shows them all"] if hidden else []


def describe(handle: IHandle, now: float) -> tuple[str, ...]:
    """The row of one handle, a text for each of `HEADERS`."""
    timer = handle.kind == "timer"
    return (
        handle.kind,
        str(handle.localAddress or ""),
        str(handle.peerAddress or ""),
        handle.state,
        handle.label,
        describe_cell(handle),
        since(now - handle.born),
        "" if timer else amount(handle.bytesReceived),
        "" if timer else amount(handle.bytesSent),
    )


def since(seconds: float) -> str:
    """When something was so many seconds ago, as a time of day, and how long that is: ``14:05:03, 12 s``."""
    return f"{time.strftime('%H:%M:%S', time.localtime(time.time() - seconds))}, {duration(seconds)}"


def tally(handles: Iterable[IHandle]) -> str:
    """``1 port, 2 connections``; an empty text for none."""
    kinds = Counter(handle.kind for handle in handles)
    return ", ".join(counted(number, kind) for kind, number in kinds.items())


def _is_are(count: int) -> str:
    return "is" if count <= 1 else "are"
