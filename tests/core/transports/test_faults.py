"""Every call on a socket fails once, with every error: nobody hangs, nothing is left, everybody is told."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import dial, drive, send_reset, serving
from tests.core.transports.faults import Fault, descriptors, faulty_reactor, run_with_every_fault
from wirebook.error import CannotListenError
from wirebook.failure import Failure
from wirebook.protocol import ClientFactory, Factory, Protocol, connectionDone
from wirebook.transports.reactor import Reactor

QUESTION, ANSWER = b"question", b"answer" * 200_000


class Server(Protocol):
    """Sends a long answer, then closes."""

    ends = 0

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(ANSWER)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends += 1
        assert self.ends == 1


class Asker(Protocol):
    """Asks and listens."""

    def connectionMade(self) -> None:
        self.transport.write(QUESTION)
        self.transport.loseWriteConnection()


class Asking(ClientFactory):
    """Counts how often it was told of the end."""

    protocol = Asker

    def __init__(self) -> None:
        self.ends = 0

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.ends += 1

    clientConnectionLost = clientConnectionFailed


def talk(fault: Fault) -> None:
    """A server, a client, a question, a long answer, and the end, on a reactor whose sockets meet `fault`."""
    with faulty_reactor(fault) as reactor:
        try:
            port = reactor.listenTCP(0, Factory.forProtocol(Server))
        except CannotListenError:
            return
        asking = Asking()
        reactor.connectTCP("127.0.0.1", port.getHost().port, asking, timeout=1)
        drive(reactor, lambda: asking.ends)
        drive(reactor, lambda: not reactor.handles.of("connection"))
        port.stopListening()
        for _ in range(3):
            reactor.iterate(0)
        assert asking.ends == 1


@pytest.mark.timeout(120)
def test_a_tcp_conversation_survives_any_error_in_any_call(reported: Reports) -> None:
    run_with_every_fault(talk, reported)


# --- in great numbers


def resident() -> int:
    """The process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connect_and_reset(port: int, times: int) -> None:
    """Connect and hang up with a reset, as port scanners and health checks do."""
    for number in range(times):
        sock = socket.socket()
        # Other source addresses, so that ports do not run out.
        sock.bind((f"127.0.0.{2 + number % 200}", 0))
        sock.connect(("127.0.0.1", port))
        send_reset(sock)


@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc and more than one loopback address are Linux's")
def test_sixty_thousand_resets_leave_nothing_behind(reactor: Reactor) -> None:
    with serving(reactor, Factory.forProtocol(Protocol)) as port:
        connect_and_reset(port.getHost().port, 2000)
        assert eventually(lambda: not reactor.handles.of("connection"))
        gc.collect()
        memory, open_before = resident(), descriptors()
        connect_and_reset(port.getHost().port, 60_000)
        assert eventually(lambda: not reactor.handles.of("connection"))
        gc.collect()
        assert resident() - memory < 2 << 20
        # Fewer is no fault: what earlier tests have dropped may be freed meanwhile.
        assert not descriptors() - open_before


class Broken(Protocol):
    """Raises at every message."""

    def dataReceived(self, data: bytes) -> None:
        raise ValueError("a mistake in the program")


def test_two_thousand_callbacks_that_raise_leave_nothing_behind(reactor: Reactor, reported: Reports) -> None:
    with serving(reactor, Factory.forProtocol(Broken)) as port:
        open_before = descriptors()
        for _ in range(2000):
            with dial(port) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b""
        assert eventually(lambda: not reactor.handles.of("connection"))
        assert descriptors() == open_before
        assert port.acceptedCount == 2000
        assert len(reported()) == 2000
