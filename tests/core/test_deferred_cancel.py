"""Deferred: cancelling, timeouts, and the contexts callbacks run in."""

from __future__ import annotations

import pytest

from tests.core.deferred_kit import (
    Clock,
    boom,
    cell,
    error_of,
    in_cell,
    outcome,
)
from wirebook.deferred import (
    AlreadyCalledError,
    AlreadyCancelledError,
    CancelledError,
    Deferred,
    TimeoutError,
    succeed,
)

# Cancelling


def test_cancelling_without_a_canceller_fails_with_cancelled_error() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.cancel()
    error_of(deferred, CancelledError)


def test_one_late_firing_is_ignored_after_a_cancel_without_canceller() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.cancel()
    error_of(deferred, CancelledError)
    deferred.callback(1)
    with pytest.raises(AlreadyCancelledError, match="already cancelled"):
        deferred.callback(2)


def test_a_canceller_is_called_with_the_deferred_and_may_fire_it() -> None:
    deferred: Deferred[str] = Deferred(lambda d: d.callback("partial"))
    deferred.cancel()
    assert deferred.result == "partial"
    with pytest.raises(AlreadyCalledError):
        deferred.callback("late")


def test_a_canceller_that_fires_nothing_leads_to_cancelled_error() -> None:
    asked: list[object] = []
    deferred: Deferred[str] = Deferred(asked.append)
    deferred.cancel()
    assert asked == [deferred]
    error_of(deferred, CancelledError)
    with pytest.raises(AlreadyCalledError):
        deferred.callback("late")


def test_a_canceller_that_raises_tells_the_caller_and_cancels_nothing() -> None:
    deferred: Deferred[str] = Deferred(boom)
    with pytest.raises(ValueError, match="boom"):
        deferred.cancel()
    assert not deferred.called
    deferred.callback("in time")
    assert outcome(deferred) == "in time"
    with pytest.raises(AlreadyCalledError) as caught:
        deferred.callback("again")
    assert caught.type is AlreadyCalledError, "it was fired, not cancelled"


def test_a_canceller_that_fires_and_raises_tells_the_caller() -> None:
    def canceller(deferred: Deferred[str]) -> None:
        deferred.callback("given up")
        boom()

    deferred: Deferred[str] = Deferred(canceller)
    with pytest.raises(ValueError, match="boom"):
        deferred.cancel()
    assert outcome(deferred) == "given up"


def test_cancelling_a_fired_deferred_does_nothing() -> None:
    deferred = succeed(1)
    deferred.cancel()
    assert deferred.result == 1


def test_cancelling_reaches_the_deferred_that_is_waited_for() -> None:
    innermost: Deferred[int] = Deferred()
    middle = succeed(1).addCallback(lambda _: innermost)
    outer = succeed(1).addCallback(lambda _: middle)
    outer.cancel()
    error_of(outer, CancelledError)
    assert innermost.called


def test_the_chain_goes_on_when_the_inner_deferred_recovers_from_the_cancel() -> None:
    inner: Deferred[int] = Deferred()
    inner.addErrback(lambda failure: failure.trap(CancelledError) and 7)
    outer = succeed(1).addCallback(lambda _: inner)
    outer.cancel()
    assert outer.result == 7


def test_an_overridden_cancel_of_the_inner_deferred_is_called() -> None:
    class Stubborn(Deferred[int]):
        asked = 0

        def cancel(self) -> None:
            self.asked += 1

    inner = Stubborn()
    outer = succeed(1).addCallback(lambda _: inner)
    outer.cancel()
    assert inner.asked == 1
    assert outer.result is inner


def test_a_canceller_runs_in_the_context_of_the_making() -> None:
    seen: list[str] = []
    deferred: Deferred[int] = in_cell("maker", Deferred, lambda _: seen.append(cell.get()))
    in_cell("other", deferred.cancel)
    assert seen == ["maker"]
    error_of(deferred, CancelledError)


def test_cancelling_while_paused_takes_effect_when_unpaused() -> None:
    deferred: Deferred[int] = Deferred()
    seen: list[object] = []
    deferred.addErrback(lambda failure: seen.append(failure.type))
    deferred.pause()
    deferred.cancel()
    assert seen == []
    deferred.unpause()
    assert seen == [CancelledError]


# Timeouts


def test_a_timeout_fails_with_timeout_error() -> None:
    clock, deferred = Clock(), Deferred[int]()
    deferred.addTimeout(3, clock)
    assert clock.delay == 3
    clock.timer.expire()
    error = error_of(deferred, TimeoutError)
    assert "3 seconds" in str(error)
    assert isinstance(error, OSError)


def test_a_result_in_time_stops_the_timer() -> None:
    clock, deferred = Clock(), Deferred[int]()
    deferred.addTimeout(3, clock)
    deferred.callback(1)
    assert not clock.timer.active()
    assert deferred.result == 1


def test_an_error_in_time_stops_the_timer_and_passes() -> None:
    clock, deferred = Clock(), Deferred[int]()
    deferred.addTimeout(3, clock)
    deferred.errback(KeyError())
    assert not clock.timer.active()
    error_of(deferred, KeyError)


def test_a_cancel_of_ones_own_is_no_timeout() -> None:
    clock, deferred = Clock(), Deferred[int]()
    deferred.addTimeout(3, clock)
    deferred.cancel()
    error_of(deferred, CancelledError)


def test_what_the_canceller_gives_is_kept_at_a_timeout() -> None:
    clock = Clock()
    deferred: Deferred[str] = Deferred(lambda d: d.callback("partial"))
    deferred.addTimeout(3, clock)
    clock.timer.expire()
    assert deferred.result == "partial"


def test_on_timeout_cancel_decides_what_a_timeout_gives() -> None:
    clock, deferred = Clock(), Deferred[int]()
    deferred.addTimeout(3, clock, lambda result, seconds: (result.type, seconds))
    clock.timer.expire()
    assert deferred.result == (CancelledError, 3)


# Contexts


def test_a_callback_runs_in_the_context_it_was_attached_in() -> None:
    seen: list[str] = []
    deferred: Deferred[int] = in_cell("maker", Deferred)
    in_cell("first", deferred.addCallback, lambda _: seen.append(cell.get()))
    in_cell("second", deferred.addBoth, lambda _: seen.append(cell.get()))
    in_cell("firer", deferred.callback, 1)
    assert seen == ["first", "second"]


def test_what_a_callback_sets_in_its_context_stays_there() -> None:
    seen: list[str] = []
    deferred: Deferred[int] = Deferred()

    def attach() -> None:
        deferred.addCallback(lambda _: cell.set("changed"))
        deferred.addCallback(lambda _: seen.append(cell.get()))

    in_cell("same", attach)
    deferred.callback(1)
    assert seen == ["same"]
    assert cell.get() == "none"


def test_the_deferred_knows_the_context_it_was_made_in() -> None:
    deferred: Deferred[int] = in_cell("maker", Deferred)
    assert deferred.context.get(cell) == "maker"
