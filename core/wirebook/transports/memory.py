"""Streams inside one process: a pair of byte queues in the place of two sockets.

A `MemoryTransport` is a `StreamTransport` in everything but where the bytes go, so a protocol cannot tell the
difference. What the poller is for sockets is here the end of the iteration: whoever puts bytes into a queue, or
takes some out, has the transport at its other end served then, never at once.

There is no operating system in this, so it also runs on a clock of virtual time: see `MemoryNetwork`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from wirebook.deferred import Deferred, execute, succeed
from wirebook.error import CannotListenError, connect_error
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory, IReactorTime, ITurnTrace
from wirebook.logger import report_failure
from wirebook.protocol import OneConnection, check_factory
from wirebook.reactor.handles import Handles
from wirebook.reactor.timers import check_delay
from wirebook.transports._channel import CAPACITY, MemoryChannel, channel_pair, os_error
from wirebook.transports._ends import AcceptedEnd, ConnectingEnd
from wirebook.transports.accepting import AcceptingPort
from wirebook.transports.connecting import Connector
from wirebook.transports.stream import StreamTransport
from wirebook.turn import in_turn, turn

_next_pair = count(1).__next__
_next_client = count(1).__next__


@dataclass(frozen=True, slots=True)
class MemoryAddress:
    """An end of an in-memory stream."""

    name: str

    def __str__(self) -> str:
        return self.name


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
        channel = self._below
        if self.disconnected or channel is None:
            return False
        if self._wants_read() and channel.readable:
            return True
        return (self._wants_write() and channel.writable) or (self._read_closed and channel.was_reset)

    def _serve(self) -> None:
        """What a poller's events are for a socket; called at the end of the iteration."""
        self._due = False
        if self.disconnected:
            return
        channel = self._below
        if self._wants_read() and channel.readable:
            self._dispatch("read", self.doRead)
        if not self.disconnected and self._wants_write() and channel.writable:
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
        except SystemExit:
            raise
        except BaseException:
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


class MemoryServer(AcceptedEnd, MemoryTransport):
    """The server's end of a connection; ``port`` is the `MemoryPort` that accepted it."""

    __slots__ = ("port",)

    def __init__(self, port: MemoryPort, channel: MemoryChannel, peer: MemoryAddress) -> None:
        self.port = port
        super().__init__(port.reactor, channel, port.getHost(), peer, port.context)


class MemoryClient(ConnectingEnd, MemoryTransport):
    """The client's end of a connection, from the first attempt on."""

    __slots__ = ("connector",)

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        super().__init__(connector.reactor, None, None, connector.getDestination(), connector.context)

    def attempt(self) -> None:
        """Connect, or find nobody there; the connector hears of it."""
        if self.disconnected:
            return
        name = self._peer.name
        port = self.connector.reactor.memory_ports.get(name)
        if port is None:
            self.connector.attempt_failed(Failure(connect_error(errno.ECONNREFUSED, name)))
            return
        self._host = MemoryAddress(f"{name}/{_next_client()}")
        self._channel = port.accept(self._host)
        self._channel.changed = self._update_interest
        self.connector.attempt_succeeded()


class MemoryPort(AcceptingPort):
    """A name that in-memory connections are made to. As a handle its state is "listening" or "closed"."""

    transportName = "memory"

    def __init__(self, reactor: Any, name: str, factory: IProtocolFactory) -> None:
        super().__init__(reactor, factory, 0)
        self.name = name
        self._host = MemoryAddress(name)
        self._ports: dict[str, MemoryPort] = reactor.memory_ports

    @in_turn
    def startListening(self) -> None:
        """Take the name. Raises `CannotListenError` when somebody has it."""
        if self.name in self._ports:
            raise CannotListenError("memory", self.name, os_error(errno.EADDRINUSE))
        self.factory.doStart()
        self._ports[self.name] = self
        self.state = "listening"
        self.reactor.handles.opened(self)

    @in_turn
    def stopListening(self) -> Deferred[None]:
        """Give the name back; open connections stay. It is free on return; returns a fired Deferred."""
        if self.state == "listening":
            self.state = "closed"
            del self._ports[self.name]
            self.reactor.handles.closed(self)
            self.factory.doStop()
        return succeed(None)

    loseConnection = stopListening

    def accept(self, client: MemoryAddress) -> MemoryChannel:
        """Serve a connection; returns the client's end, which is at its end already when the factory refused."""
        ours, theirs = channel_pair()
        end: Any = ours
        self._serve(end, client)
        return theirs

    def _peer_address(self, sockaddr: Any) -> Any:
        return sockaddr

    def _new_connection(self, sock: Any, peer: Any) -> MemoryServer:
        return MemoryServer(self, sock, peer)


class MemoryConnector(Connector):
    """Makes the connections of one ``connectMemory``."""

    def __init__(self, reactor: Any, name: str, factory: IClientFactory, timeout: float | None) -> None:
        super().__init__(reactor, name, 0, factory, timeout, None)

    def getDestination(self) -> Any:
        """The name that it connects to."""
        return MemoryAddress(self.host)

    def _new_client(self) -> MemoryClient:
        return MemoryClient(self)

    def _begin_attempt(self, client: MemoryClient) -> None:
        self.reactor.call_soon(MemoryClient.attempt, client)


class MemoryMethods:
    """The part of a reactor that opens in-memory ports and connections."""

    @cached_property
    def memory_ports(self) -> dict[str, MemoryPort]:
        """The ports that listen, by name."""
        return {}

    @in_turn
    def listenMemory(self, name: str, factory: IProtocolFactory) -> MemoryPort:
        """Serve the in-memory connections that are made to `name` with protocols from `factory`.

        The name is known to this reactor alone. Raises `CannotListenError` when it is taken.
        """
        check_factory(factory, "listenMemory")
        port = MemoryPort(self, _check_name(name), factory)
        port.startListening()
        return port

    @in_turn
    def connectMemory(self, name: str, factory: IClientFactory, timeout: float | None = 30) -> MemoryConnector:
        """Connect to what this reactor serves under `name`; `factory` is told how it goes (`ClientFactory`).

        The connection is made, or refused, after this returns.
        """
        check_factory(factory, "connectMemory", client=True)
        if timeout is not None:
            check_delay(timeout)
        connector = MemoryConnector(self, _check_name(name), factory, timeout)
        connector.connect()
        return connector


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f'an in-memory port has a name, a str like "chat", not {name!r}')
    return name


class MemoryNetwork(MemoryMethods):
    """In-memory ports and connections that live by `clock` alone: a reactor is not needed.

    With a `Clock` whatever is under way happens when it advances, in the thread that advances it. It takes no time: two
    protocols that answer each other for ever need latency (see `wirebook.conditions`), or the clock never comes back.
    """

    trace: ITurnTrace | None = None

    def __init__(self, clock: IReactorTime) -> None:
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        self.handles = Handles()

    def call_soon(self, func: Callable[..., Any], subject: Any) -> None:
        """Call ``func(subject)`` when the clock goes on."""
        self.callLater(0, func, subject)


# --- endpoints -------------------------------------------------------------------------------------------


class MemoryServerEndpoint:
    """A name to serve in memory; parameters as for ``reactor.listenMemory``."""

    def __init__(self, reactor: MemoryMethods, name: str) -> None:
        self._reactor = reactor
        self._name = name

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Listen. Fires with the `MemoryPort`; fails with what ``listenMemory`` raises."""
        return execute(self._reactor.listenMemory, self._name, protocolFactory)


class MemoryClientEndpoint:
    """A name to connect to in memory; `timeout` in seconds."""

    def __init__(self, reactor: MemoryMethods, name: str, timeout: float | None = 30) -> None:
        self._reactor = reactor
        self._name = name
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once. Fires with the protocol after its ``connectionMade``; cancelling ends the attempt."""
        factory = OneConnection(protocolFactory)
        try:
            self._reactor.connectMemory(self._name, factory, self._timeout)
        except Exception:
            factory.connected.errback()
        return factory.connected
