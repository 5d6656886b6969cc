"""TCP endpoints: how listening and connecting went arrives in Deferreds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.deferred_kit import boom, error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from tests.core.reactor.names.resolvers import Answering
from wirebook.address import IPv4Address, IPv6Address
from wirebook.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    connectProtocol,
)
from wirebook.endpoints.tcp import numeric_host
from wirebook.error import (
    CannotListenError,
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
)
from wirebook.failure import Failure
from wirebook.protocol import Factory
from wirebook.testing import MemoryReactor, StringTransport
from wirebook.transports.reactor import Reactor


def test_listening_fires_with_the_port(any_reactor: Reactor) -> None:
    port = TCP4ServerEndpoint(any_reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Echo)).wait(PATIENCE)
    assert port.state == "listening"
    port.stopListening()


def test_listening_on_a_taken_port_fails(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        endpoint = TCP4ServerEndpoint(any_reactor, port.port)
        with pytest.raises(CannotListenError, match="address already in use"):
            endpoint.listen(Factory.forProtocol(Echo)).wait(PATIENCE)


def test_listening_at_a_port_out_of_range_fails(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="port 70000 is out of range"):
        TCP4ServerEndpoint(reactor, 70000).listen(Factory.forProtocol(Echo)).wait(PATIENCE)


def test_connecting_fires_with_the_connected_protocol(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port)
        protocol = endpoint.connect(Factory.forProtocol(Recorder)).wait(PATIENCE)
        assert protocol.made.is_set()
        assert protocol.transport.protocol is protocol
        protocol.transport.loseConnection()
        protocol.end()


def test_an_endpoint_connects_as_often_as_it_is_asked(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port)
        factory = Factory.forProtocol(Recorder)
        protocols = [endpoint.connect(factory).wait(PATIENCE) for _ in range(3)]
        assert len({id(protocol) for protocol in protocols}) == 3
        for protocol in protocols:
            protocol.transport.loseConnection()
            protocol.end()


def test_a_protocol_of_one_s_own_can_be_connected(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        mine = Recorder()
        connected = connectProtocol(TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port), mine)
        assert connected.wait(PATIENCE) is mine
        mine.transport.loseConnection()
        mine.end()


def test_a_protocol_class_is_no_protocol(reactor: Reactor) -> None:
    with pytest.raises(TypeError, match=r"takes a protocol object: Recorder\(\), not the class"):
        connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", 1), Recorder)


def test_a_refused_connection_fails(any_reactor: Reactor) -> None:
    with pytest.raises(ConnectionRefusedError, match="nothing listens on that port"):
        connectProtocol(TCP4ClientEndpoint(any_reactor, "127.0.0.1", free_port()), Recorder()).wait(PATIENCE)


def test_an_unknown_host_fails(any_reactor: Reactor) -> None:
    with pytest.raises(DNSLookupError, match="check its spelling"):
        connectProtocol(TCP4ClientEndpoint(any_reactor, "nowhere.invalid", 80), Recorder()).wait(PATIENCE)


def test_a_local_address_that_cannot_be_had_fails(any_reactor: Reactor) -> None:
    endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", free_port(), bindAddress=("192.0.2.1", 0))
    with pytest.raises(ConnectBindError):
        connectProtocol(endpoint, Recorder()).wait(PATIENCE)


def test_what_cannot_be_connected_to_fails_the_deferred(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="port 70000 is out of range"):
        connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", 70000), Recorder()).wait(PATIENCE)


@pytest.mark.parametrize("factory", [Echo, None, Echo()], ids=["class", "None", "protocol"])
def test_what_is_no_factory_is_refused(reactor: Reactor, factory: Any) -> None:
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", free_port())
    with pytest.raises(TypeError, match=r"takes a factory, not .*Factory\.forProtocol\("):
        endpoint.connect(factory).wait(PATIENCE)
    with pytest.raises(TypeError, match=r"takes a factory, not .*Factory\.forProtocol\("):
        TCP4ServerEndpoint(reactor, 0).listen(factory).wait(PATIENCE)


def test_cancelling_ends_the_attempt(any_reactor: Reactor) -> None:
    with any_reactor.turn():
        endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", free_port())
        connected = connectProtocol(endpoint, Recorder())
        connected.cancel()
    with pytest.raises(ConnectingCancelledError, match=r"to connect to 127\.0\.0\.1:\d+ was cancelled"):
        connected.wait(PATIENCE)
    assert not list(any_reactor.handles)


def test_cancelling_tells_where_it_would_have_led() -> None:
    reactor = MemoryReactor()
    connected = connectProtocol(TCP4ClientEndpoint(reactor, "192.0.2.1", 80), Recorder())
    connected.cancel()
    assert error_of(connected, ConnectingCancelledError).address == IPv4Address("TCP", "192.0.2.1", 80)
    assert reactor.connectors[0].stoppedConnecting


def test_cancelling_in_connection_made_closes_the_connection(any_reactor: Reactor) -> None:
    class Fickle(Recorder):
        def connectionMade(self) -> None:
            connected.cancel()

    with serving(any_reactor, Recorders(Echo)) as port:
        protocol = Fickle()
        with any_reactor.turn():
            connected = connectProtocol(TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port), protocol)
        with pytest.raises(ConnectingCancelledError):
            connected.wait(PATIENCE)
        protocol.end()


def test_a_factory_that_gives_no_protocol_fails_the_deferred(any_reactor: Reactor) -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    with serving(any_reactor, Recorders(Echo)) as port:
        endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port)
        with pytest.raises(NoProtocol, match="buildProtocol"):
            endpoint.connect(Refusing()).wait(PATIENCE)


def test_a_factory_that_raises_fails_the_deferred_alone(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        endpoint = TCP4ClientEndpoint(any_reactor, "127.0.0.1", port.port)
        with pytest.raises(ValueError, match="boom"):
            endpoint.connect(Factory.forProtocol(boom)).wait(PATIENCE)


def test_a_protocol_gets_its_data_from_a_transport_that_keeps_no_protocol() -> None:
    reactor = MemoryReactor()
    mine = Recorder()
    connected = connectProtocol(TCP4ClientEndpoint(reactor, "192.0.2.1", 80), mine)
    built = reactor.tcpClients[0][2].buildProtocol(None)
    built.makeConnection(StringTransport())
    assert outcome(connected) is mine
    built.dataReceived(b"x")
    built.connectionLost(Failure(ConnectionDone()))
    assert mine.data == b"x"
    assert isinstance(mine.end(), ConnectionDone)


def test_the_reactor_is_asked_for_what_the_endpoint_was_made_with() -> None:
    reactor, factory = MemoryReactor(), Factory.forProtocol(Echo)
    TCP4ServerEndpoint(reactor, 80).listen(factory)
    TCP4ServerEndpoint(reactor, 80, 7, "192.0.2.1").listen(factory)
    TCP6ServerEndpoint(reactor, 80, 7, "::").listen(factory)
    assert reactor.tcpServers == [(80, factory, 50, ""), (80, factory, 7, "192.0.2.1"), (80, factory, 7, "::")]
    TCP4ClientEndpoint(reactor, "192.0.2.1", 80, 5, ("192.0.2.2", 0)).connect(factory)
    host, port, _, timeout, bound = reactor.tcpClients[0]
    assert (host, port, timeout, bound) == ("192.0.2.1", 80, 5, ("192.0.2.2", 0))


def test_a_server_of_version_six_serves_this_machine_alone(any_reactor: Reactor) -> None:
    port = TCP6ServerEndpoint(any_reactor, 0).listen(Factory.forProtocol(Echo)).wait(PATIENCE)
    assert port.getHost().host == "::1"
    client = connectProtocol(TCP6ClientEndpoint(any_reactor, "::1", port.port), Recorder()).wait(PATIENCE)
    client.transport.loseConnection()
    client.end()
    port.stopListening()


def test_a_client_of_version_six_takes_the_name_s_address_of_that_version() -> None:
    reactor = MemoryReactor()
    reactor.installNameResolver(Answering([IPv6Address("TCP", "2001:db8::1", 80)]))
    TCP6ClientEndpoint(reactor, "six.example", 80).connect(Factory())
    assert reactor.tcpClients[0][:2] == ("2001:db8::1", 80)


def test_a_client_of_version_six_fails_without_such_an_address() -> None:
    reactor = MemoryReactor()
    reactor.installNameResolver(Answering([]))
    error_of(TCP6ClientEndpoint(reactor, "four.example", 80).connect(Factory()), DNSLookupError)


def test_a_scope_stays_with_its_address() -> None:
    assert numeric_host(IPv6Address("TCP", "fe80::1", 80, 0, 3)) == "fe80::1%3"
    assert numeric_host(IPv6Address("TCP", "fe80::1%eth0", 80, 0, 3)) == "fe80::1%eth0"
