"""Services that open a port or make a connection with the reactor's methods."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port
from tests.core.tls_kit import Secured, SecuredEcho, authority, server_options
from wirebook.error import CannotListenError, ConnectionDone
from wirebook.installed import the_reactor
from wirebook.protocol import ConnectedDatagramProtocol, DatagramProtocol, Factory
from wirebook.service import (
    MulticastServer,
    MultiService,
    SSLClient,
    SSLServer,
    TCPClient,
    TCPServer,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from wirebook.ssl import optionsForClientTLS
from wirebook.transports.reactor import Reactor


@contextmanager
def running(*services: Any) -> Iterator[MultiService]:
    """A started collection of these services, which is stopped at the end of the block."""
    whole = MultiService()
    for service in services:
        service.setServiceParent(whole)
    whole.startService()
    try:
        yield whole
    finally:
        whole.stopService().wait(PATIENCE)


def server_of(kind: str, reactor: Reactor, path: Path) -> Any:
    """A server of one kind; on any free port."""
    if kind == "UNIX":
        return UNIXServer(str(path / "socket"), Factory.forProtocol(Echo), reactor=reactor)
    if kind == "SSL":
        return SSLServer(0, Factory.forProtocol(SecuredEcho), server_options(), reactor=reactor)
    return TCPServer(0, Factory.forProtocol(Echo), interface="127.0.0.1", reactor=reactor)


def client_of(kind: str, reactor: Reactor, path: Path) -> tuple[Any, Recorders[Any]]:
    """A client of that kind for the port that is open, and its factory."""
    (port,) = reactor.handles.of("port")
    clients = Recorders(Secured if kind == "SSL" else Recorder)
    if kind == "UNIX":
        return UNIXClient(str(path / "socket"), clients, reactor=reactor), clients
    number = port.localAddress.port
    if kind == "SSL":
        options = optionsForClientTLS("localhost", authority().certificate)
        return SSLClient("127.0.0.1", number, clients, options, reactor=reactor), clients
    return TCPClient("127.0.0.1", number, clients, timeout=5, reactor=reactor), clients


def echoed(protocol: Any) -> Any:
    """The protocol, after a byte went and came."""
    protocol.transport.write(b"x")
    assert eventually(lambda: protocol.data == b"x", PATIENCE)
    return protocol


@pytest.mark.parametrize("kind", ["TCP", "UNIX", "SSL"])
def test_a_client_and_a_server_talk_while_they_run(reactor: Reactor, tmp_path: Path, kind: str) -> None:
    server = server_of(kind, reactor, tmp_path)
    for _ in range(2):
        with running(server):
            client, clients = client_of(kind, reactor, tmp_path)
            assert (server.method, client.method) == (kind, kind)
            with running(client):
                protocol = echoed(clients.number(0))
            assert isinstance(protocol.end(), ConnectionDone)
        assert not reactor.handles.of("port")
        assert not server.running


@pytest.mark.parametrize("kind", [UDPServer, MulticastServer])
def test_a_udp_port_is_open_while_the_service_runs(reactor: Reactor, kind: Any) -> None:
    protocol = DatagramProtocol()
    with running(kind(0, protocol, interface="127.0.0.1", reactor=reactor)):
        assert reactor.handles.of("port") == [protocol.transport]
    assert not reactor.handles.of("port")


def test_unix_datagram_sockets_are_open_while_their_services_run(reactor: Reactor, tmp_path: Path) -> None:
    name = str(tmp_path / "socket")
    server = UNIXDatagramServer(name, DatagramProtocol(), reactor=reactor)
    client = UNIXDatagramClient(name, ConnectedDatagramProtocol(), reactor=reactor)
    with running(server, client):
        assert [port.peerAddress is not None for port in reactor.handles.of("port")] == [False, True]
    assert not reactor.handles.of("port")


def test_a_port_is_opened_once_however_the_service_is_started(reactor: Reactor) -> None:
    service = TCPServer(0, Factory(), reactor=reactor)
    service.privilegedStartService()
    assert not service.running
    service.startService()
    assert len(reactor.handles.of("port")) == 1
    assert outcome(service.stopService()) is None  # type: ignore[arg-type]


def test_what_cannot_be_opened_raises_and_the_service_does_not_run(reactor: Reactor) -> None:
    with running(TCPServer(0, Factory(), reactor=reactor)):
        (port,) = reactor.handles.of("port")
        second = TCPServer(port.localAddress.port, Factory(), reactor=reactor)
        with pytest.raises(CannotListenError):
            second.startService()
        assert not second.running
        assert second.stopService() is None


def test_without_a_reactor_it_is_the_process_s() -> None:
    service = TCPServer(0, Factory())
    service.startService()
    assert len(the_reactor().handles.of("port")) == 1
    service.stopService()


def test_a_client_that_never_got_a_connection_can_be_stopped(reactor: Reactor) -> None:
    clients = Recorders(Recorder)
    service = TCPClient("127.0.0.1", free_port(), clients, reactor=reactor)
    service.startService()
    clients.error()
    service.stopService()
    assert not service.running


@pytest.mark.parametrize("duplicate", [copy.copy, lambda service: pickle.loads(pickle.dumps(service))])
def test_a_copy_has_no_port_and_does_not_run(duplicate: Callable[[Any], Any]) -> None:
    service = TCPServer(0, Factory())
    service.startService()
    twin = duplicate(service)
    assert not twin.running
    assert twin.stopService() is None
    assert len(the_reactor().handles.of("port")) == 1
    service.stopService()
