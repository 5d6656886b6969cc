"""The reactor as a guest: in a daemon thread of its own, beside a program with a main loop of its own.

A kernel starts it before the first cell and ends it with the process; nothing that a cell calls may end
it sooner. A program that was pasted into a cell and calls ``reactor.run()`` ... ``reactor.stop()`` gets
what it expects all the same: run() waits until somebody stops it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from wirebook.error import ReactorAlreadyRunning, ReactorNotRunning
from wirebook.failure import Failure
from wirebook.interfaces import IHandle
from wirebook.logger import report_failure
from wirebook.turn import turn

if TYPE_CHECKING:
    from wirebook.reactor.loop import ReactorBase

THREAD_NAME = "wirebook-reactor"


class Hosting:
    """Runs one reactor in a thread. ``active`` says whether it does; ``thread`` is the thread."""

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self._runs: list[threading.Event] = []
        self.thread: threading.Thread | None = None
        self.active = False

    def start(self) -> None:
        """Start the thread and return when the reactor runs; harmless when it does already."""
        turn.refuse_to_wait("reactor.runInThread()")
        started = threading.Event()
        with turn:
            if self.active:
                return
            if self._reactor.alive:
                raise ReactorAlreadyRunning("the reactor runs already in a thread of the program's own")
            self.active = True
            self._reactor.callWhenRunning(started.set)
            self.thread = threading.Thread(target=self._main, name=THREAD_NAME, daemon=True)
            # A breakpoint in a cell must not stop the servers.
            self.thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
            self.thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
        self.thread.start()
        started.wait()

    def _main(self) -> None:
        self._reactor.startRunning()
        while self._reactor.alive:
            try:
                self._reactor.main_loop()
            except SystemExit:
                # sys.exit() in a callback means a program of its own; here it would end every cell's servers.
                report_failure(Failure(), "a callback called sys.exit(); the hosted reactor goes on")
                self._reactor.alive = self._reactor.running = self.active

    def wait_for_stop(self) -> None:
        """What ``run()`` does where the reactor is hosted. Raises when called on the reactor's own thread."""
        stopped = threading.Event()
        self._runs.append(stopped)
        try:
            stopped.wait()
        finally:
            if stopped in self._runs:
                self._runs.remove(stopped)

    def release_runs(self) -> None:
        """End every ``run()`` that waits, after the shutdown triggers that its program has added."""
        if not self._runs:
            raise ReactorNotRunning(
                "no run() is waiting: this reactor belongs to its host and is not stopped from here. "
                "Close ports and connections instead (stopListening, loseConnection)"
            )
        runs, self._runs = self._runs, []

        def release(_: object) -> None:
            for run in runs:
                run.set()

        self._reactor.fireSystemEvent("shutdown").addBoth(release)

    def end(self, timeout: float) -> None:
        """Close everything, within `timeout` seconds, and end the thread.

        A callback that does not give the turn back keeps its daemon thread; nothing waits for it.
        """
        turn.refuse_to_wait("reactor.shutDown()")
        thread = self.thread
        if not self.active or thread is None:
            return
        deadline = time.monotonic() + timeout
        triggers_done = threading.Event()
        self._reactor.callFromThread(self._fire_shutdown, triggers_done)
        if triggers_done.wait(timeout / 2) or turn.comes_within(timeout / 4):
            self._close_all(deadline)
        # While the loop still runs, for jobs may wait for it.
        self._reactor.end_threads(max(0.1, deadline - time.monotonic() - 0.2))
        self.active = False
        for run in self._runs:
            run.set()
        # As a call, for outside the turn a bare flag could be set just before the poller begins to wait.
        self._reactor.callFromThread(self._reactor.crash)
        thread.join(max(0.1, deadline - time.monotonic()))
        self.thread = None

    def _fire_shutdown(self, done: threading.Event) -> None:
        def set_done(_: object) -> None:
            done.set()

        self._reactor.fireSystemEvent("shutdown").addBoth(set_done)

    def _close_all(self, deadline: float) -> None:
        """Close in order what is open; what does not close in time is aborted."""
        for abort in (False, True):
            self._closing(self._reactor.handles.of("timer", "port", "connection", "process"), abort).wait(
                max(0.1, deadline - time.monotonic() - 0.2)
            )

    def _closing(self, handles: list[IHandle], abort: bool) -> threading.Event:
        """Ask every handle to close; the event is set when all have."""
        closed = threading.Event()
        left = len(handles)

        def one_less(_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                closed.set()

        with turn:
            for handle in handles:
                handle.closeHandle(abort).addBoth(one_less)
        if not handles:
            closed.set()
        return closed
