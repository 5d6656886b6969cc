"""What the conformance checks are made of: two parties that remember, producers, and a way to wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from wirebook.failure import Failure
from wirebook.protocol import Protocol, connectionDone
from wirebook.turn import turn

# What is looked up in callbacks, to see in which context they run.
mark: ContextVar[str] = ContextVar("mark", default="none")


def pattern(size: int) -> bytes:
    """`size` bytes in which every piece tells where it belongs."""
    return b"".join(b"%09d;" % number for number in range(0, size, 10))[:size]


class Party(Protocol):
    """One side of a connection under test: it remembers what happened to it.

    ``calls`` are the names of the callbacks in order, ``marks`` the value of `mark` in each. ``losses`` are the
    reasons it was given, ``faults`` what no transport may do. ``on_data`` and ``on_lost`` are called in its callbacks.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.pieces = 0
        self.calls: list[str] = []
        self.marks: list[str] = []
        self.losses: list[Failure] = []
        self.faults: list[str] = []
        self.on_data: Callable[[bytes], object] | None = None
        self.on_lost: Callable[[], object] | None = None
        self._in_transport = ""

    def do(self, method: str, *args: Any) -> Any:
        """Call a method of the transport; it is a fault if it calls back before it returns."""
        with turn:
            self._in_transport = method
            try:
                return getattr(self.transport, method)(*args)
            finally:
                self._in_transport = ""

    def _called(self, name: str) -> None:
        if self._in_transport:
            self.faults.append(f"{name}() was called from inside {self._in_transport}()")
        if self.losses:
            self.faults.append(f"{name}() was called after connectionLost()")
        self.calls.append(name)
        self.marks.append(mark.get())
        mark.set(f"set in {name}")

    @property
    def lost(self) -> bool:
        """Whether its connection has ended."""
        return bool(self.losses)

    @property
    def reason(self) -> BaseException:
        """Why its connection ended."""
        value: BaseException = self.losses[0].value
        return value

    def connectionMade(self) -> None:
        """Remember it."""
        self._called("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        self._called("dataReceived")
        if type(data) is not bytes or not data:
            self.faults.append(f"dataReceived() was given {data!r}")
        self.pieces += 1
        self.data += data
        if self.on_data is not None:
            self.on_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._called("connectionLost")
        self.losses.append(reason)
        if self.on_lost is not None:
            self.on_lost()


class HalfParty(Party):
    """The same, and it lives on when one direction was closed."""

    def readConnectionLost(self) -> None:
        """The peer sends nothing more."""
        self._called("readConnectionLost")

    def writeConnectionLost(self) -> None:
        """Nothing more can be sent."""
        self._called("writeConnectionLost")


class Producer:
    """Remembers what it was asked for; a pull producer writes ``pieces``, then unregisters itself."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces
        self.asked: list[str] = []

    def resumeProducing(self) -> None:
        """Asked for one piece, or to go on."""
        self.asked.append("resume")
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
            if not self.pieces:
                self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Asked to wait."""
        self.asked.append("pause")

    def stopProducing(self) -> None:
        """Asked to give up."""
        self.asked.append("stop")


class Tap:
    """Keeps what a wiretap hears."""

    def __init__(self) -> None:
        self.heard = {"received": bytearray(), "sent": bytearray()}
        self.events: list[str] = []

    def data(self, direction: str, data: bytes) -> None:
        """These bytes passed."""
        self.heard[direction] += data

    def event(self, name: str) -> None:
        """Something happened."""
        self.events.append(name)


@contextmanager
def caught_reports() -> Iterator[list[logging.LogRecord]]:
    """The errors that the framework reports in the block; nobody else gets to see them."""
    caught: list[logging.LogRecord] = []

    def catch(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        caught.append(record)
        return False

    logger = logging.getLogger("wirebook")
    logger.addFilter(catch)
    try:
        yield caught
    finally:
        logger.removeFilter(catch)


def equal(got: object, wanted: object) -> None:
    """Fail unless the two are equal; the bytes of a long one are not printed."""
    if got != wanted:
        raise AssertionError(f"expected {shown(wanted)}, got {shown(got)}")


def shown(value: object) -> str:
    """`value` for an error message."""
    if isinstance(value, bytes | bytearray) and len(value) > 60:
        return f"{len(value)} bytes from {bytes(value[:20])!r} to {bytes(value[-20:])!r}"
    return repr(value)


class Harness:
    """What a transport's tests tell the checks, and how the checks wait. See `StreamConformance`."""

    half_closes = True
    tells_resets = True
    counts_plainly = True
    sends_late_writes = True
    large = 1 << 20
    flood = 48 << 20
    patience = 10.0

    def connect(self, one: Any, other: Any) -> AbstractContextManager[object]:
        """Connect the two protocols over the transport, for the length of the block."""
        raise NotImplementedError(f"{type(self).__name__} must define connect(one, other)")

    def pass_time(self) -> None:
        """Let the transport go on for a moment."""
        threading.Event().wait(0.002)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for `condition`; after ``patience`` seconds the check fails and says `what` did not happen."""
        deadline = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen within {self.patience} s: {what}"
            self.pass_time()

    def stands_still(self, amount: Callable[[], int]) -> None:
        """Wait until `amount` grows no more, as far as one can tell."""
        before, rounds = -1, 0
        while rounds < 20:
            rounds = rounds + 1 if amount() == before else 0
            before = amount()
            self.pass_time()

    @contextmanager
    def parties(self, kind: type[Party] = Party, other: type[Party] | None = None) -> Iterator[tuple[Any, Any]]:
        """Two connected parties; whatever no transport may do fails the check."""
        here, there = kind(), (other or kind)()
        with self.connect(here, there):
            self.until(lambda: here.calls and there.calls, "connectionMade() on both sides")
            yield here, there
            self._end(here, there)
        for party in (here, there):
            assert not party.faults, f"{party.faults[0]} (of {len(party.faults)} faults)"
            equal(party.calls.count("connectionMade"), 1)
            equal(party.calls.count("connectionLost"), 1)

    def _end(self, *parties: Party) -> None:
        for party in parties:
            if not party.lost:
                party.do("abortConnection")
        self.until(lambda: all(party.lost for party in parties), "connectionLost() on both sides")

    def round_trip(self, sender: Any, receiver: Any) -> None:
        """Send something that arrives: what could have happened by then has happened."""
        for word in (b"<tick>", b"<tock>"):
            self._send_and_wait(sender, receiver, word)

    def _send_and_wait(self, sender: Any, receiver: Any, word: bytes) -> None:
        expected = len(receiver.data) + len(word)
        sender.do("write", word)
        self.until(lambda: len(receiver.data) >= expected, f"the arrival of {word!r}")

    def receive(self, party: Any, data: bytes) -> None:
        """Wait until `party` has got as many bytes as `data` has, and compare."""
        self.until(lambda: len(party.data) >= len(data) or party.lost, f"the arrival of {len(data)} bytes")
        equal(party.data, data)
