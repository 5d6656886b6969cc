"""TCP connections (RFC 9293), from the server's and from the client's side."""

from __future__ import annotations

import errno
import socket
import struct
from contextvars import Context
from typing import TYPE_CHECKING, Any

from wirebook.address import IPAddress, from_sockaddr
from wirebook.error import (
    describe,
)
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._ends import AcceptedEnd, ConnectingEnd
from wirebook.transports.stream import SocketTransport
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.transports.connecting import Connector
    from wirebook.transports.listening import Port

# l_onoff, l_linger: closing discards what is queued and sends a reset.
_LINGER_RESET = struct.pack("ii", 1, 0)


def family_of(host: str) -> socket.AddressFamily | None:
    """The address family of a numeric host, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return family
    return None


def bindable(host: str, port: int, family: int) -> Any:
    """What ``bind()`` takes for this place; a scope ("fe80::1%eth0") is a number to the system."""
    if family == socket.AF_INET6 and "%" in host:
        return socket.getaddrinfo(host, port, family)[0][4]
    return host, port


class Connection(SocketTransport):
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
            self._host = from_sockaddr(self._below.getsockname())
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

    @in_turn
    def getTcpNoDelay(self) -> bool:
        """Whether small segments are sent at once."""
        return bool(self._require_socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    @in_turn
    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small segments at once (on, as from the start) or let Nagle's algorithm gather them (off)."""
        self._require_socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(enabled))

    @in_turn
    def getTcpKeepAlive(self) -> bool:
        """Whether the system probes an idle connection."""
        return bool(self._require_socket().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    @in_turn
    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Probe an idle connection, so that a vanished peer is noticed (after hours, by the usual defaults)."""
        self._require_socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))

    def _prepare_abort(self) -> None:
        if self._channel is not None:
            self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)


class Server(AcceptedEnd, Connection):
    """The server's end of a connection; ``port`` is the `Port` that accepted it."""

    __slots__ = ("port",)

    port: Port

    def __init__(self, port: Port, sock: socket.socket, peer: Any) -> None:
        self.port = port
        super().__init__(port.reactor, sock, peer, port.context)

    def getHost(self) -> Any:
        """The address of this end."""
        # Most ports have one address, so nobody needs to ask the system.
        return self.port.own_address or super().getHost()


class Client(ConnectingEnd, Connection):
    """The client's end of a connection, from the first attempt on."""

    __slots__ = ("connector",)

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        super().__init__(connector.reactor, None, connector.getDestination(), connector.context)

    def attempt(self, family: int, sockaddr: Any, bind_to: tuple[str, int] | None) -> None:
        """Begin to connect; the connector hears how it ends. May raise OSError at once."""
        self._channel = sock = self.reactor.sockets.open(family)
        self._fd = sock.fileno()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if bind_to is not None:
            try:
                sock.bind(bindable(*bind_to, family))
            except OSError as error:
                raise BindFailed(f"cannot connect from {bind_to[0]}:{bind_to[1]}: {describe(error)}") from error
        self._peer = sockaddr
        code = sock.connect_ex(sockaddr)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "")
        self.await_connection()


class BindFailed(OSError):
    """The local address of a connection could not be taken."""
