"""TLS over any transport, ours or not, as a factory around a factory.

``startTLS``, ``listenSSL`` and ``connectSSL`` are the shorter way where a stream of ours carries the records. This is
for everything else: an SSH channel, a WebSocket, a program's own transport, TLS inside TLS. The wrapper is the
protocol of the transport below, and a `StreamTransport` to the protocol above: all that holds for streams holds here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import ITurnTrace
from wirebook.protocol import Factory, build_protocol
from wirebook.reactor.handles import Handles
from wirebook.transports.stream import StreamTransport
from wirebook.transports.tls import TLSLayer, check_options, connection_maker, handshake_timeout
from wirebook.turn import in_turn


class _Carrier:
    """The transport below, as the channel of a stream: what it delivers is kept until the stream reads it.

    It has a queue of its own, and says only to a producer when that is long enough. So the carrier is one: all the
    time when the protocol above has a producer, otherwise for the moment of a write and as long as it is ``full``. A
    producer that stayed would keep the transport from ending when somebody else asks it to.
    """

    def __init__(self, stream: TLSMemoryBIOProtocol, transport: Any) -> None:
        self.transport = transport
        self.inbox: list[bytes] = []
        self.ended = False
        self.full = False
        self._stream = stream
        self._registered = False

    def fileno(self) -> int:
        """There is no descriptor."""
        return -1

    def recv(self, size: int) -> bytes:
        """What was delivered, b"" at the end."""
        if self.inbox:
            return self.inbox.pop(0)
        if self.ended:
            return b""
        raise BlockingIOError

    def send(self, data: Any) -> int:
        """Write it all, unless the transport has asked to wait."""
        if self.full:
            raise BlockingIOError
        self.register()
        self.transport.write(bytes(data))
        self.unregister()
        return len(data)

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        """`send` several pieces."""
        return self.send(b"".join(buffers))

    def close(self) -> None:
        """The end of the stream is the end of the transport, which is not to wait for a producer."""
        self._take_back()
        self.transport.loseConnection()

    # --- as the producer of the transport below -----------------------------------------------------

    def register(self) -> None:
        """Be told when the transport below has enough, if it can tell."""
        if not self._registered and hasattr(self.transport, "registerProducer"):
            self._registered = True
            self.transport.registerProducer(self, True)

    def unregister(self) -> None:
        """It is of no more interest, unless there is a producer above or the transport is full."""
        if not self.full and self._stream._producer is None:
            self._take_back()

    def _take_back(self) -> None:
        if self._registered:
            self._registered = False
            self.transport.unregisterProducer()

    @in_turn
    def pauseProducing(self) -> None:
        """It has enough, so the producer above has produced enough."""
        self.full = True
        stream = self._stream
        if stream._streaming and not stream._producer_paused:
            stream._producer_paused = True
            stream._producer.pauseProducing()

    @in_turn
    def resumeProducing(self) -> None:
        """It has room."""
        self.full = False
        self.unregister()
        stream = self._stream
        stream._update_interest()
        if stream._producer_paused and not stream._out:
            stream._drained()

    @in_turn
    def stopProducing(self) -> None:
        """It has ended."""
        self._registered = False
        producer, self._stream._producer = self._stream._producer, None
        if producer is not None:
            producer.stopProducing()


class _Timekeeper:
    """What a stream needs of a reactor, with the timers of any clock."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        self.call_soon = getattr(clock, "call_soon", self._call_soon)
        self.handles = Handles()

    @property
    def trace(self) -> ITurnTrace | None:
        """The clock's, if it is a reactor's."""
        return getattr(self._clock, "trace", None)

    def _call_soon(self, func: Any, subject: Any) -> None:
        self.callLater(0, func, subject)


class TLSMemoryBIOProtocol(StreamTransport):
    """TLS between ``transport`` below and ``wrappedProtocol`` above; made by a `TLSMemoryBIOFactory`."""

    transportName = "TLS"

    def __init__(self, factory: TLSMemoryBIOFactory, wrappedProtocol: Any) -> None:
        self.factory = factory
        self.wrappedProtocol: Any = wrappedProtocol
        self.transport: Any = None
        self._below_reads = True
        self._below_ended = False
        self._writing = False
        self._final: tuple[Any, ...] | None = None
        keeper: Any = _Timekeeper(factory.clock or the_reactor())
        super().__init__(keeper, None)

    @property
    def role(self) -> str:  # type: ignore[override]
        """ "client" or "server", as TLS sees it."""
        return "client" if self.factory.is_client else "server"

    # --- to the transport below ----------------------------------------------------------------------

    @in_turn
    def makeConnection(self, transport: Any) -> None:
        """Take the transport below and begin the handshake. Called by it."""
        self.transport = transport
        factory = self.factory
        if factory.clock is None and getattr(transport, "reactor", None) is not None:
            # Not every transport is one of the process's reactor.
            keeper: Any = _Timekeeper(transport.reactor)
            self.reactor = keeper
        if hasattr(transport, "handleId"):
            # Only what hangs on something that is listed as open is listed itself.
            self.reactor.handles = transport.reactor.handles
        self.reactor.handles.opened(self)
        self._channel = self._carrier = _Carrier(self, transport)
        layer = TLSLayer(self, factory.is_client, factory.wrappedFactory)
        layer.timeout = handshake_timeout(factory.options)
        layer.put_in_place(factory.make_connection, self)
        factory.registerProtocol(self)
        self.begin(self.wrappedProtocol)

    @in_turn
    def dataReceived(self, data: bytes) -> None:
        """Records have arrived. Called by the transport below."""
        if not self.disconnected:
            self._carrier.inbox.append(data)
            self._read_carrier()

    def _read_carrier(self) -> None:
        carrier = self._carrier
        while carrier.inbox and self._wants_read() and not self.disconnected:
            self.doRead()

    @in_turn
    def connectionLost(self, reason: Failure) -> None:
        """The transport below has ended. Called by it."""
        self._below_ended = self._carrier.ended = True
        self.startReading()
        layer = self._require_layer("end")
        while not self.disconnected and (self._carrier.inbox or layer.unread):
            self.doRead()
        if not self.disconnected and self._reading and reason.check(ConnectionDone):
            # Without a goodbye it is no orderly end.
            self.doRead()
        self._end(self._reason or reason)
        self._tell_above()
        self.factory.unregisterProtocol(self)

    # --- as a stream ---------------------------------------------------------------------------------

    def _update_interest(self) -> None:
        if self.disconnected or self.transport is None:
            return
        self._write_on()
        wanted = self._wants_read()
        if wanted == self._below_reads:
            return
        self._below_reads = wanted
        change = getattr(self.transport, "resumeProducing" if wanted else "pauseProducing", None)
        if change is not None:
            change()
        if wanted and self._carrier.inbox:
            self.reactor.call_soon(TLSMemoryBIOProtocol._read_carrier, self)

    def _write_on(self) -> None:
        """Give the transport below all that it takes: it has a queue of its own."""
        if self._writing:
            return
        self._writing = True
        try:
            while self._wants_write() and not self._carrier.full and not self.disconnected:
                self.doWrite()
        finally:
            self._writing = False

    def _half_close(self) -> None:
        """The close_notify is all there is: what carries the records stays as it is."""

    def _prepare_abort(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def _tell_the_end(self, reason: Failure, was_connected: bool) -> None:
        """Keep the end to oneself until the transport below has ended too."""
        self._final = (reason, was_connected)
        if self._below_ended:
            self._tell_above()

    def _tell_above(self) -> None:
        final, self._final = self._final, None
        if final is not None:
            super()._tell_the_end(*final)
            # No ring: what has ended needs no garbage collector.
            self.wrappedProtocol = None
            self._fire_close_waiters()

    def _fire_close_waiters(self) -> None:
        if self._final is None:
            super()._fire_close_waiters()

    @in_turn
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As for every stream; the transport below then says when it has enough."""
        if self.transport is not None and not self.disconnected:
            self._carrier.register()
        super().registerProducer(producer, streaming)

    @in_turn
    def unregisterProducer(self) -> None:
        """As for every stream."""
        super().unregisterProducer()
        if self.transport is not None:
            self._carrier.unregister()

    def getHandle(self) -> Any:
        """OpenSSL's connection."""
        return self._require_layer("have a handle").connection

    def getHost(self) -> Any:
        """The address of this end, as the transport below has it."""
        return self.transport.getHost() if self.transport is not None else None

    def getPeer(self) -> Any:
        """The address of the other end, as the transport below has it."""
        return self.transport.getPeer() if self.transport is not None else None

    def failVerification(self, reason: Failure) -> None:
        """Refuse the peer: the connection ends with `reason`."""
        if self._layer is not None:
            self._layer.failVerification(reason)

    def __getattr__(self, name: str) -> Any:
        # What streams do not have, the transport below may have.
        if name.startswith("_") or self.__dict__.get("transport") is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.transport, name)


class TLSMemoryBIOFactory(Factory):
    """Puts TLS around the protocols of `wrappedFactory`, over whatever transport this factory is used with.

    `contextFactory` are the options, `isClient` the side of TLS that this one is. `clock` gives the time for timers
    (default: the process's reactor). Raises `TypeError` for what are no options for that side.
    """

    protocol = TLSMemoryBIOProtocol
    noisy = False

    def __init__(self, contextFactory: Any, isClient: bool, wrappedFactory: Any, clock: Any = None) -> None:
        check_options(contextFactory, bool(isClient))
        self.options = contextFactory
        self.is_client = bool(isClient)
        self.make_connection = connection_maker(contextFactory, bool(isClient))
        self.wrappedFactory = wrappedFactory
        self.clock = clock
        self.protocols: dict[Any, int] = {}

    def doStart(self) -> None:
        """As for every factory, for the wrapped one too."""
        self.wrappedFactory.doStart()
        super().doStart()

    def doStop(self) -> None:
        """As for every factory, for the wrapped one too."""
        self.wrappedFactory.doStop()
        super().doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """The wrapper around the wrapped factory's protocol; None when that gives none."""
        wrapped = build_protocol(self.wrappedFactory, addr)
        return None if wrapped is None else self.protocol(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """A wrapper is connected."""
        self.protocols[p] = 1

    def unregisterProtocol(self, p: Any) -> None:
        """A wrapper has ended."""
        self.protocols.pop(p, None)

    def startedConnecting(self, connector: Any) -> None:
        self.wrappedFactory.startedConnecting(connector)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.wrappedFactory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.wrappedFactory.clientConnectionLost(connector, reason)

    def logPrefix(self) -> str:
        """The wrapped factory's, with "(TLS)"."""
        prefix = getattr(self.wrappedFactory, "logPrefix", None)
        return f"{prefix() if prefix is not None else type(self.wrappedFactory).__name__} (TLS)"
