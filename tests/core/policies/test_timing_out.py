"""Connections that end when nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.core.net_kit import Recorder, Recorders, dial, receive_all, serving
from tests.core.policies.policy_kit import Noting, Server, connect
from wirebook import reactor as process_reactor
from wirebook.policies import TimeoutFactory, TimeoutMixin, TimeoutProtocol
from wirebook.protocol import Protocol
from wirebook.task import Clock
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor


class Timed(TimeoutFactory):
    """Counts on a clock of its own."""

    def __init__(self, period: float | None = 3) -> None:
        super().__init__(Server(), period)
        self.clock = Clock()

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        return self.clock.callLater(period, func)


# --------------------------------------------------------------------------------------- the wrapper


def test_a_silent_connection_is_closed_after_the_period() -> None:
    factory = Timed()
    wrapper, _ = connect(factory)
    wrapped = wrapper.wrappedProtocol
    factory.clock.advance(2.9)
    assert not wrapped.lost
    factory.clock.advance(0.1)
    assert wrapped.lost


@pytest.mark.parametrize(
    "activity",
    [
        lambda wrapper: wrapper.dataReceived(b"x"),
        lambda wrapper: wrapper.write(b"x"),
        lambda wrapper: wrapper.writeSequence([b"x"]),
    ],
    ids=["received", "written", "sequence"],
)
def test_activity_begins_the_period_anew(activity: Callable[[Any], object]) -> None:
    factory = Timed()
    wrapper, _ = connect(factory)
    wrapped = wrapper.wrappedProtocol
    factory.clock.advance(2)
    activity(wrapper)
    factory.clock.advance(2)
    assert not wrapped.lost
    factory.clock.advance(1)
    assert wrapped.lost


def test_without_a_period_nothing_times_out() -> None:
    factory = Timed(None)
    wrapper, _ = connect(factory)
    wrapper.dataReceived(b"x")
    assert wrapper.timeoutCall is None
    assert not factory.clock.getDelayedCalls()


def test_the_period_can_be_changed_and_taken_away() -> None:
    factory = Timed()
    wrapper, _ = connect(factory)
    wrapper.setTimeout(10)
    factory.clock.advance(9)
    assert (wrapper.timeoutPeriod, len(factory.clock.calls)) == (10, 1)
    wrapper.cancelTimeout()
    assert (wrapper.timeoutPeriod, wrapper.timeoutCall, factory.clock.calls) == (None, None, [])
    wrapper.setTimeout(1)
    wrapper.setTimeout(None)
    assert not factory.clock.calls


def test_a_timer_that_somebody_else_cancelled_is_no_trouble() -> None:
    factory = Timed()
    wrapper, _ = connect(factory)
    wrapper.timeoutCall.cancel()
    wrapper.write(b"x")
    wrapper.resetTimeout()
    wrapper.cancelTimeout()
    wrapper.setTimeout(3)
    factory.clock.advance(3)
    assert wrapper.disconnecting


def test_the_end_of_the_connection_takes_the_timer_away() -> None:
    factory = Timed()
    _, transport = connect(factory)
    transport.loseConnection()
    assert not factory.clock.calls


def test_what_a_timeout_does_can_be_overridden() -> None:
    class Patient(TimeoutProtocol):
        timed_out = False

        def timeoutFunc(self) -> None:
            self.timed_out = True

    factory = Timed()
    factory.protocol = Patient
    wrapper, transport = connect(factory)
    factory.clock.advance(3)
    assert wrapper.timed_out
    assert transport.connected


def test_a_timeout_closes_a_tcp_connection_by_the_process_s_reactor(reactor: Reactor) -> None:
    recorders = Recorders(Recorder)
    with serving(reactor, TimeoutFactory(recorders, 60)) as port, dial(port) as sock:
        wrapper = recorders.number(0).transport
        assert wrapper.timeoutCall in process_reactor.getDelayedCalls()
        wrapper.timeoutFunc()
        assert receive_all(sock) == b""
        recorders.protocols[0].end()
        assert wrapper.timeoutCall is None


# ---------------------------------------------------------------------------------------- the mix-in


class Mixed(Protocol, TimeoutMixin):
    """A protocol that times out on a clock of its own."""

    transport: Any

    def __init__(self) -> None:
        self.clock = Clock()

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        return self.clock.callLater(period, func)


@pytest.fixture
def mixed() -> Mixed:
    """A connected protocol."""
    protocol = Mixed()
    protocol.makeConnection(StringTransport())
    return protocol


def test_setting_a_timeout_returns_the_one_before(mixed: Mixed) -> None:
    assert [mixed.setTimeout(period) for period in (5, 10, None, 1)] == [None, 5, 10, None]
    assert mixed.timeOut == 1


def test_the_connection_is_closed_after_the_timeout(mixed: Mixed) -> None:
    mixed.setTimeout(3)
    mixed.clock.advance(2.9)
    assert not mixed.transport.disconnecting
    mixed.clock.advance(0.1)
    assert mixed.transport.disconnecting


def test_resetting_begins_to_wait_anew(mixed: Mixed) -> None:
    mixed.setTimeout(3)
    mixed.clock.advance(2)
    mixed.resetTimeout()
    mixed.clock.advance(2)
    assert not mixed.transport.disconnecting
    mixed.clock.advance(1)
    assert mixed.transport.disconnecting


def test_setting_another_timeout_begins_to_wait_anew_with_one_timer(mixed: Mixed) -> None:
    mixed.setTimeout(3)
    mixed.clock.advance(2)
    mixed.setTimeout(5)
    assert len(mixed.clock.calls) == 1
    mixed.clock.advance(4.9)
    assert not mixed.transport.disconnecting


def test_without_a_timeout_there_is_no_timer_and_nothing_to_reset(mixed: Mixed) -> None:
    mixed.resetTimeout()
    mixed.setTimeout(3)
    mixed.setTimeout(None)
    mixed.resetTimeout()
    assert not mixed.clock.calls


def test_resetting_after_the_timeout_does_nothing(mixed: Mixed) -> None:
    mixed.setTimeout(3)
    mixed.clock.advance(3)
    mixed.resetTimeout()
    assert not mixed.clock.calls


def test_a_cancelled_timer_does_not_disturb_the_mix_in(mixed: Mixed) -> None:
    mixed.setTimeout(3)
    mixed.clock.calls[0].cancel()
    mixed.resetTimeout()
    assert mixed.setTimeout(None) == 3
    mixed.setTimeout(3)
    mixed.clock.calls[0].cancel()
    mixed.setTimeout(2)
    mixed.clock.advance(2)
    assert mixed.transport.disconnecting


def test_what_the_mix_in_does_can_be_overridden() -> None:
    class Deaf(Mixed):
        heard = 0

        def timeoutConnection(self) -> None:
            self.heard += 1
            self.setTimeout(3)

    protocol = Deaf()
    protocol.setTimeout(3)
    protocol.clock.pump([3, 3])
    assert protocol.heard == 2


def test_the_mix_in_waits_on_the_process_s_reactor() -> None:
    class Plain(Noting, TimeoutMixin):
        """As users write it."""

    protocol = Plain()
    protocol.setTimeout(60)
    assert len(process_reactor.getDelayedCalls()) == 1
    protocol.setTimeout(None)
    assert not process_reactor.getDelayedCalls()
