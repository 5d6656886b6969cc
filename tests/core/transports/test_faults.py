"""Every call on a socket fails once, with every error: nobody hangs, nothing is left, everybody is told."""

from __future__ import annotations

import gc
import logging
import os
import random
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, dial, drive, receive_all, send_reset, serving
from tests.core.tls_kit import authority, client_context, localhost, server_options, serving_tls
from tests.core.transports.faults import Fault, descriptors, faulty_reactor, run_with_every_fault
from wirebook.error import CannotListenError, ConnectionLost
from wirebook.failure import Failure
from wirebook.protocol import ClientFactory, Factory, Protocol, connectionDone
from wirebook.transports.listening import Port
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


def over_tcp(reactor: Reactor, client: Asking) -> Port:
    """A server on TCP, and a client that connects to it."""
    port = reactor.listenTCP(0, Factory.forProtocol(Server))
    reactor.connectTCP("127.0.0.1", port.getHost().port, client, timeout=1)
    return port


def over_tls(reactor: Reactor, client: Asking) -> Port:
    """The same on TLS."""
    port = reactor.listenSSL(0, Factory.forProtocol(Server), server_options())
    options = authority().clientOptions("localhost")
    reactor.connectSSL("127.0.0.1", port.getHost().port, client, options, timeout=1)
    return port


def talk(connect: Callable[[Reactor, Asking], Port], fault: Fault) -> None:
    """A server, a client, a question, a long answer, and the end, on a reactor whose sockets meet `fault`."""
    with faulty_reactor(fault) as reactor:
        asking = Asking()
        try:
            port = connect(reactor, asking)
        except CannotListenError:
            return
        drive(reactor, lambda: asking.ends)
        drive(reactor, lambda: not reactor.handles.of("connection"))
        port.stopListening()
        for _ in range(3):
            reactor.iterate(0)
        assert asking.ends == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("connect", [over_tcp, over_tls])
def test_a_conversation_survives_any_error_in_any_call(
    connect: Callable[[Reactor, Asking], Port], reported: Reports
) -> None:
    run_with_every_fault(partial(talk, connect), reported)


class FileServer(Protocol):
    """Sends a file, then closes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def dataReceived(self, data: bytes) -> None:
        self._file = self._path.open("rb")
        transport: Any = self.transport
        transport.writeFile(self._file, 0, len(ANSWER))
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._file.close()


@pytest.mark.timeout(120)
def test_a_file_on_its_way_survives_any_error_of_sendfile(
    monkeypatch: pytest.MonkeyPatch, reported: Reports, tmp_path: Path
) -> None:
    current, real = Fault(), os.sendfile
    path = tmp_path / "file"
    path.write_bytes(ANSWER)

    def sendfile(*args: Any) -> int:
        current.meet("sendfile")
        return real(*args)

    def connect(reactor: Reactor, client: Asking) -> Port:
        port = reactor.listenTCP(0, Factory.forProtocol(partial(FileServer, path)))
        reactor.connectTCP("127.0.0.1", port.getHost().port, client, timeout=1)
        return port

    def send(fault: Fault) -> None:
        nonlocal current
        current = fault
        talk(connect, Fault())

    monkeypatch.setattr(os, "sendfile", sendfile)
    run_with_every_fault(send, reported)


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


class Counted(Factory):
    """Counts the connections that ended, and how many of them did so in order."""

    noisy = False

    def __init__(self) -> None:
        self.ended = self.in_order = 0

    def buildProtocol(self, addr: Any) -> Protocol:
        protocol = Protocol()
        protocol.connectionLost = self.count  # type: ignore[method-assign, assignment]
        return protocol

    def count(self, reason: Failure) -> None:
        """A connection has ended."""
        self.ended += 1
        self.in_order += not issubclass(reason.type, ConnectionLost)


def hello() -> bytearray:
    """What a client says first."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return bytearray(outgoing.read())


def bad_hello(dice: random.Random, number: int) -> bytes:
    """Noise, noise in a record, or a hello that was changed."""
    if number % 3 == 0:
        return dice.randbytes(dice.randrange(1, 600))
    if number % 3 == 1:
        noise = dice.randbytes(dice.randrange(1, 600))
        return b"\x16\x03\x01" + len(noise).to_bytes(2) + noise
    changed = hello()
    for _ in range(8):
        changed[dice.randrange(5, 80)] ^= dice.randrange(1, 256)
    return bytes(changed)


def say_garbage(port: Port, times: int) -> None:
    """Connect, say what is no good beginning of TLS, and wait for the end."""
    dice = random.Random(3)
    for number in range(times):
        with dial(port) as sock:
            sock.sendall(bad_hello(dice, number))
            sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                receive_all(sock)


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_three_thousand_garbage_hellos_leave_nothing_behind(reactor: Reactor) -> None:
    factory = Counted()
    with serving_tls(reactor, factory) as port:
        say_garbage(port, 300)
        assert eventually(lambda: factory.ended == 300)
        gc.collect()
        memory, open_before = resident(), descriptors()
        say_garbage(port, 3000)
        assert eventually(lambda: factory.ended == 3300)
        gc.collect()
        assert factory.in_order == 0
        assert not reactor.getDelayedCalls()
        assert resident() - memory < 2 << 20
        assert not descriptors() - open_before


@pytest.mark.timeout(60)
def test_two_hundred_handshakes_that_stall_are_closed_and_leave_nothing_behind(reactor: Reactor) -> None:
    options = localhost().options()
    options.handshakeTimeout = 0.2
    factory = Counted()
    half = hello()[:100]
    with serving_tls(reactor, factory, options) as port, ExitStack() as clients:
        open_before = descriptors()
        for number in range(200):
            sock = clients.enter_context(dial(port))
            if number % 2:
                sock.sendall(half)
        assert eventually(lambda: factory.ended == 200, PATIENCE)
        assert factory.in_order == 0
        assert not reactor.getDelayedCalls()
        clients.close()
        assert not descriptors() - open_before


class Broken(Protocol):
    """Raises at every message."""

    def dataReceived(self, data: bytes) -> None:
        raise ValueError("a mistake in the program")


def raise_in_callbacks(port: Port, times: int) -> None:
    """Make so many callbacks raise, each on its own connection."""
    for _ in range(times):
        with dial(port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b""


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_two_thousand_callbacks_that_raise_leave_nothing_behind(
    reactor: Reactor, reported: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest would keep every report and its text.
    monkeypatch.setattr(logging.getLogger("wirebook"), "propagate", False)
    with serving(reactor, Factory.forProtocol(Broken)) as port:
        # As many, so that the memory for the reports themselves is there already.
        raise_in_callbacks(port, 2000)
        assert eventually(lambda: not reactor.handles.of("connection"))
        assert len(reported()) == 2000
        gc.collect()
        memory, open_before = resident(), descriptors()
        raise_in_callbacks(port, 2000)
        assert eventually(lambda: not reactor.handles.of("connection"))
        assert port.acceptedCount == 4000
        assert len(reported()) == 2000
        gc.collect()
        assert not reactor.getDelayedCalls()
        assert resident() - memory < 2 << 20
        assert not descriptors() - open_before
