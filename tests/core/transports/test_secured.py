"""``listenSSL`` and ``connectSSL``."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL

from tests.conftest import Reports, eventually
from tests.core.net_kit import Recorders, dial, free_port, receive_exactly
from tests.core.tls_kit import (
    Secured,
    SecuredEcho,
    authority,
    connecting_tls,
    python_client,
    server_options,
    serving_tls,
)
from wirebook.error import ConnectionDone, ConnectionRefusedError
from wirebook.protocol import Factory
from wirebook.ssl import ClientContextFactory, ContextFactory
from wirebook.transports.reactor import Reactor


def test_a_port_is_a_handle_that_says_tls(reactor: Reactor) -> None:
    with serving_tls(reactor, Recorders(Secured)) as port:
        assert (port.transportName, port.kind, port.state) == ("TLS", "port", "listening")
        assert port.getHost().host == "127.0.0.1"
        assert "on TLS 127.0.0.1" in repr(port)
    assert port.state == "closed"


def test_a_port_counts_its_connections(reactor: Reactor) -> None:
    with serving_tls(reactor, Recorders(SecuredEcho)) as port:
        with python_client(port.port) as sock:
            sock.sendall(b"12345")
            assert receive_exactly(sock, 5) == b"12345"
            assert (port.connectionCount, port.acceptedCount) == (1, 1)
        assert eventually(lambda: port.connectionCount == 0)
        assert (port.bytesReceived, port.bytesSent) == (5, 5)


def test_the_client_factory_hears_the_whole_story(reactor: Reactor) -> None:
    with serving_tls(reactor, Recorders(SecuredEcho)) as port:
        with connecting_tls(reactor, port.port, Secured) as (client, factory):
            client.safe().transport.loseConnection()
            assert isinstance(factory.error(), ConnectionDone)
        assert factory.events == ["start", "connecting", "lost", "stop"]


def test_nobody_there_is_a_failed_connection(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    reactor.connectSSL("127.0.0.1", free_port(), factory, authority().clientOptions("localhost"))
    assert isinstance(factory.error(), ConnectionRefusedError)
    assert factory.events == ["start", "connecting", "failed", "stop"]


def test_a_failed_handshake_is_a_lost_connection(reactor: Reactor) -> None:
    with serving_tls(reactor, Recorders(Secured)) as port:
        options = authority().clientOptions("elsewhere.example")
        with connecting_tls(reactor, port.port, Secured, options) as (client, factory):
            assert isinstance(factory.error(), SSL.Error)
            assert factory.events == ["start", "connecting", "lost", "stop"]
            assert not client.secured.is_set()


def test_older_context_factories_work_on_both_sides(reactor: Reactor) -> None:
    class Server(ContextFactory):
        def getContext(self) -> SSL.Context:
            return server_options().getContext()

    with (
        serving_tls(reactor, Recorders(SecuredEcho), Server()) as port,
        connecting_tls(reactor, port.port, Secured, ClientContextFactory()) as (client, _),
    ):
        client.transport.write(b"old")
        assert eventually(lambda: client.data == b"old")


def test_any_object_that_makes_connections_works(reactor: Reactor) -> None:
    layers = []

    class Creator:
        def serverConnectionForTLS(self, layer: Any) -> SSL.Connection:
            layers.append(layer)
            return SSL.Connection(server_options().getContext(), None)

    factory = Recorders(SecuredEcho)
    with serving_tls(reactor, factory, Creator()) as port, python_client(port.port) as sock:
        sock.sendall(b"made")
        assert receive_exactly(sock, 4) == b"made"
        assert layers[0].factory.wrappedFactory is factory


def test_what_the_options_raise_for_one_connection_ends_that_one(reactor: Reactor, reported: Reports) -> None:
    class Moody:
        def serverConnectionForTLS(self, layer: Any) -> SSL.Connection:
            raise ValueError("not today")

        clientConnectionForTLS = serverConnectionForTLS

    factory = Recorders(Secured)
    with serving_tls(reactor, factory, Moody()) as port:
        with dial(port) as sock:
            assert sock.recv(1) == b""
        assert "gave no TLS for TLS 127.0.0.1" in reported.wait()[0].getMessage()
        assert eventually(lambda: port.connectionCount == 0)
    clients = Recorders(Secured)
    with serving_tls(reactor, factory) as port:
        reactor.connectSSL("127.0.0.1", port.port, clients, Moody())
        assert isinstance(clients.error(), ValueError)
        assert clients.events[-2:] == ["failed", "stop"]
    assert len(reported.wait()) == 1


@pytest.mark.parametrize("options", [None, object(), "cert.pem", authority().clientOptions("localhost")])
def test_listening_without_good_options_is_refused_at_once(reactor: Reactor, options: Any) -> None:
    with pytest.raises(TypeError, match=r"TLS as a server needs options such as wirebook\.ssl\.CertificateOptions"):
        reactor.listenSSL(0, Recorders(Secured), options)
    assert len(reactor.handles) == 0


def test_connecting_without_good_options_is_refused_at_once(reactor: Reactor) -> None:
    with pytest.raises(TypeError, match=r"TLS as a client needs options such as wirebook\.ssl\.optionsForClientTLS"):
        reactor.connectSSL("127.0.0.1", 1, Recorders(Secured), None)


def test_a_context_factory_that_gives_no_context_is_refused(reactor: Reactor) -> None:
    class Empty:
        def getContext(self) -> None:
            """Forgets to return it."""

    with pytest.raises(TypeError, match=r"gave None, not an OpenSSL\.SSL\.Context"):
        reactor.listenSSL(0, Recorders(Secured), Empty())


def test_a_protocol_class_is_no_factory(reactor: Reactor) -> None:
    protocol: Any = Secured
    servers: Any = Factory()
    with pytest.raises(TypeError, match=r"listenSSL\(\) takes a factory"):
        reactor.listenSSL(0, protocol, server_options())
    with pytest.raises(TypeError, match=r"connectSSL\(\) takes a factory"):
        reactor.connectSSL("127.0.0.1", 1, servers, authority().clientOptions("localhost"))


def test_the_application_protocols_of_the_factory_count(reactor: Reactor) -> None:
    class Spoken(Recorders[Secured]):
        def acceptableProtocols(self) -> list[bytes]:
            return [b"chat/2", b"chat/1"]

    servers, clients = Spoken(Secured), Spoken(Secured)
    with serving_tls(reactor, servers) as port:
        connector = reactor.connectSSL("127.0.0.1", port.port, clients, authority().clientOptions("localhost"))
        assert clients.number(0).safe().transport.negotiatedProtocol == b"chat/2"
        assert servers.number(0).safe().transport.negotiatedProtocol == b"chat/2"
        connector.disconnect()
        clients.number(0).end()
