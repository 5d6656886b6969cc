"""How a reactor begins and ends: as a program's main loop, or hosted in a thread beside one."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from threading import Thread
from typing import TYPE_CHECKING, Any

from wirebook.deferred import Deferred
from wirebook.error import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning
from wirebook.reactor.descriptors import DescriptorSet
from wirebook.reactor.pool import PoolOwner
from wirebook.reactor.signals import stopping_signals
from wirebook.reactor.triggers import SystemEvents
from wirebook.turn import in_turn, turn

if TYPE_CHECKING:
    from wirebook.reactor.hosting import Hosting


class Lifetime(DescriptorSet, SystemEvents, PoolOwner):
    """The part of a reactor that starts and stops it.

    ``alive`` is whether the loop turns; ``running`` is what the program is told: from the startup to the shutdown
    event. ``hosting`` runs it in a thread beside a program with a main loop of its own.
    """

    alive: bool
    stopping: bool
    closed: bool
    hosting: Hosting
    _thread: int
    # In the callbacks of its start, before the loop begins to turn.
    _starting = False

    def onReactorThread(self) -> bool:
        """Whether the calling thread is the one that runs this reactor."""
        raise NotImplementedError

    def main_loop(self) -> None:
        """Iterate until the reactor is no longer alive."""
        raise NotImplementedError

    def leave_thread(self) -> None:
        """No thread runs it from now on, until one enters `main_loop`."""
        raise NotImplementedError

    def callFromThread(self, callable: Callable[..., Any], /, *args: Any, **kw: Any) -> None:
        """Call it on the reactor, soon."""
        raise NotImplementedError

    def call_soon(self, func: Callable[..., Any], subject: Any) -> None:
        """Call ``func(subject)`` at the end of this iteration."""
        raise NotImplementedError

    def _run_soon(self) -> None:
        """Do what is to be done at the end of this iteration."""
        raise NotImplementedError

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until `stop`. On the main thread, SIGINT and SIGTERM stop the reactor in order.

        Where the reactor is hosted (in a kernel), this waits for `stop` and returns, and the hosted loop goes
        on. A reactor may be run again after it was stopped, but not after ``close()``. Raises `ReactorAlreadyRunning`,
        `ReactorNotRestartable`.
        """
        if self.onReactorThread() or self._starting:
            raise ReactorAlreadyRunning("this reactor runs already, and this is one of its callbacks: just go on")
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
        if self.closed:
            raise ReactorNotRestartable("this reactor was closed for good: make another one")
        if self.alive:
            raise ReactorAlreadyRunning("this reactor runs already; start things with callWhenRunning or callLater")
        self.alive = True
        self.stopping = False
        self._starting = True
        try:
            self._triggers.fire("startup", self._has_started)
        finally:
            self._starting = False

    def _has_started(self) -> None:
        self.running = self.alive

    def stop(self) -> None:
        """Fire the shutdown event and end `run`. Raises `ReactorNotRunning`.

        Where the reactor is hosted, this ends the ``run()`` calls that wait, or that its program will come to, and
        what those programs have opened; nothing else.
        """
        if self.hosting.active:
            self.hosting.stop()
        else:
            self._stop()

    @in_turn
    def fire_shutdown(self, wanted: Callable[[Context], bool]) -> Deferred[None]:
        """Run the shutdown triggers that were added in a context that is `wanted`; for `Hosting`."""
        return self._triggers.fire("shutdown", wanted=wanted)

    @in_turn
    def _stop(self) -> None:
        if not self.alive or self.stopping:
            raise ReactorNotRunning("cannot stop a reactor that is not running (or is stopping already)")
        self.stopping = True
        self.call_soon(self._shut_down, None)

    def _shut_down(self, _: None) -> None:
        self._triggers.fire("shutdown", self._is_ending).addBoth(self._end)

    def _is_ending(self) -> None:
        self.running = False
        self.disconnect_all()
        # Datagram protocols are told at the end of the iteration; they come before the triggers, too.
        self._run_soon()

    def disconnect_all(self) -> None:
        """Close what is open, because the reactor stops; the reactor with transports knows more of it."""
        self._disconnect_parties()

    def _end(self, _: object) -> None:
        if self.threadpool is None:
            self.crash()
        else:
            # Not here: the jobs that have begun may need the reactor.
            Thread(target=self._end_with_threads, name="wirebook-pool-end", daemon=True).start()

    def _end_with_threads(self) -> None:
        self.end_threads()
        self.callFromThread(self.crash)

    def crash(self) -> None:
        """End `run` at the next opportunity without a shutdown event. Hosted: as `stop`."""
        if self.hosting.active:
            self.hosting.stop()
        else:
            self._crash()

    @in_turn
    def _crash(self) -> None:
        self.alive = self.running = False
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
    def fireSystemEvent(self, eventType: str) -> Deferred[None]:
        """Run the triggers of an event. Fires when they are done."""
        if eventType == "shutdown" and not self.alive:
            self.end_threads()
        return super().fireSystemEvent(eventType)
