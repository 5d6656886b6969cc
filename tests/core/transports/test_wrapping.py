"""TLS around a factory, over transports of all kinds; what holds for all streams is in test_conformance.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from OpenSSL import SSL

from tests.conftest import Reports, eventually
from tests.core.net_kit import Recorders, serving
from tests.core.tls_kit import Secured, SecuredEcho, authority, python_client, server_options
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost
from wirebook.failure import Failure
from wirebook.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from wirebook.ssl import TLSError
from wirebook.task import Clock
from wirebook.testing._harness import Producer
from wirebook.transports.reactor import Reactor


class Wire:
    """A transport of somebody else's, with as little as a transport can have."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def loseConnection(self) -> None:
        self.closed = True

    def getHost(self) -> str:
        return "here"

    def getPeer(self) -> str:
        return "there"


def _itself(protocol: Secured) -> Secured:
    """The protocol, for a factory that has only this one."""
    return protocol


class Ends:
    """A server and a client of TLS, joined by hand on a clock."""

    def __init__(self, client_options: Any = None) -> None:
        self.clock = Clock()
        self.protocols = (SecuredEcho(), Secured())
        options = (server_options(), client_options or authority().clientOptions("localhost"))
        self.wires = (Wire(), Wire())
        self.factories = tuple(
            TLSMemoryBIOFactory(option, number == 1, Recorders(partial(_itself, protocol)), self.clock)
            for number, (option, protocol) in enumerate(zip(options, self.protocols, strict=True))
        )
        self.wrappers = tuple(factory.buildProtocol(None) for factory in self.factories)
        for wrapper, wire in zip(self.wrappers, self.wires, strict=True):
            wrapper.makeConnection(wire)

    def pump(self) -> None:
        """Carry records until nobody has any."""
        while any(wire.sent for wire in self.wires):
            for wire, other in ((self.wires[0], self.wrappers[1]), (self.wires[1], self.wrappers[0])):
                sent, wire.sent = wire.sent, []
                for piece in sent:
                    other.dataReceived(piece)
            self.clock.advance(0)


@pytest.fixture
def ends() -> Ends:
    """Two ends, past the handshake."""
    made = Ends()
    made.pump()
    assert all(protocol.secured.is_set() for protocol in made.protocols)
    return made


def finish(ends: Ends, reason: BaseException | None = None) -> None:
    """End both wires."""
    for wrapper in ends.wrappers:
        wrapper.connectionLost(Failure(reason or ConnectionDone()))


def test_a_transport_that_can_hardly_anything_is_enough(ends: Ends) -> None:
    client = ends.protocols[1]
    client.transport.write(b"hello")
    ends.pump()
    assert bytes(client.data) == b"hello"
    assert (client.transport.getHost(), client.transport.getPeer()) == ("here", "there")
    finish(ends)


def test_much_goes_through_at_once(ends: Ends) -> None:
    client = ends.protocols[1]
    client.transport.write(b"x" * 1_000_000)
    ends.pump()
    assert bytes(client.data) == b"x" * 1_000_000
    finish(ends)


def test_goodbye_is_said_and_answered(ends: Ends) -> None:
    server, client = ends.protocols
    client.transport.loseConnection()
    ends.clock.advance(0)
    assert not ends.wires[1].closed
    ends.pump()
    assert all(wire.closed for wire in ends.wires)
    assert not client.lost.is_set(), "the wire has not ended yet"
    finish(ends)
    assert isinstance(client.end(), ConnectionDone)
    assert isinstance(server.end(), ConnectionDone)


def test_a_wire_that_ends_without_a_goodbye_cut_something(ends: Ends) -> None:
    finish(ends)
    assert type(ends.protocols[0].end()) is ConnectionLost
    assert "without a TLS goodbye" in str(ends.protocols[0].end())


def test_the_reason_of_the_wire_is_handed_on(ends: Ends) -> None:
    finish(ends, ConnectionAborted("the wire was cut"))
    assert str(ends.protocols[0].end()) == "the wire was cut"


def test_a_refused_certificate_is_the_reason() -> None:
    ends = Ends(authority().clientOptions("elsewhere.example"))
    ends.pump()
    finish(ends)
    assert "not for elsewhere.example" in str(ends.protocols[1].end())
    assert isinstance(ends.protocols[0].end(), SSL.Error)


def test_pausing_lasts_until_resuming(ends: Ends) -> None:
    server, client = ends.protocols
    server.transport.pauseProducing()
    client.transport.write(b"later")
    ends.pump()
    assert not server.data
    server.transport.resumeProducing()
    ends.clock.advance(0)
    assert bytes(server.data) == b"later"
    finish(ends)


def test_a_silent_peer_times_out_on_the_clock_that_was_given() -> None:
    ends = Ends()
    ends.clock.advance(19)
    assert not ends.wires[0].closed
    ends.clock.advance(2)
    assert ends.wires[0].closed
    finish(ends)
    assert isinstance(ends.protocols[0].end(), TLSError)


def test_the_certificates_can_be_asked_for(ends: Ends) -> None:
    client = ends.protocols[1]
    assert client.transport.getPeerCertificate().get_subject is not None
    assert isinstance(client.transport.getHandle(), SSL.Connection)
    assert client.transport.negotiatedProtocol is None
    finish(ends)


def test_the_factory_knows_its_connections(ends: Ends) -> None:
    factory = ends.factories[0]
    assert list(factory.protocols) == [ends.wrappers[0]]
    finish(ends)
    assert not factory.protocols


def test_the_factory_stands_in_for_the_wrapped_one() -> None:
    wrapped = Recorders(Secured)
    factory = TLSMemoryBIOFactory(server_options(), False, wrapped, Clock())
    factory.doStart()
    factory.doStop()
    assert wrapped.events == ["start", "stop"]
    assert factory.logPrefix() == "Recorders (TLS)"


def test_a_refused_connection_is_refused() -> None:
    class Closed(Recorders[Any]):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    assert TLSMemoryBIOFactory(server_options(), False, Closed(Secured), Clock()).buildProtocol(None) is None


def test_a_wrapped_factory_that_builds_no_protocol_is_told_so() -> None:
    class Wrong(Recorders[Any]):
        def buildProtocol(self, addr: Any) -> Any:
            return Secured

    factory = TLSMemoryBIOFactory(server_options(), False, Wrong(Secured), Clock())
    with pytest.raises(TypeError, match=r"Wrong\.buildProtocol\(\) returned the class Secured: return an instance"):
        factory.buildProtocol(None)


def test_options_for_the_other_side_are_refused() -> None:
    with pytest.raises(TypeError, match="TLS as a server needs options"):
        TLSMemoryBIOFactory(authority().clientOptions("x"), False, Recorders(Secured))


class Stumbling(Secured):
    """Has a producer that does not finish, and raises at the first byte."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(Producer(self.transport, []), True)

    def dataReceived(self, data: bytes) -> None:
        raise ValueError("a mistake in the program")


def test_a_protocol_that_raises_ends_the_connection_although_it_has_a_producer(
    reactor: Reactor, reported: Reports
) -> None:
    factory = Recorders(Stumbling)
    with serving(reactor, TLSMemoryBIOFactory(server_options(), False, factory)) as port:
        with python_client(port.port) as sock:
            sock.sendall(b"x")
            assert isinstance(factory.number(0).end(), ValueError)
        assert eventually(lambda: not reactor.handles.of("connection"))
    assert len(reported()) == 1


def test_over_a_stream_of_ours_both_are_handles(reactor: Reactor) -> None:
    factory = Recorders(SecuredEcho)
    with serving(reactor, TLSMemoryBIOFactory(server_options(), False, factory)) as port:
        with python_client(port.port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            transport = factory.number(0).transport
            assert isinstance(transport, TLSMemoryBIOProtocol)
            names = [handle.transportName for handle in reactor.handles.of("connection")]
            assert sorted(names) == ["TCP", "TLS"]
            assert transport.describe() == f"TLS {transport.getHost()} -> {transport.getPeer()}"
            # What a stream has and the wrapper has not is the stream's.
            assert transport.getTcpNoDelay()
        assert eventually(lambda: not reactor.handles.of("connection"))
