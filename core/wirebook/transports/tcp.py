"""TCP: connections, the port that accepts them, and the connector that makes them (RFC 9293)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from wirebook.address import IPAddress, IPv4Address, from_sockaddr
from wirebook.deferred import CancelledError, Deferred, succeed
from wirebook.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionDone,
    DNSLookupError,
    NotConnectingError,
    NotListeningError,
    TimeoutError,
    UserError,
    describe,
    getConnectError,
)
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.logger import report_event, report_failure
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ, WRITE
from wirebook.reactor.timers import DelayedCall
from wirebook.transports.stream import StreamTransport
from wirebook.turn import in_turn

# How many connections one event accepts: enough for a burst, few enough that the others get their turn.
_ACCEPT_BATCH = 64
# How long a port waits before it looks for free descriptors again, in seconds.
_ACCEPT_PAUSE = 0.25
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# l_onoff, l_linger: closing discards what is queued and sends a reset.
_LINGER_RESET = struct.pack("ii", 1, 0)


def open_socket(family: int) -> socket.socket:
    """A new TCP socket that does not block."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def family_of(host: str) -> socket.AddressFamily | None:
    """The address family of a numeric host, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return family
    return None


class Connection(StreamTransport):
    """A TCP connection; see `StreamTransport`. Small segments are sent at once (TCP_NODELAY is on)."""

    __slots__ = ("_host", "_peer")
    transportName = "TCP"

    def __init__(
        self, reactor: ReactorBase, sock: socket.socket | None, peer: Any, context: Context | None = None
    ) -> None:
        super().__init__(reactor, sock, context)
        self._host: IPAddress | None = None
        # A sockaddr until somebody asks: most addresses are never looked at.
        self._peer: Any = peer
        reactor.handles.opened(self)

    def getHost(self) -> Any:
        """The address of this end."""
        if self._host is None and not self.disconnected and self._channel is not None:
            self._host = from_sockaddr(self._channel.getsockname())
        return self._host

    def getPeer(self) -> Any:
        """The address of the other end."""
        if type(self._peer) is tuple:
            self._peer = from_sockaddr(self._peer)
        return self._peer

    def _remember_addresses(self) -> None:
        try:
            self.getHost()
        except OSError:
            # Some systems do not tell the name of a socket that was reset.
            self._host = None

    def getHandle(self) -> socket.socket:
        """The socket itself."""
        return self._require_channel()

    def _require_channel(self) -> socket.socket:
        if self.disconnected or self._channel is None:
            raise NotListeningError(f"{self.describe()} has no socket (any more)")
        sock: socket.socket = self._channel
        return sock

    @in_turn
    def getTcpNoDelay(self) -> bool:
        """Whether small segments are sent at once."""
        return bool(self._require_channel().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    @in_turn
    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small segments at once (on, as from the start) or let Nagle's algorithm gather them (off)."""
        self._require_channel().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(enabled))

    @in_turn
    def getTcpKeepAlive(self) -> bool:
        """Whether the system probes an idle connection."""
        return bool(self._require_channel().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    @in_turn
    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Probe an idle connection, so that a vanished peer is noticed (after hours, by the usual defaults)."""
        self._require_channel().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))

    def _half_close(self) -> None:
        self._channel.shutdown(socket.SHUT_WR)

    def _prepare_abort(self) -> None:
        if self._channel is not None:
            self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)


class Server(Connection):
    """The server's end of a connection; ``port`` is the `Port` that accepted it."""

    __slots__ = ("port",)
    role = "server"

    def __init__(self, port: Port, sock: socket.socket, peer: Any) -> None:
        self.port = port
        super().__init__(port.reactor, sock, peer, port.context)

    def _end(self, reason: Failure | None) -> None:
        if not self.disconnected:
            self.port.connection_ended(self)
        super()._end(reason)


class Client(Connection):
    """The client's end of a connection, from the first attempt on."""

    __slots__ = ("connector",)
    role = "client"
    port = None

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        super().__init__(connector.reactor, None, connector.getDestination(), connector.context)

    def attempt(self, family: int, sockaddr: Any, bind_to: tuple[str, int] | None) -> None:
        """Begin to connect; the connector hears how it ends. May raise OSError at once."""
        self._channel = sock = open_socket(family)
        self._fd = sock.fileno()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if bind_to is not None:
            try:
                sock.bind(bind_to)
            except OSError as error:
                raise _BindFailed(f"cannot connect from {bind_to[0]}:{bind_to[1]}: {describe(error)}") from error
        self._peer = sockaddr
        code = sock.connect_ex(sockaddr)
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(code, "")
        self.reactor.watch(self._fd, self, WRITE)
        self._mask = WRITE

    def doWrite(self) -> None:
        """Writable: connected, or refused, the first time; afterwards as for every stream."""
        if self.connected:
            super().doWrite()
            return
        code = self._channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.connector.attempt_failed(Failure(getConnectError(code, str(self.getPeer()))))
        else:
            self.connector.attempt_succeeded()

    def hungUp(self) -> None:
        """As for every stream; an attempt that is refused may come up here too."""
        if self.connected:
            super().hungUp()
        else:
            self.doWrite()

    @property
    def label(self) -> str:
        """The name of the protocol's class, or of its factory's while connecting."""
        return super().label if self.connected or self._label else factory_label(self.connector.factory)

    def _end(self, reason: Failure | None) -> None:
        was_connected = bool(self.connected)
        ended = not self.disconnected
        super()._end(reason)
        if ended:
            self.connector.client_ended(reason or Failure(ConnectionDone()), was_connected)


class _BindFailed(OSError):
    """The local address of a connection could not be taken."""


def factory_label(factory: Any) -> str:
    """The name of the protocol class that a factory builds, or of the factory's class."""
    protocol = getattr(factory, "protocol", None)
    return protocol.__name__ if isinstance(protocol, type) else type(factory).__name__


class Port:
    """A listening TCP socket. As a handle its state is "listening", "paused" or "closed".

    Out of descriptors, it pauses: waiting clients stay in the system's queue and are accepted as soon as a
    connection ends, or descriptors are free again for another reason.
    """

    kind = "port"
    transportName = "TCP"
    peerAddress = None

    def __init__(
        self, reactor: ReactorBase, port: int, factory: IProtocolFactory, backlog: int, interface: str
    ) -> None:
        self.reactor = reactor
        self.factory = factory
        self.backlog = backlog
        self.interface = interface
        self.context = copy_context()
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.state = "closed"
        self.acceptedCount = 0
        self.connectionCount = 0
        self._port = port
        self._socket: socket.socket | None = None
        self._host: IPAddress | None = None
        self._past_received = 0
        self._past_sent = 0
        self._exhausted = False
        self._retry: DelayedCall | None = None

    @in_turn
    def startListening(self) -> None:
        """Open the socket. Raises `CannotListenError`."""
        if self._socket is not None:
            raise RuntimeError(f"{self!r} is listening already")
        try:
            self._socket = sock = self._open()
        except OSError as error:
            raise CannotListenError(self.interface, self._port, error) from error
        self._host = from_sockaddr(sock.getsockname())
        self.state = "listening"
        try:
            self.factory.doStart()
        except BaseException:
            sock.close()
            self._socket, self.state = None, "closed"
            raise
        self.reactor.handles.opened(self)
        self.reactor.watch(sock.fileno(), self, READ)

    def _open(self) -> socket.socket:
        family = family_of(self.interface)
        if family is None:
            family = socket.getaddrinfo(self.interface, 0, type=socket.SOCK_STREAM)[0][0]
        sock = open_socket(family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            # Accepted sockets inherit it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            sock.bind((self.interface, self._port))
            sock.listen(self.backlog)
        except BaseException:
            sock.close()
            raise
        return sock

    @in_turn
    def stopListening(self) -> Deferred[None]:
        """Close the port; its open connections stay. It is closed on return; returns a fired Deferred."""
        if self._socket is None:
            return succeed(None)
        self._resume_accepting()
        self.reactor.unwatch(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self.state = "closed"
        self.reactor.handles.closed(self)
        self.factory.doStop()
        return succeed(None)

    loseConnection = stopListening

    def getHost(self) -> Any:
        """The address it listens on (the last one, when it is closed)."""
        return self._host

    @property
    def port(self) -> int:
        """The port's number."""
        return self._host.port if self._host is not None else self._port

    # --- accepting -----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor's number, -1 when it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """Accept what waits; called by the reactor."""
        for _ in range(_ACCEPT_BATCH):
            sock = self._socket
            if sock is None:
                return
            try:
                # accept() itself would look up the socket's family and blocking mode every time.
                fd, peer = sock._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError):
                self._exhausted = False
                return
            except OSError as error:
                # Any other error is the coming connection's own: it is gone (accept(2), "Error handling").
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause_accepting(error)
                    return
                continue
            accepted = socket.socket(sock.family, socket.SOCK_STREAM, 0, fileno=fd)
            accepted.setblocking(False)
            self._serve(accepted, peer)

    def doWrite(self) -> None:
        """Never asked for."""

    def hungUp(self) -> None:
        """Only while paused, when nothing is asked for."""

    def _serve(self, sock: socket.socket, peer: Any) -> None:
        try:
            protocol = self.context.copy().run(self.factory.buildProtocol, from_sockaddr(peer))
        except (Exception, KeyboardInterrupt):
            report_failure(
                Failure(),
                f"{type(self.factory).__name__}.buildProtocol() raised; the connection to {self._host} is closed",
                self.context,
            )
            protocol = None
        if protocol is None:
            sock.close()
            return
        self.acceptedCount += 1
        self.connectionCount += 1
        Server(self, sock, peer).begin(protocol)

    def connection_ended(self, connection: Server) -> None:
        """Add an ended connection's counters to the totals; called by the connection."""
        self.connectionCount -= 1
        self._past_received += connection.bytesReceived
        self._past_sent += connection.bytesSent

    # --- out of descriptors --------------------------------------------------------------------------

    def _pause_accepting(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            report_event(
                f"{self!r} pauses accepting: {describe(error)}. Waiting clients are kept and served when "
                "descriptors are free again; close connections, or raise the limit (ulimit -n)",
                self.context,
            )
        self.state = "paused"
        self.reactor.rewatch(self.fileno(), 0)
        self.reactor.handles.observe(self._something_closed)
        self._retry = self.reactor.callLater(_ACCEPT_PAUSE, self._resume_accepting)

    def _something_closed(self, event: str, handle: Any) -> None:
        # At the end of the iteration the descriptor is closed for sure.
        if event == "closed":
            self.reactor.call_soon(Port._resume_accepting, self)

    def _resume_accepting(self) -> None:
        if self.state != "paused":
            return
        self.state = "listening"
        self.reactor.handles.unobserve(self._something_closed)
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        self.reactor.rewatch(self.fileno(), READ)

    # --- as a handle ---------------------------------------------------------------------------------

    @property
    def localAddress(self) -> Any:
        """The address it listens on."""
        return self._host

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
        return f"<Port of {self.label} on TCP {self._host}, {self.state}>"


class Connector:
    """Makes the connections of one ``connectTCP``: look the host up, try, and tell the factory.

    ``state`` is "disconnected", "connecting" or "connected".
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        factory: IClientFactory,
        timeout: float | None,
        bindAddress: tuple[str, int] | None,
    ) -> None:
        self.reactor = reactor
        self.host = host
        self.port = port
        self.factory = factory
        self.timeout = timeout
        self.bindAddress = bindAddress
        self.context = copy_context()
        self.state = "disconnected"
        self.transport: Client | None = None
        self._lookup: Deferred[Any] | None = None
        self._timer: DelayedCall | None = None
        self._factory_started = False
        self._failed_with: Failure | None = None

    def getDestination(self) -> IPv4Address:
        """Where it connects to; the host as it was given."""
        return IPv4Address("TCP", self.host, self.port)

    @in_turn
    def connect(self) -> None:
        """Begin an attempt. Raises RuntimeError while one is under way or a connection stands."""
        if self.state != "disconnected":
            raise RuntimeError(f"cannot connect: the connector to {self.getDestination()} is {self.state}")
        self.state = "connecting"
        self._failed_with = None
        if not self._factory_started:
            self.factory.doStart()
            self._factory_started = True
        self.transport = client = Client(self)
        self._tell("startedConnecting")
        if client.disconnected or self.state != "connecting":
            return
        if self.timeout is not None:
            self._timer = self.reactor.callLater(self.timeout, self._timed_out)
        self._lookup = self.reactor.lookUp(self.host, self.port)
        self._lookup.addCallbacks(self._looked_up, self._lookup_failed)

    def _looked_up(self, found: list[tuple[int, Any]]) -> None:
        self._lookup = None
        client = self.transport
        if client is None or client.disconnected:
            return
        family, sockaddr = found[0]
        try:
            client.attempt(family, sockaddr, self.bindAddress)
        except _BindFailed as error:
            self.attempt_failed(Failure(ConnectBindError(error.errno, str(error))))
        except OSError as error:
            self.attempt_failed(Failure(getConnectError(error.errno or 0, str(self.getDestination()))))

    def _lookup_failed(self, failure: Failure) -> None:
        self._lookup = None
        if not failure.check(CancelledError):
            failure.trap(DNSLookupError)
            self.attempt_failed(failure)

    def _timed_out(self) -> None:
        self.attempt_failed(
            Failure(
                TimeoutError(string=f"cannot connect to {self.getDestination()}: no answer within {self.timeout} s")
            )
        )

    def attempt_failed(self, reason: Failure) -> None:
        """The attempt ended without a connection; called by the client, the lookup and the timer."""
        client = self.transport
        if client is None or client.connected or client.disconnected:
            return
        self._failed_with = reason
        client._end(reason)

    def attempt_succeeded(self) -> None:
        """The connection stands: build the protocol and join the two; called by the client."""
        client = self.transport
        if client is None:
            return
        self._stop_timer()
        self.state = "connected"
        try:
            protocol = self.context.copy().run(self.factory.buildProtocol, client.getPeer())
        except (Exception, KeyboardInterrupt):
            failure = Failure()
            report_failure(failure, f"{type(self.factory).__name__}.buildProtocol() raised", self.context)
            self._failed_with = failure
            client._end(failure)
            return
        if protocol is None:
            client._end(Failure(ConnectionDone("the factory refused the connection: buildProtocol() gave None")))
            return
        client.begin(protocol)

    def client_ended(self, reason: Failure, was_connected: bool) -> None:
        """Tell the factory; called by the client at its end."""
        self._stop_timer()
        if self._lookup is not None:
            self._lookup.cancel()
        self.state = "disconnected"
        self.transport = None
        reason = self._failed_with or reason
        self._tell("clientConnectionLost" if was_connected else "clientConnectionFailed", reason)
        # The factory may have called connect() again.
        if self.state == "disconnected" and self._factory_started:
            self._factory_started = False
            self.factory.doStop()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _tell(self, method: str, *args: Any) -> None:
        func: Callable[..., Any] = getattr(self.factory, method)
        try:
            self.context.copy().run(func, self, *args)
        except (Exception, KeyboardInterrupt):
            report_failure(Failure(), f"{type(self.factory).__name__}.{method}() raised", self.context)

    @in_turn
    def stopConnecting(self) -> None:
        """End the attempt under way; the factory hears a `UserError`. Raises `NotConnectingError`."""
        if self.state != "connecting":
            raise NotConnectingError(
                f"no attempt is under way: the connector to {self.getDestination()} is {self.state}"
            )
        self.attempt_failed(Failure(UserError()))

    @in_turn
    def disconnect(self) -> None:
        """End the attempt, or close the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def __repr__(self) -> str:
        return f"<Connector to {self.getDestination()}, {self.state}>"
