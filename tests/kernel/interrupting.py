"""A program that interrupts itself at random points under load, and then looks whether everything is whole.

``interrupting.py N`` presses the stop button N times while the main thread uses the framework as a cell does.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from wirebook import ClientFactory, Deferred, Factory, Protocol, reactor
from wirebook.logger import log
from wirebook.turn import turn
from wirebook_kernel import interrupts, watchdog

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


def begin() -> None:
    """Put the reactor under load, and set the scene as a kernel does."""
    sys.setswitchinterval(0.00001)
    log.propagate = False
    log.disabled = True
    reactor.runInThread()
    port = reactor.listenTCP(0, Factory.forProtocol(Echo))
    for _ in range(CLIENTS):
        reactor.connectTCP("127.0.0.1", port.getHost().port, ClientFactory.forProtocol(Counter))
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
            "turn": (turn._depth, turn.interrupted, len(turn.token)),
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


if __name__ == "__main__":
    begin()
    found = interrupt_cell(int(sys.argv[1]))
    print({**found, **end()})  # noqa: T201
