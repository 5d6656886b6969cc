"""Every stream transport passes the same checks; each stands here with how it is connected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.core.tls_kit import authority, server_options
from wirebook.policies import ThrottlingFactory, TimeoutFactory, WrappingFactory
from wirebook.protocol import ClientFactory, Factory
from wirebook.protocols.tls import TLSMemoryBIOFactory
from wirebook.stdio import StandardIO
from wirebook.task import Clock
from wirebook.testing import StreamConformance
from wirebook.transports.conditions import conditions
from wirebook.transports.memory import MemoryNetwork, memory_pair
from wirebook.transports.pipes import pipe_pair
from wirebook.transports.reactor import Reactor


def factories(one: Any, other: Any) -> tuple[Factory, ClientFactory]:
    """A server's factory and a client's, each for its one protocol."""
    return Factory.forProtocol(lambda: one), ClientFactory.forProtocol(lambda: other)


class OnReactor(StreamConformance):
    """On a reactor that runs in a thread."""

    reactor: Reactor

    @pytest.fixture(autouse=True)
    def _reactor(self, reactor: Reactor) -> None:
        self.reactor = reactor


class TestTCP(StreamConformance):
    """On both pollers."""

    @pytest.fixture(autouse=True)
    def _reactor(self, any_reactor: Reactor) -> None:
        self.reactor = any_reactor

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenTCP(0, server)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, client)
        yield
        port.stopListening()


class TestUNIX(StreamConformance):
    """On both pollers. A UNIX socket knows no reset."""

    tells_resets = False

    @pytest.fixture(autouse=True)
    def _reactor(self, any_reactor: Reactor, tmp_path: Path) -> None:
        self.reactor = any_reactor
        self.folder = tmp_path

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        path = self.folder / f"{id(one)}"
        port = self.reactor.listenUNIX(path, server)
        self.reactor.connectUNIX(path, client)
        yield
        port.stopListening()


class TestMemory(OnReactor):
    """A pair."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        memory_pair(self.reactor, one, other)
        yield


class TestMemoryPort(OnReactor):
    """A port and a connector."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        name = f"port {id(one)}"
        port = self.reactor.listenMemory(name, server)
        self.reactor.connectMemory(name, client)
        yield
        port.stopListening()


class TestMemoryInVirtualTime(StreamConformance):
    """Ports and connectors on a clock, without a reactor."""

    def pass_time(self) -> None:
        self.clock.advance(0.01)

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        name = f"port {id(one)}"
        port = self.network.listenMemory(name, server)
        self.network.connectMemory(name, client)
        yield
        port.stopListening()


class TestPipes(StreamConformance):
    """Two pipes of the system, on both pollers. A pipe knows no reset."""

    tells_resets = False

    @pytest.fixture(autouse=True)
    def _reactor(self, any_reactor: Reactor) -> None:
        self.reactor = any_reactor

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        pipe_pair(self.reactor, one, other)
        yield


class TestStandardIO(OnReactor):
    """Two ends on pipes that were somebody else's, who has closed his own by now."""

    tells_resets = False

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        descriptors = [*os.pipe(), *os.pipe()]
        StandardIO(one, descriptors[0], descriptors[3], self.reactor)
        StandardIO(other, descriptors[2], descriptors[1], self.reactor)
        for descriptor in descriptors:
            os.close(descriptor)
        yield


class TestTCPUnderConditions(OnReactor):
    """The server's side is slow and gets and sends pieces of a kilobyte."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        slow = conditions(server, latency=0.002, jitter=0.001, fragment=1000)
        port = self.reactor.listenTCP(0, slow)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, client)
        yield
        port.stopListening()


class TestMemoryUnderConditions(StreamConformance):
    """One byte at a time in both directions of both sides, in virtual time."""

    large = 5_000
    flood = 1 << 20

    def pass_time(self) -> None:
        self.clock.advance(0.01)

    pass_a_turn = pass_time

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = Clock()

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        shape: dict[str, Any] = {"latency": 0.05, "jitter": 0.01, "bandwidth": 500_000, "fragment": 1}
        memory_pair(self.clock, conditions(one, **shape), conditions(other, **shape))
        yield


class TestWrappedTCP(OnReactor):
    """A policy's wrapper around each of the two protocols."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenTCP(0, WrappingFactory(server))
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, WrappingFactory(client))
        yield
        port.stopListening()


class TestTCPUnderPolicies(OnReactor):
    """Policies around policies, with limits that are not reached."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenTCP(0, self.policies(server))
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, self.policies(client))
        yield
        port.stopListening()

    def policies(self, factory: Any) -> TimeoutFactory:
        throttling = ThrottlingFactory(factory, readLimit=1 << 40, writeLimit=1 << 40)
        throttling.callLater = self.reactor.callLater  # type: ignore[method-assign, assignment]
        timing_out = TimeoutFactory(throttling, 60)
        timing_out.callLater = self.reactor.callLater  # type: ignore[method-assign, assignment]
        return timing_out


class TestTLS(StreamConformance):
    """TLS over TCP from the first byte, on both pollers."""

    sends_late_writes = False

    @pytest.fixture(autouse=True)
    def _reactor(self, any_reactor: Reactor) -> None:
        self.reactor = any_reactor

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenSSL(0, server, server_options())
        self.reactor.connectSSL("127.0.0.1", port.getHost().port, client, authority().clientOptions("localhost"))
        yield
        port.stopListening()


class TestTLSOverUNIX(OnReactor):
    """TLS that is started on UNIX sockets."""

    sends_late_writes = False

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(starting_tls(one, server_options()), starting_tls(other, client_options()))
        path = f"\0wirebook-{os.getpid()}-{id(one)}"
        port = self.reactor.listenUNIX(path, server)
        self.reactor.connectUNIX(path, client)
        yield
        port.stopListening()


class TestTLSOverMemory(OnReactor):
    """TLS that is started on in-memory streams."""

    sends_late_writes = False

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(starting_tls(one, server_options()), starting_tls(other, client_options()))
        name = f"secured port {id(one)}"
        port = self.reactor.listenMemory(name, server)
        self.reactor.connectMemory(name, client)
        yield
        port.stopListening()


class TestTLSAroundTCP(OnReactor):
    """TLS around the factories, over a stream that knows nothing of it."""

    sends_late_writes = False

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenTCP(0, TLSMemoryBIOFactory(server_options(), False, server))
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, TLSMemoryBIOFactory(client_options(), True, client))
        yield
        port.stopListening()


class TestTLSAroundTCPUnderConditions(OnReactor):
    """The conditions are above TLS, which is around the factories."""

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        server = TLSMemoryBIOFactory(server_options(), False, conditions(server, latency=0.002, fragment=1000))
        port = self.reactor.listenTCP(0, server)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, TLSMemoryBIOFactory(client_options(), True, client))
        yield
        port.stopListening()


class TestTLSInsideTLS(OnReactor):
    """TLS around the factories, over TLS."""

    sends_late_writes = False

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        server, client = factories(one, other)
        port = self.reactor.listenSSL(0, TLSMemoryBIOFactory(server_options(), False, server), server_options())
        inner = TLSMemoryBIOFactory(client_options(), True, client)
        self.reactor.connectSSL("127.0.0.1", port.getHost().port, inner, client_options())
        yield
        port.stopListening()


def client_options() -> Any:
    """For a client of the tests' server."""
    return authority().clientOptions("localhost")


def starting_tls(protocol: Any, options: Any) -> Any:
    """`protocol`, whose transport has begun with TLS before it hears of it."""
    make = protocol.makeConnection

    def make_connection(transport: Any) -> None:
        transport.startTLS(options)
        make(transport)

    protocol.makeConnection = make_connection
    return protocol
