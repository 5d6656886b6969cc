"""Racing the addresses of a name (RFC 8305), mostly in virtual time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from tests.core.reactor.names.resolvers import Answering, Waiting
from wirebook.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from wirebook.deferred import Deferred
from wirebook.endpoints import HostnameEndpoint, connectProtocol
from wirebook.endpoints.hostname import ATTEMPT_DELAY, RESOLUTION_DELAY
from wirebook.error import ConnectError, ConnectingCancelledError, ConnectionRefusedError, DNSLookupError
from wirebook.failure import Failure
from wirebook.protocol import Factory
from wirebook.task import Clock
from wirebook.testing import MemoryReactorClock, RaisingMemoryReactor, StringTransport
from wirebook.transports.reactor import Reactor

FOURS = [IPv4Address("TCP", f"192.0.2.{number}", 80) for number in (1, 2, 3)]
SIXES = [IPv6Address("TCP", f"2001:db8::{number}", 80) for number in (1, 2, 3)]


class Lab:
    """A reactor in virtual time and one connecting to a name with these addresses."""

    def __init__(self, addresses: list[Any] | None, **how: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.names: Any = Waiting() if addresses is None else Answering(addresses)
        self.reactor.installNameResolver(self.names)
        self.endpoint = HostnameEndpoint(self.reactor, "many.example", 80, **how)
        self.factory = Factory.forProtocol(Recorder)
        self.connected: Deferred[Any] = self.endpoint.connect(self.factory)

    @property
    def tried(self) -> list[str]:
        """The addresses tried so far."""
        return [client[0] for client in self.reactor.tcpClients]

    def fail(self, number: int, text: str = "no") -> ConnectError:
        """The attempt with this number fails."""
        error = ConnectError(string=text)
        self.reactor.tcpClients[number][2].clientConnectionFailed(self.reactor.connectors[number], Failure(error))
        return error

    def succeed(self, number: int) -> Any:
        """The attempt with this number succeeds."""
        protocol = self.reactor.tcpClients[number][2].buildProtocol(None)
        protocol.makeConnection(StringTransport())
        return protocol

    def is_quiet(self) -> bool:
        """Whether no timer is left."""
        return not self.reactor.getDelayedCalls()


# --- order and time ---------------------------------------------------------------------------------------


def test_addresses_are_tried_one_after_the_other() -> None:
    lab = Lab(FOURS)
    assert lab.tried == ["192.0.2.1"]
    lab.reactor.advance(ATTEMPT_DELAY - 0.01)
    assert lab.tried == ["192.0.2.1"]
    lab.reactor.advance(0.01)
    assert lab.tried == ["192.0.2.1", "192.0.2.2"]
    lab.reactor.advance(ATTEMPT_DELAY)
    assert lab.tried == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert lab.is_quiet()


@pytest.mark.parametrize(
    ("addresses", "order"),
    [
        ([*SIXES, *FOURS[:2]], [SIXES[0], FOURS[0], SIXES[1], FOURS[1], SIXES[2]]),
        ([*FOURS, *SIXES[:1]], [FOURS[0], SIXES[0], FOURS[1], FOURS[2]]),
    ],
)
def test_the_families_take_turns(addresses: list[Any], order: list[Any]) -> None:
    lab = Lab(addresses)
    lab.reactor.pump([ATTEMPT_DELAY] * len(addresses))
    assert lab.tried == [address.host for address in order]


def test_an_address_that_comes_twice_is_tried_once() -> None:
    lab = Lab([FOURS[0], FOURS[0]])
    assert lab.tried == ["192.0.2.1"]
    assert lab.is_quiet()


def test_addresses_of_other_kinds_are_left_out() -> None:
    lab = Lab([UNIXAddress("/x"), FOURS[0], object()])
    assert lab.tried == ["192.0.2.1"]


def test_after_a_failure_the_next_one_need_not_wait() -> None:
    lab = Lab(FOURS)
    lab.fail(0)
    lab.reactor.advance(0)
    assert lab.tried == ["192.0.2.1", "192.0.2.2"]


def test_a_delay_that_was_asked_for_is_kept_after_a_failure() -> None:
    lab = Lab(FOURS, attemptDelay=12.5)
    lab.fail(0)
    lab.reactor.advance(12.4)
    assert lab.tried == ["192.0.2.1"]
    lab.reactor.advance(0.1)
    assert lab.tried == ["192.0.2.1", "192.0.2.2"]


def test_every_attempt_gets_the_timeout_and_the_local_address() -> None:
    lab = Lab([FOURS[0], SIXES[0]], timeout=7, bindAddress="192.0.2.9")
    lab.reactor.advance(ATTEMPT_DELAY)
    assert [client[3:] for client in lab.reactor.tcpClients] == [(7, ("192.0.2.9", 0))] * 2


@pytest.mark.parametrize("given", ["192.0.2.9", b"192.0.2.9", ("192.0.2.9", 0), (b"192.0.2.9", 0)])
def test_the_local_address_may_be_written_in_several_ways(given: Any) -> None:
    assert Lab(FOURS, bindAddress=given).reactor.tcpClients[0][4] == ("192.0.2.9", 0)


# --- addresses that come late -----------------------------------------------------------------------------


def test_the_first_address_of_version_six_does_not_wait_for_the_others() -> None:
    lab = Lab(None)
    lab.names.receiver.addressResolved(SIXES[0])
    lab.reactor.advance(0)
    assert lab.tried == ["2001:db8::1"]


def test_version_four_waits_a_moment_for_version_six() -> None:
    lab = Lab(None)
    lab.names.receiver.addressResolved(FOURS[0])
    lab.reactor.advance(RESOLUTION_DELAY / 2)
    assert lab.tried == []
    lab.names.receiver.addressResolved(SIXES[0])
    lab.reactor.advance(0)
    assert lab.tried == ["2001:db8::1"]
    lab.reactor.advance(ATTEMPT_DELAY)
    assert lab.tried == ["2001:db8::1", "192.0.2.1"]


def test_version_four_waits_no_longer_than_that() -> None:
    lab = Lab(None)
    lab.names.receiver.addressResolved(FOURS[0])
    lab.reactor.advance(RESOLUTION_DELAY)
    assert lab.tried == ["192.0.2.1"]


def test_an_address_that_comes_after_all_others_failed_is_tried_too() -> None:
    lab = Lab(None)
    lab.names.receiver.addressResolved(SIXES[0])
    lab.reactor.advance(0)
    lab.fail(0)
    lab.reactor.advance(1)
    assert not lab.connected.called
    lab.names.receiver.addressResolved(FOURS[0])
    lab.names.receiver.resolutionComplete()
    lab.reactor.advance(0)
    assert lab.tried == ["2001:db8::1", "192.0.2.1"]
    assert outcome_after(lab, 1) == "connected"


def outcome_after(lab: Lab, number: int) -> str:
    lab.succeed(number)
    assert outcome(lab.connected).made.is_set()
    assert lab.is_quiet()
    return "connected"


# --- how it ends ------------------------------------------------------------------------------------------


def test_the_first_that_answers_wins_and_the_others_are_given_up() -> None:
    lab = Lab(FOURS)
    lab.reactor.advance(ATTEMPT_DELAY)
    lab.succeed(1)
    assert outcome(lab.connected).factory is lab.factory
    assert [connector.stoppedConnecting for connector in lab.reactor.connectors] == [True, False]
    assert lab.is_quiet()


def test_when_all_fail_the_last_error_has_the_others_as_notes() -> None:
    lab = Lab(FOURS[:2])
    lab.reactor.advance(ATTEMPT_DELAY)
    lab.fail(0, "first")
    last = lab.fail(1, "second")
    error = error_of(lab.connected, ConnectError)
    assert error is last
    assert error.__notes__ == ["before that: first"]
    assert lab.is_quiet()


def test_connecting_that_raises_counts_as_a_failure() -> None:
    class Raising(RaisingMemoryReactor, Clock):
        def __init__(self, error: Exception) -> None:
            RaisingMemoryReactor.__init__(self, connectException=error)
            Clock.__init__(self)

    refused = ConnectError(string="refused")
    reactor = Raising(refused)
    reactor.installNameResolver(Answering(FOURS))
    connected = HostnameEndpoint(reactor, "many.example", 80).connect(Factory())
    reactor.pump([0] * 3)
    assert error_of(connected, ConnectError) is refused
    assert not reactor.getDelayedCalls()


def test_a_name_without_addresses_fails() -> None:
    lab = Lab([])
    assert "'many.example' does not resolve" in str(error_of(lab.connected, DNSLookupError))
    assert lab.is_quiet()


def test_a_lookup_has_the_timeout_too() -> None:
    lab = Lab(None, timeout=5)
    lab.reactor.advance(5)
    assert "'many.example' was not resolved within 5 s" in str(error_of(lab.connected, DNSLookupError))
    assert lab.names.resolution.cancelled
    assert lab.is_quiet()


def test_a_resolver_that_raises_fails_the_deferred() -> None:
    class Broken:
        def resolveHostName(self, *args: Any, **kw: Any) -> Any:
            raise RuntimeError("broken")

    reactor = MemoryReactorClock()
    reactor.installNameResolver(Broken())
    error_of(HostnameEndpoint(reactor, "many.example", 80).connect(Factory()), RuntimeError)
    assert not reactor.getDelayedCalls()


def test_cancelling_while_attempts_run_ends_them() -> None:
    lab = Lab(FOURS)
    lab.reactor.advance(ATTEMPT_DELAY)
    lab.connected.cancel()
    assert error_of(lab.connected, ConnectingCancelledError).address == HostnameAddress(b"many.example", 80)
    assert [connector.stoppedConnecting for connector in lab.reactor.connectors] == [True, True]
    assert lab.is_quiet()


def test_cancelling_during_the_lookup_stops_it() -> None:
    lab = Lab(None)
    lab.connected.cancel()
    error_of(lab.connected, ConnectingCancelledError)
    assert lab.names.resolution.cancelled
    assert lab.is_quiet()
    lab.names.receiver.addressResolved(FOURS[0])
    lab.names.receiver.resolutionComplete()
    assert lab.tried == []


# --- hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("example.com", "example.com:80"),
        ("b\xfccher.ch", "xn--bcher-kva.ch:80"),
        ("bu\u0308cher.ch", "xn--bcher-kva.ch:80"),
        (b"xn--bcher-kva.ch", "xn--bcher-kva.ch:80"),
        (b"::1", "[::1]:80"),
        (b"\xff-garbage-\xff", r"\xff-garbage-\xff:80"),
    ],
)
def test_it_shows_where_it_leads(host: Any, shown: str) -> None:
    assert repr(HostnameEndpoint(MemoryReactorClock(), host, 80)) == f"<HostnameEndpoint {shown}>"


def test_the_resolver_gets_the_name_as_people_read_it() -> None:
    reactor, names = MemoryReactorClock(), Answering(FOURS)
    reactor.installNameResolver(names)
    HostnameEndpoint(reactor, b"xn--bcher-kva.ch", 80).connect(Factory())
    assert names.asked == [("b\xfccher.ch", 80)]


@pytest.mark.parametrize("host", [b"\xff-garbage-\xff", "\u2ff0-garbage-\u2ff0"])
def test_what_can_be_no_name_fails_when_it_is_used(host: Any) -> None:
    error = error_of(HostnameEndpoint(MemoryReactorClock(), host, 80).connect(Factory()), ValueError)
    assert "-garbage-" in str(error)
    assert str(error).isascii()


def test_what_is_no_host_is_refused() -> None:
    wrong: Any = None
    with pytest.raises(TypeError, match="a host is a name or an address, a str or bytes, not None"):
        HostnameEndpoint(MemoryReactorClock(), wrong, 80)


@pytest.mark.parametrize("port", [65536, -1])
def test_a_port_out_of_range_fails_the_deferred_before_anybody_is_asked(port: int) -> None:
    reactor = MemoryReactorClock()
    reactor.installNameResolver(Answering(FOURS))
    error = error_of(HostnameEndpoint(reactor, "many.example", port).connect(Factory()), ValueError)
    assert f"port {port} is out of range" in str(error)
    assert not reactor.tcpClients


def test_a_timeout_out_of_range_fails_the_deferred() -> None:
    lab = Lab(None, timeout=-1)
    assert "a delay is a number of seconds" in str(error_of(lab.connected, ValueError))
    assert lab.names.resolution.cancelled


# --- real sockets -----------------------------------------------------------------------------------------


@contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """An address where nobody answers: a server whose queue is full does not even refuse."""
    with socket.socket() as server:
        server.bind(("127.0.0.2", 0))
        server.listen(0)
        callers = []
        try:
            for _ in range(4):
                caller = socket.socket()
                caller.setblocking(False)
                caller.connect_ex(server.getsockname())
                callers.append(caller)
            yield server.getsockname()
        finally:
            for caller in callers:
                caller.close()


def test_an_address_that_does_not_answer_costs_a_moment_only(any_reactor: Reactor) -> None:
    with black_hole() as (dead, number), serving_at(any_reactor, "127.0.0.1", number) as factory:
        addresses = [IPv4Address("TCP", host, number) for host in (dead, "127.0.0.1")]
        any_reactor.installNameResolver(Answering(addresses))
        connected = connectProtocol(HostnameEndpoint(any_reactor, "many.example", number), Recorder())
        client = connected.wait(PATIENCE)
        assert client.transport.getPeer().host == "127.0.0.1"
        assert len(any_reactor.handles.of("connection")) <= 2
        client.transport.loseConnection()
        client.end()
        factory.number(0).end()


@contextmanager
def serving_at(reactor: Reactor, host: str, number: int) -> Iterator[Recorders[Echo]]:
    factory = Recorders(Echo)
    port = reactor.listenTCP(number, factory, interface=host)
    try:
        yield factory
    finally:
        port.stopListening()


def test_a_refusing_address_of_version_six_costs_nothing(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        addresses = [IPv6Address("TCP", "::1", port.port), IPv4Address("TCP", "127.0.0.1", port.port)]
        any_reactor.installNameResolver(Answering(addresses))
        connected = connectProtocol(HostnameEndpoint(any_reactor, "both.example", port.port), Recorder())
        client = connected.wait(PATIENCE)
        client.transport.loseConnection()
        client.end()


def test_the_system_s_name_of_this_machine_leads_here(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        client = connectProtocol(HostnameEndpoint(any_reactor, "localhost", port.port), Recorder()).wait(PATIENCE)
        client.transport.loseConnection()
        client.end()


def test_all_refusals_are_told(any_reactor: Reactor) -> None:
    number = free_port()
    any_reactor.installNameResolver(
        Answering([IPv6Address("TCP", "::1", number), IPv4Address("TCP", "127.0.0.1", number)])
    )
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1") as caught:
        connectProtocol(HostnameEndpoint(any_reactor, "both.example", number), Recorder()).wait(PATIENCE)
    assert "[::1]" in caught.value.__notes__[0]


def test_giving_up_leaves_nothing_open(any_reactor: Reactor) -> None:
    with black_hole() as (dead, number):
        any_reactor.installNameResolver(Answering([IPv4Address("TCP", dead, number)]))
        connected = connectProtocol(HostnameEndpoint(any_reactor, "dead.example", number), Recorder())
        connected.cancel()
        with pytest.raises(ConnectingCancelledError):
            connected.wait(PATIENCE)
        assert not list(any_reactor.handles)
