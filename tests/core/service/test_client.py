"""A service that keeps a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, cell, error_of, in_cell, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from wirebook import reactor as process_reactor
from wirebook.deferred import CancelledError, Deferred
from wirebook.endpoints import TCP4ClientEndpoint
from wirebook.error import ConnectionDone, NoProtocol
from wirebook.failure import Failure
from wirebook.protocol import Factory, Protocol, connectionDone
from wirebook.service import ClientService, backoffPolicy
from wirebook.task import Clock
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor

NO_SERVER = ConnectionRefusedError("nobody")


class Talker(Protocol):
    """A program's protocol."""

    transport: Any
    lost: Failure | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class World:
    """An endpoint whose attempts end when the test says so, and the service that uses it.

    ``attempts`` are the Deferreds of the attempts, ``built`` what the endpoint was given as protocols.
    """

    def __init__(self, **how: Any) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[Any]] = []
        self.factories: list[Any] = []
        self.built: list[Any] = []
        how.setdefault("retryPolicy", lambda failures: 10.0 * failures)
        self.service = ClientService(self, Factory.forProtocol(Talker), clock=self.clock, **how)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.factories.append(protocolFactory)
        attempt: Deferred[Any] = Deferred()
        self.attempts.append(attempt)
        return attempt

    def establish(self) -> Any:
        """The last attempt succeeds; the program's protocol."""
        facing = self.factories[-1].buildProtocol(None)
        self.built.append(facing)
        facing.makeConnection(StringTransport())
        self.attempts[-1].callback(facing)
        return facing.wrappedProtocol

    def fail(self, error: Exception = NO_SERVER) -> None:
        """The last attempt fails."""
        self.attempts[-1].errback(error)

    def lose(self, number: int = -1) -> None:
        """A connection is lost."""
        self.built[number].connectionLost(Failure(ConnectionDone()))


def started(**how: Any) -> World:
    """One whose service was started."""
    world = World(**how)
    world.service.startService()
    return world


# ---------------------------------------------------------------------------------------- connecting


def test_starting_connects() -> None:
    world = World()
    assert not world.attempts
    world.service.startService()
    assert len(world.attempts) == 1
    assert world.service.running


def test_starting_twice_connects_once_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    world = started()
    world.service.startService()
    assert len(world.attempts) == 1
    assert "Duplicate ClientService.startService" in caplog.text


def test_a_failed_attempt_is_repeated_when_the_policy_says() -> None:
    world = started()
    for count, wait in ((2, 10), (3, 20), (4, 30)):
        world.fail()
        world.clock.advance(wait - 0.1)
        assert len(world.attempts) == count - 1
        world.clock.advance(0.1)
        assert len(world.attempts) == count


def test_a_retry_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    world = started()
    world.fail()
    assert "Scheduling retry 1 to connect" in caplog.text
    assert "in 10.0 seconds" in caplog.text


def test_a_lost_connection_is_made_again_and_failures_are_counted_anew() -> None:
    world = started()
    world.fail()
    world.clock.advance(10)
    first = world.establish()
    world.lose()
    assert isinstance(first.lost.value, ConnectionDone)
    world.clock.advance(10)
    assert len(world.attempts) == 3
    assert outcome_of_next(world) is not first


def outcome_of_next(world: World) -> Any:
    """The protocol of the attempt that is under way, once it succeeds."""
    connected = world.service.whenConnected()
    world.establish()
    return outcome(connected)


def test_a_connection_that_the_factory_refuses_is_tried_again() -> None:
    world = started()
    world.service._factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    assert world.factories[-1].buildProtocol(None) is None
    world.fail(NoProtocol())
    world.clock.advance(10)
    assert len(world.attempts) == 2


def test_an_endpoint_that_raises_counts_as_a_failed_attempt() -> None:
    clock = Clock()

    class Broken:
        connect = staticmethod(boom)

    service = ClientService(Broken(), Factory.forProtocol(Talker), clock=clock)  # type: ignore[arg-type]
    connected = service.whenConnected(failAfterFailures=1)
    service.startService()
    assert error_of(connected, ValueError)
    assert len(clock.calls) == 1
    service.stopService()


def test_a_policy_that_raises_is_reported_and_the_default_is_used(reported: Reports) -> None:
    world = started(retryPolicy=boom)
    world.fail()
    assert "retryPolicy" in reported()[0].getMessage()
    world.clock.advance(2.6)
    assert len(world.attempts) == 2


def test_the_factory_s_other_methods_are_reached() -> None:
    world = started()
    world.factories[0].doStart()
    factory: Any = world.service._factory
    assert factory.numPorts == 1
    assert "Factory" in repr(world.factories[0])


def test_the_protocol_s_optional_methods_are_there_only_when_it_has_them() -> None:
    world = started()
    world.establish()
    facing = world.built[0]
    assert not hasattr(facing, "readConnectionLost")
    facing.wrappedProtocol.readConnectionLost = lambda: "heard"
    assert facing.readConnectionLost() == "heard"
    assert "Talker" in repr(facing)
    assert isinstance(facing, Talker)


# ------------------------------------------------------------------------------------- whenConnected


def test_all_who_wait_get_the_same_protocol() -> None:
    world = World()
    early = world.service.whenConnected()
    world.service.startService()
    waiting = [early, world.service.whenConnected(), world.service.whenConnected(1)]
    assert not any(deferred.called for deferred in waiting)
    protocol = world.establish()
    assert [outcome(deferred) for deferred in waiting] == [protocol] * 3
    assert outcome(world.service.whenConnected(1)) is protocol


def test_who_waits_hears_of_as_many_failures_as_it_wants_to() -> None:
    world = started()
    waiting = [world.service.whenConnected(count) for count in (None, 1, 2, 3)]
    for number in (1, 2):
        world.fail(ConnectionRefusedError(number))
        assert [deferred.called for deferred in waiting] == [False] + [index <= number for index in (1, 2, 3)]
        assert error_of(waiting[number], ConnectionRefusedError).args == (number,)
        world.clock.advance(10 * number)
    protocol = world.establish()
    assert outcome(waiting[0]) is outcome(waiting[3]) is protocol


def test_who_waits_may_stop_the_service_at_once() -> None:
    world = started()
    world.service.whenConnected().addCallback(lambda _: world.service.stopService())
    later = world.service.whenConnected(1)
    protocol = world.establish()
    assert protocol.transport.disconnecting
    assert outcome(later) is protocol


def test_who_is_told_of_a_failure_may_stop_the_service_at_once() -> None:
    world = started()
    world.service.whenConnected(1).addErrback(lambda _: world.service.stopService())
    world.fail()
    assert not world.clock.calls
    assert not world.service.running


# ------------------------------------------------------------------------------------------ stopping


def test_stopping_closes_the_connection_and_waits_for_its_end() -> None:
    world = started()
    protocol = world.establish()
    first, second = world.service.stopService(), world.service.stopService()
    assert protocol.transport.disconnecting
    assert [first.called, second.called, world.service.running] == [False] * 3
    world.lose()
    assert [outcome(first), outcome(second)] == [None, None]
    assert not world.clock.calls


def test_stopping_cancels_the_attempt_under_way() -> None:
    world = started()
    waiting = world.service.whenConnected()
    assert outcome(world.service.stopService()) is None
    assert error_of(waiting, CancelledError)
    assert len(world.attempts) == 1
    assert not world.clock.calls


def test_stopping_ends_the_wait_for_the_next_attempt() -> None:
    world = started()
    waiting = world.service.whenConnected()
    world.fail()
    assert outcome(world.service.stopService()) is None
    assert error_of(waiting, CancelledError)
    assert not world.clock.calls


def test_a_retry_that_somebody_else_cancelled_is_no_trouble() -> None:
    world = started()
    world.fail()
    world.clock.calls[0].cancel()
    assert outcome(world.service.stopService()) is None


@pytest.mark.parametrize("running", [False, True])
def test_stopping_what_does_not_run_is_harmless(running: bool) -> None:
    world = World()
    if running:
        world.service.startService()
        world.service.stopService()
    assert outcome(world.service.stopService()) is None


def test_nobody_waits_for_a_stopped_service() -> None:
    world = World()
    early = world.service.whenConnected()
    world.service.stopService()
    assert error_of(early, CancelledError)
    assert error_of(world.service.whenConnected(), CancelledError)


def test_a_protocol_that_comes_of_a_cancelled_attempt_is_refused() -> None:
    world = started()
    world.service.stopService()
    assert world.factories[0].buildProtocol(None) is None


# ---------------------------------------------------------------------------------------- restarting


def test_a_stopped_service_starts_again() -> None:
    world = started()
    world.service.stopService()
    world.service.startService()
    assert outcome_of_next(world)


def test_starting_while_the_old_connection_closes_waits_for_its_end() -> None:
    world = started()
    first = world.establish()
    stopped = world.service.stopService()
    connected = world.service.whenConnected()
    world.service.startService()
    assert (len(world.attempts), stopped.called, connected.called) == (1, False, False)
    world.lose()
    assert outcome(stopped) is None
    second = world.establish()
    assert outcome(connected) is second
    assert second is not first


def test_stopping_again_before_the_old_connection_has_closed_ends_it_all() -> None:
    world = started()
    world.establish()
    first = world.service.stopService()
    world.service.startService()
    second = world.service.stopService()
    world.lose()
    assert [outcome(first), outcome(second)] == [None, None]
    assert len(world.attempts) == 1


# ----------------------------------------------------------------------------------------- preparing


def test_a_connection_is_prepared_before_it_is_used() -> None:
    prepared: list[Any] = []
    ready: Deferred[str] = Deferred()

    def prepare(protocol: Any) -> Deferred[str]:
        prepared.append(protocol)
        return ready

    world = started(prepareConnection=prepare)
    connected = world.service.whenConnected()
    protocol = world.establish()
    assert isinstance(prepared[0], Talker)
    assert prepared[0].transport is protocol.transport
    assert not connected.called
    ready.callback("whatever")
    assert outcome(connected) is protocol
    world.lose()
    world.clock.advance(10)
    world.establish()
    assert len(prepared) == 2


def test_preparing_may_be_a_coroutine() -> None:
    ready: Deferred[None] = Deferred()

    async def prepare(_: Any) -> None:
        await ready

    world = started(prepareConnection=prepare)
    protocol = world.establish()
    connected = world.service.whenConnected()
    ready.callback(None)
    assert outcome(connected) is protocol


def test_a_rejected_connection_is_closed_and_counts_as_a_failed_attempt() -> None:
    world = started(prepareConnection=boom)
    connected = world.service.whenConnected(2)
    assert world.establish().transport.disconnecting
    assert not connected.called
    world.lose()
    world.clock.advance(10)
    world.establish()
    assert error_of(connected, ValueError)
    world.lose()
    world.clock.advance(19)
    assert len(world.attempts) == 2


def test_the_stop_waits_for_a_rejected_connection_to_close() -> None:
    world = started(prepareConnection=boom)
    world.establish()
    stopped = world.service.stopService()
    assert not stopped.called
    world.lose()
    assert outcome(stopped) is None


def test_a_service_that_starts_while_a_rejected_connection_closes_goes_on() -> None:
    world = started(prepareConnection=boom)
    world.establish()
    stopped = world.service.stopService()
    world.service.startService()
    assert outcome(stopped) is None
    assert len(world.attempts) == 2
    world.lose()
    assert world.service.running


def test_a_connection_that_is_lost_while_it_is_prepared_counts_as_a_failed_attempt() -> None:
    cancelled: list[Any] = []
    world = started(prepareConnection=lambda _: Deferred(cancelled.append))
    connected = world.service.whenConnected(1)
    world.establish()
    world.lose()
    assert error_of(connected, ConnectionDone)
    assert len(cancelled) == 1
    assert len(world.clock.calls) == 1


def test_stopping_cancels_the_preparation_and_closes() -> None:
    world = started(prepareConnection=lambda _: Deferred())
    protocol = world.establish()
    stopped = world.service.stopService()
    assert protocol.transport.disconnecting
    assert not stopped.called
    world.lose()
    assert outcome(stopped) is None


@pytest.mark.parametrize("end", ["stop", "loss"])
def test_a_connection_that_ends_before_the_attempt_has_fired_is_not_prepared(end: str) -> None:
    prepared: list[Any] = []
    world = started(prepareConnection=prepared.append)
    facing = world.factories[0].buildProtocol(None)
    facing.makeConnection(StringTransport())
    if end == "stop":
        world.service.stopService()
        assert facing.transport.disconnecting
    else:
        facing.connectionLost(Failure(ConnectionDone()))
    world.attempts[0].callback(facing)
    assert prepared == []
    assert len(world.clock.calls) == (0 if end == "stop" else 1)


# -------------------------------------------------------------------------------------------- policy


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 2), (1, 6), (2, 18), (3, 50), (10_000, 50)])
def test_the_back_off_grows_by_the_factor_up_to_the_maximum(attempt: int, seconds: float) -> None:
    assert backoffPolicy(2, 50, 3, lambda: 0.0)(attempt) == seconds


def test_the_back_off_has_jitter_on_top_of_the_maximum() -> None:
    assert backoffPolicy(1, 1, 1, lambda: 0.25)(5) == 1.25
    assert all(1.5 <= backoffPolicy()(1) < 2.5 for _ in range(100))


def test_a_back_off_over_all_numbers_is_the_maximum() -> None:
    assert backoffPolicy(1e300, 60, 1e10, lambda: 0.0)(50) == 60


# ------------------------------------------------------------------------------------------ over TCP


def quickly(failures: int) -> float:
    """A policy for tests."""
    return 0.01


def kept(reactor: Reactor, port: int, protocol: Callable[[], Any] = Recorder, **how: Any) -> ClientService:
    """A started service, connecting to `port` of this machine."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    service = ClientService(endpoint, Factory.forProtocol(protocol), quickly, reactor, **how)
    service.startService()
    return service


def test_a_lost_connection_is_made_again_over_tcp(reactor: Reactor) -> None:
    servers = Recorders(Echo)
    with serving(reactor, servers) as port:
        service = kept(reactor, port.getHost().port)
        first = service.whenConnected().wait(PATIENCE)
        assert type(first) is Recorder
        assert first.transport.label == "Recorder"
        servers.number(0).transport.abortConnection()
        servers.number(1)
        assert first.end()
        second = service.whenConnected().wait(PATIENCE)
        second.transport.write(b"hello")
        assert eventually(lambda: second.data == b"hello", PATIENCE)
        assert service.stopService().wait(PATIENCE) is None
        assert isinstance(second.end(), ConnectionDone)


def test_every_connection_keeps_the_context_in_which_the_service_was_started(reactor: Reactor) -> None:
    seen: list[str] = []

    class Seeing(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            seen.append(cell.get())

    servers = Recorders(Echo)
    with serving(reactor, servers) as port:
        service = in_cell("7", kept, reactor, port.getHost().port, Seeing)
        servers.number(0).transport.abortConnection()
        servers.number(1)
        assert eventually(lambda: seen == ["7", "7"], PATIENCE)
        service.stopService().wait(PATIENCE)


def test_a_service_that_never_connects_stops(reactor: Reactor) -> None:
    service = kept(reactor, free_port())
    assert isinstance(service.whenConnected(2).addErrback(lambda failure: failure.value).wait(PATIENCE), Exception)
    service.stopService().wait(PATIENCE)


def test_stopping_from_within_connectionMade_ends_the_connection(reactor: Reactor) -> None:
    services: list[ClientService] = []
    stopped: list[Any] = []

    class Leaving(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            services[0].stopService().addBoth(stopped.append)

    servers = Recorders(Echo)
    with serving(reactor, servers) as port:
        with reactor.turn():
            services.append(kept(reactor, port.getHost().port, Leaving))
        assert eventually(lambda: stopped == [None], PATIENCE)
        assert servers.number(0).end()


def test_a_protocol_that_raises_at_the_beginning_is_tried_again(reactor: Reactor, reported: Reports) -> None:
    class Shy(Recorder):
        shy = True

        def connectionMade(self) -> None:
            super().connectionMade()
            if Shy.shy:
                Shy.shy = False
                raise ValueError("not yet")

    with serving(reactor, Recorders(Echo)) as port:
        service = kept(reactor, port.getHost().port, Shy)
        assert service.whenConnected().wait(PATIENCE)
        service.stopService().wait(PATIENCE)
    assert "Shy.makeConnection() raised" in reported()[0].getMessage()


def test_by_default_the_process_s_reactor_keeps_the_time() -> None:
    class Failing:
        def connect(self, protocolFactory: Any) -> Any:
            raise ConnectionRefusedError

    service = ClientService(Failing(), Factory())
    service.startService()
    assert len(process_reactor.getDelayedCalls()) == 1
    service.stopService()
    assert not process_reactor.getDelayedCalls()
