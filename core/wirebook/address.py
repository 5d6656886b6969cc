"""Addresses: where a transport's two ends are."""

from __future__ import annotations

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


IPAddress: TypeAlias = IPv4Address | IPv6Address


def from_sockaddr(sockaddr: Any, kind: TransportType = "TCP") -> IPAddress:
    """The address object for what the socket module returns: a pair (IPv4) or four values (IPv6)."""
    if len(sockaddr) == 2:
        return IPv4Address(kind, *sockaddr)
    return IPv6Address(kind, *sockaddr)
