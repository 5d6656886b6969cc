"""TLS endpoints: over TCP, and around other endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.net_kit import PATIENCE, Echo, Recorder
from tests.core.tls_kit import authority, localhost
from wirebook.deferred import succeed
from wirebook.endpoints import (
    HostnameEndpoint,
    MemoryClientEndpoint,
    MemoryServerEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
    wrapClientTLS,
    wrapServerTLS,
)
from wirebook.endpoints.tls import WrapperClientEndpoint
from wirebook.error import ConnectingCancelledError
from wirebook.protocol import Factory
from wirebook.testing import MemoryReactor
from wirebook.transports.reactor import Reactor


class Greeter(Recorder):
    """Says hello, and good bye when it has been answered."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.data == b"hello":
            self.certificate = self.transport.getPeerCertificate()
            self.transport.loseConnection()


def greet(server: Any, client: Any) -> None:
    """Greet over `client` whoever is at `server`."""
    port = server.listen(Factory.forProtocol(Echo)).wait(PATIENCE)
    try:
        protocol = connectProtocol(client(port), Greeter()).wait(PATIENCE)
        protocol.end()
        assert protocol.certificate is not None
    finally:
        port.stopListening()


def test_tls_over_tcp_in_one_piece(any_reactor: Reactor) -> None:
    greet(
        SSL4ServerEndpoint(any_reactor, 0, localhost().options()),
        lambda port: SSL4ClientEndpoint(any_reactor, "127.0.0.1", port.port, authority().clientOptions("localhost")),
    )


def test_tls_around_another_endpoint(any_reactor: Reactor) -> None:
    greet(
        wrapServerTLS(localhost().options(), TCP4ServerEndpoint(any_reactor, 0), any_reactor),
        lambda port: wrapClientTLS(
            authority().clientOptions("localhost"), TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port), any_reactor
        ),
    )


def test_tls_to_a_name(any_reactor: Reactor) -> None:
    greet(
        SSL4ServerEndpoint(any_reactor, 0, localhost().options()),
        lambda port: wrapClientTLS(
            authority().clientOptions("localhost"), HostnameEndpoint(any_reactor, "localhost", port.port), any_reactor
        ),
    )


def test_tls_in_memory(reactor: Reactor) -> None:
    greet(
        wrapServerTLS(localhost().options(), MemoryServerEndpoint(reactor, "safe"), reactor),
        lambda port: wrapClientTLS(
            authority().clientOptions("localhost"), MemoryClientEndpoint(reactor, "safe"), reactor
        ),
    )


def test_cancelling_reaches_what_is_wrapped(reactor: Reactor) -> None:
    memory = MemoryReactor()
    endpoint = wrapClientTLS(authority().clientOptions("localhost"), TCP4ClientEndpoint(memory, "192.0.2.1", 80))
    connected = connectProtocol(endpoint, Recorder())
    connected.cancel()
    with pytest.raises(ConnectingCancelledError):
        connected.wait(PATIENCE)


def test_the_reactor_is_asked_for_what_the_endpoint_was_made_with() -> None:
    reactor, factory, options = MemoryReactor(), Factory.forProtocol(Echo), object()
    SSL4ServerEndpoint(reactor, 443, options).listen(factory)
    SSL4ServerEndpoint(reactor, 443, options, 7, "192.0.2.1").listen(factory)
    assert reactor.sslServers == [(443, factory, options, 50, ""), (443, factory, options, 7, "192.0.2.1")]
    SSL4ClientEndpoint(reactor, "192.0.2.1", 443, options, 5, ("192.0.2.2", 0)).connect(factory)
    host, port, _, used, timeout, bound = reactor.sslClients[0]
    assert (host, port, used, timeout, bound) == ("192.0.2.1", 443, options, 5, ("192.0.2.2", 0))


def test_a_wrapped_endpoint_gives_the_program_s_protocol() -> None:
    class Outer:
        def __init__(self, inner: Any) -> None:
            self.wrappedProtocol = inner

    class Around(Factory):
        def __init__(self, factory: Any) -> None:
            self.factory = factory

        def buildProtocol(self, addr: Any) -> Any:
            return Outer(self.factory.buildProtocol(addr))

    class Straight:
        def connect(self, factory: Any) -> Any:
            return succeed(factory.buildProtocol(None))

    mine = Recorder()
    assert connectProtocol(WrapperClientEndpoint(Straight(), Around), mine).wait(PATIENCE) is mine
