"""Endpoints: how listening and connecting went arrives in Deferreds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from wirebook.deferred import CancelledError
from wirebook.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from wirebook.error import CannotListenError, ConnectBindError, ConnectionRefusedError, DNSLookupError, UserError
from wirebook.protocol import Factory
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
    with pytest.raises((CancelledError, UserError)):
        connected.wait(PATIENCE)
    assert not list(any_reactor.handles)
