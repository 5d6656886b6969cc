"""A program that interrupts itself at random points under load, and then looks whether everything is whole.

``interrupting.py cell N`` presses the stop button N times while the main thread uses the framework as a cell does;
``interrupting.py callbacks N`` does it N times while callbacks keep the reactor, in all kinds of ways.
"""

from __future__ import annotations

import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from wirebook import ClientFactory, Deferred, Factory, Failure, Protocol, ensureDeferred, reactor
from wirebook.logger import log
from wirebook.turn import turn
from wirebook_kernel import hogs, interrupts, watchdog
from wirebook_kernel.tripwire import enlist_thread

PATIENCE = 10.0
CLIENTS = 10
rng = random.Random(5)


class Echo(Protocol):
    """The server."""

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class Counter(Protocol):
    """A client that sends one number after the other, and wants each back."""

    replies = 0
    wrong = 0

    def connectionMade(self) -> None:
        """Begin."""
        self.number, self.rest = 0, b""
        self.ask()

    def ask(self) -> None:
        """Send the next number."""
        self.number += 1
        self.transport.write(b"%d\n" % self.number)

    def dataReceived(self, data: bytes) -> None:
        """Compare."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            Counter.replies += 1
            Counter.wrong += int(line) != self.number
            self.ask()


class Again(ClientFactory):
    """Connects again when its callback was what kept the reactor."""

    protocol = Counter

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Begin anew."""
        connector.connect()


def begin() -> None:
    """Put the reactor under load, and set the scene as a kernel does."""
    sys.setswitchinterval(0.00001)
    log.propagate = False
    log.disabled = True
    reactor.runInThread()
    reactor.hosting.prepare_threads(enlist_thread)
    port = reactor.listenTCP(0, Factory.forProtocol(Echo))
    for _ in range(CLIENTS):
        reactor.connectTCP("127.0.0.1", port.getHost().port, Again())
    watchdog.watchdog.limit = None
    watchdog.watchdog.start()


def end() -> dict[str, Any]:
    """What is whole."""
    replies = Counter.replies
    until(lambda: Counter.replies > replies)
    wake: Deferred[None] = Deferred()
    reactor.callLater(0, wake.callback, None)
    wake.wait(PATIENCE)
    with turn:
        timers = reactor.timers
        handles = [handle for handle in reactor.handles if handle.kind != "timer"]
        found = {
            "turn": (turn.depth, turn.interrupted, hasattr(turn, "free") or hasattr(turn, "offered")),
            "timers": len(timers) == sum(1 for _ in timers),
            # And the waker.
            "descriptors": len(reactor._descriptors) == len(handles) + 1,
            "replies": Counter.wrong == 0,
        }
    watchdog.watchdog.stop()
    reactor.shutDown()
    until(lambda: threading.active_count() == 1)
    return {**found, "threads": threading.active_count()}


def until(condition: Callable[[], object]) -> None:
    """Wait until it is true; exit when it does not become so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        time.sleep(0.0002)
        if time.monotonic() > deadline:
            sys.exit("stuck")


# --- a cell ------------------------------------------------------------------------------------------


class Presser:
    """Presses the stop button whenever the cell is `armed`, and waits until it has ended."""

    def __init__(self, times: int) -> None:
        self.armed = self.done = False
        self.caught = 0
        self._times = times
        self._main = threading.get_ident()
        self.thread = threading.Thread(target=self._press)
        self.thread.start()

    def _press(self) -> None:
        for number in range(self._times):
            until(lambda: self.armed)
            time.sleep(rng.random() * 0.003)
            signal.pthread_kill(self._main, signal.SIGINT)
            until(lambda number=number: self.caught > number)  # type: ignore[misc]
        self.done = True


def use_it_all(presser: Presser) -> None:
    """What a cell may do: ports, timers, Deferreds, waiting, calls, the turn."""
    while not presser.done:
        reactor.listenTCP(0, Factory.forProtocol(Protocol)).stopListening()
        reactor.callLater(60, print).cancel()
        fired: Deferred[int] = Deferred()
        fired.addCallback(lambda number: number + 1).callback(1)
        assert fired.wait(PATIENCE) == 2
        late: Deferred[int] = Deferred()
        reactor.callLater(0, late.callback, 3)
        assert late.wait(PATIENCE) == 3
        reactor.callFromThread(len, ())
        with turn:
            list(reactor.handles)


def interrupt_cell(times: int) -> dict[str, Any]:
    """Press the button while a cell uses the framework."""
    signal.signal(signal.SIGINT, interrupts.interrupt)
    presser = Presser(times)
    while not presser.done:
        try:
            presser.armed = True
            use_it_all(presser)
        except KeyboardInterrupt:
            presser.armed = False
            presser.caught += 1
    presser.thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return {"caught": presser.caught}


# --- callbacks ---------------------------------------------------------------------------------------


def compute(ended: float) -> None:
    """Use the processor."""
    while time.monotonic() < ended:
        """Nothing else."""


def call(ended: float) -> None:
    """Use the framework."""
    while time.monotonic() < ended:
        reactor.callLater(60, print).cancel()
        deferred: Deferred[str] = Deferred()
        deferred.addCallback(len).addErrback(lambda failure: None)
        deferred.callback("")


def mix(ended: float) -> None:
    """Compute and block in turn."""
    while time.monotonic() < ended:
        time.sleep(rng.random() * 0.002)
        compute(time.monotonic() + rng.random() * 0.002)


def sleep(ended: float) -> None:
    """Block in one call."""
    time.sleep(max(0.0, ended - time.monotonic()))


def receive(ended: float) -> None:
    """Wait for a byte that never comes."""
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(max(0.001, ended - time.monotonic()))
        try:
            here.recv(1)
        except TimeoutError:
            """As was to be expected."""


class Outcomes:
    """How callbacks have ended."""

    def __init__(self) -> None:
        self.ended = self.interrupted = self.blocks = 0

    def start(self, hog: Callable[[float], object], seconds: float) -> None:
        """Have `hog` called: as a step of a Deferred, or in a coroutine."""

        def run(_: object) -> None:
            self.blocks += 1
            try:
                hog(time.monotonic() + seconds)
            finally:
                self.blocks -= 1

        async def in_coroutine(_: object) -> None:
            run(_)

        deferred: Deferred[Any] = Deferred()
        deferred.addCallback(run if rng.random() < 0.5 else lambda _: ensureDeferred(in_coroutine(_)))
        # The second, should it be the first that is interrupted.
        deferred.addBoth(self.note).addErrback(self.note)
        reactor.callLater(0, deferred.callback, None)

    def note(self, result: object) -> None:
        """Count one."""
        assert result is None or (isinstance(result, Failure) and result.check(KeyboardInterrupt)), result
        self.interrupted += result is not None
        self.ended += 1


HOGS = [compute, call, mix, sleep, receive]
PAUSE = 0.002


def interrupt_callbacks(times: int) -> dict[str, Any]:
    """Press the button while callbacks keep the reactor, which here takes milliseconds and no tenth of a second."""
    watchdog.SLICE = hogs.KEPT = PAUSE  # type: ignore[misc]
    outcomes = Outcomes()
    for number in range(times):
        outcomes.start(rng.choice(HOGS), PAUSE * (2 + rng.random() * 6))
        time.sleep(rng.random() * 2 * PAUSE)
        interrupts.bell.press()
        until(lambda number=number: outcomes.ended > number)  # type: ignore[misc]
    return {"interrupted": outcomes.interrupted, "blocks": outcomes.blocks}


if __name__ == "__main__":
    begin()
    found = {"cell": interrupt_cell, "callbacks": interrupt_callbacks}[sys.argv[1]](int(sys.argv[2]))
    print({**found, **end()})  # noqa: T201
