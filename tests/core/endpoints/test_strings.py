"""Endpoints from their descriptions."""

from __future__ import annotations

import os
import socket
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tests.core.net_kit import PATIENCE, Echo, Recorder, receive_exactly
from wirebook.endpoints import (
    EndpointArgumentError,
    EndpointStringError,
    HostnameEndpoint,
    StandardIOEndpoint,
    clientFromString,
    connectProtocol,
    kinds,
    serverFromString,
    strings,
)
from wirebook.endpoints.systemd import ListenFDs
from wirebook.protocol import Factory
from wirebook.testing import MemoryReactor
from wirebook.transports.reactor import Reactor

FACTORY = Factory.forProtocol(Echo)


@pytest.mark.parametrize(
    ("description", "asked"),
    [
        ("tcp:1234", (1234, FACTORY, 50, "")),
        ("TCP:port=1234:backlog=12:interface=10.0.0.1", (1234, FACTORY, 12, "10.0.0.1")),
        ("tcp:1234:10.0.0.1:12", (1234, FACTORY, 12, "10.0.0.1")),
        ("tcp6:1234:interface=\\:\\:", (1234, FACTORY, 50, "::")),
        ("tcp6:1234", (1234, FACTORY, 50, "::1")),
    ],
)
def test_tcp_servers(description: str, asked: Any) -> None:
    reactor = MemoryReactor()
    serverFromString(reactor, description).listen(FACTORY)
    assert reactor.tcpServers == [asked]


@pytest.mark.parametrize(
    ("description", "asked"),
    [
        ("unix:/run/x", ("/run/x", FACTORY, 50, 0o666, True)),
        ("unix:address=/run/x:mode=660:backlog=7:lockfile=0", ("/run/x", FACTORY, 7, 0o660, False)),
        ("unix:foo\\:bar\\=baz", ("foo:bar=baz", FACTORY, 50, 0o666, True)),
    ],
)
def test_unix_servers(description: str, asked: Any) -> None:
    reactor = MemoryReactor()
    serverFromString(reactor, description).listen(FACTORY)
    assert reactor.unixServers == [asked]


@pytest.mark.parametrize(
    ("description", "asked"),
    [
        ("tcp:example.org:80", ("example.org", 80, 30, None)),
        ("TCP:host=example.org:80", ("example.org", 80, 30, None)),
        ("tcp:example.org:port=80:timeout=7:bindAddress=10.0.0.2", ("example.org", 80, 7, ("10.0.0.2", 0))),
        ("tcp:port=80:host=\\:\\:1", ("::1", 80, 30, None)),
    ],
)
def test_tcp_clients(description: str, asked: Any) -> None:
    reactor = MemoryReactor()
    clientFromString(reactor, description).connect(FACTORY)
    host, port, _, timeout, bound = reactor.tcpClients[0]
    assert (host, port, timeout, bound) == asked


@pytest.mark.parametrize(
    ("description", "asked"),
    [("unix:/run/x", ("/run/x", 30, False)), (b"unix:path=/run/x:lockfile=1:timeout=9", ("/run/x", 9, True))],
)
def test_unix_clients(description: Any, asked: Any) -> None:
    reactor = MemoryReactor()
    clientFromString(reactor, description).connect(FACTORY)
    path, _, timeout, check = reactor.unixClients[0]
    assert (path, timeout, check) == asked


def test_standard_input_and_output_need_nothing_more() -> None:
    for description in ("stdio", "stdio:"):
        assert isinstance(serverFromString(MemoryReactor(), description), StandardIOEndpoint)


def test_a_connection_in_memory(reactor: Reactor) -> None:
    port = serverFromString(reactor, "memory:chat").listen(FACTORY).wait(PATIENCE)
    client = connectProtocol(clientFromString(reactor, "memory:chat:timeout=3"), Recorder()).wait(PATIENCE)
    client.transport.loseConnection()
    client.end()
    port.stopListening()


def test_a_server_over_unix_and_its_client(any_reactor: Reactor, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    port = serverFromString(any_reactor, f"unix:{path}:mode=600").listen(FACTORY).wait(PATIENCE)
    assert path.stat().st_mode & 0o777 == 0o600
    client = connectProtocol(clientFromString(any_reactor, f"unix:{path}:lockfile=1"), Recorder()).wait(PATIENCE)
    client.transport.loseConnection()
    client.end()
    port.stopListening()


# --- descriptors ------------------------------------------------------------------------------------------


def listening_descriptor() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return os.dup(server.fileno())


def test_an_inherited_descriptor_is_served(any_reactor: Reactor) -> None:
    descriptor = listening_descriptor()
    port = serverFromString(any_reactor, f"fd:{descriptor}").listen(FACTORY).wait(PATIENCE)
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=PATIENCE) as caller:
        caller.sendall(b"hello")
        assert receive_exactly(caller, 5) == b"hello"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    port.stopListening()


@pytest.mark.parametrize("how", ["index=1", "name=second"])
def test_a_descriptor_from_systemd_is_served(any_reactor: Reactor, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    descriptor = listening_descriptor()
    monkeypatch.setattr(kinds, "inherited", lambda: ListenFDs([0, descriptor], ["first", "second"]))
    port = serverFromString(any_reactor, f"systemd:domain=INET:{how}").listen(FACTORY).wait(PATIENCE)
    assert port.getHost().host == "127.0.0.1"
    port.stopListening()


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ("systemd:domain=INET:index=2", "there is no descriptor 2: systemd has handed over 1"),
        ("systemd:domain=INET:name=other", r"there is no descriptor 'other': systemd has handed over \['first'\]"),
        ("systemd:domain=INET", "needs index or name of the descriptor, and not both"),
        ("systemd:domain=INET:index=0:name=first", "needs index or name of the descriptor, and not both"),
        ("systemd:domain=IPX:index=0", "the domain is 'IPX', and should be INET, INET6 or UNIX"),
        ("fd:999999", "the descriptor 999999 is no socket: Bad file descriptor"),
    ],
)
def test_descriptors_that_are_not_there_are_pointed_at(
    monkeypatch: pytest.MonkeyPatch, description: str, problem: str
) -> None:
    monkeypatch.setattr(kinds, "inherited", lambda: ListenFDs([0], ["first"]))
    with pytest.raises(EndpointStringError, match=problem):
        serverFromString(MemoryReactor(), description)


# --- TLS --------------------------------------------------------------------------------------------------


def test_a_tls_client_races_the_addresses_of_its_host() -> None:
    endpoint: Any = clientFromString(MemoryReactor(), "tls:example.org:443:timeout=7:bindAddress=10.0.0.2")
    below = endpoint.endpoint
    assert isinstance(below, HostnameEndpoint)
    assert repr(below) == "<HostnameEndpoint example.org:443>"
    assert (below._timeout, below._bindAddress) == (7, ("10.0.0.2", 0))


def test_a_tls_client_may_go_another_way() -> None:
    reactor = MemoryReactor()
    clientFromString(reactor, "tls:example.org:443:endpoint=unix\\:/run/x").connect(FACTORY)
    assert reactor.unixClients[0][0] == "/run/x"


# --- kinds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ("tpc:80", "Unknown endpoint type: 'tpc'; did you mean 'tcp'?"),
        ("gopher:80", "Unknown endpoint type: 'gopher'; there are "),
        ("tcp:http", "the port is 'http', and should be a number from 0 to 65535"),
        ("haproxy:tcp:http", "the port is 'http', and should be a number from 0 to 65535"),
        ("tls:/no/such/directory", "'/no/such/directory' is no directory"),
    ],
)
def test_what_makes_no_server_is_pointed_at(description: str, problem: str) -> None:
    with pytest.raises(EndpointStringError) as caught:
        serverFromString(MemoryReactor(), description)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("description", ["stdio:", "tcp6:::1:80", "systemd:INET:0"])
def test_not_every_kind_of_server_is_one_of_client(description: str) -> None:
    with pytest.raises(ValueError, match="Unknown endpoint type"):
        clientFromString(MemoryReactor(), description)


def test_a_value_that_is_missing_is_an_error_of_both_kinds() -> None:
    for kind in (TypeError, ValueError, EndpointArgumentError):
        with pytest.raises(kind, match="tcp needs a value for port"):
            serverFromString(MemoryReactor(), "tcp:")


class Plugin:
    """What an entry point leads to."""

    prefix = "mine"

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> Any:
        return reactor, args, kwargs

    parseStreamClient = parseStreamServer


def install_plugin(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    def entry_points(group: str) -> list[EntryPoint]:
        assert group in ("wirebook.endpoints.server", "wirebook.endpoints.client")
        return [EntryPoint(name, value, group)]

    monkeypatch.setattr(strings, "entry_points", entry_points)


@pytest.mark.parametrize("read", [serverFromString, clientFromString])
def test_more_kinds_come_from_plugins(monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
    monkeypatch.setattr(sys.modules[__name__], "plugin", Plugin(), raising=False)
    install_plugin(monkeypatch, "mine", f"{__name__}:plugin")
    reactor = MemoryReactor()
    assert read(reactor, "Mine:foo:qux=a\\:b:bar") == (reactor, ("foo", "bar"), {"qux": "a:b"})


def test_a_plugin_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(monkeypatch, "mine", "no_such_module:plugin")
    with pytest.raises(ModuleNotFoundError) as caught:
        serverFromString(MemoryReactor(), "mine:foo")
    assert "the endpoint plug-in 'mine' (no_such_module:plugin)" in caught.value.__notes__[0]


def test_what_this_distribution_brings_is_found() -> None:
    endpoint: Any = serverFromString(MemoryReactor(), "haproxy:tcp:8007:interface=127.0.0.1")
    reactor = endpoint.endpoint._reactor
    endpoint.listen(FACTORY)
    port, factory, backlog, interface = reactor.tcpServers[0]
    assert (port, backlog, interface) == (8007, 50, "127.0.0.1")
    assert factory.wrappedFactory is FACTORY
