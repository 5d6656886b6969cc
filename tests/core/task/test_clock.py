"""Virtual time: calls are made when it is told to pass, in order, in the context that scheduled them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.deferred_kit import boom, cell, error_of, in_cell, run_threads
from wirebook.deferred import Deferred, TimeoutError
from wirebook.error import AlreadyCalled, AlreadyCancelled
from wirebook.interfaces import IDelayedCall, IReactorTime
from wirebook.task import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen() -> list[Any]:
    return []


def test_a_clock_begins_at_zero_and_moves_only_when_advanced(clock: Clock) -> None:
    assert (clock.seconds(), clock.rightNow) == (0.0, 0.0)
    clock.advance(1.5)
    clock.advance(0)
    assert (clock.seconds(), clock.rightNow) == (1.5, 1.5)


def test_the_time_can_be_set(clock: Clock, seen: list[Any]) -> None:
    clock.rightNow = 100.0
    call = clock.callLater(1, seen.append, "a")
    assert call.getTime() == 101.0
    clock.advance(1)
    assert seen == ["a"]


def test_a_call_is_made_when_its_time_has_come_and_once(clock: Clock, seen: list[Any]) -> None:
    call = clock.callLater(2, lambda *args, **kw: seen.append((args, kw)), 1, key=2)
    assert (call.getTime(), call.active()) == (2.0, True)
    clock.advance(1.9)
    assert seen == []
    clock.advance(0.1)
    clock.advance(10)
    assert seen == [((1,), {"key": 2})]
    assert not call.active()


def test_calls_are_made_soonest_first_and_in_the_order_of_their_making(clock: Clock, seen: list[Any]) -> None:
    for delay, name in [(3, "d"), (1, "a"), (2, "b"), (2, "c")]:
        clock.callLater(delay, seen.append, name)
    clock.advance(3)
    assert seen == ["a", "b", "c", "d"]


def test_all_calls_of_one_advance_see_the_new_time(clock: Clock, seen: list[Any]) -> None:
    for delay in (1, 2):
        clock.callLater(delay, lambda: seen.append(clock.seconds()))
    clock.advance(5)
    assert seen == [5.0, 5.0]


def test_pump_advances_step_by_step(clock: Clock, seen: list[Any]) -> None:
    for delay in (1, 2):
        clock.callLater(delay, lambda: seen.append(clock.seconds()))
    clock.pump([1, 1, 1])
    assert seen == [1.0, 2.0]
    assert clock.seconds() == 3.0


def test_what_a_call_schedules_for_now_is_made_in_the_same_advance(clock: Clock, seen: list[Any]) -> None:
    def first() -> None:
        clock.callLater(0, seen.append, "at once")
        clock.callLater(0.5, seen.append, "later")

    clock.callLater(1, first)
    clock.advance(1)
    assert seen == ["at once"]
    clock.advance(0.5)
    assert seen == ["at once", "later"]


def test_a_call_may_advance_the_clock(clock: Clock, seen: list[Any]) -> None:
    def first() -> None:
        clock.advance(2)
        seen.append(("first", clock.seconds()))

    clock.callLater(1, first)
    clock.callLater(3, lambda: seen.append(("second", clock.seconds())))
    clock.advance(1)
    assert seen == [("second", 3.0), ("first", 3.0)]


def test_a_call_may_cancel_and_move_others(clock: Clock, seen: list[Any]) -> None:
    gone = clock.callLater(1, seen.append, "gone")
    moved = clock.callLater(1, seen.append, "moved")
    clock.callLater(0.5, gone.cancel)
    clock.callLater(0.5, moved.reset, 3)
    clock.pump([0.5, 0.5, 2.5])
    assert seen == ["moved"]


def test_calls_can_be_moved_and_keep_their_order(clock: Clock, seen: list[Any]) -> None:
    first = clock.callLater(1, seen.append, "first")
    first.reset(3)
    clock.callLater(2, seen.append, "second")
    third = clock.callLater(9, seen.append, "third")
    third.delay(-5)
    assert [call.getTime() for call in clock.getDelayedCalls()] == [2.0, 3.0, 4.0]
    clock.pump([1] * 4)
    assert seen == ["second", "first", "third"]


def test_the_pending_calls_can_be_listed(clock: Clock) -> None:
    assert clock.getDelayedCalls() == clock.calls == []
    late, soon = clock.callLater(2, int), clock.callLater(1, int)
    clock.callLater(3, int).cancel()
    assert clock.getDelayedCalls() == clock.calls == [soon, late]


def test_a_call_is_over_while_it_is_made(clock: Clock) -> None:
    def cancel() -> None:
        with pytest.raises(AlreadyCalled):
            call.cancel()

    call = clock.callLater(1, cancel)
    clock.advance(1)
    assert call.called
    cancelled = clock.callLater(1, int)
    cancelled.cancel()
    with pytest.raises(AlreadyCancelled):
        cancelled.cancel()


def test_an_error_in_a_call_is_raised_and_the_next_call_stays(clock: Clock, seen: list[Any]) -> None:
    clock.callLater(1, boom)
    clock.callLater(1, seen.append, "next")
    with pytest.raises(ValueError, match="boom"):
        clock.advance(1)
    assert seen == []
    clock.advance(0)
    assert seen == ["next"]


@pytest.mark.parametrize("amount", [-1, math.nan, math.inf, "1"])
def test_time_does_not_pass_by_what_is_no_time(clock: Clock, amount: Any) -> None:
    refused: list[Callable[[], object]] = [lambda: clock.advance(amount), lambda: clock.callLater(amount, int)]
    for refuse in refused:
        with pytest.raises(ValueError, match="a number of seconds, 0 or more, not "):
            refuse()
    assert (clock.seconds(), clock.calls) == (0.0, [])


def test_what_cannot_be_called_is_refused(clock: Clock) -> None:
    with pytest.raises(TypeError, match="needs something to call, not None"):
        clock.callLater(1, None)  # type: ignore[arg-type]


def test_a_call_is_made_in_the_context_that_scheduled_it(clock: Clock, seen: list[Any]) -> None:
    in_cell("three", clock.callLater, 1, lambda: seen.append(cell.get()))
    clock.callLater(1, lambda: seen.append(cell.get()))
    in_cell("four", clock.advance, 1)
    assert seen == ["three", "none"]


def test_a_clock_times_deferreds_out(clock: Clock) -> None:
    slow: Deferred[None] = Deferred()
    slow.addTimeout(2, clock)
    clock.advance(2)
    error_of(slow, TimeoutError)
    quick: Deferred[None] = Deferred()
    quick.addTimeout(2, clock)
    quick.callback(None)
    assert clock.calls == []


def test_a_clock_is_what_the_interfaces_ask_for(clock: Clock) -> None:
    time: IReactorTime = clock
    call: IDelayedCall = time.callLater(1, int)
    call.cancel()


def test_threads_may_share_a_clock(clock: Clock, seen: list[Any]) -> None:
    def work(number: int) -> None:
        for _ in range(200):
            clock.callLater(number, seen.append, number)
            clock.callLater(1, int).cancel()
            clock.advance(0.01)

    run_threads(4, work)
    clock.advance(4)
    assert sorted(seen) == sorted(list(range(4)) * 200)
    assert clock.calls == []
