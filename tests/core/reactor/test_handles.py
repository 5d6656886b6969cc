"""Seam 1: what is open, and who is told."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom
from tests.core.net_kit import PATIENCE, Echo, Recorders, dial, on_reactor, serving
from tests.core.tls_kit import server_options
from wirebook.endpoints import serverFromString
from wirebook.error import CannotListenError
from wirebook.protocol import DatagramProtocol
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


# --- making room


def tcp_endpoint(reactor: Reactor, place: Any) -> Any:
    """A port of the endpoint ``tcp:``."""
    return serverFromString(reactor, f"tcp:{place}:interface=localhost").listen(Recorders(Echo)).wait(PATIENCE)


# How to listen, and what makes a place to listen at of a path that nobody has: any free port where there is none.
KINDS: dict[str, tuple[Callable[[Reactor, Any], Any], Callable[[Path], Any]]] = {
    "TCP": (lambda reactor, place: reactor.listenTCP(place, Recorders(Echo)), lambda path: 0),
    "TLS": (lambda reactor, place: reactor.listenSSL(place, Recorders(Echo), server_options()), lambda path: 0),
    "UDP": (lambda reactor, place: reactor.listenUDP(place, DatagramProtocol()), lambda path: 0),
    "multicast": (lambda reactor, place: reactor.listenMulticast(place, DatagramProtocol()), lambda path: 0),
    "UNIX": (lambda reactor, place: reactor.listenUNIX(place, Recorders(Echo)), str),
    "UNIX, locked": (lambda reactor, place: reactor.listenUNIX(place, Recorders(Echo), wantPID=True), str),
    "UNIX datagrams": (lambda reactor, place: reactor.listenUNIXDatagram(place, DatagramProtocol()), str),
    "an endpoint": (tcp_endpoint, lambda path: 0),
}


@contextmanager
def room_made_by(reactor: Reactor, answer: Callable[[Any, CannotListenError], Any]) -> Iterator[list[Any]]:
    """In the block `answer` is who makes room on `reactor`; collects who asked it and why."""
    asked: list[Any] = []

    def make_room(port: Any, error: CannotListenError) -> bool:
        assert turn.held()
        asked.append((port, error))
        return bool(answer(port, error))

    reactor.handles.make_room = make_room
    yield asked
    reactor.handles.make_room = None


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_whose_address_is_in_use_opens_when_room_is_made(
    any_reactor: Reactor, tmp_path: Path, kind: str
) -> None:
    listen, find_place = KINDS[kind]
    old = listen(any_reactor, find_place(tmp_path / "socket"))
    closed = []

    def close_old(port: Any, error: CannotListenError) -> bool:
        closed.append(old.closeHandle())
        return True

    with room_made_by(any_reactor, close_old) as asked:
        new = listen(any_reactor, old.port)
    assert [port for port, _ in asked] == [new]
    assert (asked[0][1].socketError.errno, str(asked[0][1].port)) == (errno.EADDRINUSE, str(old.port))
    assert any_reactor.handles.of("port") == [new]
    assert new.port == old.port
    closed[0].wait(PATIENCE)
    new.stopListening().wait(PATIENCE)


def test_room_can_be_made_in_a_callback(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as old, dial(old) as sock:
        factory.number(0)

        def close_all(port: Any, error: CannotListenError) -> bool:
            for handle in any_reactor.handles.of("port", "connection"):
                handle.closeHandle()
            return True

        with room_made_by(any_reactor, close_all):
            new = on_reactor(any_reactor, any_reactor.listenTCP, old.port, Recorders(Echo))
        assert sock.recv(1) == b""
        with dial(new) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
    new.stopListening()


def test_where_no_room_is_made_the_port_fails(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as old, room_made_by(any_reactor, lambda port, error: False) as asked:
        with pytest.raises(CannotListenError, match="address already in use") as refused:
            any_reactor.listenTCP(old.port, Recorders(Echo))
        assert [error for _, error in asked] == [refused.value]
        assert any_reactor.handles.of("port") == [old]


def test_room_is_asked_for_once(reactor: Reactor) -> None:
    with serving(reactor, Recorders(Echo)) as old, room_made_by(reactor, lambda port, error: True) as asked:
        with pytest.raises(CannotListenError, match="address already in use"):
            reactor.listenTCP(old.port, Recorders(Echo))
        assert len(asked) == 1


def test_room_is_asked_for_only_where_the_address_is_in_use(reactor: Reactor) -> None:
    with room_made_by(reactor, lambda port, error: True) as asked:
        with pytest.raises(CannotListenError, match="must be an address of this machine"):
            reactor.listenTCP(0, Recorders(Echo), interface="192.0.2.1")
        reactor.listenTCP(0, Recorders(Echo)).stopListening()
    assert asked == []


def test_an_error_of_who_makes_room_is_reported_and_the_port_fails(reactor: Reactor, reported: Reports) -> None:
    with (
        serving(reactor, Recorders(Echo)) as old,
        room_made_by(reactor, boom),
        pytest.raises(CannotListenError, match="address already in use"),
    ):
        reactor.listenTCP(old.port, Recorders(Echo))
    (record,) = reported()
    assert "asked for room for <Port of Echo on TCP" in record.getMessage()
