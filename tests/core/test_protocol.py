"""Protocols and factories, and the ways to connect one that need no factory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import error_of
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from wirebook.deferred import CancelledError
from wirebook.error import ConnectingCancelledError, ConnectionDone, ConnectionRefusedError, UserError
from wirebook.protocol import (
    ClientCreator,
    ClientFactory,
    ConnectedDatagramProtocol,
    DatagramProtocol,
    Factory,
    FileWrapper,
    OneConnection,
    Protocol,
    ServerFactory,
)
from wirebook.protocols.line import FileSender
from wirebook.testing import MemoryReactorClock, StringTransport
from wirebook.transports.conditions import conditions
from wirebook.transports.reactor import Reactor


class Counting(Factory):
    """Remembers when it started and stopped."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")


def test_a_connected_protocol_has_its_transport() -> None:
    transport = object()

    class Greeting(Protocol):
        def connectionMade(self) -> None:
            assert self.connected
            assert self.transport is transport

    protocol = Greeting()
    assert not protocol.connected
    protocol.makeConnection(transport)
    assert protocol.transport is transport


def test_a_protocol_that_overrides_nothing_accepts_everything() -> None:
    protocol = Protocol()
    protocol.makeConnection(None)
    protocol.dataReceived(b"x")
    protocol.connectionLost()


def test_a_factory_builds_its_protocol_and_introduces_itself() -> None:
    factory = Factory.forProtocol(Protocol)
    built = factory.buildProtocol(None)
    assert type(built) is Protocol
    assert built.factory is factory
    assert factory.buildProtocol(None) is not built


def test_a_factory_of_a_subclass_gets_its_arguments() -> None:
    class Named(ServerFactory):
        def __init__(self, name: str, *, loud: bool) -> None:
            self.name, self.loud = name, loud

    factory = Named.forProtocol(Protocol, "n", loud=True)
    assert (type(factory), factory.name, factory.loud) == (Named, "n", True)
    assert factory.logPrefix() == "Named"


@pytest.mark.parametrize("protocol", [None, 3, "Echo"])
def test_what_builds_no_protocol_is_refused(protocol: Any) -> None:
    with pytest.raises(TypeError, match="a Protocol class or a callable that returns a protocol, not "):
        Factory.forProtocol(protocol)


def test_a_factory_without_a_protocol_says_what_to_set() -> None:
    with pytest.raises(TypeError, match=r"ServerFactory\.protocol is not set: assign a Protocol class"):
        ServerFactory().buildProtocol(None)


class Wrong(Factory):
    """Gives a class in the place of a protocol."""

    def buildProtocol(self, addr: Any) -> Any:
        return Echo


def test_conditions_on_a_factory_say_that_it_builds_no_protocol() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.buildProtocol\(\) returned the class Echo: return an instance, Echo"):
        conditions(Wrong()).buildProtocol(None)


def test_one_connection_fails_with_what_its_factory_built_instead_of_a_protocol() -> None:
    one = OneConnection(Wrong())
    assert one.buildProtocol(None) is None
    assert "Wrong.buildProtocol() returned the class Echo" in str(error_of(one.connected, TypeError))


def test_a_factory_starts_with_its_first_port_and_stops_with_its_last() -> None:
    factory = Counting()
    factory.doStart()
    factory.doStart()
    assert factory.events == ["start"]
    factory.doStop()
    assert factory.events == ["start"]
    factory.doStop()
    factory.doStop()
    assert factory.events == ["start", "stop"]


def test_a_factory_serves_two_ports(reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(reactor, factory), serving(reactor, factory):
        assert factory.numPorts == 2
    assert factory.events == ["start", "stop"]


def test_a_client_factory_hears_of_everything_and_needs_nothing() -> None:
    factory = ClientFactory()
    connector: Any = None
    reason: Any = None
    factory.startedConnecting(connector)
    factory.clientConnectionFailed(connector, reason)
    factory.clientConnectionLost(connector, reason)


# --- ClientCreator


class Named(Recorder):
    """Made with arguments."""

    def __init__(self, name: str, *, loud: bool = False) -> None:
        super().__init__()
        self.name, self.loud = name, loud


def test_a_creator_connects_a_protocol_made_with_its_arguments(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        creator = ClientCreator(any_reactor, Named, "n", loud=True)
        protocol = creator.connectTCP("127.0.0.1", port.port).wait(PATIENCE)
        assert (type(protocol), protocol.name, protocol.loud) == (Named, "n", True)
        assert protocol.made.is_set()
        protocol.transport.loseConnection()
        assert isinstance(protocol.end(), ConnectionDone)


def test_a_creator_s_refused_connection_fails(any_reactor: Reactor) -> None:
    with pytest.raises(ConnectionRefusedError):
        ClientCreator(any_reactor, Recorder).connectTCP("127.0.0.1", free_port()).wait(PATIENCE)


def test_cancelling_ends_the_attempt(any_reactor: Reactor) -> None:
    with any_reactor.turn():
        connected = ClientCreator(any_reactor, Recorder).connectTCP("127.0.0.1", free_port())
        connected.cancel()
    with pytest.raises((CancelledError, UserError)):
        connected.wait(PATIENCE)


def test_a_protocol_that_raises_when_connected_fails_the_attempt(reactor: Reactor, reported: Reports) -> None:
    class Raising(Recorder):
        def connectionMade(self) -> None:
            raise ValueError("boom")

    with serving(reactor, Recorders(Echo)) as port, pytest.raises(ValueError, match="boom"):
        ClientCreator(reactor, Raising).connectTCP("127.0.0.1", port.port).wait(PATIENCE)
    (record,) = reported()
    assert "Raising.makeConnection() raised" in record.getMessage()


# --- datagrams


def test_a_datagram_protocol_starts_with_its_first_port_and_stops_with_its_last() -> None:
    class Noting(DatagramProtocol):
        def __init__(self) -> None:
            self.events: list[tuple[str, Any]] = []

        def startProtocol(self) -> None:
            self.events.append(("start", self.transport))

        def stopProtocol(self) -> None:
            self.events.append(("stop", self.transport))

    noting = Noting()
    noting.makeConnection("first")
    noting.makeConnection("second")
    noting.doStop()
    assert (noting.transport, noting.numPorts) == ("second", 1)
    noting.doStop()
    noting.doStop()
    assert noting.events == [("start", "first"), ("stop", None)]


def test_a_datagram_protocol_ignores_what_it_does_not_override() -> None:
    plain, connected = DatagramProtocol(), ConnectedDatagramProtocol()
    for protocol in (plain, connected):
        protocol.makeConnection("transport")
        protocol.connectionRefused()
        protocol.doStop()
    plain.datagramReceived(b"", None)
    connected.datagramReceived(b"")
    assert (plain.logPrefix(), connected.logPrefix()) == ("DatagramProtocol", "ConnectedDatagramProtocol")


# --- a file as a transport


def test_a_file_can_show_what_a_protocol_says() -> None:
    class Polite(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")
            self.transport.writeSequence([b" ", b"world"])
            self.transport.pauseProducing()
            self.transport.resumeProducing()

    file = io.BytesIO()
    transport = FileWrapper(file)
    protocol = Polite()
    protocol.makeConnection(transport)
    assert file.getvalue() == b"hello world"
    assert (transport.getPeer(), transport.getHost()) == (("file", "file"), "file")
    assert (transport.disconnecting, transport.closed) == (0, 0)
    protocol.transport.loseConnection()
    assert transport.disconnecting
    assert transport.closed
    with pytest.raises(ValueError, match="closed file"):
        transport.write(b"late")


def test_a_file_asks_a_pull_producer_until_it_has_finished(tmp_path: Path) -> None:
    source, target = tmp_path / "source", io.BytesIO()
    source.write_bytes(b"x" * 300_000)
    with source.open("rb") as file:
        assert FileSender().beginFileTransfer(file, FileWrapper(target)).result == b"x"
    assert target.getvalue() == source.read_bytes()


def test_a_file_leaves_a_push_producer_alone() -> None:
    transport, producer = FileWrapper(io.BytesIO()), object()
    transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="is registered"):
        transport.registerProducer(object(), True)
    transport.stopConsuming()
    assert transport.producer is None
    assert transport.closed


def test_a_file_closes_when_its_consumer_stops() -> None:
    transport = FileWrapper(io.BytesIO())
    transport.stopProducing()
    assert transport.closed


# --- another reactor


def test_cancelling_ends_the_attempt_of_a_reactor_that_tells_no_factory() -> None:
    reactor = MemoryReactorClock()
    connected = ClientCreator(reactor, Protocol).connectTCP("10.0.0.1", 7)
    connected.cancel()
    with pytest.raises(ConnectingCancelledError):
        connected.wait(PATIENCE)
    assert reactor.connectors[0].stoppedConnecting


def test_a_client_creator_s_factory_builds_what_it_was_made_for() -> None:
    reactor = MemoryReactorClock()
    connected = ClientCreator(reactor, Recorder).connectTCP("10.0.0.1", 7)
    protocol = reactor.tcpClients[0][2].buildProtocol(None)
    assert isinstance(protocol, Recorder)
    protocol.makeConnection(StringTransport())
    assert type(connected.wait(PATIENCE)) is Recorder
