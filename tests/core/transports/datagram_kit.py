"""What the tests of datagram ports share: a protocol that remembers, ports that are closed, plain sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE
from wirebook.failure import Failure
from wirebook.protocol import ConnectedDatagramProtocol, DatagramProtocol


class Listener(DatagramProtocol):
    """Remembers what happened to it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.datagrams: list[tuple[bytes, Any]] = []
        self.ended = threading.Event()

    def startProtocol(self) -> None:
        self.events.append("start")

    def stopProtocol(self) -> None:
        self.events.append("stop")
        self.ended.set()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.datagrams.append((datagram, addr))

    def connectionRefused(self) -> None:
        self.events.append("refused")

    def wait(self, count: int) -> list[bytes]:
        """Wait until there are `count` datagrams; all there are, without their senders."""
        assert eventually(lambda: len(self.datagrams) >= count, PATIENCE), f"{len(self.datagrams)} of {count} came"
        return [datagram for datagram, _ in self.datagrams]


class Answerer(Listener):
    """Sends everything back."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        super().datagramReceived(datagram, addr)
        self.transport.write(datagram, addr)


class ConnectedListener(ConnectedDatagramProtocol):
    """The same for a port whose protocol has one peer."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.datagrams: list[bytes] = []
        self.failure: Failure | None = None

    def startProtocol(self) -> None:
        self.events.append("start")

    def stopProtocol(self) -> None:
        self.events.append("stop")

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # as the class has it
        self.datagrams.append(datagram)

    def connectionRefused(self) -> None:
        self.events.append("refused")

    def connectionFailed(self, failure: Failure) -> None:
        self.failure = failure


@contextmanager
def closing(*ports: Any) -> Iterator[Any]:
    """Close the ports at the end of the block, and wait until their protocols know."""
    try:
        yield ports[0] if len(ports) == 1 else ports
    finally:
        for port in ports:
            port.stopListening().wait(PATIENCE)


@contextmanager
def plain_socket(family: int = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A blocking UDP socket of the standard library's, bound to `host`."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(PATIENCE)
        yield sock


def address(port: Any) -> tuple[str, int]:
    """Where a port is, as the socket module wants it."""
    host = port.getHost()
    return host.host, host.port


class DatagramTap:
    """A wiretap that wants to know the peers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes, Any]] = []
        self.events: list[str] = []

    def data(self, direction: str, data: bytes) -> None:
        raise AssertionError("datagram() is called instead")

    def datagram(self, direction: str, data: bytes, peer: Any) -> None:
        """Keep it."""
        self.seen.append((direction, data, peer))

    def event(self, name: str) -> None:
        self.events.append(name)


class StreamTap:
    """A wiretap that knows only of bytes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    def data(self, direction: str, data: bytes) -> None:
        self.seen.append((direction, data))

    def event(self, name: str) -> None:
        pass
