"""A function that is called again and again, in step with the clock.

The calls stand on a grid: start, start + interval, start + 2 * interval, and so on. However late one of them
is made, the next one waits for the first point of the grid that is still to come, so delays never add up; the
points that have passed meanwhile are left out. `LoopingCall.withCount` is for those who must know how many.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from wirebook.deferred import CancelledError, Deferred, maybeDeferred
from wirebook.deferred.chain import short
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IDelayedCall, IReactorTime
from wirebook.reactor.handles import Handles, next_handle_id
from wirebook.reactor.timers import check_delay
from wirebook.task.naming import name_of
from wirebook.turn import in_turn


class LoopingCall:
    """Calls ``f(*a, **kw)`` every so many seconds, from `start` until `stop` or the first error.

    When `f` returns a Deferred or a coroutine, the next call is not made before that has its result. Every call
    runs in a copy of the context in which `start` was called, and the timer belongs to that context too.

    Attributes: ``f``, ``a`` and ``kw`` the call; ``clock`` whose time counts, the process's reactor unless you
    set another one before `start`; ``running`` whether calls are to come or one is under way; ``interval`` the
    seconds between calls, and ``starttime`` when the grid begins, both None before `start`; ``call`` the delayed
    call of the next one, None while there is none. Any thread may call anything.
    """

    call: IDelayedCall | None = None
    running = False
    interval: float | None = None
    starttime: float | None = None

    def __init__(self, f: Callable[..., object], *a: Any, **kw: Any) -> None:
        if not callable(f):
            raise TypeError(f"a LoopingCall needs something to call, not {short(f)}")
        self.f = f
        self.a = a
        self.kw = kw
        self.clock: IReactorTime = the_reactor()
        self._counts = False
        self._counted_until = 0.0
        self._context = Context()
        self._run: Deferred[LoopingCall] | None = None
        self._work: Deferred[Any] | None = None

    @classmethod
    def withCount(cls, countCallable: Callable[[int], object]) -> LoopingCall:
        """A LoopingCall that tells `countCallable` how many calls have come due since it was called last.

        That is 1 as long as the function keeps up, more when calls had to be left out, always 1 when the
        interval is 0, and never 0. The counts since `start` add up to the number of intervals passed.
        """
        loop = cls(countCallable)
        loop._counts = True
        return loop

    @property
    def deferred(self) -> Deferred[LoopingCall] | None:
        """What `start` returned, None when not running. Deprecated, as in Twisted: keep what `start` returns."""
        warnings.warn(
            "LoopingCall.deferred is deprecated; please use the deferred returned by start() instead",
            DeprecationWarning,
            stacklevel=2,
        )
        return self._run

    @in_turn
    def start(self, interval: float, now: bool = True) -> Deferred[LoopingCall]:
        """Call the function every `interval` seconds: for the first time `now`, in this thread, or after one.

        With 0 it is called as often as the clock comes round. Fires with this LoopingCall when it was stopped,
        fails with the function's error, which ends the loop; cancelling it ends the loop too, and what the
        function waits for. `AssertionError` when it runs already; `ValueError` for an interval below 0.
        """
        if self.running:
            raise AssertionError(f"{self!r} is running already: stop() it first, or make another one")
        self.interval = check_delay(interval)
        self.running = True
        self.starttime = self._counted_until = self.clock.seconds()
        self._context = copy_context()
        run = self._run = Deferred(self._give_up)
        # By this name a table of timers shows it.
        self.__qualname__ = name_of(self.f)
        if now:
            self._counted_until -= interval
            self()
        else:
            self._schedule()
        return run

    @in_turn
    def stop(self) -> None:
        """Make no more calls. The Deferred of `start` fires now, or when the call that is under way has ended.

        `AssertionError` when it is not running.
        """
        run = self._running_or_not("stop")
        self.running = False
        if self._unschedule():
            self._end(run, self)

    @in_turn
    def reset(self) -> None:
        """Begin the grid anew: the next call comes one interval from now. `AssertionError` when not running.

        While a call is under way, this does nothing.
        """
        self._running_or_not("reset")
        if self._unschedule():
            self.starttime = self.clock.seconds()
            self._schedule()

    @in_turn
    def __call__(self) -> None:
        """Make one call; for the clock."""
        run = self._running_or_not("call")
        self.call = None
        arguments = self.a
        if self._counts:
            count = self._count()
            if count < 1:
                self._schedule()
                return
            arguments = (count, *self.a)
        self._work = self._context.copy().run(maybeDeferred, self.f, *arguments, **self.kw)
        self._work.addCallback(self._worked, run).addErrback(self._failed, run)
        if not self._work.called or isinstance(self._work.result, Deferred):
            _Underway(self, self._work, self._context)

    @in_turn
    def timerClosed(self) -> None:
        """Stop, because somebody has closed the timer: for the handle of the next call."""
        if self.running:
            self.stop()

    def _running_or_not(self, verb: str) -> Deferred[LoopingCall]:
        if self._run is None or not self.running:
            raise AssertionError(f"cannot {verb} {self!r}: it is not running; start() it, or ask .running first")
        return self._run

    def _worked(self, _: object, run: Deferred[LoopingCall]) -> None:
        # It may have been stopped meanwhile, and even started again.
        if self.running and run is self._run:
            self._schedule()
        else:
            self._end(run, self)

    def _failed(self, failure: Failure, run: Deferred[LoopingCall]) -> Failure | None:
        return self._end(run, failure)

    def _end(self, run: Deferred[LoopingCall], outcome: LoopingCall | Failure) -> Failure | None:
        """Fire `run`; an error that comes too late for it is returned."""
        if run is self._run:
            self.running, self._run = False, None
        if not isinstance(outcome, Failure):
            if not run.called:
                run.callback(outcome)
            return None
        if run.called:
            return outcome
        run.errback(outcome)
        return None

    def _give_up(self, run: Deferred[LoopingCall]) -> None:
        """`run` was cancelled."""
        if run is not self._run:
            return
        self.running = False
        if self._unschedule():
            self._run = None
        elif self._work is not None:
            self._work.cancel()

    def _schedule(self) -> None:
        self.call = self._context.copy().run(self.clock.callLater, self._wait(), self)

    def _unschedule(self) -> bool:
        """Take the next call back; False when there is none to come, as one is under way."""
        call, self.call = self.call, None
        # Whoever closes the handles of a cell may have cancelled it before.
        if call is not None and call.active():
            call.cancel()
        return call is not None

    def _wait(self) -> float:
        """Seconds to the next point of the grid."""
        interval, start = self._grid()
        if interval == 0:
            return 0.0
        now = self.clock.seconds()
        left = interval - (now - start) % interval
        # Next to a large time a small wait may be rounded away: that point is now, so it is past.
        return left if now + left > now else interval

    def _count(self) -> int:
        """How many points of the grid have passed since those that were counted; 0 when rounding came early."""
        interval, start = self._grid()
        now = self.clock.seconds()
        count = 1
        if interval != 0:
            count = int((now - start) / interval) - int((self._counted_until - start) / interval)
        if count > 0:
            self._counted_until = now
        return count

    def _grid(self) -> tuple[float, float]:
        assert self.interval is not None
        assert self.starttime is not None
        return self.interval, self.starttime

    def __repr__(self) -> str:
        return f"LoopingCall<{self.interval!r}>({name_of(self.f)}, *{short(self.a)}, **{short(self.kw)})"


class _Underway:
    """The handle of a looping call while its function waits for something: there is no timer that could be closed."""

    kind = "timer"
    transportName = ""
    state = "running"
    localAddress = None
    peerAddress = None
    bytesReceived = 0
    bytesSent = 0

    def __init__(self, loop: LoopingCall, work: Deferred[Any], context: Context) -> None:
        self.label = name_of(loop.f)
        self.context = context
        self.handleId = next_handle_id()
        self.born = loop.clock.seconds()
        self._loop = loop
        self._work = work
        self._ended: Deferred[None] = Deferred()
        # Clocks of virtual time have no list of what is open.
        handles = getattr(loop.clock, "handles", None)
        if handles is not None:
            handles.opened(self)
            work.addBoth(self._over, handles)

    def _over(self, outcome: Any, handles: Handles) -> Any:
        handles.closed(self)
        self._ended.callback(None)
        return outcome

    @in_turn
    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Stop the loop, and cancel what the function waits for. Fires when the function has ended."""
        ended: Deferred[None] = Deferred()
        self._ended.addCallback(ended.callback)
        run = self._loop._run
        self._loop.timerClosed()
        if run is not None:
            # Nobody else is to hear of it, as nobody does when a timer is closed.
            run.addErrback(lambda failure: failure.trap(CancelledError) and None)
        self._work.cancel()
        return ended
