"""The header that a proxy sends before anything else ("The PROXY protocol, versions 1 & 2", haproxy.org). Pure.

Version 1 is a line of text, version 2 a block of bytes. Both begin with what no other protocol begins with.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from wirebook.address import IPv4Address, IPv6Address, TransportType, UNIXAddress

Address = IPv4Address | IPv6Address | UNIXAddress

# Section 2.1: PROXY, a protocol, two addresses, two ports, CRLF; 107 bytes suffice for the longest.
V1_SIGNATURE = b"PROXY "
V1_LIMIT = 107
# Section 2.2: twelve bytes, version and command, family and protocol, and how many bytes follow these sixteen.
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
_ADDRESSES = {1: "!4s4sHH", 2: "!16s16sHH", 3: "!108s108s"}


class InvalidProxyHeader(Exception):
    """What arrived is no PROXY header."""


class InvalidNetworkProtocol(InvalidProxyHeader):
    """The header names a protocol that there is not."""


class MissingAddressData(InvalidProxyHeader):
    """The header has too few addresses, or broken ones."""


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """A header: its bytes (without the line's end), where the connection comes from, and where it went to.

    There are no addresses when the proxy does not know them, or speaks for itself (a health check).
    """

    header: bytes
    source: Address | None
    destination: Address | None


def read_header(data: bytes) -> tuple[ProxyInfo, bytes] | None:
    """The header that `data` begins with, and what follows it; None when there is more to come.

    Raises `InvalidProxyHeader` as soon as it is clear that it is none.
    """
    for signature, read in ((V1_SIGNATURE, _read_v1), (V2_SIGNATURE, _read_v2)):
        if data.startswith(signature):
            return read(data)
        if signature.startswith(data):
            return None
    raise InvalidProxyHeader(f"a connection here begins with a PROXY header, not with {bytes(data[:16])!r}")


# --- version 1 -------------------------------------------------------------------------------------------


def _read_v1(data: bytes) -> tuple[ProxyInfo, bytes] | None:
    line, end, rest = data[: V1_LIMIT + 1].partition(b"\r\n")
    if not end:
        if len(data) >= V1_LIMIT:
            raise InvalidProxyHeader(f"the PROXY line does not end within {V1_LIMIT} bytes")
        return None
    return _parse_line(line), rest + data[V1_LIMIT + 1 :]


def _parse_line(line: bytes) -> ProxyInfo:
    _, protocol, *fields = line.split(b" ")
    if protocol == b"UNKNOWN":
        return ProxyInfo(line, None, None)
    if protocol not in (b"TCP4", b"TCP6"):
        raise InvalidNetworkProtocol(f"the protocol in {line!r} is none of TCP4, TCP6 and UNKNOWN")
    if len(fields) != 4:
        raise MissingAddressData(f"{line!r} should have two addresses and two ports")
    try:
        source, destination, *ports = (field.decode("ascii") for field in fields)
        numbers = [_port(port) for port in ports]
        if protocol == b"TCP4":
            return ProxyInfo(line, _ipv4(source, numbers[0]), _ipv4(destination, numbers[1]))
        return ProxyInfo(line, _ipv6(source, numbers[0]), _ipv6(destination, numbers[1]))
    except ValueError as error:
        raise MissingAddressData(f"{line!r} has a broken address or port: {error}") from error


def _port(text: str) -> int:
    # Leading zeros are forbidden: somebody might take them for octal (section 2.1).
    if not text.isdecimal() or int(text) > 65535 or (len(text) > 1 and text[0] == "0"):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _ipv4(host: str | bytes, port: int, kind: TransportType = "TCP") -> IPv4Address:
    return IPv4Address(kind, str(ipaddress.IPv4Address(host)), port)


def _ipv6(host: str | bytes, port: int, kind: TransportType = "TCP") -> IPv6Address:
    return IPv6Address(kind, str(ipaddress.IPv6Address(host)), port)


# --- version 2 -------------------------------------------------------------------------------------------


def _read_v2(data: bytes) -> tuple[ProxyInfo, bytes] | None:
    if len(data) < _V2_FIXED:
        return None
    size = _V2_FIXED + int.from_bytes(data[14:16], "big")
    version, command = data[12] >> 4, data[12] & 15
    if version != 2 or command > 1:
        raise InvalidProxyHeader(f"a PROXY header of version {version} with the command {command}: 2 with 0 or 1 exist")
    if len(data) < size:
        return None
    header = bytes(data[:size])
    return (_parse_block(header) if command == 1 else ProxyInfo(header, None, None)), data[size:]


def _parse_block(header: bytes) -> ProxyInfo:
    family, protocol = header[13] >> 4, header[13] & 15
    if family > 3 or protocol > 2:
        raise InvalidNetworkProtocol(f"the family {family} with the protocol {protocol}: at most 3 and 2 exist")
    if not family or not protocol:
        return ProxyInfo(header, None, None)
    # What follows the addresses are further details (section 2.2.1), which nobody has to know.
    block, layout = header[_V2_FIXED:], _ADDRESSES[family]
    if len(block) < struct.calcsize(layout):
        raise MissingAddressData(f"{len(block)} bytes for addresses that have {struct.calcsize(layout)}")
    source, destination, *ports = struct.unpack_from(layout, block)
    if family == 3:
        return ProxyInfo(header, _unix(source), _unix(destination))
    make = _ipv4 if family == 1 else _ipv6
    kind: TransportType = "TCP" if protocol == 1 else "UDP"
    return ProxyInfo(header, make(source, ports[0], kind), make(destination, ports[1], kind))


def _unix(name: bytes) -> UNIXAddress:
    return UNIXAddress(name.rstrip(b"\0") or None)
