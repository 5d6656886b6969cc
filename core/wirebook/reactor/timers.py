"""Delayed calls: a heap with lazy deletion.

A heap entry is a tuple (due, number, call), which C compares without calling back into Python. Cancelling
marks the call and leaves its entry; moving a call later leaves the entry too and puts it back when it comes
up; moving it earlier adds a second entry. An entry is the call's own only while its number is the call's.
When more than half of the heap is of no more use it is rebuilt, which makes the cost of a dead entry
constant.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import AlreadyCalled, AlreadyCancelled
from wirebook.reactor.handles import next_handle_id
from wirebook.turn import in_turn

# Below this a rebuild costs more than it saves.
_COMPACT_FROM = 64


class DelayedCall:
    """A call that is due later; what ``callLater`` returns. Any thread may use it.

    As a handle its state is "pending", "called" or "cancelled".
    """

    __slots__ = (
        "_number",
        "_queue",
        "args",
        "born",
        "called",
        "cancelled",
        "context",
        "func",
        "handleId",
        "kw",
        "time",
    )
    kind = "timer"
    transportName = ""
    localAddress = None
    peerAddress = None
    bytesReceived = 0
    bytesSent = 0

    def __init__(
        self,
        queue: TimerQueue,
        delay: float,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kw: dict[str, Any],
    ) -> None:
        self._queue = queue
        self._number = -1
        self.born = queue.now()
        self.time = self.born + delay
        self.func = func
        self.args = args
        self.kw = kw
        self.called = False
        self.cancelled = False
        self.context: Context = copy_context()
        self.handleId = next_handle_id()

    def getTime(self) -> float:
        """When the call is due, on the scale of ``reactor.seconds()``."""
        return self.time

    def active(self) -> bool:
        """Whether the call is still to come."""
        return not (self.called or self.cancelled)

    @in_turn
    def cancel(self) -> None:
        """Do not make the call. Raises `AlreadyCalled` or `AlreadyCancelled`."""
        self._check_pending("cancel")
        self.cancelled = True
        # A cancelled call may wait in the heap for a while: what it refers to must not.
        del self.func, self.args, self.kw
        self._queue.discard()

    @in_turn
    def reset(self, secondsFromNow: float) -> None:
        """Move the call to `secondsFromNow` seconds from now. Raises as `cancel` does."""
        self._check_pending("reset")
        self._move(self._queue.now() + check_delay(secondsFromNow))

    @in_turn
    def delay(self, secondsLater: float) -> None:
        """Move the call by `secondsLater` seconds; negative means earlier. Raises as `cancel` does."""
        self._check_pending("delay")
        if not _is_number(secondsLater):
            raise ValueError(f"a call is moved by a number of seconds, not {secondsLater!r}")
        self._move(self.time + secondsLater)

    def _move(self, due: float) -> None:
        earlier = due < self.time
        self.time = due
        if earlier:
            self._queue.push_again(self)

    def _check_pending(self, verb: str) -> None:
        if self.called:
            raise AlreadyCalled(f"cannot {verb} {self!r}: it has run already; ask active() first")
        if self.cancelled:
            raise AlreadyCancelled(f"cannot {verb} this delayed call: it was cancelled; ask active() first")

    @property
    def state(self) -> str:
        """ "pending", "called" or "cancelled"."""
        if self.called:
            return "called"
        return "cancelled" if self.cancelled else "pending"

    @property
    def label(self) -> str:
        """The function's name."""
        func = getattr(self, "func", None)
        return getattr(func, "__qualname__", None) or repr(func)

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Cancel the call if it is still to come. Returns a fired Deferred."""
        if self.active():
            self.cancel()
        return succeed(None)

    def __repr__(self) -> str:
        if self.cancelled:
            return "<DelayedCall cancelled>"
        when = "called" if self.called else f"in {self.time - self._queue.now():.3f} s"
        return f"<DelayedCall {self.label} {when}>"


class TimerQueue:
    """All delayed calls of one reactor. `now` is its clock; `wake` is called when the first one changes."""

    def __init__(self, now: Callable[[], float] = time.monotonic, wake: Callable[[], None] = lambda: None) -> None:
        self.now = now
        self._wake = wake
        self.heap: list[tuple[float, int, DelayedCall]] = []
        self._dead = 0
        self._numbers = count()

    def push(self, call: DelayedCall) -> None:
        """Add a call; if it is now the first, the wait in the poller is too long."""
        heap = self.heap
        call._number = number = next(self._numbers)
        heappush(heap, (call.time, number, call))
        if heap[0][1] == number:
            self._wake()

    def push_again(self, call: DelayedCall) -> None:
        """Add an earlier entry for a call; its old one is dead."""
        self.push(call)
        self.discard()

    def discard(self) -> None:
        """Note that one entry is of no more use."""
        self._dead += 1
        if self._dead > _COMPACT_FROM and self._dead * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if entry[2]._number == entry[1] and not entry[2].cancelled]
            heapify(self.heap)
            self._dead = 0

    def next_due(self) -> float | None:
        """When the first call is due, None when there is none."""
        heap = self.heap
        while heap:
            due, number, call = heap[0]
            if call.cancelled or call._number != number:
                heappop(heap)
                self._dead -= 1
            elif call.time > due:
                heappop(heap)
                heappush(heap, (call.time, number, call))
            else:
                return due
        return None

    def pop_due(self, now: float) -> DelayedCall | None:
        """Take out the first call that is due at `now`, or None."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return heappop(self.heap)[2]

    def __iter__(self) -> Iterator[DelayedCall]:
        """The calls still to come, soonest first."""
        live = (call for _, number, call in self.heap if call._number == number and not call.cancelled)
        return iter(sorted(live, key=lambda call: call.time))

    def __len__(self) -> int:
        return len(self.heap) - self._dead


def check_delay(seconds: float) -> float:
    """`seconds` if it can be waited for; otherwise the error says what is wrong with it."""
    if _is_number(seconds) and seconds >= 0:
        return seconds
    raise ValueError(f"a delay is a number of seconds, 0 or more, not {seconds!r}")


def _is_number(seconds: object) -> bool:
    return isinstance(seconds, int | float) and math.isfinite(seconds)
