"""Ports and connections as a table that is sent in pieces: what changed, and never too much at once.

A snapshot is taken in the turn and copies references only; counters and states are plain attributes, read
afterwards. A connection that opens and closes between two snapshots is still seen, because closings are
observed; the last of them stay in the table for some seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

from wirebook.interfaces import HandleEvent, IHandle
from wirebook.reactor.handles import Handles

COLUMNS = (
    "id",
    "kind",
    "transport",
    "role",
    "state",
    "local",
    "peer",
    "protocol",
    "cell",
    "born",
    "ended",
    "received",
    "sent",
    "open",
)
"""What a row holds, in order; ``connections.js`` knows the same list."""
COUNTERS = ("id", "received", "sent", "open")
"""What a row holds if nothing but its counters changed."""

KINDS = ("port", "connection")
PIECE = 500
"""Rows in one message, at most."""
LINGER = 10.0
"""Seconds for which a closed handle stays in the table."""
KEPT = 200
"""Closed handles in the table, at most."""
LONGEST = 120
"""Characters of a name or an address, at most."""

Row = list[Any]


class HasHandles(Protocol):
    """What a table needs of a reactor."""

    @property
    def handles(self) -> Handles:
        """What is open."""

    def seconds(self) -> float:
        """The time now, on the scale of a handle's ``born``."""

    def callFromThread(self, callable: Callable[..., Any], /, *args: Any) -> None:
        """Call it on the reactor's thread."""


class Vital(NamedTuple):
    """What may change about a handle while its row is shown; ``ended`` is when it closed."""

    state: str
    received: int
    sent: int
    open: int
    ended: float | None


class Closed(NamedTuple):
    """A handle that closed, and when."""

    handle: IHandle
    ended: float


@dataclass(frozen=True, slots=True)
class Capture:
    """One snapshot: the time, the handles, and the bytes of all connections that have closed before."""

    now: float
    open: list[IHandle]
    closed: list[Closed]
    received: int
    sent: int


class HandleTable:
    """The ports and connections of `reactor`, and which rows of them a page does not know yet.

    `observe`, `unobserve` and `capture` are called in the turn; `delta` on one thread at a time.
    """

    def __init__(self, reactor: HasHandles, describe: Callable[[Context], str]) -> None:
        self._reactor = reactor
        self._describe = describe
        self._closed: deque[Closed] = deque(maxlen=KEPT)
        self._closed_received = 0
        self._closed_sent = 0
        self._forget()

    def _forget(self) -> None:
        self._known: dict[int, Vital] = {}
        self._told: dict[int, tuple[str, float | None]] = {}
        self._waiting: dict[int, IHandle] = {}
        self._totals: dict[str, int] = {}

    def observe(self) -> None:
        """Begin to notice closings."""
        self._reactor.handles.observe(self._noticed)

    def unobserve(self) -> None:
        """Notice nothing any more and let go of every handle."""
        self._reactor.handles.unobserve(self._noticed)
        self._closed.clear()
        self._forget()

    def _noticed(self, event: HandleEvent, handle: IHandle) -> None:
        if event != "closed" or handle.kind not in KINDS:
            return
        self._closed.append(Closed(handle, self._reactor.seconds()))
        if handle.kind == "connection":
            self._closed_received += handle.bytesReceived
            self._closed_sent += handle.bytesSent

    def capture(self) -> Capture:
        """Copy what the next delta is made of."""
        now = self._reactor.seconds()
        closed = self._closed
        while closed and now - closed[0].ended > LINGER:
            closed.popleft()
        handles = self._reactor.handles.of(*KINDS)
        return Capture(now, handles, list(closed), self._closed_received, self._closed_sent)

    def delta(self, capture: Capture, fresh: bool) -> dict[str, Any] | None:
        """The rows that changed since the last delta, `PIECE` at most; None if nothing did.

        With `fresh` the page knows nothing. ``more`` says that rows are left for the next delta; totals
        always count all of them.
        """
        if fresh:
            self._forget()
        self._note(vitals := vitals_of(capture))
        totals = add_up(capture, vitals)
        gone = self._drop_gone(capture)
        rows, counts = self._next_piece()
        if not (fresh or rows or counts or gone or totals != self._totals):
            return None
        self._totals = totals
        return {
            "now": capture.now,
            "totals": totals,
            "rows": rows,
            "counts": counts,
            "gone": gone,
            "more": bool(self._waiting),
        }

    def rows(self, capture: Capture, limit: int) -> list[Row]:
        """The first `limit` rows of a snapshot, open handles first."""
        return [self._row(handle, vital) for handle, vital in vitals_of(capture)[:limit]]

    def _note(self, vitals: list[tuple[IHandle, Vital]]) -> None:
        known, waiting = self._known, self._waiting
        for handle, vital in vitals:
            number = handle.handleId
            if known.get(number) != vital:
                known[number] = vital
                waiting[number] = handle

    def _drop_gone(self, capture: Capture) -> list[int]:
        """Forget what is in no list any more; the numbers of those that a page knows."""
        if len(self._known) <= len(capture.open) + len(capture.closed):
            return []
        present = {handle.handleId for handle in capture.open}
        present.update(entry.handle.handleId for entry in capture.closed)
        lost = [number for number in self._known if number not in present]
        for number in lost:
            del self._known[number]
            self._waiting.pop(number, None)
        return [number for number in lost if self._told.pop(number, None) is not None]

    def _next_piece(self) -> tuple[list[Row], list[Row]]:
        rows: list[Row] = []
        counts: list[Row] = []
        for number in list(islice(self._waiting, PIECE)):
            handle, vital = self._waiting.pop(number), self._known[number]
            stage = (vital.state, vital.ended)
            if self._told.get(number) == stage:
                counts.append([number, vital.received, vital.sent, vital.open])
            else:
                rows.append(self._row(handle, vital))
                self._told[number] = stage
        return rows, counts

    def _row(self, handle: IHandle, vital: Vital) -> Row:
        return [
            handle.handleId,
            handle.kind,
            handle.transportName,
            getattr(handle, "role", ""),
            vital.state,
            text(handle.localAddress),
            text(handle.peerAddress),
            text(handle.label),
            text(self._describe(handle.context)),
            handle.born,
            vital.ended,
            vital.received,
            vital.sent,
            vital.open,
        ]


def vital_of(handle: IHandle, ended: float | None = None) -> Vital:
    """What may change about `handle`, as it is now."""
    connections = getattr(handle, "connectionCount", 0) if handle.kind == "port" else 0
    return Vital(handle.state, handle.bytesReceived, handle.bytesSent, connections, ended)


def vitals_of(capture: Capture) -> list[tuple[IHandle, Vital]]:
    """The same of every handle of a snapshot, the open ones first."""
    vitals = [(handle, vital_of(handle)) for handle in capture.open]
    vitals += [(handle, vital_of(handle, ended)) for handle, ended in capture.closed]
    return vitals


def add_up(capture: Capture, vitals: list[tuple[IHandle, Vital]]) -> dict[str, int]:
    """How many ports and connections there are, and the bytes of all connections that ever were."""
    ports, received, sent = 0, capture.received, capture.sent
    for handle, vital in vitals[: len(capture.open)]:
        if handle.kind == "port":
            ports += 1
        else:
            received += vital.received
            sent += vital.sent
    return {"ports": ports, "connections": len(capture.open) - ports, "received": received, "sent": sent}


def text(value: object) -> str:
    """`value` as a page gets it: short, and empty if there is none."""
    return "" if value is None else str(value)[:LONGEST]
