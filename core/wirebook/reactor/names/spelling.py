"""How hosts are written: as numbers, as names, and as names beyond ASCII (IDNA, RFC 5891)."""

from __future__ import annotations

import socket

from wirebook.address import IPAddress, TransportType, from_sockaddr

SOCKET_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def ip_address(host: str, port: int = 0, kind: TransportType = "TCP") -> IPAddress | None:
    """The address that `host` spells in numbers, None when it is a name. Asks nobody.

    IPv6 may have a scope, ``fe80::1%eth0`` (RFC 4007, section 11).
    """
    try:
        # As bytes: for text, Python would load its codec for names first, which fails when descriptors have run out.
        found = socket.getaddrinfo(host.encode("ascii"), port, type=SOCKET_TYPES[kind], flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return None
    return from_sockaddr(found[0][4], kind)


def idna_bytes(text: str) -> bytes:
    """A host name as it is sent: ASCII as it is, anything else encoded. Raises UnicodeError when it cannot be."""
    # The rules of IDNA forbid names that are common in ASCII, such as those with an underscore.
    if text.isascii():
        return text.encode("ascii")
    import idna

    return idna.encode(text, uts46=True)


def idna_text(octets: bytes) -> str:
    """A host name as people read it. Raises UnicodeError when it is not one."""
    text = octets.decode("ascii")
    if "xn--" not in text.lower():
        return text
    import idna

    return idna.decode(text)
