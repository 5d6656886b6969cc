"""One direction of a network that is slow, narrow, uneven or broken off, on any clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypedDict, cast

from wirebook.interfaces import IReactorTime
from wirebook.reactor.timers import DelayedCall
from wirebook.transports._channel import CAPACITY

# How many bytes are under way in one direction before its sender has to wait.
_LEAST_WINDOW = 65536
_MOST_WINDOW = 1 << 20
# With a bandwidth, bytes go in pieces of an Ethernet segment, or of a hundredth of a second where that is more.
_SEGMENT = 1460
_PIECES_PER_SECOND = 100
# How many pieces arrive in one go before others get their turn.
_BATCH = 64


class Fields(TypedDict, total=False):
    """The arguments of `Conditions`."""

    latency: float
    jitter: float
    bandwidth: float | None
    fragment: int | None
    stall: tuple[int, float] | None
    reset_after: int | None
    half_close_after: int | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one direction of a connection is like.

    ``latency``: seconds that every byte takes. ``jitter``: up to so many seconds more, at random for each piece; the
    order is kept. ``bandwidth``: bytes per second, None for no limit. ``fragment``: the most bytes that arrive as one.
    ``stall``: a pair (bytes, seconds): after so many bytes nothing moves for so long (``math.inf``: for ever, or
    until somebody aborts).
    ``reset_after``: after so many bytes the connection is reset, on both sides. ``half_close_after``: after so
    many bytes this direction ends, and whatever would follow is lost.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    fragment: int | None = None
    stall: tuple[int, float] | None = None
    reset_after: int | None = None
    half_close_after: int | None = None

    def __post_init__(self) -> None:
        _check("latency", self.latency, _is_seconds(self.latency), "a number of seconds, 0 or more")
        _check("jitter", self.jitter, _is_seconds(self.jitter), "a number of seconds, 0 or more")
        bandwidth = self.bandwidth
        fits = bandwidth is None or (_is_seconds(bandwidth) and bandwidth > 0)
        _check("bandwidth", bandwidth, fits, "a number of bytes per second above 0, or None for no limit")
        _check("fragment", self.fragment, _is_count(self.fragment, 1), "a number of bytes, 1 or more, or None")
        _check(
            "stall", self.stall, _is_stall(self.stall), "a pair (after how many bytes, for how many seconds), or None"
        )
        for name in ("reset_after", "half_close_after"):
            value = getattr(self, name)
            _check(name, value, _is_count(value, 0), "a number of bytes, 0 or more, or None for never")

    @property
    def piece(self) -> int:
        """How many bytes move as one at most."""
        if self.fragment is not None:
            return self.fragment
        return CAPACITY if self.bandwidth is None else max(_SEGMENT, int(self.bandwidth / _PIECES_PER_SECOND))

    @property
    def window(self) -> int:
        """How many bytes are under way before the sender has to wait."""
        if self.bandwidth is None:
            return _MOST_WINDOW
        return max(_LEAST_WINDOW, int(2 * self.bandwidth * self.latency))


def _check(name: str, value: object, fits: bool, wanted: str) -> None:
    if not fits:
        raise ValueError(f"{name} is {value!r}, and should be {wanted}")


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_count(value: object, least: int) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least)


def _is_stall(stall: object) -> bool:
    if not isinstance(stall, tuple):
        return stall is None
    return (
        len(stall) == 2
        and stall[0] is not None
        and _is_count(stall[0], 0)
        and (stall[1] == math.inf or _is_seconds(stall[1]))
    )


class Link:
    """One direction of a connection: what is put in arrives later, in order. Used in the turn.

    Its subclasses know where: they override what follows `stop`.
    """

    def __init__(self, conditions: Conditions, dice: Random, clock: IReactorTime) -> None:
        self._conditions = conditions
        self._dice = dice
        self._clock = clock
        self._queue: deque[tuple[float, bytes | Callable[[], None]]] = deque()
        self._size = 0
        # What arrives next, and when; the time of the last arrival while there is nothing.
        self._head: bytes | Callable[[], None] | None = None
        self._due = self._line_free = clock.seconds()
        self._passed = 0
        self._marks = self._find_marks()
        self._timer: DelayedCall | None = None
        self._going = False
        self._lossy = False
        self._stopped = False

    def _find_marks(self) -> deque[tuple[int, float | Callable[[], None]]]:
        """What happens after how many bytes: seconds to stand still, or a call."""
        shape = self._conditions
        marks: list[tuple[int, float | Callable[[], None]]] = []
        if shape.stall is not None:
            marks.append(shape.stall)
        if shape.half_close_after is not None:
            marks.append((shape.half_close_after, self._cut_off))
        if shape.reset_after is not None:
            marks.append((shape.reset_after, self.reset))
        return deque(sorted(marks, key=lambda mark: mark[0]))

    @property
    def full(self) -> bool:
        """Whether the sender has to wait."""
        return self._size >= self._conditions.window

    @property
    def roomy(self) -> bool:
        """Whether a sender that waits may go on."""
        return self._size * 2 <= self._conditions.window

    def put(self, data: bytes) -> None:
        """Send `data`."""
        if self._stopped or self._lossy:
            return
        self._queue.append((self._clock.seconds(), data))
        self._size += len(data)
        self.go()

    def finish(self, call: Callable[[], None]) -> None:
        """Call `call` when all that was put in before has arrived."""
        if not self._stopped:
            self._queue.append((self._clock.seconds(), call))
            self.go()

    def go(self) -> None:
        """Deliver what is due; called when something was put in, when there is room again, and by the timer."""
        if self._going or self._stopped:
            return
        self._going = True
        try:
            moving = True
            for _ in range(_BATCH):
                moving = self._step()
                if not moving:
                    return
            self._wait(0)
        finally:
            self._going = False

    def _step(self) -> bool:
        """Deliver one piece; whether another one may follow at once."""
        if self._head is None and not self._cut():
            return False
        wait = self._due - self._clock.seconds()
        if wait > 0:
            # What is set already is set for this piece.
            if self._timer is None or not self._timer.active():
                self._wait(wait)
            return False
        head = self._head
        if not isinstance(head, bytes):
            self._head = None
            cast("Callable[[], None]", head)()
            return not self._stopped
        taken = self.deliver(head)
        self._size -= taken
        self._head = head[taken:] or None
        if taken:
            self.moved()
        return self._head is None and not self._stopped

    def _cut(self) -> bool:
        """Take the next piece out of the queue and find out when it arrives; False when there is none."""
        marks, queue, shape = self._marks, self._queue, self._conditions
        while marks and marks[0][0] == self._passed:
            mark = marks.popleft()[1]
            if callable(mark):
                self._head = mark
                return True
            self._line_free += mark
        if not queue:
            return False
        entered, item = queue.popleft()
        size = 0
        if isinstance(item, bytes):
            size = min(len(item), shape.piece, *([marks[0][0] - self._passed] if marks else []))
            if size < len(item):
                queue.appendleft((entered, item[size:]))
                item = item[:size]
        self._head = item
        self._passed += size
        self._line_free = max(self._line_free, entered) + (size / shape.bandwidth if shape.bandwidth else 0.0)
        self._due = max(self._due, self._line_free + shape.latency + self._dice.uniform(0, shape.jitter))
        return True

    def _wait(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if seconds < math.inf and not self._stopped:
            self._timer = self._clock.callLater(seconds, self.go)

    def _cut_off(self) -> None:
        self._lossy = True
        ends = [(entered, item) for entered, item in self._queue if not isinstance(item, bytes)]
        self._queue = deque(ends)
        self._size = 0
        self.half_close()
        self.moved()

    def stop(self) -> None:
        """Drop what is under way, and let nothing in any more."""
        self._stopped = True
        self._queue.clear()
        self._head = None
        self._size = 0
        self._wait(math.inf)

    def deliver(self, data: bytes) -> int:
        """Hand on as much of `data` as there is room for; whoever makes room calls `go`."""
        raise NotImplementedError

    def moved(self) -> None:
        """There is less under way than before."""

    def half_close(self) -> None:
        """The conditions end this direction."""
        raise NotImplementedError

    def reset(self) -> None:
        """The conditions end the connection."""
        raise NotImplementedError
