"""What the reactor's methods check before they open anything: ports, hosts, addresses to connect from."""

from __future__ import annotations

import socket
from typing import Any

from wirebook.error import ServiceNameUnknownError
from wirebook.reactor.timers import check_delay

# Where a port listens unless an interface is named.
LOOPBACK = "127.0.0.1"


def check_port(port: Any, lowest: int) -> int:
    """`port` if it is a port number; otherwise the error names it and what would be right."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"a port is an int from {lowest} to 65535, not {port!r}")
    if not lowest <= port <= 65535:
        free = " (0 means any free one)" if lowest == 0 else ""
        raise ValueError(f"port {port} is out of range: choose {lowest} to 65535{free}")
    return port


def check_tcp_port(port: Any, lowest: int) -> int:
    """As `check_port`, for TCP, where `port` may be a service's name, such as "http". `ServiceNameUnknownError`."""
    if isinstance(port, str):
        try:
            port = socket.getservbyname(port, "tcp")
        except OSError as error:
            raise ServiceNameUnknownError(
                string=f"the port {port!r} is the name of no service that this system knows: use its number"
            ) from error
    return check_port(port, lowest)


def check_destination(verb: str, host: Any, port: Any, timeout: Any, bindAddress: Any) -> int:
    """The number of `port`. An error unless ``verb(host, port, ...)`` can connect with these."""
    if not isinstance(host, str) or not host:
        raise TypeError(f"{verb}() takes a host name or address as a str, not {host!r}")
    if timeout is not None:
        check_delay(timeout)
    if bindAddress is not None:
        _check_address(bindAddress)
    return check_tcp_port(port, 1)


def _check_address(address: Any) -> None:
    if not (isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str)):
        raise TypeError(f'bindAddress is a pair like ("127.0.0.1", 0), not {address!r}')
    check_port(address[1], 0)
