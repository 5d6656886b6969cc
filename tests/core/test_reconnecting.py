"""Clients that connect again: `ReconnectingClientFactory`."""

from __future__ import annotations

import logging
import pickle
import statistics
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import cell, in_cell
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from wirebook import reactor as process_reactor
from wirebook.error import NotConnectingError
from wirebook.failure import Failure
from wirebook.protocol import Protocol, ReconnectingClientFactory
from wirebook.task import Clock
from wirebook.transports.reactor import Reactor

REASON = Failure(ConnectionError("gone"))


class Connector:
    """Counts what it is asked for."""

    def __init__(self, connecting: bool = False) -> None:
        self.connecting = connecting
        self.connects = self.stops = 0

    def connect(self) -> None:
        self.connects += 1

    def stopConnecting(self) -> None:
        if not self.connecting:
            raise NotConnectingError
        self.stops += 1

    def disconnect(self) -> None:
        """Nothing to end."""

    def getDestination(self) -> str:
        return "nowhere"


class Exact(ReconnectingClientFactory):
    """Without randomness, and on a clock of its own."""

    jitter: float | None = None
    noisy = False
    clock: Any

    def __init__(self) -> None:
        self.clock = Clock()


def waits(factory: Any, connector: Connector, count: int) -> list[float]:
    """How long each of the next `count` waits is, when every attempt fails."""
    seconds = []
    for _ in range(count):
        factory.clientConnectionFailed(connector, REASON)
        (call,) = factory.clock.calls
        seconds.append(call.getTime() - factory.clock.seconds())
        factory.clock.advance(seconds[-1])
    return seconds


@pytest.mark.parametrize("event", ["clientConnectionFailed", "clientConnectionLost"])
def test_it_connects_again_after_the_initial_delay(event: str) -> None:
    factory, connector = Exact(), Connector()
    getattr(factory, event)(connector, REASON)
    factory.clock.advance(0.9)
    assert connector.connects == 0
    factory.clock.advance(0.1)
    assert connector.connects == 1


def test_each_wait_is_longer_by_the_factor_up_to_the_maximum() -> None:
    factory = Exact()
    factory.initialDelay, factory.factor, factory.maxDelay = 2, 3, 50
    assert waits(factory, Connector(), 5) == pytest.approx([2, 6, 18, 50, 50])


def test_the_defaults_grow_by_e_from_a_second_to_an_hour() -> None:
    seconds = waits(Exact(), Connector(), 11)
    assert seconds[:3] == pytest.approx([1, 2.718281828, 7.389056099])
    assert seconds[-1] == 3600


def test_jitter_spreads_the_waits_and_never_exceeds_the_maximum() -> None:
    factory = Exact()
    factory.jitter, factory.initialDelay, factory.maxDelay, factory.factor = 0.1, 100, 100, 1
    first = []
    for _ in range(300):
        factory.resetDelay()
        first += waits(factory, Connector(), 1)
    assert max(first) <= 100
    assert 2 < statistics.stdev(first) < 10
    assert min(first) > 40


def test_great_jitter_never_makes_a_wait_negative() -> None:
    factory = Exact()
    factory.jitter = 50.0
    assert all(seconds >= 0 for seconds in waits(factory, Connector(), 100))


def test_it_gives_up_after_the_retries_it_may_make() -> None:
    factory, connector = Exact(), Connector()
    factory.maxRetries = 2
    waits(factory, connector, 2)
    factory.clientConnectionFailed(connector, REASON)
    assert (connector.connects, factory.clock.calls, factory.retries) == (2, [], 3)


def test_after_a_reset_it_begins_with_the_first_wait() -> None:
    factory, connector = Exact(), Connector()
    waits(factory, connector, 3)
    factory.resetDelay()
    assert (factory.delay, factory.retries) == (1.0, 0)
    assert waits(factory, connector, 1) == [1.0]


def test_stopping_ends_a_wait() -> None:
    factory, connector = Exact(), Connector()
    factory.clientConnectionLost(connector, REASON)
    factory.stopTrying()
    assert not factory.clock.calls
    factory.clientConnectionLost(connector, REASON)
    factory.retry(connector)
    assert not factory.clock.calls


def test_stopping_ends_an_attempt_without_making_another() -> None:
    factory = Exact()

    class Failing(Connector):
        def stopConnecting(self) -> None:
            super().stopConnecting()
            factory.clientConnectionFailed(self, REASON)

    connector = Failing(connecting=True)
    factory.startedConnecting(connector)
    factory.stopTrying()
    assert (connector.stops, connector.connects, factory.clock.calls) == (1, 0, [])


def test_after_a_reset_a_stopped_one_tries_again() -> None:
    factory, connector = Exact(), Connector()
    factory.stopTrying()
    factory.resetDelay()
    factory.clientConnectionLost(connector, REASON)
    assert len(factory.clock.calls) == 1


def test_retrying_needs_a_connector() -> None:
    with pytest.raises(ValueError, match="no connector"):
        Exact().retry()


def test_retrying_twice_connects_once() -> None:
    factory, connector = Exact(), Connector()
    factory.retry(connector)
    factory.retry(connector)
    factory.clock.advance(100)
    assert connector.connects == 1


def test_what_it_does_is_logged_unless_it_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    factory = Exact()
    factory.maxRetries = 1
    for noisy in (False, True):
        factory.noisy = noisy
        factory.resetDelay()
        waits(factory, Connector(), 1)
        factory.clientConnectionFailed(Connector(), REASON)
    assert ["connects again in 1.0 seconds" in caplog.text, len(caplog.records)] == [True, 2]


def test_a_pickled_factory_begins_anew() -> None:
    factory = ReconnectingClientFactory()
    factory.noisy, factory.maxRetries, factory.clock = False, 7, Clock()
    factory.clientConnectionFailed(Connector(), REASON)
    copy = pickle.loads(pickle.dumps(factory))
    assert (copy.maxRetries, copy.connector, copy.retries, copy.delay) == (7, None, 0, 1.0)
    assert (copy.continueTrying, copy.clock) == (1, None)


def test_by_default_the_process_s_reactor_keeps_the_time() -> None:
    factory = ReconnectingClientFactory()
    factory.clientConnectionFailed(Connector(), REASON)
    assert len(process_reactor.getDelayedCalls()) == 1
    factory.stopTrying()
    assert not process_reactor.getDelayedCalls()


class Quick(ReconnectingClientFactory):
    """Waits hardly at all."""

    initialDelay = 0.01
    maxDelay = 0.05
    protocol = Recorder
    noisy = False

    def __init__(self, reactor: Reactor) -> None:
        self.clock = reactor
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        self.made.append(protocol)
        return protocol


def test_a_lost_connection_is_made_again_over_tcp(reactor: Reactor) -> None:
    servers, clients = Recorders(Echo), Quick(reactor)
    with serving(reactor, servers) as port:
        reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
        servers.number(0).transport.loseConnection()
        servers.number(1).transport.abortConnection()
        servers.number(2)
        assert eventually(lambda: len(clients.made) == 3, PATIENCE)
        clients.stopTrying()
    assert clients.made[2].end()


def test_every_connection_keeps_the_context_in_which_the_first_was_asked_for(reactor: Reactor) -> None:
    seen: list[str] = []

    class Seeing(Quick):
        def buildProtocol(self, addr: Any) -> Any:
            seen.append(cell.get())
            return super().buildProtocol(addr)

    servers, clients = Recorders(Echo), Seeing(reactor)
    with serving(reactor, servers) as port:
        in_cell("7", reactor.connectTCP, "127.0.0.1", port.getHost().port, clients)
        servers.number(0).transport.abortConnection()
        servers.number(1)
        clients.stopTrying()
    assert eventually(lambda: seen == ["7", "7"], PATIENCE)
    clients.made[-1].end()


def test_a_server_that_comes_up_late_is_found(reactor: Reactor) -> None:
    servers, clients, number = Recorders(Echo), Quick(reactor), free_port()
    reactor.connectTCP("127.0.0.1", number, clients)
    assert eventually(lambda: clients.retries >= 2, PATIENCE)
    port = reactor.listenTCP(number, servers)
    try:
        servers.number(0)
    finally:
        clients.stopTrying()
        port.stopListening()
        servers.protocols[0].transport.abortConnection()


def test_a_subclass_needs_no_constructor_of_ours() -> None:
    class Bare(ReconnectingClientFactory):
        protocol = Protocol
        initialDelay = 5

        def __init__(self) -> None:
            """Calls nobody's."""

    assert Bare().delay == 5
