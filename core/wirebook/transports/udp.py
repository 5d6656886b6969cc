"""UDP ports (RFC 768), with one peer or with any number of them.

What a program should know of UDP, and what is made of it here:

- Addresses are numeric: looking a name up takes time, and ``write`` has none. `InvalidAddressError` names what
  was given; ``reactor.resolve`` looks names up.
- "Nobody is there" comes back as an ICMP message (RFC 1122, section 4.1.3.3), and only a socket with one peer is
  told: ``connectionRefused``. It is about an earlier datagram; the present one is sent all the same.
- A port on 127.0.0.1, as it is unless an interface is named, reaches this machine only.
- An IPv6 address of one link has the link in it, ``fe80::1%eth0``, for else nobody could answer it.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from wirebook.address import IPAddress, IPv4Address, IPv6Address, from_sockaddr
from wirebook.error import CannotListenError, InvalidAddressError, UnsupportedAddressFamily, UnsupportedSocketType
from wirebook.interfaces import IDatagramProtocol
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._checks import LOOPBACK, check_port
from wirebook.transports._segments import has_segments
from wirebook.transports.datagram import DatagramPort
from wirebook.transports.tcp import family_of
from wirebook.turn import in_turn

BROADCAST = "<broadcast>"
# How many addresses a port remembers to be good ones; when there are more it starts anew.
_REMEMBERED = 1024
_ADDRESS_HINTS = {
    errno.EACCES: "; call setBroadcastAllowed(True) before you send to everybody",
    errno.EPERM: "; a firewall of this machine forbids it",
}


class UDPPort(DatagramPort):
    """An open UDP port; see `DatagramPort`. ``addressFamily`` is AF_INET or AF_INET6, as its interface's is."""

    transportName = "UDP"

    def __init__(
        self, reactor: ReactorBase, port: int, protocol: IDatagramProtocol, interface: str, maxPacketSize: int
    ) -> None:
        super().__init__(reactor, protocol, maxPacketSize)
        self.interface = interface
        self.addressFamily = check_interface(interface)
        self._port = port
        self._adopted: socket.socket | None = None
        # The addresses written to lately, each with what the socket is given for it.
        self._destinations: dict[Any, Any] = {}
        if self.addressFamily == socket.AF_INET6:
            self._receiver = _ShortAddresses(self)

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self._host.port) if self._host is not None else self._port

    # --- opening -------------------------------------------------------------------------------------

    def _open(self) -> tuple[socket.socket, IPAddress]:
        try:
            sock = self._new_socket()
            self._run.possible = has_segments(sock)
            try:
                return sock, from_sockaddr(sock.getsockname(), "UDP")
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            refusal = CannotListenError(self.interface, self._port, error)
            refusal.transportName = "UDP"
            raise refusal from error

    def _new_socket(self) -> socket.socket:
        if self._adopted is not None:
            adopted, self._adopted = self._adopted, None
            return adopted
        sock = self.reactor.sockets.open(self.addressFamily, socket.SOCK_DGRAM)
        try:
            if self.addressFamily == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            self._prepare(sock)
            sock.bind(_sockaddr(self.interface, self._port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _prepare(self, sock: socket.socket) -> None:
        """Set options before the socket is bound; subclasses override it."""

    def adopt(self, descriptor: int) -> None:
        """Use a duplicate of this open and bound descriptor instead of opening a socket."""
        duplicate = os.dup(descriptor)
        sock = self.reactor.sockets.adopt(duplicate, -1, -1)
        try:
            if sock.type != socket.SOCK_DGRAM:
                raise UnsupportedSocketType(f"a datagram socket is needed (SOCK_DGRAM), not one of type {sock.type}")
            if sock.family != self.addressFamily:
                raise UnsupportedAddressFamily(f"the socket is of the family {sock.family}, not {self.addressFamily}")
        except BaseException:
            sock.close()
            raise
        self._adopted = sock

    # --- addresses -----------------------------------------------------------------------------------

    @in_turn
    def connect(self, host: str, port: int) -> None:
        """Connected mode: send to this IP address only and receive from it only; ``connectionRefused`` is called.

        Raises `InvalidAddressError` for a host name or an address of another family, RuntimeError when the port
        has a peer already, OSError where the system knows no way to the address.
        """
        if self._peer is not None:
            raise RuntimeError(f"{self!r} has a peer already: open another port for another one")
        sock = self._require_socket()
        destination = self._checked(host, port)
        code = sock.connect_ex(destination)
        if code:
            raise self._explained(OSError(code, os.strerror(code)), destination)
        self._peer = (host, port)
        self._host = from_sockaddr(sock.getsockname(), "UDP")
        self.state = "connected"
        self._choose_way()

    @property
    def peerAddress(self) -> IPAddress | None:
        """The address of the one peer in connected mode, otherwise None."""
        if self._peer is None:
            return None
        if self.addressFamily == socket.AF_INET:
            return IPv4Address("UDP", *self._peer)
        return IPv6Address("UDP", *_sockaddr(*self._peer))

    def _destination(self, addr: Any) -> Any:
        self._require_socket()
        if self._peer is not None:
            if addr is None or tuple(addr) == self._peer:
                return None
            host, port = self._peer
            raise InvalidAddressError(addr, f"this port is connected to {host} port {port} and sends there only")
        try:
            return self._destinations[addr]
        except (KeyError, TypeError):
            return self._remember(addr)

    def _remember(self, addr: Any) -> Any:
        if not isinstance(addr, tuple | list) or len(addr) < 2:
            raise InvalidAddressError(addr, 'give a pair like ("127.0.0.1", 5353), or connect() the port first')
        destination = self._checked(addr[0], addr[1])
        if len(self._destinations) >= _REMEMBERED:
            self._destinations.clear()
        self._destinations[tuple(addr)] = destination
        return destination

    def _checked(self, host: Any, port: Any) -> Any:
        """What the socket is given for this address. Raises `InvalidAddressError`."""
        family = socket.AF_INET if host == BROADCAST else check_address(host)
        if family != self.addressFamily:
            mine, its = ("IPv6", "IPv4") if self.addressFamily == socket.AF_INET6 else ("IPv4", "IPv6")
            raise InvalidAddressError(host, f"this is an {its} address, and the port speaks {mine}")
        return _sockaddr(host, check_port(port, 1))

    def _explained(self, error: OSError, addr: Any) -> OSError:
        code = error.errno or errno.EIO
        hint = _ADDRESS_HINTS.get(code, "")
        if self._host.host in (LOOPBACK, "::1"):
            hint = f'; a port on {self._host.host} reaches this machine only: name interface="0.0.0.0" or "::"'
        place = self._peer if addr is None else addr
        return OSError(code, f"cannot send to {place[0]} port {place[1]}: {os.strerror(code)}{hint}")

    def _too_long(self, datagram: bytes) -> str:
        most = 65507 if self.addressFamily == socket.AF_INET else 65527
        return (
            f"a datagram of {len(datagram)} bytes is too long: {most} are possible, and more than about 1400 "
            "travel in fragments outside this machine"
        )

    # --- broadcast -----------------------------------------------------------------------------------

    @in_turn
    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Allow (or no longer) to send to everybody on a network; ``"<broadcast>"`` is everybody on all of them."""
        self._require_socket().setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, bool(enabled))

    @in_turn
    def getBroadcastAllowed(self) -> bool:
        """Whether this port may send to everybody on a network."""
        return bool(self._require_socket().getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))


class _ShortAddresses:
    """Between an IPv6 port and its protocol, which knows a sender as (host, port) too."""

    def __init__(self, port: UDPPort) -> None:
        self._port = port

    def datagramReceived(self, datagram: bytes, sender: Any) -> None:
        port = self._port
        host, number, _, scope = sender
        if scope:
            addr = f"{host}%{socket.if_indextoname(scope)}", number
        else:
            # The socket takes it as it is.
            addr = port._sender = host, number
        port.protocol.datagramReceived(datagram, addr)


def _sockaddr(host: str, port: int) -> Any:
    """What the socket module takes for an address; the link of an IPv6 address as a number (RFC 4007, section 11)."""
    name, _, scope = host.partition("%")
    if not scope:
        return host, port
    try:
        index = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    except OSError as error:
        raise InvalidAddressError(host, f"this machine has no interface {scope!r}") from error
    return name, port, 0, index


def check_address(host: Any) -> socket.AddressFamily:
    """The family of the numeric address `host`. Raises `InvalidAddressError` for anything else."""
    return _checked_family(host, ": a host name is to be looked up first, with reactor.resolve()")


def check_interface(interface: Any) -> socket.AddressFamily:
    """The family of an interface's address. Raises `InvalidAddressError`."""
    return _checked_family(interface, ' of this machine, like "127.0.0.1", "0.0.0.0" or "::"')


def _checked_family(host: Any, right: str) -> socket.AddressFamily:
    family = family_of(host) if isinstance(host, str) else None
    if family is None:
        raise InvalidAddressError(host, f"not an IPv4 or IPv6 address{right}")
    return family


class UDPMethods(ReactorBase):
    """The part of the reactor that speaks UDP."""

    @in_turn
    def listenUDP(
        self, port: int, protocol: IDatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> UDPPort:
        """Open a UDP port for `protocol`, a `DatagramProtocol`; it receives and sends, for clients and servers.

        `port` is 0 (any free one; ask ``getHost().port``) to 65535. `interface` is a numeric address of this
        machine; without one only this machine is reached (127.0.0.1), "0.0.0.0" and "::" are all interfaces.
        `maxPacketSize` is how many bytes of a datagram are received at most. Raises `CannotListenError`,
        `InvalidAddressError` for what is no interface, `ValueError` and `TypeError` for the other arguments.
        """
        check_interface(interface or LOOPBACK)
        opened = UDPPort(self, check_port(port, 0), protocol, interface or LOOPBACK, maxPacketSize)
        opened.startListening()
        return opened

    @in_turn
    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: IDatagramProtocol, maxPacketSize: int = 8192
    ) -> UDPPort:
        """As `listenUDP`, on a duplicate of a bound UDP socket that was opened elsewhere; the caller closes its own.

        Raises `UnsupportedAddressFamily` for a family other than AF_INET and AF_INET6, or another one than the
        socket's, `UnsupportedSocketType` for a socket of another type, OSError for what is no socket.
        """
        anywhere = {int(socket.AF_INET): "0.0.0.0", int(socket.AF_INET6): "::"}.get(int(addressFamily))
        if anywhere is None:
            raise UnsupportedAddressFamily(f"a UDP socket's family is AF_INET or AF_INET6, not {addressFamily!r}")
        adopting = UDPPort(self, 0, protocol, anywhere, maxPacketSize)
        adopting.adopt(fileDescriptor)
        adopting.startListening()
        return adopting
