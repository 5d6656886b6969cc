"""Delayed calls: a heap that is filled and tidied as late as possible.

Most timers are timeouts, and most timeouts are cancelled. So `callLater` only appends to ``recent``, and cancelling
only marks: a call that is cancelled soon never sees the heap. When the loop asks for the next due time, it sorts in
what is left of ``recent``.

The heap
    An entry is a tuple (due, number, call), which C compares without calling back into Python. Moving a call later
    leaves its entry, which is put back when it comes up; moving it earlier puts it among the recent ones again. An
    entry counts only while its number is its call's. When more than half of the heap is dead, it becomes ``worn``
    and is emptied into a new one from its end, where entries can be taken without disturbing the order.
    Sorting in and emptying go in portions of a millisecond or two: no number of timers makes the loop stand still.

Threads
    Scheduling, cancelling and moving to later take no turn: each is one atomic step. A call's ``_queue`` is the token
    of being pending. Whoever deletes it, the one that cancels or the loop that is about to call, has the call; the
    other gets AttributeError. The loop looks at the due time again once it has the token, because the call may
    have been moved in between, and then gives it back. Who finds the token gone therefore asks again in the turn,
    before saying that it is too late.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any, Final, TypeAlias, cast

from wirebook.deferred import Deferred, succeed
from wirebook.error import AlreadyCalled, AlreadyCancelled
from wirebook.reactor.handles import next_handle_id
from wirebook.turn import in_turn, turn

Entry: TypeAlias = "tuple[float, int, DelayedCall]"

INFINITE: Final = math.inf
NOBODY_WAITS: Final = -math.inf
# The number of a call that is among the recent ones.
UNSORTED: Final = -1
# How much is tidied at a time: so many dead calls, or a sixteenth of it live ones.
EFFORT: Final = 65_536
LIVE_EFFORT: Final = 16
PORTION: Final = 1_024
# With fewer dead entries emptying the heap costs more than it saves.
WORN_FROM: Final = 64


class DelayedCall:
    """A call that is due later; what ``callLater`` returns. Any thread may use it.

    As a handle its state is "pending", "called" or "cancelled". Attributes: ``time`` when it is due; ``func``,
    ``args`` and ``kw`` what is called, given up by `cancel`.
    """

    __slots__ = ("_args", "_id", "_kw", "_number", "_queue", "born", "context", "func", "time")
    kind = "timer"
    transportName = ""
    localAddress = None
    peerAddress = None
    bytesReceived = 0
    bytesSent = 0

    _queue: TimerQueue
    _number: int
    # A single positional argument stands alone in _args, and _kw is None.
    _args: Any
    _kw: dict[str, Any] | None
    _id: int
    time: float
    born: float
    func: Any
    context: Context

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the call."""
        if self._kw is not None:
            return cast("tuple[Any, ...]", self._args)
        return () if self.func is None else (self._args,)

    @property
    def kw(self) -> dict[str, Any]:
        """The keyword arguments of the call."""
        return {} if self._kw is None else self._kw

    @property
    def handleId(self) -> int:
        """Unique in this process; given when it is first asked for."""
        try:
            return self._id
        except AttributeError:
            return self._numbered()

    @in_turn
    def _numbered(self) -> int:
        if not hasattr(self, "_id"):
            self._id = next_handle_id()
        return self._id

    def getTime(self) -> float:
        """When the call is due, on the scale of ``reactor.seconds()``."""
        return self.time

    def active(self) -> bool:
        """Whether the call is still to come."""
        return hasattr(self, "_queue")

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.func is None

    @property
    def called(self) -> bool:
        """Whether it was made, or is being made now."""
        return not (self.func is None or self.active())

    def cancel(self) -> None:
        """Do not make the call. Raises `AlreadyCalled` or `AlreadyCancelled`."""
        try:
            queue = self._queue
            del self._queue
        except AttributeError:
            self._check_pending("cancel")
            return self.cancel()
        # It may stay where it is for a while: what it refers to must not.
        self.func = self._args = self._kw = None
        queue.dead += 1
        return None

    def reset(self, secondsFromNow: float) -> None:
        """Move the call to `secondsFromNow` seconds from now. Raises as `cancel` does."""
        try:
            now = self._queue.now
            due = now() + secondsFromNow
            # Not chained, and 0.0: CPython compares floats faster in a condition of their own.
            if due >= self.time and secondsFromNow >= 0.0 and due < INFINITE:
                self.time = due
                self._queue  # noqa: B018  # is still there, or the loop took the call by its old time
                return
        except (AttributeError, TypeError):
            pass
        with turn:
            queue = self._check_pending("reset")
            self._move(queue, queue.now() + check_delay(secondsFromNow))

    @in_turn
    def delay(self, secondsLater: float) -> None:
        """Move the call by `secondsLater` seconds; negative means earlier. Raises as `cancel` does."""
        queue = self._check_pending("delay")
        if not _is_number(secondsLater):
            raise ValueError(f"a call is moved by a number of seconds, not {secondsLater!r}")
        self._move(queue, self.time + secondsLater)

    def _move(self, queue: TimerQueue, due: float) -> None:
        earlier = due < self.time
        self.time = due
        if earlier and self._number != UNSORTED:
            self._number = UNSORTED
            queue.recent.append(self)
            queue.dead += 1
        if due < queue.first:
            queue.wake()

    def _check_pending(self, verb: str) -> TimerQueue:
        with turn:
            queue: TimerQueue | None = getattr(self, "_queue", None)
        if queue is not None:
            return queue
        if self.cancelled:
            raise AlreadyCancelled(f"cannot {verb} this delayed call: it was cancelled; ask active() first")
        raise AlreadyCalled(f"cannot {verb} {self!r}: it has run already; ask active() first")

    @property
    def state(self) -> str:
        """ "pending", "called" or "cancelled"."""
        if self.active():
            return "pending"
        return "cancelled" if self.cancelled else "called"

    @property
    def label(self) -> str:
        """The function's name."""
        return getattr(self.func, "__qualname__", None) or repr(self.func)

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Cancel the call if it is still to come, and what it belongs to. Returns a fired Deferred.

        That is its function's ``timerClosed()``, where there is one: a looping call has ended, not lost a timer.
        """
        told = getattr(self.func, "timerClosed", None)
        with suppress(AlreadyCalled, AlreadyCancelled):
            self.cancel()
            if told is not None:
                told()
        return succeed(None)

    def __lt__(self, other: DelayedCall) -> bool:
        return self.time < other.time

    def __le__(self, other: DelayedCall) -> bool:
        return self.time <= other.time

    def __repr__(self) -> str:
        queue = getattr(self, "_queue", None)
        if queue is not None:
            return f"<DelayedCall {self.label} in {self.time - queue.now():.3f} s>"
        return "<DelayedCall cancelled>" if self.cancelled else f"<DelayedCall {self.label} called>"


class TimerQueue:
    """All delayed calls of one reactor. `now` is its clock; `wake` is called when a wait has become too long.

    Attributes: ``first`` until when somebody waits, or `NOBODY_WAITS`; ``recent`` the calls that are not
    sorted in; ``dead`` how many there are in all places that are of no more use. Used in the turn, but for what
    `DelayedCall` does.
    """

    __slots__ = ("_numbers", "dead", "first", "heap", "now", "recent", "wake", "worn")

    def __init__(self, now: Callable[[], float] = time.monotonic, wake: Callable[[], None] = lambda: None) -> None:
        self.now = now
        self.wake = wake
        self.first = NOBODY_WAITS
        self.recent: list[DelayedCall] = []
        self.heap: list[Entry] = []
        self.worn: list[Entry] = []
        self.dead = 0
        self._numbers = count()

    def timeout(self) -> float:
        """How many seconds to wait for the next call at most; 0: there is work to do, -1: there is no call.

        A call that was moved to later counts with its old time until that has come: most timeouts are put off again
        and again, and sorting them in each time would cost more than one wait that ends too early.
        """
        self.tidy()
        if self.recent or self.worn:
            return 0.0
        now = self.now()
        heap = self._soonest(INFINITE, now)
        if heap is None:
            self.first = INFINITE
            return 0.0 if self.heap else -1.0
        self.first = due = heap[0][0]
        return max(0.0, due - now)

    def pop_due(self, now: float) -> DelayedCall | None:
        """Take out the first call that is due at `now`, or None; from then on it counts as called."""
        while self.recent:
            self.tidy()
        while (call := self.take_sorted(now)) is None:
            front = self._front()
            if not front or front[0][0] > now:
                return None
        return call

    def take_sorted(self, now: float) -> DelayedCall | None:
        """As `pop_due`, but recent calls do not count, and a great many dead ones may hide one that is due."""
        while (heap := self._soonest(now, now)) is not None:
            call = heappop(heap)[2]
            try:
                del call._queue
            except AttributeError:
                self.dead -= 1
                continue
            if call.time <= now:
                return call
            call._queue = self
            heappush(heap, (call.time, call._number, call))
        return None

    def _front(self) -> list[Entry]:
        """The heap with the soonest entry of all."""
        heap, worn = self.heap, self.worn
        return worn if worn and not (heap and heap[0] < worn[0]) else heap

    def _soonest(self, latest: float, now: float) -> list[Entry] | None:
        """The heap whose first entry is the soonest of all, and of use, and due at `latest`.

        Entries of calls that were moved are put in their place where their old time is not after `now`. None
        when there is no such heap, or none has been found among a portion of dead entries.
        """
        for _ in range(PORTION):
            heap = self._front()
            if not heap or heap[0][0] > latest:
                return None
            due, number, call = heap[0]
            if call._number != number or call.func is None:
                heappop(heap)
                self.dead -= 1
            elif due <= now and call.time > due:
                heapreplace(heap, (call.time, number, call))
            else:
                return heap
        return None

    def tidy(self) -> None:
        """Sort in recent calls and get rid of dead entries, as much as can be done in a moment."""
        if self.recent:
            self._sort_in()
        if self.worn:
            self._empty_worn()
        elif self.dead > WORN_FROM and self.dead * 2 > len(self.heap) and not self.recent:
            self.heap, self.worn = [], self.heap

    def _sort_in(self) -> None:
        recent, heap, numbers = self.recent, self.heap, self._numbers
        done = effort = 0
        while effort < EFFORT and done < len(recent):
            portion = recent[done : done + PORTION]
            live = [call for call in portion if call.func is not None]
            for call in live:
                call._number = number = next(numbers)
                heappush(heap, (call.time, number, call))
            dropped = len(portion) - len(live)
            self.dead -= dropped
            done += len(portion)
            effort += dropped + LIVE_EFFORT * len(live)
        # Others may have appended meanwhile.
        del recent[:done]

    def _empty_worn(self) -> None:
        worn, heap = self.worn, self.heap
        for _ in range(min(len(worn), EFFORT // LIVE_EFFORT)):
            entry = worn.pop()
            if entry[2]._number == entry[1] and entry[2].func is not None:
                heappush(heap, entry)
            else:
                self.dead -= 1

    def __iter__(self) -> Iterator[DelayedCall]:
        """The calls still to come, soonest first."""
        # As keys, for a call that was moved is there more than once.
        entries = sorted([*self.heap, *self.worn])
        calls = dict.fromkeys([*(entry[2] for entry in entries), *self.recent])
        return iter(sorted((call for call in calls if call.active()), key=DelayedCall.getTime))

    def __len__(self) -> int:
        return len(self.heap) + len(self.worn) + len(self.recent) - self.dead


class Timekeeper:
    """What has a clock and can call later: a reactor, or a clock of virtual time."""

    timers: TimerQueue

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """Call ``callable(*args, **kw)`` after `delay` seconds, in a copy of this context. Any thread.

        The result can be cancelled and moved. `ValueError` when `delay` is no number of seconds from 0 up, `TypeError`
        for what cannot be called.
        """
        try:
            fits = 0 <= delay < INFINITE
        except TypeError:
            fits = False
        if not fits or not _is_callable(callable):
            check_delay(delay)
            raise TypeError(f"callLater() needs something to call, not {callable!r}")
        # All in one piece, for a constructor and a method of the queue would take as long as the rest together.
        timers = self.timers
        call = _new(DelayedCall)
        call._queue = timers
        call._number = UNSORTED
        call.born = now = timers.now()
        call.time = due = now + delay
        call.func = callable
        # With many timers most of the time is the garbage collector's, and a tuple less is work less.
        if kw or len(args) != 1:
            call._args, call._kw = args, kw
        else:
            (call._args,) = args
            call._kw = None
        call.context = copy_context()
        # Before it is asked whether somebody waits: who is about to wait looks at the recent ones last.
        timers.recent.append(call)
        if due < timers.first:
            timers.wake()
        return call

    @in_turn
    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls still to come, soonest first."""
        return list(self.timers)


_new = object.__new__
_is_callable = callable


def check_delay(seconds: float) -> float:
    """`seconds` if it can be waited for; otherwise the error says what is wrong with it."""
    try:
        if 0 <= seconds < INFINITE:
            return seconds
    except TypeError:
        pass
    raise ValueError(f"a delay is a number of seconds, 0 or more, not {seconds!r}")


def _is_number(seconds: object) -> bool:
    return isinstance(seconds, int | float) and math.isfinite(seconds)
