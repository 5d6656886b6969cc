"""How many connections there may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import Echo, Recorder, dial, receive_all, receive_exactly, serving
from tests.core.policies.policy_kit import Noting, Server
from wirebook.address import IPv4Address, UNIXAddress
from wirebook.policies import LimitConnectionsByPeer, LimitTotalConnectionsFactory
from wirebook.protocol import Factory, Protocol
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor


def address(host: str) -> IPv4Address:
    """An address of this host."""
    return IPv4Address("TCP", host, 50000)


# ------------------------------------------------------------------------------------------ by peer


def test_a_peer_gets_as_many_connections_as_it_may_have() -> None:
    factory = LimitConnectionsByPeer(Server())
    wrappers = [factory.buildProtocol(address("10.0.0.1")) for _ in range(6)]
    assert [wrapper is not None for wrapper in wrappers] == [True] * 5 + [False]
    assert factory.peerConnections == {"10.0.0.1": 5}


def test_other_peers_are_counted_apart() -> None:
    factory = LimitConnectionsByPeer(Server(), maxConnectionsPerPeer=1)
    assert factory.buildProtocol(address("10.0.0.1"))
    assert factory.buildProtocol(address("10.0.0.2"))
    assert factory.buildProtocol(address("10.0.0.1")) is None


def test_a_connection_that_ended_makes_room(reactor: Reactor) -> None:
    factory = LimitConnectionsByPeer(Factory.forProtocol(Echo), maxConnectionsPerPeer=1)
    with serving(reactor, factory) as port:
        with dial(port) as first, dial(port) as second:
            assert receive_all(second) == b""
            first.sendall(b"x")
            assert receive_exactly(first, 1) == b"x"
        assert eventually(lambda: not factory.peerConnections)
        with dial(port) as third:
            third.sendall(b"y")
            assert receive_exactly(third, 1) == b"y"


@pytest.mark.parametrize("peer", [UNIXAddress(b""), None, UNIXAddress(b"/a")])
def test_peers_without_a_host_count_as_one(peer: Any) -> None:
    factory = LimitConnectionsByPeer(Server(), 1)
    assert factory.buildProtocol(UNIXAddress(b"/b"))
    assert factory.buildProtocol(peer) is None


def test_a_peer_may_be_a_pair() -> None:
    factory = LimitConnectionsByPeer(Server(), 1)
    assert factory.buildProtocol(("10.0.0.1", 5))
    assert factory.buildProtocol(address("10.0.0.1")) is None


def test_the_limit_may_be_an_attribute_of_a_subclass() -> None:
    class Two(LimitConnectionsByPeer):
        maxConnectionsPerPeer = 2

    factory = Two(Server())
    assert [factory.buildProtocol(address("::1")) is not None for _ in range(3)] == [True, True, False]


def test_connections_that_the_wrapped_factory_refuses_do_not_count() -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    factory = LimitConnectionsByPeer(Refusing(), 1)
    assert factory.buildProtocol(address("::1")) is None
    assert not factory.peerConnections


# ------------------------------------------------------------------------------------------- in all


class Limited(LimitTotalConnectionsFactory):
    """Up to one connection."""

    protocol: Callable[..., Any] | None = Noting
    connectionLimit = 1


def test_without_a_limit_connections_are_counted() -> None:
    factory = LimitTotalConnectionsFactory()
    factory.protocol = Noting
    one, two = factory.buildProtocol(None), factory.buildProtocol(None)
    assert factory.connectionCount == 2
    one.connectionLost(None)
    two.connectionLost(None)
    assert factory.connectionCount == 0


def test_a_connection_over_the_limit_is_refused() -> None:
    factory = Limited()
    one = factory.buildProtocol(None)
    assert one.wrappedProtocol.factory is factory
    assert factory.buildProtocol(None) is None
    assert factory.connectionCount == 1
    one.connectionLost(None)
    assert factory.buildProtocol(None) is not None


def test_a_connection_over_the_limit_gets_the_overflow_protocol_and_counts() -> None:
    class Busy(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"busy")

    factory = Limited()
    factory.overflowProtocol = Busy
    factory.buildProtocol(None)
    wrapper, transport = factory.buildProtocol(None), StringTransport()
    wrapper.makeConnection(transport)
    assert (transport.value(), factory.connectionCount) == (b"busy", 2)
    assert wrapper.wrappedProtocol.factory is factory
    wrapper.connectionLost(None)
    assert factory.connectionCount == 1


def test_the_limit_holds_over_tcp(reactor: Reactor) -> None:
    factory = Limited()
    factory.protocol = Recorder
    with serving(reactor, factory) as port, dial(port), dial(port) as second:
        assert receive_all(second) == b""
    assert eventually(lambda: factory.connectionCount == 0)
