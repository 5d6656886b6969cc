"""deferLater: a call to come, as a Deferred."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.deferred_kit import boom, cell, error_of, in_cell, outcome, waits_for
from wirebook.deferred import CancelledError, Deferred
from wirebook.task import Clock, deferLater
from wirebook.transports.reactor import Reactor


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_fires_with_what_the_function_returns_when_the_time_has_come(clock: Clock) -> None:
    later = deferLater(clock, 3, lambda a, b: (a, b, clock.seconds()), 1, b=2)
    clock.advance(2)
    assert not later.called
    clock.advance(1)
    assert outcome(later) == (1, 2, 3.0)


def test_without_a_function_it_is_a_pause(clock: Clock) -> None:
    pauses = [deferLater(clock, 2), deferLater(clock, 2, None)]
    clock.advance(2)
    assert [outcome(pause) for pause in pauses] == [None, None]


def test_it_fails_with_what_the_function_raises(clock: Clock) -> None:
    later = deferLater(clock, 1, boom)
    clock.advance(1)
    error_of(later, ValueError)


def test_it_waits_for_the_deferred_that_the_function_returns(clock: Clock) -> None:
    inner: Deferred[int] = Deferred()
    later = deferLater(clock, 1, lambda: inner)
    clock.advance(1)
    assert waits_for(later, inner)
    inner.callback(7)
    assert outcome(later) == 7


def test_cancelling_takes_the_call_back(clock: Clock) -> None:
    seen: list[Any] = []
    later = deferLater(clock, 1, seen.append, 1)
    later.cancel()
    error_of(later, CancelledError)
    assert clock.calls == []
    clock.advance(2)
    assert seen == []


def test_cancelling_works_when_the_timer_was_closed_by_somebody_else(clock: Clock) -> None:
    later = deferLater(clock, 1)
    clock.calls[0].closeHandle()
    later.cancel()
    error_of(later, CancelledError)


def test_cancelling_after_the_call_cancels_what_the_function_returned(clock: Clock) -> None:
    inner: Deferred[int] = Deferred()
    later = deferLater(clock, 1, lambda: inner)
    clock.advance(1)
    later.cancel()
    error_of(later, CancelledError)
    assert inner.called


def test_the_function_runs_in_the_context_of_the_call(clock: Clock) -> None:
    later = in_cell("three", deferLater, clock, 1, cell.get)
    clock.advance(1)
    assert outcome(later) == "three"


def test_a_table_of_timers_shows_the_users_function(clock: Clock) -> None:
    deferLater(clock, 1, boom)
    deferLater(clock, 2)
    assert [call.label for call in clock.calls] == ["boom", "deferLater"]


def test_a_delay_that_is_none_is_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match="a number of seconds, 0 or more, not -1"):
        deferLater(clock, -1)


def test_on_a_reactor_it_can_be_awaited(reactor: Reactor) -> None:
    async def work() -> list[str]:
        return [await deferLater(reactor, 0.001, str, number) for number in range(3)]

    assert Deferred.fromCoroutine(work()).wait(5) == ["0", "1", "2"]
