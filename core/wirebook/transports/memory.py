"""Streams inside one process: a pair of byte queues in the place of two sockets.

A `MemoryTransport` is a `StreamTransport` in everything but where the bytes go, so a protocol cannot tell the
difference. What the poller is for sockets is here the end of the iteration: whoever puts bytes into a queue, or
takes some out, has the transport at its other end served then, never at once.

There is no operating system in this, so it also runs on a clock of virtual time: see `MemoryNetwork`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from wirebook.deferred import Deferred, execute, succeed
from wirebook.error import CannotListenError, ConnectionDone, getConnectError
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory, IReactorTime, ITurnTrace
from wirebook.logger import report_failure
from wirebook.protocol import OneConnection, check_factory
from wirebook.reactor.handles import Handles, next_handle_id
from wirebook.reactor.timers import check_delay
from wirebook.transports.connecting import Connector
from wirebook.transports.stream import StreamTransport
from wirebook.transports.tcp import factory_label
from wirebook.turn import in_turn, turn

# How many bytes one direction holds before it takes no more, as a socket's buffer does.
CAPACITY = 65536

_next_pair = count(1).__next__


@dataclass(frozen=True, slots=True)
class MemoryAddress:
    """An end of an in-memory stream."""

    name: str

    def __str__(self) -> str:
        return self.name


# --- the bytes -------------------------------------------------------------------------------------------


class MemoryChannel:
    """One end of a pair, with what `StreamTransport` needs of a socket. Used in the turn.

    Attributes: ``peer`` the other end; ``changed`` is called when there may be something to read or room to write;
    ``largest`` how many bytes one `recv` gives at most; ``resets`` makes `close` a reset instead of an end.
    """

    __slots__ = ("_told_nobody", "capacity", "changed", "closed", "finished", "inbox", "largest", "peer", "resets")

    def __init__(self, capacity: int) -> None:
        self.peer = self
        self.capacity = self.largest = capacity
        self.changed: Callable[[], None] = _nothing
        self.inbox = bytearray()
        self.finished = False
        self.closed = False
        self.resets = False
        self._told_nobody = False

    @property
    def was_reset(self) -> bool:
        """Whether the peer closed with a reset."""
        return self.peer.closed and self.peer.resets

    @property
    def readable(self) -> bool:
        """Whether `recv` would return or raise something."""
        return bool(self.inbox) or self.finished

    @property
    def writable(self) -> bool:
        """Whether `send` would take or raise something."""
        return self.peer.closed or len(self.peer.inbox) < self.peer.capacity

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end. Raises OSError as a socket does."""
        if self.inbox:
            with memoryview(self.inbox) as view:
                data = bytes(view[: min(size, self.largest)])
            del self.inbox[: len(data)]
            self.peer.changed()
            return data
        if self.was_reset:
            raise _os_error(errno.ECONNRESET)
        if self.finished:
            return b""
        raise BlockingIOError

    def send(self, data: Any) -> int:
        """Take as much of `data` as there is room for. Raises OSError as a socket does."""
        peer = self.peer
        if peer.closed:
            return self._send_to_nobody(len(data))
        room = peer.capacity - len(peer.inbox)
        if room <= 0:
            raise BlockingIOError
        piece = data if len(data) <= room else memoryview(data)[:room]
        peer.inbox += piece
        peer.changed()
        return len(piece)

    def _send_to_nobody(self, size: int) -> int:
        # As with TCP, where the first segment is sent before its reset can come back.
        if self._told_nobody or self.was_reset:
            raise _os_error(errno.EPIPE)
        self._told_nobody = True
        return size

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        """`send` several pieces."""
        sent = 0
        for data in buffers:
            try:
                taken = self.send(data)
            except BlockingIOError:
                if not sent:
                    raise
                break
            sent += taken
            if taken < len(data):
                break
        return sent

    def finish(self) -> None:
        """Send nothing more: the peer reads an end after what was sent before."""
        if not self.peer.finished:
            self.peer.finished = True
            self.peer.changed()

    def close(self) -> None:
        """Neither send nor receive any more; what was not read is dropped."""
        self.closed = True
        self.inbox.clear()
        self.peer.finished = True
        self.peer.changed()


def channel_pair(capacity: int = CAPACITY) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends, each of which takes `capacity` bytes before its reader has to read."""
    one, other = MemoryChannel(capacity), MemoryChannel(capacity)
    one.peer, other.peer = other, one
    return one, other


def _nothing() -> None:
    """Nobody waits at this end yet."""


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


# --- the transports --------------------------------------------------------------------------------------


class MemoryTransport(StreamTransport):
    """One end of a stream that never leaves the process. See `memory_pair` and ``reactor.connectMemory``.

    `reactor` is a `Reactor` or a `MemoryNetwork`.
    """

    __slots__ = ("_due", "_host", "_peer")
    transportName = "memory"

    def __init__(
        self, reactor: Any, channel: MemoryChannel | None, host: Any, peer: Any, context: Context | None = None
    ) -> None:
        super().__init__(reactor, channel, context)
        self._host = host
        self._peer = peer
        self._due = False
        if channel is not None:
            channel.changed = self._update_interest
        reactor.handles.opened(self)

    def _update_interest(self) -> None:
        if not self._due and self._something_to_do():
            self._due = True
            self.reactor.call_soon(MemoryTransport._serve, self)

    def _something_to_do(self) -> bool:
        channel = self._channel
        if self.disconnected or channel is None:
            return False
        if self._reading and channel.readable:
            return True
        return bool(self._out and channel.writable) or (self._read_closed and channel.was_reset)

    def _serve(self) -> None:
        """What a poller's events are for a socket; called at the end of the iteration."""
        self._due = False
        if self.disconnected:
            return
        channel = self._channel
        if self._reading and channel.readable:
            self._dispatch("read", self.doRead)
        if self._out and not self.disconnected and channel.writable:
            self._dispatch("write", self.doWrite)
        if self._read_closed and not self.disconnected and channel.was_reset:
            self.hungUp()
        self._update_interest()

    def _dispatch(self, cause: str, call: Callable[[], None]) -> None:
        trace = self.reactor.trace
        if trace is not None:
            trace.begin(cause, self)
        try:
            call()
        except (Exception, KeyboardInterrupt):
            report_failure(Failure(), f"dispatching to {self!r} raised", self.context)
        finally:
            if trace is not None:
                trace.end()

    def _half_close(self) -> None:
        self._channel.finish()

    def _prepare_abort(self) -> None:
        if self._channel is not None:
            self._channel.resets = True

    def getHost(self) -> Any:
        """The address of this end."""
        return self._host

    def getPeer(self) -> Any:
        """The address of the other end."""
        return self._peer


def memory_pair(
    reactor: Any, protocol: Any, other: Any, capacity: int = CAPACITY
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols with each other; returns their transports.

    Both have been told of the connection on return; bytes are delivered later, by `reactor`, which may also be a
    `Clock`: then whenever it advances, by 0 for example. `capacity` is how many bytes each direction takes before
    the writer has to wait for the reader. Any thread.
    """
    if not isinstance(capacity, int) or capacity < 1:
        raise ValueError(f"the capacity of a memory pair is a number of bytes, 1 or more, not {capacity!r}")
    stage = reactor if hasattr(reactor, "call_soon") else MemoryNetwork(reactor)
    number = _next_pair()
    here, there = MemoryAddress(f"pair-{number}/a"), MemoryAddress(f"pair-{number}/b")
    with turn:
        ends = channel_pair(capacity)
        one = MemoryTransport(stage, ends[0], here, there)
        two = MemoryTransport(stage, ends[1], there, here)
        one.begin(protocol)
        two.begin(other)
    return one, two


class MemoryServer(MemoryTransport):
    """The server's end of a connection; ``port`` is the `MemoryPort` that accepted it."""

    __slots__ = ("port",)
    role = "server"

    def __init__(self, port: MemoryPort, channel: MemoryChannel, peer: MemoryAddress) -> None:
        self.port = port
        super().__init__(port.reactor, channel, port.getHost(), peer, port.context)

    @property
    def factory(self) -> Any:
        """The factory that built the protocol."""
        return self.port.factory

    def _end(self, reason: Failure | None) -> None:
        if not self.disconnected:
            self.port.connection_ended(self)
        super()._end(reason)


class MemoryClient(MemoryTransport):
    """The client's end of a connection, from the first attempt on."""

    __slots__ = ("connector",)
    role = "client"
    port = None

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        super().__init__(connector.reactor, None, None, connector.getDestination(), connector.context)

    @property
    def factory(self) -> Any:
        """The factory that builds the protocol."""
        return self.connector.factory

    @property
    def label(self) -> str:
        """The name of the protocol's class, or of what its factory will build."""
        return super().label if self.connected or self._label else factory_label(self.factory)

    def join(self, channel: MemoryChannel, host: MemoryAddress) -> None:
        """Take this end of the connection; called by the connector."""
        self._channel, self._host = channel, host
        channel.changed = self._update_interest

    def _end(self, reason: Failure | None) -> None:
        was_connected = bool(self.connected)
        ended = not self.disconnected
        super()._end(reason)
        if ended:
            self.connector.client_ended(reason or Failure(ConnectionDone()), was_connected)


# --- listening and connecting ----------------------------------------------------------------------------


class MemoryPort:
    """A name that in-memory connections are made to. As a handle its state is "listening" or "closed"."""

    kind = "port"
    transportName = "memory"
    peerAddress = None

    def __init__(self, reactor: MemoryMethods, name: str, factory: IProtocolFactory) -> None:
        self.reactor: Any = reactor
        self.name = name
        self.factory = factory
        self.context = copy_context()
        self.handleId = next_handle_id()
        self.born = self.reactor.seconds()
        self.state = "closed"
        self.acceptedCount = 0
        self.connectionCount = 0
        self._past_received = 0
        self._past_sent = 0

    @in_turn
    def startListening(self) -> None:
        """Take the name. Raises `CannotListenError` when somebody has it."""
        ports = self.reactor.memory_ports
        if self.name in ports:
            raise CannotListenError("memory", self.name, _os_error(errno.EADDRINUSE))
        self.factory.doStart()
        ports[self.name] = self
        self.state = "listening"
        self.reactor.handles.opened(self)

    @in_turn
    def stopListening(self) -> Deferred[None]:
        """Give the name back; open connections stay. It is free on return; returns a fired Deferred."""
        if self.state == "listening":
            self.state = "closed"
            del self.reactor.memory_ports[self.name]
            self.reactor.handles.closed(self)
            self.factory.doStop()
        return succeed(None)

    loseConnection = stopListening

    def accept(self, client: MemoryAddress) -> MemoryChannel | None:
        """Serve a connection; the client's end, or None when the factory refused it."""
        try:
            protocol = self.context.copy().run(self.factory.buildProtocol, client)
        except (Exception, KeyboardInterrupt):
            report_failure(
                Failure(),
                f"{type(self.factory).__name__}.buildProtocol() raised; the connection to {self.name} is closed",
                self.context,
            )
            protocol = None
        ours, theirs = channel_pair()
        if protocol is None:
            ours.close()
            return theirs
        self.acceptedCount += 1
        self.connectionCount += 1
        MemoryServer(self, ours, client).begin(protocol)
        return theirs

    def connection_ended(self, connection: MemoryServer) -> None:
        """Add an ended connection's counters to the totals; called by the connection."""
        self.connectionCount -= 1
        self._past_received += connection.bytesReceived
        self._past_sent += connection.bytesSent

    def getHost(self) -> MemoryAddress:
        """The name it listens on."""
        return MemoryAddress(self.name)

    @property
    def localAddress(self) -> Any:
        """The name it listens on."""
        return self.getHost()

    @property
    def label(self) -> str:
        """The name of the protocol class, or of the factory's."""
        return factory_label(self.factory)

    def _total(self, name: str, past: int) -> int:
        mine = (handle for handle in self.reactor.handles.of("connection") if getattr(handle, "port", None) is self)
        return past + sum(int(getattr(handle, name)) for handle in mine)

    @property
    def bytesReceived(self) -> int:
        """How many bytes its connections have received, ended ones included."""
        return self._total("bytesReceived", self._past_received)

    @property
    def bytesSent(self) -> int:
        """How many bytes its connections have sent, ended ones included."""
        return self._total("bytesSent", self._past_sent)

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """`stopListening`."""
        return self.stopListening()

    def __repr__(self) -> str:
        return f"<MemoryPort of {self.label} on {self.name}, {self.state}>"
