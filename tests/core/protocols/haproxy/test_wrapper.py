"""Serving behind a proxy."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, dial, free_port, receive_all, receive_exactly
from wirebook.address import IPv4Address
from wirebook.endpoints import TCP4ServerEndpoint, serverFromString
from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.protocol import Factory
from wirebook.protocols.haproxy import HAProxyWrappingFactory, proxyEndpoint, wrapper
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor

HEADER = b"PROXY TCP4 1.1.1.1 2.2.2.2 8080 8888\r\n"


class Wrapped:
    """A wrapper on a transport that only remembers, and what its factory has built."""

    def __init__(self) -> None:
        self.factory = Recorders(Recorder)
        self.wrapper = HAProxyWrappingFactory(self.factory).buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.transport = StringTransport(IPv4Address("TCP", "192.0.2.2", 2), IPv4Address("TCP", "192.0.2.1", 1))
        self.wrapper.makeConnection(self.transport)


def test_the_program_s_protocol_begins_with_the_header() -> None:
    wrapped = Wrapped()
    assert wrapped.wrapper.getPeer().host == "192.0.2.1"
    assert wrapped.wrapper.getHost().host == "192.0.2.2"
    for at in range(len(HEADER)):
        assert wrapped.factory.protocols == []
        wrapped.wrapper.dataReceived(HEADER[at : at + 1])
    (protocol,) = wrapped.factory.protocols
    assert protocol.transport is wrapped.wrapper
    assert protocol.transport.getPeer() == IPv4Address("TCP", "1.1.1.1", 8080)
    assert protocol.transport.getHost() == IPv4Address("TCP", "2.2.2.2", 8888)
    assert wrapped.wrapper.wrappedProtocol is protocol


def test_what_follows_the_header_is_the_program_s() -> None:
    wrapped = Wrapped()
    wrapped.wrapper.dataReceived(HEADER + b"hel")
    wrapped.wrapper.dataReceived(b"lo")
    (protocol,) = wrapped.factory.protocols
    assert protocol.data == b"hello"
    protocol.transport.write(b"bye")
    assert wrapped.transport.value() == b"bye"
    wrapped.wrapper.connectionLost(Failure(ConnectionDone()))
    assert isinstance(protocol.end(), ConnectionDone)


def test_without_addresses_the_connection_s_own_are_told() -> None:
    wrapped = Wrapped()
    wrapped.wrapper.dataReceived(b"PROXY UNKNOWN\r\n")
    assert wrapped.factory.protocols[0].transport.getPeer().host == "192.0.2.1"
    assert wrapped.factory.protocols[0].transport.getHost().host == "192.0.2.2"


def test_the_factory_is_asked_with_the_client_s_address() -> None:
    asked: list[Any] = []

    class Picky(Factory):
        def buildProtocol(self, addr: Any) -> None:
            asked.append(addr)

    outer = HAProxyWrappingFactory(Picky()).buildProtocol(None)
    transport = StringTransport()
    outer.makeConnection(transport)
    outer.dataReceived(HEADER + b"more")
    assert asked == [IPv4Address("TCP", "1.1.1.1", 8080)]
    assert transport.disconnecting


@pytest.mark.parametrize("pieces", [[b"GET / HTTP/1.1\r\n"], [b"PROXY TCP4 1.1.1.1\r\n", b"2.2.2.2 8080\r\n"]])
def test_a_connection_without_a_header_is_closed_and_never_seen(pieces: list[bytes]) -> None:
    wrapped = Wrapped()
    for piece in pieces:
        wrapped.wrapper.dataReceived(piece)
    assert wrapped.transport.disconnecting
    wrapped.wrapper.connectionLost(Failure(ConnectionDone()))
    assert wrapped.factory.protocols == []


def test_what_only_some_protocols_have_is_told_from_what_the_transport_has() -> None:
    wrapped = Wrapped()
    wrapped.wrapper.dataReceived(HEADER)
    assert not hasattr(wrapped.wrapper, "readConnectionLost")
    assert wrapped.wrapper.value is not None

    class Half(Recorder):
        def readConnectionLost(self) -> None:
            """Lives on."""

    wrapped.wrapper.protocol = Half()
    assert hasattr(wrapped.wrapper, "readConnectionLost")


def test_a_factory_is_started_and_stopped_with_its_port(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    port = proxyEndpoint(TCP4ServerEndpoint(any_reactor, 0)).listen(factory).wait(PATIENCE)
    port.stopListening()
    assert factory.events == ["start", "stop"]
    assert HAProxyWrappingFactory(factory).logPrefix() == "Recorders (PROXY)"


# --- over sockets -----------------------------------------------------------------------------------------


@contextmanager
def proxied(reactor: Reactor, factory: Any) -> Iterator[Any]:
    port = serverFromString(reactor, "haproxy:tcp:0").listen(factory).wait(PATIENCE)
    try:
        yield port
    finally:
        port.stopListening()


def test_a_header_over_tcp(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with proxied(any_reactor, factory) as port, dial(port) as caller:
        caller.sendall(HEADER + b"hello")
        assert receive_exactly(caller, 5) == b"hello"
        assert factory.number(0).transport.getPeer().host == "1.1.1.1"
    factory.number(0).end()


def test_a_caller_that_says_nothing_is_closed(any_reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrapper, "HEADER_TIMEOUT", 0.01)
    factory = Recorders(Echo)
    with proxied(any_reactor, factory) as port, dial(port) as caller:
        assert receive_all(caller) == b""
    assert factory.protocols == []


class Web(Recorder):
    """Tells curl who it is and where it went."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if b"\r\n\r\n" in self.data:
            body = f"{self.transport.getPeer().host} {self.transport.getHost()}".encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.transport.loseConnection()


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, timeout=20, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_says_who_it_is(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    with proxied(any_reactor, Recorders(Web)) as port:
        url = f"http://127.0.0.1:{port.port}/"
        assert run([peer("curl"), "-sS", "--haproxy-protocol", url]) == f"127.0.0.1 127.0.0.1:{port.port}"
        # Without the header it is turned away.
        assert subprocess.run([peer("curl"), "-sS", url], capture_output=True, timeout=20).returncode in (52, 56)


CONFIGURATION = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend one
    bind 127.0.0.1:{one}
    default_backend one
backend one
    server here 127.0.0.1:{port} send-proxy
frontend two
    bind 127.0.0.1:{two}
    default_backend two
backend two
    server here 127.0.0.1:{port} send-proxy-v2
"""


def test_haproxy_says_who_connected_in_both_versions(
    any_reactor: Reactor, peer: Callable[[str], str], tmp_path: Path
) -> None:
    one, two = free_port(), free_port()
    with proxied(any_reactor, Recorders(Web)) as port:
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(one=one, two=two, port=port.port))
        proxy = subprocess.Popen([peer("haproxy"), "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL)
        try:
            for front in (one, two):
                command = [peer("curl"), "-sS", "--retry-connrefused", "--retry", "20", "--retry-delay", "0"]
                command += ["--retry-max-time", "10", "--interface", "127.0.0.3", f"http://127.0.0.1:{front}/"]
                assert eventually(partial(listens, front), PATIENCE)
                assert run(command) == f"127.0.0.3 127.0.0.1:{front}"
        finally:
            proxy.terminate()
            proxy.wait(PATIENCE)


def listens(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0
