"""UDP ports that join groups (RFC 1112 and 3376, for IPv6 RFC 2710 and 3493, section 5.2).

Some facts about groups that shape this file:

- A socket that is bound to an address of the machine hears no group: datagrams to a group have the group as their
  destination. So a port that is to join one is bound to every address, "0.0.0.0" or "::".
- Who shall still hear this machine only, and so it is unless an interface is named, ties the socket to the loopback
  device. The same goes for any device: ``interface="::%eth0"``.
- A group is joined on one interface, and what is sent to a group leaves through one. Where none is named, IPv4
  and IPv6 take the one that the routes say, and that may be none.
- What is sent to a group comes back to members on the same machine, the sender included (the loopback mode).
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import InvalidAddressError, MulticastJoinError, describe
from wirebook.interfaces import IDatagramProtocol
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._checks import check_port
from wirebook.transports.tcp import family_of
from wirebook.transports.udp import UDPPort, check_interface
from wirebook.turn import in_turn

ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
# The device that leads to this machine; the other name is that of macOS and the BSDs.
LOOPBACK_DEVICE = "lo" if sys.platform == "linux" else "lo0"
# IP_BOUND_IF and IPV6_BOUND_IF of macOS, which the socket module does not name.
_MACOS_BOUND_IF = {socket.AF_INET: (socket.IPPROTO_IP, 25), socket.AF_INET6: (socket.IPPROTO_IPV6, 125)}
# IP_MULTICAST_ALL and IPV6_MULTICAST_ALL of Linux. On, as from the start, a socket also hears the groups that other
# programs have joined.
_LINUX_ALL_GROUPS = {socket.AF_INET: (socket.IPPROTO_IP, 49), socket.AF_INET6: (socket.IPPROTO_IPV6, 29)}


class MulticastPort(UDPPort):
    """An open UDP port that can join groups; see `UDPPort`."""

    transportName = "multicast"
    # The whole one: names of groups and interfaces are looked up.
    reactor: Any

    def __init__(
        self,
        reactor: ReactorBase,
        port: int,
        protocol: IDatagramProtocol,
        interface: str,
        maxPacketSize: int,
        listenMultiple: bool,
    ) -> None:
        address, _, self.device = interface.partition("%")
        super().__init__(reactor, port, protocol, address, maxPacketSize)
        self.listenMultiple = listenMultiple

    def _prepare(self, sock: socket.socket) -> None:
        if self.listenMultiple:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            if hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if sys.platform == "linux":
            sock.setsockopt(*_LINUX_ALL_GROUPS[self.addressFamily], 0)
        if self.device:
            self._tie_to_device(sock)

    def _tie_to_device(self, sock: socket.socket) -> None:
        if hasattr(socket, "SO_BINDTODEVICE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
        elif sys.platform == "darwin":
            sock.setsockopt(*_MACOS_BOUND_IF[self.addressFamily], socket.if_nametoindex(self.device))
        else:
            raise OSError(
                f"this system cannot tie a socket to the device {self.device!r}: name an interface without one"
            )

    @property
    def _is_ipv6(self) -> bool:
        return self.addressFamily == socket.AF_INET6

    # --- groups --------------------------------------------------------------------------------------

    def joinGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive what is sent to the group `addr`. Fires when it is joined.

        `interface` is where: an address of this machine (IPv4), an index as in ``socket.if_nameindex()``, or a name;
        without one the port's own device, or what the routes say. Fails with `MulticastJoinError`.
        """
        return self._change_group(addr, interface, joining=True)

    def leaveGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """No longer receive what is sent to the group `addr`, with what it was joined with. Fires when it is left."""
        return self._change_group(addr, interface, joining=False)

    @in_turn
    def _change_group(self, addr: str, interface: str | int, joining: bool) -> Deferred[None]:
        group = self._numeric(addr)

        def change(addresses: tuple[str, Any]) -> None:
            self._set_membership(*addresses, joining=joining)

        def both(group: str) -> Deferred[tuple[str, Any]]:
            where = succeed(interface) if self._is_ipv6 else self._numeric(interface)
            return where.addCallback(lambda where: (group, where))

        return group.addCallback(both).addCallback(change)

    def _numeric(self, host: Any) -> Deferred[Any]:
        """`host` with a name looked up; addresses, indexes and devices stay what they are."""
        if not isinstance(host, str) or not host or family_of(host) is not None or host in _devices():
            return succeed(host)
        found: Deferred[Any] = self.reactor.resolve(host)
        return found

    @in_turn
    def _set_membership(self, group: str, interface: Any, joining: bool) -> None:
        verb = "join" if joining else "leave"
        try:
            level, option, value = self._membership(group, interface, joining)
            self._require_socket().setsockopt(level, option, value)
        except InvalidAddressError as error:
            raise MulticastJoinError(f"cannot {verb} {group!r}: {error}") from error
        except OSError as error:
            where = f" on the interface {interface!r}" if interface else ""
            raise MulticastJoinError(f"cannot {verb} {group}{where}: {describe(error)}") from error

    def _membership(self, group: str, interface: Any, joining: bool) -> tuple[int, int, bytes]:
        """The socket option's level, number and value (ip_mreqn, ipv6_mreq)."""
        packed = self._packed(group)
        if self._is_ipv6:
            option = socket.IPV6_JOIN_GROUP if joining else socket.IPV6_LEAVE_GROUP
            return socket.IPPROTO_IPV6, option, packed + struct.pack("@I", self._index(interface))
        option = socket.IP_ADD_MEMBERSHIP if joining else socket.IP_DROP_MEMBERSHIP
        if isinstance(interface, str) and family_of(interface) is not None:
            return socket.IPPROTO_IP, option, packed + self._packed(interface)
        return socket.IPPROTO_IP, option, packed + struct.pack("@4si", bytes(4), self._index(interface))

    def _packed(self, address: str) -> bytes:
        if family_of(address) != self.addressFamily or "%" in address:
            wanted = "an IPv6 address" if self._is_ipv6 else "an IPv4 address"
            raise InvalidAddressError(address, f"this port needs {wanted}")
        return socket.inet_pton(self.addressFamily, address)

    def _index(self, interface: Any) -> int:
        """The index of an interface given as index, name, or not at all (0: the routes decide)."""
        if isinstance(interface, int) and not isinstance(interface, bool) and interface >= 0:
            return interface
        if not interface or interface == "::":
            return socket.if_nametoindex(self.device) if self.device else 0
        if interface == "::1":
            return socket.if_nametoindex(LOOPBACK_DEVICE)
        _, _, name = str(interface).rpartition("%")
        if name not in _devices():
            raise InvalidAddressError(interface, f"give an interface by index or name; there are {_devices()}")
        return socket.if_nametoindex(name)

    # --- sending to groups ---------------------------------------------------------------------------

    @in_turn
    def getOutgoingInterface(self) -> str | int:
        """Which interface datagrams to groups leave through: an address (IPv4) or an index (IPv6).

        "0.0.0.0" and 0 mean that none was chosen: the port's device, or what the routes say.
        """
        sock = self._require_socket()
        if self._is_ipv6:
            return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
        return socket.inet_ntoa(sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4))

    @in_turn
    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Choose it: by address (IPv4), index or name. Fires with 1; fails with what was wrong.

        A host name is looked up. Fails with `InvalidAddressError`, or OSError where there is no such interface.
        """
        where = succeed(addr) if self._is_ipv6 else self._numeric(addr)
        return where.addCallback(self._set_outgoing)

    @in_turn
    def _set_outgoing(self, where: Any) -> int:
        sock = self._require_socket()
        if self._is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index(where))
        elif isinstance(where, str) and family_of(where) is not None:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, self._packed(where))
        else:
            value = struct.pack("@4s4si", bytes(4), bytes(4), self._index(where))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, value)
        return 1

    def getLoopbackMode(self) -> bool:
        """Whether members on this machine get what this port sends to a group. From the start they do."""
        return bool(self._get_option("LOOP"))

    def setLoopbackMode(self, mode: bool) -> None:
        """Set whether members on this machine get what this port sends."""
        self._set_option("LOOP", int(bool(mode)))

    def getTTL(self) -> int:
        """How many networks datagrams to a group may cross; 1, as from the start, means to stay in this one."""
        return self._get_option("TTL")

    def setTTL(self, ttl: int) -> None:
        """Set how many networks datagrams to a group may cross: 0 (none leaves this machine) to 255."""
        if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= 255:
            raise ValueError(f"ttl is {ttl!r}: choose a number from 0 to 255")
        self._set_option("TTL", ttl)

    def _option(self, name: str) -> tuple[int, int]:
        if self._is_ipv6:
            name = "HOPS" if name == "TTL" else name
            return socket.IPPROTO_IPV6, getattr(socket, f"IPV6_MULTICAST_{name}")
        return socket.IPPROTO_IP, getattr(socket, f"IP_MULTICAST_{name}")

    @in_turn
    def _get_option(self, name: str) -> int:
        return self._require_socket().getsockopt(*self._option(name))

    @in_turn
    def _set_option(self, name: str, value: int) -> None:
        # macOS and the BSDs want a single byte for IPv4.
        given: Any = value if self._is_ipv6 else struct.pack("B", value)
        self._require_socket().setsockopt(*self._option(name), given)


def _devices() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


class MulticastMethods(ReactorBase):
    """The part of the reactor that speaks UDP with groups."""

    @in_turn
    def listenMulticast(
        self,
        port: int,
        protocol: IDatagramProtocol,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> MulticastPort:
        """As `listenUDP`, for a port that can join groups. Which ones it joins with ``joinGroup``.

        Without an `interface` groups are heard and reached on this machine only. "0.0.0.0" and "::" are all
        interfaces, "0.0.0.0%eth0" is one device. A port on another address hears no group, but can send. With
        `listenMultiple` several programs may have the port at the same time, each of them joined.
        """
        interface = interface or f"{ANY[socket.AF_INET]}%{LOOPBACK_DEVICE}"
        check_interface(interface)
        opened = MulticastPort(self, check_port(port, 0), protocol, interface, maxPacketSize, listenMultiple)
        opened.startListening()
        return opened
