"""What waits for a reactor: how much it would have to do if it could go on now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wirebook.reactor.loop import ReactorBase


class Backlog(NamedTuple):
    """How many ``descriptors`` are ready (some hundreds at most), ``timers`` due, and ``calls`` from threads queued."""

    descriptors: int
    timers: int
    calls: int


def backlog(reactor: ReactorBase) -> Backlog:
    """Count what waits for `reactor`. Takes no turn, so it can be asked while a callback keeps it; any thread.

    A descriptor whose event is being handled just then counts as well, if it still has something to read.
    """
    own = reactor.waker_fileno()
    ready = sum(fd != own for fd, _ in reactor.poller.poll(0))
    now = reactor.seconds()
    timers = reactor.timers
    # Each copy is made in one step, whoever has the turn.
    entries = [entry[2] for entry in (*list(timers.heap), *list(timers.worn))]
    due = sum(call.active() and call.time <= now for call in {*entries, *list(timers.recent)})
    return Backlog(ready, due, reactor.queued_calls())
