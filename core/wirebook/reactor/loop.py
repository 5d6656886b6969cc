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

from wirebook.deferred import Deferred
from wirebook.error import ReactorAlreadyRunning, ReactorNotRunning
from wirebook.failure import Failure
from wirebook.interfaces import ITurnTrace
from wirebook.logger import report_failure
from wirebook.reactor.descriptors import Descriptor, DescriptorSet
from wirebook.reactor.handles import Handles
from wirebook.reactor.hosting import Hosting
from wirebook.reactor.poller import READ, WRITE, Poller, best_poller
from wirebook.reactor.signals import stopping_signals
from wirebook.reactor.timers import DelayedCall, TimerQueue, check_delay
from wirebook.reactor.triggers import Phase, TriggerID, Triggers
from wirebook.reactor.waker import Waker
from wirebook.turn import Turn, in_turn, turn

_Call: TypeAlias = tuple[Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class ReactorBase(DescriptorSet):
    """Runs callbacks when descriptors are ready, timers are due, or another thread asks.

    `poller` is what waits for descriptors (default: the best the system has); `now` is the clock, a function
    that returns seconds and never goes back. Every method may be called from any thread.
    """

    seconds: Callable[[], float]

    def __init__(self, poller: Poller | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(best_poller() if poller is None else poller)
        self.seconds = now
        self.timers = TimerQueue(now, self.wake)
        self.handles = Handles(self.timers)
        self.trace: ITurnTrace | None = None
        self.running = False
        self.hosting = Hosting(self)
        self._thread = 0
        self._triggers = Triggers()
        self._calls: deque[_Call] = deque()
        self._soon: deque[tuple[Callable[..., Any], Any]] = deque()
        self._waker = Waker()
        self._waiting = False
        self._woken = False
        self.stopping = False
        self.watch(self._waker.fileno(), self._waker, READ)

    # --- who runs it ---------------------------------------------------------------------------------

    def turn(self) -> Turn:
        """The turn, for ``with reactor.turn():`` — the world stands still inside the block."""
        return turn

    def onReactorThread(self) -> bool:
        """Whether the calling thread is the one that runs this reactor."""
        return self._thread == get_ident()

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until `stop`. On the main thread, SIGINT and SIGTERM stop the reactor in order.

        Where the reactor is hosted (in a kernel), this waits for `stop` and returns, and the hosted loop goes
        on. A reactor may be run again after it was stopped. Raises `ReactorAlreadyRunning`.
        """
        turn.refuse_to_wait("reactor.run()")
        if self.hosting.active:
            self.hosting.wait_for_stop()
            return
        with stopping_signals(self, installSignalHandlers):
            self.startRunning()
            self.main_loop()

    @in_turn
    def startRunning(self) -> None:
        """Fire the startup event without entering the loop; for those who drive it with `iterate`."""
        if self.running:
            raise ReactorAlreadyRunning("this reactor runs already; start things with callWhenRunning or callLater")
        self.running = True
        self.stopping = False
        self._triggers.fire("startup")

    def main_loop(self) -> None:
        """Iterate until the reactor is no longer running. Called on the thread that is to be the reactor's."""
        with turn:
            self._thread = get_ident()
            try:
                while self.running:
                    self._iterate(self.timeout())
            finally:
                self._thread = 0
                self.running = False

    @in_turn
    def stop(self) -> None:
        """Fire the shutdown event and end `run`. Raises `ReactorNotRunning`.

        Where the reactor is hosted, this ends the ``run()`` calls that wait, and nothing else.
        """
        if self.hosting.active:
            self.hosting.release_runs()
            return
        if not self.running or self.stopping:
            raise ReactorNotRunning("cannot stop a reactor that is not running (or is stopping already)")
        self.stopping = True
        self.call_soon(self._shut_down, None)

    def _shut_down(self, _: None) -> None:
        self.fireSystemEvent("shutdown").addBoth(lambda _: self.crash())

    @in_turn
    def crash(self) -> None:
        """End `run` at the next opportunity without a shutdown event. Hosted: as `stop`."""
        if self.hosting.active:
            self.hosting.release_runs()
            return
        self.running = False
        self.wake()

    def runInThread(self) -> None:
        """Host the reactor in a daemon thread, "wirebook-reactor"; returns when it runs. Repeating is harmless."""
        self.hosting.start()

    def shutDown(self, timeout: float = 2.0) -> None:
        """End the hosted reactor in order: shutdown event, ports, connections, then the thread.

        Whatever is not closed after `timeout` seconds is aborted. Harmless when it is not hosted.
        """
        self.hosting.end(timeout)

    @in_turn
    def close(self) -> None:
        """Give back the poller's and the waker's descriptors. The reactor must not be used afterwards."""
        if self.running:
            raise ReactorAlreadyRunning("cannot close a reactor that runs: stop it first")
        self.unwatch(self._waker.fileno())
        self._waker.close()
        self.poller.close()

    # --- one iteration -------------------------------------------------------------------------------

    def timeout(self) -> float:
        """Seconds until the next timer, 0 when calls wait, -1 when nothing is due: the hosting contract."""
        if self._calls or self._soon:
            return 0.0
        due = self.timers.next_due()
        return -1.0 if due is None else max(0.0, due - self.seconds())

    def fileno(self) -> int:
        """A descriptor that is readable when `iterate` has something to do (-1: the poller has none)."""
        return self.poller.fileno()

    def iterate(self, delay: float = 0.0) -> None:
        """Run one iteration in the calling thread, waiting at most `delay` seconds for something to happen.

        For loops that host the reactor. Raises `ReactorAlreadyRunning` when another thread runs it.
        """
        check_delay(delay)
        with turn:
            owner = self._thread
            if owner not in (0, get_ident()):
                raise ReactorAlreadyRunning("another thread runs this reactor; iterate() is for its own thread")
            self._thread = get_ident()
            try:
                wait = self.timeout()
                self._iterate(delay if wait < 0 else min(wait, delay))
            finally:
                self._thread = owner

    def _iterate(self, timeout: float) -> None:
        self._dispatch(self._poll(timeout))
        self._run_timers()
        self._run_calls()

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        self._waiting = True
        # Looked at once more after the flag: callFromThread appends first and reads the flag second.
        if self._calls:
            timeout = 0.0
        try:
            # In here, for it raises an interrupt that was held back.
            turn.release()
            return self.poller.poll(timeout)
        finally:
            turn.acquire()
            self._waiting = self._woken = False

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
            except (Exception, KeyboardInterrupt):
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

    def _run_timers(self) -> None:
        timers = self.timers
        if not timers.heap:
            return
        now = self.seconds()
        # Only as many as there are now: with a clock that stands still, callLater(0) must not loop here.
        for _ in range(len(timers)):
            call = timers.pop_due(now)
            if call is None:
                return
            call.called = True
            self._run("timer", call.context, call.func, call.args, call.kw)

    def _run_calls(self) -> None:
        # Only those that are there now: calls that add calls must not keep the poller waiting.
        for _ in range(len(self._soon)):
            func, subject = self._soon.popleft()
            func(subject)
        for _ in range(len(self._calls)):
            self._run("call", *self._calls.popleft())

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
            trace.begin(cause, func)
        try:
            context.run(func, *args, **kw)
        except (Exception, KeyboardInterrupt):
            report_failure(Failure(), f"a {cause} raised: {func!r}", context)
        if trace is not None:
            trace.end()

    # --- calls ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """End the wait in the poller, if it is waiting; for what the loop must see at once."""
        if self._waiting and not self._woken:
            self._woken = True
            self._waker.wake()

    @in_turn
    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """Call ``callable(*args, **kw)`` on the reactor after `delay` seconds; the result can be cancelled."""
        if not _is_callable(callable):
            raise TypeError(f"callLater() needs something to call, not {callable!r}")
        call = DelayedCall(self.timers, check_delay(delay), callable, args, kw)
        self.timers.push(call)
        return call

    @in_turn
    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls still to come, soonest first."""
        return list(self.timers)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call it on the reactor, soon, in the caller's context. Takes no lock: signal handlers may use it."""
        self._calls.append((copy_context(), callable, args, kw))
        self.wake()

    def call_soon(self, func: Callable[..., Any], subject: Any) -> None:
        """Call ``func(subject)`` at the end of this iteration; for transports, in the turn."""
        self._soon.append((func, subject))
        self.wake()

    @in_turn
    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> TriggerID | None:
        """Call it now if the reactor runs, otherwise when it starts (the result can then be removed)."""
        if self.running:
            callable(*args, **kw)
            return None
        return self._triggers.add("after", "startup", callable, args, kw)

    @in_turn
    def addSystemEventTrigger(
        self, phase: Phase, eventType: str, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> TriggerID:
        """Call it "before", "during" or "after" the event "startup" or "shutdown"."""
        return self._triggers.add(phase, eventType, callable, args, kw)

    @in_turn
    def removeSystemEventTrigger(self, triggerID: TriggerID) -> None:
        """Take back what `addSystemEventTrigger` or `callWhenRunning` returned."""
        self._triggers.remove(triggerID)

    @in_turn
    def fireSystemEvent(self, eventType: str) -> Deferred[None]:
        """Run the triggers of an event. Fires when they are done."""
        return self._triggers.fire(eventType)


_is_callable = callable
