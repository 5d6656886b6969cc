"""Sockets from elsewhere: inherited from whoever started the program, or received over a UNIX socket.

Each method takes a duplicate, so the caller closes its descriptor as soon as the method has returned. A file of a
UNIX socket stays when its port is closed: who made it may remove it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from wirebook.address import UNIXAddress, from_sockaddr
from wirebook.error import UnsupportedAddressFamily, UnsupportedSocketType
from wirebook.interfaces import IProtocolFactory
from wirebook.protocol import build_protocol, check_factory
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._ends import End
from wirebook.transports.listening import Port
from wirebook.transports.tcp import Connection
from wirebook.transports.unix import UNIXConnection, UNIXPort
from wirebook.turn import in_turn

T = TypeVar("T")

_FAMILIES = {socket.AF_INET: "AF_INET", socket.AF_INET6: "AF_INET6", getattr(socket, "AF_UNIX", None): "AF_UNIX"}


class AdoptedPort(Port):
    """A TCP port whose socket was listening before; it cannot be opened again once it is closed."""

    _adopted: socket.socket | None = None

    def _open(self) -> tuple[socket.socket, Any]:
        sock = _taken(self)
        host = from_sockaddr(sock.getsockname())
        self.interface = host.host
        self.own_address = None if host.host in ("0.0.0.0", "::") else host
        return sock, host


class AdoptedUNIXPort(UNIXPort):
    """A UNIX port whose socket was listening before; it cannot be opened again once it is closed."""

    _adopted: socket.socket | None = None

    def _open(self) -> tuple[socket.socket, UNIXAddress]:
        sock = _taken(self)
        return sock, UNIXAddress(sock.getsockname())


def _taken(port: AdoptedPort | AdoptedUNIXPort) -> socket.socket:
    sock, port._adopted = port._adopted, None
    if sock is None:
        raise RuntimeError(f"{port!r} is closed for good: its socket came from elsewhere")
    return sock


class AdoptedConnection(End, Connection):
    """A TCP connection that stood before; ``factory`` has built its protocol."""

    __slots__ = ("_factory",)
    role = "server"
    port = None

    def __init__(self, reactor: ReactorBase, sock: socket.socket, factory: IProtocolFactory) -> None:
        self._factory = factory
        super().__init__(reactor, sock, sock.getpeername())

    @property
    def factory(self) -> Any:
        """The factory that built the protocol."""
        return self._factory


class AdoptedUNIXConnection(End, UNIXConnection):
    """A UNIX-domain connection that stood before; ``factory`` has built its protocol."""

    __slots__ = ("_factory",)
    role = "server"
    port = None

    def __init__(self, reactor: ReactorBase, sock: socket.socket, factory: IProtocolFactory) -> None:
        self._factory = factory
        super().__init__(reactor, sock, UNIXAddress(sock.getsockname()), UNIXAddress(sock.getpeername()))

    @property
    def factory(self) -> Any:
        """The factory that built the protocol."""
        return self._factory


class AdoptingMethods(ReactorBase):
    """The part of the reactor that takes over sockets from elsewhere; for datagrams see ``adoptDatagramPort``."""

    @in_turn
    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Port | UNIXPort:
        """Serve connections to a socket that is bound and listening, of the family `addressFamily`, with `factory`.

        Raises `UnsupportedAddressFamily` for a family other than AF_INET, AF_INET6 and AF_UNIX, or another one than the
        socket's, `UnsupportedSocketType` for a socket of another type, OSError for what is no socket, `TypeError` for
        what is not a factory.
        """
        check_factory(factory, "adoptStreamPort")
        sock = self._adopt(fileDescriptor, addressFamily)
        port: AdoptedPort | AdoptedUNIXPort
        if sock.family == getattr(socket, "AF_UNIX", None):
            port = AdoptedUNIXPort(self, os.fsencode(sock.getsockname()), factory, 0, 0, False)
        else:
            port = AdoptedPort(self, sock.getsockname()[1], factory, 0, "")
        port._adopted = sock
        port.startListening()
        return port

    @in_turn
    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Serve a socket that is connected with a protocol from `factory`; returns the transport.

        It is closed, and None returned, when the factory gives None. The factory is not told of a start or stop.
        Raises as `adoptStreamPort`.
        """
        check_factory(factory, "adoptStreamConnection")
        sock = self._adopt(fileDescriptor, addressFamily)
        transport = _closing_on_error(sock, lambda: self._connection(sock, factory))
        if transport is None:
            sock.close()
        return transport

    def _connection(self, sock: socket.socket, factory: IProtocolFactory) -> Any:
        is_unix = sock.family == getattr(socket, "AF_UNIX", None)
        peer = UNIXAddress(sock.getpeername()) if is_unix else from_sockaddr(sock.getpeername())
        protocol = build_protocol(factory, peer)
        if protocol is None:
            return None
        transport = (AdoptedUNIXConnection if is_unix else AdoptedConnection)(self, sock, factory)
        transport.begin(protocol)
        return transport

    def _adopt(self, descriptor: int, family: int) -> socket.socket:
        """A duplicate of a stream socket of that family."""
        if family not in _FAMILIES:
            raise UnsupportedAddressFamily(
                f"the address family is {family!r}, and should be one of {', '.join(_FAMILIES.values())}"
            )
        sock = self.sockets.adopt(os.dup(descriptor), family, socket.SOCK_STREAM)
        return _closing_on_error(sock, lambda: _checked(sock))


def _checked(sock: socket.socket) -> socket.socket:
    kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if kind != socket.SOCK_STREAM:
        raise UnsupportedSocketType(f"a stream socket is needed (SOCK_STREAM), not one of type {kind}")
    if hasattr(socket, "SO_DOMAIN"):
        real = sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
        if real != sock.family:
            is_, said = _FAMILIES.get(real, real), _FAMILIES[sock.family]
            raise UnsupportedAddressFamily(f"the socket is of the family {is_}, not {said}")
    return sock


def _closing_on_error(sock: socket.socket, action: Callable[[], T]) -> T:
    try:
        return action()
    except BaseException:
        sock.close()
        raise
