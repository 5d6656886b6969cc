"""Reactors that only record."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from wirebook.error import UnsupportedAddressFamily
from wirebook.protocol import ClientFactory, Factory
from wirebook.testing import MemoryReactor, MemoryReactorClock, RaisingMemoryReactor


class Noting(ClientFactory):
    """Keeps the connector it is told of."""

    connector: Any = None

    def startedConnecting(self, connector: Any) -> None:
        self.connector = connector


def test_ports_are_recorded_with_all_arguments() -> None:
    reactor, factory, context = MemoryReactor(), Factory(), object()
    ports = [
        reactor.listenTCP(8242, factory),
        reactor.listenTCP(80, factory, 7, interface="::1"),
        reactor.listenSSL(8243, factory, context),
    ]
    assert [str(port.getHost()) for port in ports] == ["0.0.0.0:8242", "[::1]:80", "0.0.0.0:8243"]
    assert reactor.tcpServers == [(8242, factory, 50, ""), (80, factory, 7, "::1")]
    assert reactor.sslServers == [(8243, factory, context, 50, "")]
    unix = reactor.listenUNIX(b"/path/to/socket", factory)
    assert unix.getHost().name == b"/path/to/socket"
    assert reactor.unixServers == [(b"/path/to/socket", factory, 50, 0o666, 0)]


def test_connections_are_recorded_and_the_factory_is_told_that_they_begin() -> None:
    reactor, context = MemoryReactor(), object()
    factories = [Noting() for _ in range(4)]
    connectors = [
        reactor.connectTCP("test.example.com", 8321, factories[0]),
        reactor.connectTCP("::1", 8321, factories[1], timeout=1, bindAddress=("::1", 0)),
        reactor.connectSSL("test.example.com", 8322, factories[2], context),
        reactor.connectUNIX(b"/fake/path", factories[3]),
    ]
    assert connectors == reactor.connectors == [factory.connector for factory in factories]
    destinations = [connector.getDestination() for connector in connectors]
    assert [str(there) for there in destinations[:3]] == [
        "test.example.com:8321",
        "[::1]:8321",
        "test.example.com:8322",
    ]
    assert destinations[3].name == b"/fake/path"
    assert reactor.tcpClients == [
        ("test.example.com", 8321, factories[0], 30, None),
        ("::1", 8321, factories[1], 1, ("::1", 0)),
    ]
    assert reactor.sslClients == [("test.example.com", 8322, factories[2], context, 30, None)]
    assert reactor.unixClients == [(b"/fake/path", factories[3], 30, 0)]


def test_a_connector_knows_whether_it_was_stopped() -> None:
    connector = MemoryReactor().connectTCP("127.0.0.1", 1, Noting())
    assert not connector.stoppedConnecting
    connector.connect()
    connector.disconnect()
    connector.stopConnecting()
    assert connector.stoppedConnecting


def test_adopted_descriptors_are_recorded() -> None:
    reactor, factory = MemoryReactor(), Factory()
    assert str(reactor.adoptStreamPort(3, socket.AF_INET, factory).getHost()) == "0.0.0.0:1234"
    assert str(reactor.adoptDatagramPort(4, socket.AF_INET6, factory).getHost()) == "[::]:1234"
    reactor.adoptStreamConnection(5, socket.AF_INET, factory)
    assert reactor.adoptedPorts == [(3, socket.AF_INET, factory), (4, socket.AF_INET6, factory, 8192)]
    assert reactor.adoptedStreamConnections == [(5, socket.AF_INET, factory)]


@pytest.mark.parametrize("method", ["adoptStreamPort", "adoptDatagramPort"])
def test_a_descriptor_of_another_family_is_refused(method: str) -> None:
    with pytest.raises(UnsupportedAddressFamily, match=r"should be socket\.AF_INET"):
        getattr(MemoryReactor(), method)(3, socket.AF_UNIX, Factory())


def test_running_makes_the_calls_that_wait_for_it_and_stops() -> None:
    reactor, calls = MemoryReactor(), list[str]()
    reactor.callWhenRunning(calls.append, "first")
    assert (calls, reactor.hasRun, reactor.hasStopped) == ([], False, False)
    reactor.run()
    reactor.callWhenRunning(calls.append, "second")
    assert (calls, reactor.running, reactor.hasRun, reactor.hasStopped) == (["first", "second"], False, True, True)


def test_a_running_one_cannot_be_run() -> None:
    reactor = MemoryReactor()
    reactor.callWhenRunning(reactor.run)
    with pytest.raises(AssertionError, match="runs already"):
        reactor.run()


def test_crashing_and_installing_are_recorded() -> None:
    reactor = MemoryReactor()
    reactor.install()
    reactor.crash()
    assert (reactor.hasInstalled, reactor.hasCrashed, reactor.running) == (True, True, None)


def test_triggers_are_recorded_by_phase_and_event() -> None:
    reactor = MemoryReactor()
    reactor.addSystemEventTrigger("before", "shutdown", print, 1, end="")
    assert reactor.triggers == {"before": {"shutdown": [(print, (1,), {"end": ""})]}}


def test_what_it_cannot_do_says_so() -> None:
    reactor: Any = MemoryReactor()
    for method, args in [("resolve", "a"), ("iterate", 0), ("fireSystemEvent", "a"), ("removeSystemEventTrigger", 1)]:
        with pytest.raises(NotImplementedError, match="MemoryReactor"):
            getattr(reactor, method)(args)


def test_readers_and_writers_are_recorded_once_each() -> None:
    reactor, reader, writer = MemoryReactor(), object(), object()
    reactor.addReader(reader)
    reactor.addReader(reader)
    reactor.addWriter(writer)
    assert (reactor.getReaders(), reactor.getWriters()) == ([reader], [writer])
    reactor.removeReader(reader)
    reactor.removeReader(reader)
    reactor.removeWriter(writer)
    assert (reactor.getReaders(), reactor.getWriters()) == ([], [])
    reactor.addReader(reader)
    reactor.addWriter(writer)
    assert set(reactor.removeAll()) == {reader, writer}
    assert (reactor.getReaders(), reactor.getWriters()) == ([], [])


class Receiver:
    """Keeps what a resolver says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def resolutionBegan(self, resolution: Any) -> None:
        self.said.append(resolution.name)

    def addressResolved(self, address: Any) -> None:
        self.said.append(str(address))

    def resolutionComplete(self) -> None:
        self.said.append("complete")


@pytest.mark.parametrize("kind", [MemoryReactor, RaisingMemoryReactor])
def test_every_name_is_found_at_once_until_another_resolver_is_installed(kind: Any) -> None:
    reactor, receiver, other = kind(), Receiver(), object()
    resolution = reactor.nameResolver.resolveHostName(receiver, "example.com", 80)
    assert receiver.said == ["example.com", "127.0.0.1:80", "complete"]
    with pytest.raises(RuntimeError, match="nothing to cancel"):
        resolution.cancel()
    first = reactor.nameResolver
    assert reactor.installNameResolver(other) is first
    assert reactor.nameResolver is other


def test_one_with_a_clock_has_virtual_time() -> None:
    reactor, calls = MemoryReactorClock(), list[str]()
    reactor.callLater(1, calls.append, "later")
    reactor.connectTCP("127.0.0.1", 1, Noting())
    reactor.advance(1)
    assert (calls, len(reactor.tcpClients), reactor.seconds()) == (["later"], 1, 1.0)


def test_a_raising_one_raises_what_it_was_given() -> None:
    reactor: Any = RaisingMemoryReactor(OSError("no port"), ConnectionError("no peer"))
    for method in ("listenTCP", "listenSSL", "listenUNIX", "adoptStreamPort"):
        with pytest.raises(OSError, match="no port"):
            getattr(reactor, method)(1, Factory())
    for method in ("connectTCP", "connectSSL", "connectUNIX", "adoptDatagramPort", "adoptStreamConnection"):
        with pytest.raises(ConnectionError, match="no peer"):
            getattr(reactor, method)(1, Factory())
    reactor = RaisingMemoryReactor()
    with pytest.raises(TypeError, match="no listenException was given"):
        reactor.listenTCP(1, Factory())
