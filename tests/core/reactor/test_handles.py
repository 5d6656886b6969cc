"""Seam 1: what is open, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom
from tests.core.net_kit import PATIENCE, Echo, Recorders, dial, serving
from wirebook.transports.reactor import Reactor
from wirebook.turn import turn


def test_a_port_and_its_connection_are_handles_oldest_first(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port, dial(port) as sock:
        connection = factory.number(0).transport
        assert list(any_reactor.handles) == [port, connection]
        assert any_reactor.handles.of("connection") == [connection]
        assert any_reactor.handles.of("port", "connection") == [port, connection]
        assert len(any_reactor.handles) == 2
        assert connection.handleId > port.handleId
        assert connection.peerAddress.port == sock.getsockname()[1]
        assert any_reactor.handles.get(connection.handleId) is connection
    assert factory.protocols[0].end()


def test_a_delayed_call_is_a_handle_after_the_others(reactor: Reactor) -> None:
    call = reactor.callLater(60, int)
    with serving(reactor, Recorders(Echo)) as port:
        assert list(reactor.handles) == [port, call]
        assert reactor.handles.of("timer") == [call]
        assert reactor.handles.get(call.handleId) is call
    call.cancel()
    assert reactor.handles.get(call.handleId) is None


def test_observers_hear_of_opening_and_closing_in_the_turn(any_reactor: Reactor) -> None:
    events: list[tuple[str, str, bool]] = []
    factory = Recorders(Echo)

    def observe(event: str, handle: Any) -> None:
        events.append((event, handle.kind, turn.held()))

    any_reactor.handles.observe(observe)
    with serving(any_reactor, factory) as port:
        with dial(port):
            factory.number(0)
        assert factory.protocols[0].lost.wait(PATIENCE)
    any_reactor.callLater(60, int).cancel()
    any_reactor.handles.unobserve(observe)
    any_reactor.listenTCP(0, factory).stopListening()
    assert events == [
        ("opened", "port", True),
        ("opened", "connection", True),
        ("closed", "connection", True),
        ("closed", "port", True),
    ]


def test_a_closed_handle_is_no_longer_listed_when_observers_hear(reactor: Reactor) -> None:
    counts: list[int] = []

    def observe(event: str, handle: Any) -> None:
        counts.append(len(reactor.handles))

    reactor.handles.observe(observe)
    with serving(reactor, Recorders(Echo)):
        pass
    reactor.handles.unobserve(observe)
    assert counts == [1, 0]


def test_an_observer_that_raises_is_reported_and_the_others_hear(reactor: Reactor, reported: Reports) -> None:
    events: list[str] = []

    def observe(event: str, handle: Any) -> None:
        events.append(event)

    reactor.handles.observe(boom)
    reactor.handles.observe(observe)
    with serving(reactor, Recorders(Echo)):
        assert events == ["opened"]
    reactor.handles.unobserve(boom)
    reactor.handles.unobserve(observe)
    assert ["handle observer" in record.getMessage() for record in reported()] == [True, True]


def test_removing_an_unknown_observer_is_harmless(reactor: Reactor) -> None:
    reactor.handles.unobserve(boom)


@pytest.mark.parametrize("number", [0, -1, 10**9])
def test_an_unknown_number_is_no_handle(reactor: Reactor, number: int) -> None:
    assert reactor.handles.get(number) is None
