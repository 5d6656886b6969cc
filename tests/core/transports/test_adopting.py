"""Sockets from elsewhere, taken over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorders, receive_exactly
from wirebook.address import IPv4Address, UNIXAddress
from wirebook.error import ConnectionDone, UnsupportedAddressFamily, UnsupportedSocketType
from wirebook.protocol import Factory
from wirebook.transports.reactor import Reactor


@pytest.fixture(params=["tcp", "tcp6", "unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    if request.param == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "socket"))
    else:
        sock = socket.socket(socket.AF_INET if request.param == "tcp" else socket.AF_INET6)
        sock.bind(("127.0.0.1" if request.param == "tcp" else "::1", 0))
    sock.listen()
    with sock:
        yield sock


def test_a_listening_socket_is_served(any_reactor: Reactor, listening: socket.socket) -> None:
    name, family = listening.getsockname(), listening.family
    factory = Recorders(Echo)
    port = any_reactor.adoptStreamPort(listening.fileno(), family, factory)
    listening.close()
    assert factory.events == ["start"]
    with socket.socket(family) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(name)
        caller.sendall(b"hello")
        assert receive_exactly(caller, 5) == b"hello"
        host = factory.number(0).transport.getHost()
        assert host == port.getHost()
    factory.number(0).end()
    port.stopListening()
    assert factory.events == ["start", "stop"]
    if isinstance(name, str):
        assert os.path.exists(name)


def test_a_closed_one_stays_closed(reactor: Reactor, listening: socket.socket) -> None:
    port = reactor.adoptStreamPort(listening.fileno(), listening.family, Factory.forProtocol(Echo))
    port.stopListening()
    with pytest.raises(RuntimeError, match="its socket came from elsewhere"):
        port.startListening()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_connection_is_served(any_reactor: Reactor, family: int) -> None:
    factory = Recorders(Echo)
    here, there = connected_pair(family)
    with there:
        transport = any_reactor.adoptStreamConnection(here.fileno(), family, factory)
        here.close()
        there.sendall(b"hello")
        assert receive_exactly(there, 5) == b"hello"
        assert (transport.kind, transport.state, transport.label) == ("connection", "open", "Echo")
        kind = IPv4Address if family == socket.AF_INET else UNIXAddress
        assert isinstance(transport.getPeer(), kind)
        assert isinstance(transport.getHost(), kind)
    assert isinstance(factory.number(0).end(), ConnectionDone)
    assert factory.events == []


def connected_pair(family: int) -> tuple[socket.socket, socket.socket]:
    if family == socket.AF_UNIX:
        here, there = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            there = socket.create_connection(server.getsockname())
            here, _ = server.accept()
    here.setblocking(False)
    there.settimeout(PATIENCE)
    return here, there


def test_a_connection_that_the_factory_refuses_is_closed(reactor: Reactor) -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    here, there = connected_pair(socket.AF_INET)
    with there:
        assert reactor.adoptStreamConnection(here.fileno(), socket.AF_INET, Refusing()) is None
        here.close()
        assert there.recv(1) == b""


def test_a_factory_that_raises_leaves_nothing_open(reactor: Reactor) -> None:
    class Raising(Factory):
        def buildProtocol(self, addr: Any) -> None:
            raise ValueError("boom")

    here, there = connected_pair(socket.AF_INET)
    with there:
        with pytest.raises(ValueError, match="boom"):
            reactor.adoptStreamConnection(here.fileno(), socket.AF_INET, Raising())
        here.close()
        assert there.recv(1) == b""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list descriptors")
@pytest.mark.parametrize(
    ("kind", "family", "error"),
    [
        (socket.SOCK_STREAM, socket.AF_INET6, UnsupportedAddressFamily),
        (socket.SOCK_STREAM, 12345, UnsupportedAddressFamily),
        (socket.SOCK_DGRAM, socket.AF_INET, UnsupportedSocketType),
    ],
)
def test_what_fits_nothing_is_refused_and_left_alone(reactor: Reactor, kind: int, family: int, error: Any) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        before = descriptors()
        with pytest.raises(error):
            reactor.adoptStreamPort(sock.fileno(), family, Factory.forProtocol(Echo))
        with pytest.raises(error):
            reactor.adoptStreamConnection(sock.fileno(), family, Factory.forProtocol(Echo))
        assert eventually(lambda: descriptors() == before)


def test_what_is_no_socket_is_refused(reactor: Reactor) -> None:
    with open(os.devnull) as file, pytest.raises(OSError, match=r"not a socket|non-socket"):
        reactor.adoptStreamPort(file.fileno(), socket.AF_INET, Factory.forProtocol(Echo))


def test_what_is_no_factory_is_refused(reactor: Reactor) -> None:
    wrong: Any = Echo
    with pytest.raises(TypeError, match=r"adoptStreamPort\(\) takes a factory"):
        reactor.adoptStreamPort(0, socket.AF_INET, wrong)
