"""The port that accepts TCP connections."""

from __future__ import annotations

import socket
from typing import Any

from wirebook.address import IPAddress, from_sockaddr
from wirebook.error import CannotListenError
from wirebook.interfaces import IProtocolFactory
from wirebook.reactor.loop import ReactorBase
from wirebook.transports.accepting import AcceptingPort
from wirebook.transports.tcp import Server, bindable, family_of


class Port(AcceptingPort):
    """A listening TCP socket; see `AcceptingPort`."""

    transportName = "TCP"

    def __init__(
        self, reactor: ReactorBase, port: int, factory: IProtocolFactory, backlog: int, interface: str
    ) -> None:
        super().__init__(reactor, factory, backlog)
        self.interface = interface
        self.own_address: IPAddress | None = None
        self._port = port

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self._host.port) if self._host is not None else self._port

    def _open(self) -> tuple[socket.socket, Any]:
        try:
            sock, host = self._bound()
        except OSError as error:
            raise CannotListenError(self.interface, self._port, error) from error
        # A port for all interfaces has no address of its own: each of its connections has another one.
        self.own_address = None if host.host in ("0.0.0.0", "::") else host
        return sock, host

    def _bound(self) -> tuple[socket.socket, IPAddress]:
        family = family_of(self.interface)
        if family is None:
            family = socket.getaddrinfo(self.interface, 0, type=socket.SOCK_STREAM)[0][0]
        sock = self.reactor.sockets.open(family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            # Accepted sockets inherit it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            sock.bind(bindable(self.interface, self._port, family))
            sock.listen(self.backlog)
            return sock, from_sockaddr(sock.getsockname())
        except BaseException:
            sock.close()
            raise

    def _peer_address(self, sockaddr: Any) -> IPAddress:
        return from_sockaddr(sockaddr)

    def _new_connection(self, sock: socket.socket, peer: Any) -> Server:
        return Server(self, sock, peer)
