"""The run loop: poll, dispatch, due timers, thread calls.

`ReactorBase` is everything about a reactor that needs no transport. The thread that runs the loop holds the
turn except while it waits in the poller. It runs either as a program's main loop (`run` ... `stop`) or
hosted, in a thread of its own beside a program that has its own main loop, as in a kernel (`runInThread`).
"""

from __future__ import annotations

import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeAlias

from wirebook.error import ReactorAlreadyRunning
from wirebook.failure import Failure, caught
from wirebook.interfaces import ITurnTrace
from wirebook.logger import report_failure
from wirebook.reactor.descriptors import Descriptor, DescriptorSet
from wirebook.reactor.handles import Handles
from wirebook.reactor.hosting import Hosting
from wirebook.reactor.lifetime import Lifetime
from wirebook.reactor.poller import READ, WRITE, Poller, best_poller
from wirebook.reactor.pool import PoolOwner
from wirebook.reactor.sockets import Sockets
from wirebook.reactor.timers import NOBODY_WAITS, Timekeeper, TimerQueue, check_delay
from wirebook.reactor.triggers import Triggers
from wirebook.reactor.waker import Waker
from wirebook.trace import name_and_place
from wirebook.turn import Turn, in_turn, turn

_Call: TypeAlias = tuple[Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class ReactorBase(Lifetime, Timekeeper):
    """Runs callbacks when descriptors are ready, timers are due, or another thread asks.

    `poller` is what waits for descriptors (default: the best the system has); `now` is the clock, a function
    that returns seconds and never goes back. Every method may be called from any thread.
    """

    def __init__(self, poller: Poller | None = None, now: Callable[[], float] = time.monotonic) -> None:
        DescriptorSet.__init__(self, best_poller() if poller is None else poller)
        PoolOwner.__init__(self)
        self.timers = TimerQueue(now, self.wake)
        self.handles = Handles(self.timers)
        self.sockets = Sockets()
        self.trace: ITurnTrace | None = None
        # The loop turns; `running` is what the program is told: from the startup to the shutdown event.
        self.alive = self.running = self.closed = False
        self.hosting = Hosting(self)
        self._thread = 0
        self._triggers = Triggers()
        self._calls: deque[_Call] = deque()
        self._soon: deque[tuple[Callable[..., Any], Any]] = deque()
        self._waker = Waker()
        # What the poller has reported last.
        self._batch: list[tuple[int, int]] = []
        self._waiting = False
        self._woken = False
        self.stopping = False
        self.watch(self._waker.fileno(), self._waker, READ)

    @property
    def seconds(self) -> Callable[[], float]:
        """The clock: ``seconds()`` is the time now, on a scale of its own that never goes back."""
        return self.timers.now

    @seconds.setter
    def seconds(self, now: Callable[[], float]) -> None:
        self.timers.now = now

    # --- who runs it ---------------------------------------------------------------------------------

    def turn(self) -> Turn:
        """The turn, for ``with reactor.turn():`` — the world stands still inside the block."""
        return turn

    def onReactorThread(self) -> bool:
        """Whether the calling thread is the one that runs this reactor."""
        return self._thread == get_ident()

    def main_loop(self) -> None:
        """Iterate until the reactor is no longer running. Called on the thread that is to be the reactor's."""
        with turn:
            self._thread = me = get_ident()
            try:
                while self.alive and self._thread == me:
                    self._iterate(self._patience())
            finally:
                # Another thread may run it by now: see `Hosting.replace_thread`.
                if self._thread == me:
                    self._thread = 0
                    self.alive = self.running = False

    def leave_thread(self) -> None:
        """No thread runs it from now on, until one enters `main_loop`; for `Hosting`, while the turn is not free."""
        self._thread = 0
        # By the time that the present thread could go on with these, they may be about other descriptors.
        self._batch.clear()

    @in_turn
    def close(self) -> None:
        """Stop the threads, waiting for them, and give back the descriptors. Not to be used afterwards."""
        if self.alive:
            raise ReactorAlreadyRunning("cannot close a reactor that runs: stop it first")
        self.closed = True
        self.end_threads()
        self.unwatch(self._waker.fileno())
        self._waker.close()
        self.poller.close()

    # --- one iteration -------------------------------------------------------------------------------

    @in_turn
    def timeout(self) -> float:
        """Seconds until the next timer, 0 when calls wait, -1 when nothing is due: the hosting contract."""
        return self._patience()

    def _patience(self) -> float:
        return 0.0 if self._calls or self._soon else self.timers.timeout()

    def fileno(self) -> int:
        """A descriptor that is readable when `iterate` has something to do (-1: the poller has none)."""
        return self.poller.fileno()

    def iterate(self, delay: float = 0.0) -> None:
        """Run one iteration in the calling thread, waiting at most `delay` seconds for something to happen.

        For loops that host the reactor. Raises `ReactorAlreadyRunning` when another thread runs it.
        """
        check_delay(delay)
        with turn:
            owner, me = self._thread, get_ident()
            if owner not in (0, me):
                raise ReactorAlreadyRunning("another thread runs this reactor; iterate() is for its own thread")
            self._thread = me
            try:
                wait = self._patience()
                self._iterate(delay if wait < 0 else min(wait, delay))
            finally:
                if self._thread == me:
                    self._thread = owner

    def _iterate(self, timeout: float) -> None:
        self._batch = batch = self._poll(timeout)
        self._dispatch(batch)
        timers = self.timers
        if timers.heap or timers.recent or timers.worn:
            self._run_timers(timers)
        if self._soon or self._calls:
            self._run_calls()

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        self._waiting = True
        # Looked at once more after the flag: callFromThread and callLater append first and read the flag second.
        if self._calls or self.timers.recent:
            timeout = 0.0
        try:
            # In here, for it raises an interrupt that was held back.
            turn.release()
            return self.poller.poll(timeout)
        finally:
            turn.acquire()
            self._waiting = self._woken = False
            self.timers.first = NOBODY_WAITS

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        find = self._descriptors.get
        for fd, mask in events:
            descriptor = find(fd)
            # An earlier event of this batch may have closed it.
            if descriptor is None:
                continue
            try:
                # Nearly every event is one to read, so it has the shortest way.
                if mask == READ and self.trace is None:
                    descriptor.doRead()
                else:
                    self._dispatch_any(fd, mask, descriptor)
            except SystemExit:
                raise
            except BaseException:
                report_failure(Failure(), f"dispatching to {descriptor!r} raised")

    def _dispatch_any(self, fd: int, mask: int, descriptor: Descriptor) -> None:
        trace = self.trace
        if trace is not None:
            trace.begin("read" if mask & READ else "write", descriptor)
        try:
            if mask & READ:
                descriptor.doRead()
            if mask & WRITE and self._descriptors.get(fd) is descriptor:
                descriptor.doWrite()
            if not mask & (READ | WRITE):
                descriptor.hungUp()
        finally:
            if trace is not None:
                trace.end()

    def _run_timers(self, timers: TimerQueue) -> None:
        if timers.recent:
            timers.tidy()
            if timers.recent:
                # There are so many that the rest has to wait, and the first of all may be among the rest.
                return
        now = timers.now()
        # Those that are scheduled meanwhile are not sorted in: with a clock that stands still, callLater(0) must not
        # loop here.
        while (call := timers.take_sorted(now)) is not None:
            self._run("timer", call.context, call.func, call.args, call.kw)

    def _run_calls(self) -> None:
        # Only those that are there now: calls that add calls must not keep the poller waiting.
        # One of them may also iterate itself.
        if self._soon:
            self._run_soon()
        calls = self._calls
        for _ in range(len(calls)):
            if calls:
                self._run("call", *calls.popleft())

    def _run_soon(self) -> None:
        soon = self._soon
        for _ in range(len(soon)):
            if soon:
                func, subject = soon.popleft()
                try:
                    func(subject)
                except Exception as error:
                    report_failure(caught(error), f"{name_and_place(func)[0]} of {subject!r} raised")

    def _run(
        self,
        cause: str,
        context: Context,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kw: dict[str, Any],
    ) -> None:
        trace = self.trace
        if trace is not None:
            trace.begin(cause, func, context)
        try:
            context.run(func, *args, **kw)
        except SystemExit:
            raise
        except BaseException as error:
            report_failure(caught(error), f"a {cause} raised: {name_and_place(func)[0]}", context)
        finally:
            if trace is not None:
                trace.end()

    def waker_fileno(self) -> int:
        """The descriptor that `wake` makes readable; for `backlog`."""
        return self._waker.fileno()

    def queued_calls(self) -> int:
        """How many calls from threads are waiting; for `backlog`."""
        return len(self._calls)

    # --- calls ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """End the wait in the poller, if it is waiting; for what the loop must see at once."""
        if self._waiting and not self._woken:
            self._woken = True
            self._waker.wake()

    def callFromThread(self, callable: Callable[..., Any], /, *args: Any, **kw: Any) -> None:
        """Call it on the reactor, soon, in the caller's context. Takes no lock: signal handlers may use it."""
        self._calls.append((copy_context(), callable, args, kw))
        self.wake()

    def call_soon(self, func: Callable[..., Any], subject: Any) -> None:
        """Call ``func(subject)`` at the end of this iteration; for transports, in the turn."""
        self._soon.append((func, subject))
        self.wake()
