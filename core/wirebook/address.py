"""Addresses: where a transport's two ends are."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

TransportType: TypeAlias = Literal["TCP", "UDP"]


@dataclass(frozen=True, slots=True)
class IPv4Address:
    """An IPv4 endpoint: ``type`` ("TCP" or "UDP"), ``host`` as a dotted quad, ``port``."""

    type: TransportType
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class IPv6Address:
    """An IPv6 endpoint: as `IPv4Address`, with the flow label and the scope (RFC 3493, section 3.3)."""

    type: TransportType
    host: str
    port: int
    flowInfo: int = 0
    scopeID: int | str = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}"


@dataclass(frozen=True, slots=True)
class HostnameAddress:
    """A name and a port before the name is looked up. ``hostname`` is bytes, as in Twisted."""

    hostname: bytes
    port: int

    def __str__(self) -> str:
        return f"{self.hostname.decode('ascii', 'backslashreplace')}:{self.port}"


@dataclass(frozen=True, slots=True)
class UNIXAddress:
    """A UNIX-domain socket: ``name`` is its path as bytes, None when it has none.

    A name that begins with a zero byte is abstract: known to the kernel alone (Linux). Two addresses are equal
    when their names are, or when both are paths to the same socket.
    """

    name: bytes | None

    def __init__(self, name: str | bytes | os.PathLike[str] | None) -> None:
        object.__setattr__(self, "name", os.fsencode(name) if name else None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UNIXAddress):
            return NotImplemented
        return self.name == other.name or (self._file() is not None and self._file() == other._file())

    def __hash__(self) -> int:
        return hash(self._file() or self.name)

    def _file(self) -> tuple[int, int] | None:
        """What the file system knows the socket by, None when there is no such file."""
        if self.name is None or self.name.startswith(b"\0"):
            return None
        try:
            found = os.stat(self.name)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def __repr__(self) -> str:
        return f"UNIXAddress({None if self.name is None else os.fsdecode(self.name)!r})"

    def __str__(self) -> str:
        if self.name is None:
            return "unnamed"
        # The notation of ss(8) and of most documentation.
        return os.fsdecode(b"@" + self.name[1:] if self.name.startswith(b"\0") else self.name)


IPAddress: TypeAlias = IPv4Address | IPv6Address


def from_sockaddr(sockaddr: Any, kind: TransportType = "TCP") -> IPAddress:
    """The address object for what the socket module returns: a pair (IPv4) or four values (IPv6)."""
    if len(sockaddr) == 2:
        return IPv4Address(kind, *sockaddr)
    host, port, flow, scope = sockaddr
    if scope and "%" not in host:
        # A link-local host means nothing without its interface: "fe80::1%eth0" (RFC 4007, section 11).
        host = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return IPv6Address(kind, host, port, flow, scope)
