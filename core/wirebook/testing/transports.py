"""Transports and protocols for tests that need no network: they record what they are told and do nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from wirebook.address import IPv4Address
from wirebook.deferred import Deferred
from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.interfaces import IReactorTime
from wirebook.protocol import Protocol
from wirebook.task import LoopingCall


class StringTransport:
    """A transport that keeps what is written to it, for a test to read.

    A test may look at: ``disconnecting``, whether an end was asked for; ``disconnected``, whether it was an abort;
    ``producer`` and ``streaming``, what is registered (None: nothing); ``producerState``, "producing", "paused" or
    "stopped", as the other side asked; ``io``, which `value` reads.

    `hostAddress` and `peerAddress` are what `getHost` and `getPeer` give. With `lenient`, pausing and resuming after
    `loseConnection` is no error.
    """

    disconnecting = False
    disconnected = False
    producer: Any = None
    streaming: Any = None
    hostAddr: Any = None
    peerAddr: Any = None
    producerState = "producing"

    def __init__(self, hostAddress: Any = None, peerAddress: Any = None, lenient: bool = False) -> None:
        self.clear()
        if hostAddress is not None:
            self.hostAddr = hostAddress
        if peerAddress is not None:
            self.peerAddr = peerAddress
        self.connected = True
        self._lenient = lenient

    def clear(self) -> None:
        """Forget what was written so far. For tests."""
        self.io = BytesIO()

    def value(self) -> bytes:
        """What was written since the last `clear`. For tests."""
        return self.io.getvalue()

    def write(self, data: bytes) -> None:
        """Keep `data`. `TypeError` for anything but bytes."""
        if not isinstance(data, bytes):
            raise TypeError(f"write() takes bytes, not {data!r}")
        self.io.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Keep the pieces."""
        self.io.write(b"".join(data))

    def loseConnection(self) -> None:
        """Set ``disconnecting``, nothing more."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Set ``disconnected`` and do as `loseConnection`."""
        self.disconnected = True
        self.loseConnection()

    def getPeer(self) -> Any:
        """The address that was given, or one that is made up."""
        return IPv4Address("TCP", "192.168.1.1", 54321) if self.peerAddr is None else self.peerAddr

    def getHost(self) -> Any:
        """The address that was given, or one that is made up."""
        return IPv4Address("TCP", "10.0.0.1", 12345) if self.hostAddr is None else self.hostAddr

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keep the producer; `RuntimeError` when there is one."""
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} is registered")
        self.producer = producer
        self.streaming = streaming

    def unregisterProducer(self) -> None:
        """Forget the producer; `RuntimeError` when there is none."""
        if self.producer is None:
            raise RuntimeError("cannot unregister a producer: none is registered")
        self.producer = None
        self.streaming = None

    def pauseProducing(self) -> None:
        """Set ``producerState``; `RuntimeError` after an end was asked for."""
        self._check_state()
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        """Set ``producerState``; `RuntimeError` after an end was asked for."""
        self._check_state()
        self.producerState = "producing"

    def stopProducing(self) -> None:
        """Set ``producerState``."""
        self.producerState = "stopped"

    def _check_state(self) -> None:
        if self.disconnecting and not self._lenient:
            raise RuntimeError("cannot pause or resume after loseConnection()")
        if self.producerState == "stopped":
            raise RuntimeError("cannot pause or resume after stopProducing()")


class StringTransportWithDisconnection(StringTransport):
    """The same, but `loseConnection` tells the protocol at once; set ``protocol`` to it."""

    protocol: Any

    def loseConnection(self) -> None:
        """Call the protocol's ``connectionLost``, once."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone("the test's transport was closed")))


class StringIOWithoutClosing(BytesIO):
    """A buffer that stays open, for a test that reads it after the program closed it."""

    def close(self) -> None:
        """Do nothing."""


class FakeDatagramTransport:
    """A datagram transport that keeps what is sent: ``written`` is a list of (packet, address).

    The address is ``noAddr`` where none was given.
    """

    noAddr = object()

    def __init__(self) -> None:
        self.written: list[tuple[bytes, Any]] = []

    def write(self, packet: bytes, addr: Any = noAddr) -> None:
        """Keep `packet`."""
        self.written.append((packet, addr))


# --- protocols -------------------------------------------------------------------------------------------


class AccumulatingProtocol(Protocol):
    """A protocol that keeps what arrives.

    ``made`` and ``closed`` are 1 once it is connected and disconnected, ``closedReason`` says why, and ``data`` is
    what arrived. ``closedDeferred``, if it is set, fires at the end; so does ``protocolConnectionMade`` of the
    factory at the beginning, with the protocol, once.
    """

    made = closed = 0
    closedReason: Failure | None = None
    closedDeferred: Deferred[None] | None = None
    data: bytes = b""
    factory: Any = None

    def connectionMade(self) -> None:
        """Remember it, and tell who waits for it."""
        self.made = 1
        if self.factory is not None and self.factory.protocolConnectionMade is not None:
            connected, self.factory.protocolConnectionMade = self.factory.protocolConnectionMade, None
            connected.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.closed = 1
        self.closedReason = reason
        if self.closedDeferred is not None:
            closed, self.closedDeferred = self.closedDeferred, None
            closed.callback(None)


class NonStreamingProducer:
    """A pull producer that writes "0" to "9", one at a time, then unregisters itself.

    ``result`` fires when it has finished or was stopped; ``stopped`` says which. It raises `RuntimeError` when it
    is asked for more than that.
    """

    counter = 0
    stopped = False

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.result: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        """Write the next digit."""
        if self.consumer is None or self.counter >= 10:
            raise RuntimeError("resumeProducing() was called after the producer was unregistered or stopped")
        self.consumer.write(b"%d" % self.counter)
        self.counter += 1
        if self.counter == 10:
            self.consumer.unregisterProducer()
            self._finish()

    def pauseProducing(self) -> None:
        """Nothing that a pull producer is asked: raises `RuntimeError`."""
        raise RuntimeError("pauseProducing() was called on a pull producer")

    def stopProducing(self) -> None:
        """Finish before the end."""
        self.stopped = True
        self._finish()

    def _finish(self) -> None:
        self.consumer = None
        finished = self.result
        del self.result
        finished.callback(None)


def waitUntilAllDisconnected(reactor: IReactorTime, protocols: Iterable[Any]) -> Deferred[Any]:
    """Fire when the transport of none of `protocols` is connected; looks every 10 ms on the clock of `reactor`."""
    waiting = list(protocols)

    def look() -> None:
        if not any(protocol.transport.connected for protocol in waiting):
            call.stop()

    call = LoopingCall(look)
    call.clock = reactor
    return call.start(0.01, now=True)
