"""TLS in mid-stream, and what a stream says of it."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL, crypto

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, dial, pair, receive_all, receive_exactly, serving
from tests.core.tls_kit import Secured, SecuredEcho, authority, client_context, python_client, server_options, tls_pair
from wirebook.error import ConnectionDone, NotConnectedError, NotSecuredError
from wirebook.ssl import Certificate, CertificateError, LabAuthority
from wirebook.transports.reactor import Reactor


class StartTLSServer(SecuredEcho):
    """Echoes; the line STARTTLS is answered in the clear and begins TLS."""

    def dataReceived(self, data: bytes) -> None:
        if data == b"STARTTLS\n" and not self.secured.is_set():
            self.transport.write(b"ready\n")
            self.transport.startTLS(server_options())
            self.transport.write(b"(secret)")
        else:
            super().dataReceived(data)


class StartTLSClient(Secured):
    """Asks for TLS and begins it when the server is ready."""

    options: Any = None

    def connectionMade(self) -> None:
        self.transport.write(b"STARTTLS\n")
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if data == b"ready\n":
            self.transport.startTLS(self.options or authority().clientOptions("localhost"))
            self.transport.write(b"hello")
        else:
            super().dataReceived(data)


def test_a_server_starts_tls_in_mid_stream(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(StartTLSServer)) as port, dial(port) as sock:
        sock.sendall(b"plain\n")
        assert receive_exactly(sock, 6) == b"plain\n"
        sock.sendall(b"STARTTLS\n")
        assert receive_exactly(sock, 6) == b"ready\n"
        with client_context().wrap_socket(sock, server_hostname="localhost") as secured:
            assert receive_exactly(secured, 8) == b"(secret)"
            secured.sendall(b"encrypted")
            assert receive_exactly(secured, 9) == b"encrypted"


def test_both_sides_start_tls_in_mid_stream(any_reactor: Reactor) -> None:
    clients = Recorders(StartTLSClient)
    with serving(any_reactor, Recorders(StartTLSServer)) as port:
        any_reactor.connectTCP("127.0.0.1", port.port, clients)
        client = clients.number(0).safe()
        assert eventually(lambda: client.data == b"(secret)hello", PATIENCE)
        client.transport.loseConnection()
        assert isinstance(client.end(), ConnectionDone)


def test_the_sides_may_be_exchanged(reactor: Reactor) -> None:
    class Turned(StartTLSServer):
        def dataReceived(self, data: bytes) -> None:
            if data == b"STARTTLS\n":
                self.transport.write(b"ready\n")
                self.transport.startTLS(authority().clientOptions("localhost"), normal=False)
            else:
                super().dataReceived(data)

    with serving(reactor, Recorders(Turned)) as port, dial(port) as sock:
        sock.sendall(b"STARTTLS\n")
        assert receive_exactly(sock, 6) == b"ready\n"
        server = server_options().serverConnectionForTLS(None)
        server.set_accept_state()
        server.bio_write(sock.recv(65536))
        with pytest.raises(SSL.WantReadError):
            server.do_handshake()
        assert server.get_servername() == b"localhost"


def test_what_was_queued_before_goes_out_in_the_clear(reactor: Reactor) -> None:
    large = b"p" * (16 << 20)

    class Bulky(Secured):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(large)
            self.transport.startTLS(server_options())
            self.transport.write(b"secret")

    with serving(reactor, Recorders(Bulky)) as port, dial(port) as sock:
        sock.sendall(b"go")
        assert receive_exactly(sock, len(large)) == large
        with client_context().wrap_socket(sock, server_hostname="localhost") as secured:
            assert receive_exactly(secured, 6) == b"secret"


def test_a_producer_that_was_paused_goes_on_encrypted(reactor: Reactor) -> None:
    class Producing(Secured):
        pauses = 0
        left = 100

        def dataReceived(self, data: bytes) -> None:
            self.transport.registerProducer(self, True)
            self.transport.write(b"c" * (16 << 20))
            self.transport.startTLS(server_options())

        def pauseProducing(self) -> None:
            self.pauses += 1

        def resumeProducing(self) -> None:
            self.transport.write(b"resumed")
            self.transport.unregisterProducer()

        def stopProducing(self) -> None:
            """Nothing to stop."""

    factory = Recorders(Producing)
    with serving(reactor, factory) as port, dial(port) as sock:
        sock.sendall(b"go")
        receive_exactly(sock, 16 << 20)
        with client_context().wrap_socket(sock, server_hostname="localhost") as secured:
            assert receive_exactly(secured, 7) == b"resumed"
        assert factory.number(0).pauses == 1


def test_what_is_written_after_losing_the_connection_is_dropped(reactor: Reactor) -> None:
    class Chatty(SecuredEcho):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.loseConnection()
            self.transport.write(b", and something else")

    with tls_pair(reactor, Chatty) as (_, sock):
        sock.sendall(b"goodbye")
        assert receive_all(sock) == b"goodbye"


def test_a_producer_goes_on_after_losing_the_connection_until_it_unregisters(reactor: Reactor) -> None:
    class Producing(Secured):
        def dataReceived(self, data: bytes) -> None:
            self.transport.registerProducer(self, True)
            self.transport.loseConnection()
            self.transport.write(b"the rest")
            self.transport.unregisterProducer()
            self.transport.write(b", and something else")

        def resumeProducing(self) -> None:
            """Never paused."""

    with tls_pair(reactor, Producing) as (_, sock):
        sock.sendall(b"go on")
        assert receive_all(sock) == b"the rest"


def test_the_handle_shows_tls(reactor: Reactor) -> None:
    with pair(reactor, Echo) as (protocol, _):
        assert protocol.transport.transportName == "TCP"
        protocol.transport.startTLS(server_options())
        assert protocol.transport.transportName == "TLS"
        assert protocol.transport.describe().startswith("TLS 127.0.0.1:")
        assert type(protocol.transport).transportName == "TCP"


def test_starting_tls_twice_is_refused(reactor: Reactor) -> None:
    refused = pytest.raises(RuntimeError, match="has TLS already; TLS inside TLS is made with TLSMemoryBIOFactory")
    with tls_pair(reactor, Secured) as (protocol, _), refused:
        protocol.transport.startTLS(server_options())


def test_starting_tls_after_the_end_is_refused(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        sock.close()
        protocol.end()
        with pytest.raises(NotConnectedError, match=r"cannot start TLS on TCP .*: the connection has ended"):
            protocol.transport.startTLS(server_options())


@pytest.mark.parametrize(
    ("options", "hint"),
    [(None, "CertificateOptions or PrivateCertificate.options"), (authority().clientOptions("x"), "TLS as a server")],
)
def test_options_for_nothing_or_the_other_side_are_refused(reactor: Reactor, options: Any, hint: str) -> None:
    with pair(reactor, Echo) as (protocol, sock):
        with pytest.raises(TypeError, match=hint):
            protocol.transport.startTLS(options)
        sock.sendall(b"still plain")
        assert receive_exactly(sock, 11) == b"still plain"


def test_a_transport_without_tls_refuses_to_talk_of_certificates(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        with pytest.raises(
            NotSecuredError, match=r"TCP 127.* cannot have a certificate of the peer: it has no TLS; use"
        ):
            protocol.transport.getPeerCertificate()
        with pytest.raises(NotSecuredError, match="cannot have a negotiated protocol"):
            _ = protocol.transport.negotiatedProtocol
        assert not hasattr(protocol.transport, "getPeerCertificate")
        with pytest.raises(CertificateError, match="non-TLS transport"):
            Certificate.peerFromTransport(protocol.transport)


def test_both_certificates_can_be_asked_for(reactor: Reactor) -> None:
    ca = LabAuthority()
    options = ca.server("localhost").options(ca.certificate)
    alice = ca.client("alice")
    clients = Recorders(Secured)
    servers = Recorders(Secured)
    port = reactor.listenSSL(0, servers, options)
    reactor.connectSSL("127.0.0.1", port.port, clients, ca.clientOptions("localhost", alice))
    server, client = servers.number(0).safe(), clients.number(0).safe()
    assert Certificate.peerFromTransport(server.transport).getSubject().commonName == b"alice"
    assert Certificate.hostFromTransport(server.transport).getSubject().CN == b"localhost"
    assert isinstance(client.transport.getPeerCertificate(), crypto.X509)
    port.stopListening()
    client.transport.loseConnection()
    server.end()
    # Also for those who look back.
    assert Certificate.peerFromTransport(server.transport).getSubject().commonName == b"alice"


def test_a_client_that_shows_no_certificate_has_none(reactor: Reactor) -> None:
    with tls_pair(reactor, Secured) as (protocol, _):
        assert protocol.safe().transport.getPeerCertificate() is None
        with pytest.raises(CertificateError, match=r"TLS transport .* has no peer certificate"):
            Certificate.peerFromTransport(protocol.transport)


def test_the_negotiated_protocol_is_told(reactor: Reactor) -> None:
    options = authority().server("localhost").options()
    options._acceptable_protocols = [b"h2", b"http/1.1"]
    servers = Recorders(Secured)
    port = reactor.listenSSL(0, servers, options)
    context = client_context()
    context.set_alpn_protocols(["http/1.1", "h2"])
    with python_client(port.port, context) as sock:
        assert sock.selected_alpn_protocol() == "h2"
        assert servers.number(0).safe().transport.negotiatedProtocol == b"h2"
        sock.unwrap().close()
    servers.number(0).end()
    port.stopListening()


def test_a_handshake_method_that_raises_ends_the_connection(reactor: Reactor, reported: Any) -> None:
    class Broken(Secured):
        def handshakeCompleted(self) -> None:
            raise ValueError("no")

    servers = Recorders(Broken)
    port = reactor.listenSSL(0, servers, server_options())
    try:
        with python_client(port.port) as sock:
            assert sock.recv(1) == b""
        assert isinstance(servers.number(0).end(), ValueError)
        assert "handshakeCompleted() raised" in reported.wait()[0].getMessage()
    finally:
        port.stopListening()
