"""Delayed calls: order, moving, cancelling, and what a heap full of dead entries costs. On a clock that we set."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, cell, in_cell, run_threads
from tests.core.net_kit import on_reactor
from wirebook.error import AlreadyCalled, AlreadyCancelled
from wirebook.reactor.timers import EFFORT, LIVE_EFFORT, PORTION, Timekeeper, TimerQueue
from wirebook.transports.reactor import Reactor


class Timeline(Reactor):
    """A reactor whose time passes when the test says so."""

    def __init__(self) -> None:
        self.clock = 1000.0
        super().__init__(now=lambda: self.clock)
        self.seen: list[Any] = []

    def pass_time(self, seconds: float) -> list[Any]:
        """Let time pass, run what is due, and return all that was seen so far."""
        self.clock += seconds
        self.iterate()
        return self.seen


@pytest.fixture
def line() -> Iterator[Timeline]:
    reactor = Timeline()
    yield reactor
    reactor.close()


def test_a_call_is_made_when_it_is_due_and_once(line: Timeline) -> None:
    line.callLater(2, line.seen.append, "a")
    assert line.pass_time(1.9) == []
    assert line.pass_time(0.1) == ["a"]
    assert line.pass_time(10) == ["a"]


def test_positional_and_keyword_arguments_are_passed_on(line: Timeline) -> None:
    line.callLater(0, lambda *args, **kw: line.seen.append((args, kw)), 1, 2, key=3)
    assert line.pass_time(0) == [((1, 2), {"key": 3})]


def test_calls_are_made_in_the_order_they_are_due(line: Timeline) -> None:
    delays = [random.Random(7).uniform(0, 9) for _ in range(200)]
    for delay in delays:
        line.callLater(delay, line.seen.append, delay)
    assert line.pass_time(10) == sorted(delays)


def test_calls_for_the_same_moment_are_made_in_the_order_of_their_making(line: Timeline) -> None:
    for number in range(20):
        line.callLater(1, line.seen.append, number)
    assert line.pass_time(1) == list(range(20))


def test_a_call_that_schedules_itself_at_once_does_not_hold_up_the_loop(line: Timeline) -> None:
    def again() -> None:
        line.seen.append("tick")
        call = line.callLater(0, again)
        if len(line.seen) == 3:
            call.cancel()

    line.callLater(0, again)
    assert line.pass_time(0) == ["tick"]
    assert line.pass_time(0) == ["tick"] * 2
    line.pass_time(0)


def test_a_cancelled_call_is_not_made_and_lets_go_of_its_arguments(line: Timeline) -> None:
    call = line.callLater(1, line.seen.append, "a")
    call.cancel()
    assert not call.active()
    assert (call.state, call.cancelled, call.called) == ("cancelled", True, False)
    assert (call.func, call.args, call.kw) == (None, (), {})
    assert line.pass_time(2) == []


def test_a_call_can_be_moved_later(line: Timeline) -> None:
    line.callLater(1, line.seen.append, "moved").reset(5)
    line.callLater(2, line.seen.append, "fixed")
    assert line.pass_time(4.9) == ["fixed"]
    assert line.pass_time(0.1) == ["fixed", "moved"]


def test_a_call_can_be_moved_earlier(line: Timeline) -> None:
    call = line.callLater(9, line.seen.append, "moved")
    line.callLater(2, line.seen.append, "fixed")
    call.reset(1)
    assert line.pass_time(1) == ["moved"]
    assert line.pass_time(20) == ["moved", "fixed"]


def test_delay_moves_from_where_the_call_stands(line: Timeline) -> None:
    call = line.callLater(5, line.seen.append, "a")
    line.pass_time(1)
    call.delay(2)
    assert call.getTime() == 1007
    call.delay(-3)
    assert call.getTime() == 1004
    assert line.pass_time(3) == ["a"]


def test_a_call_moved_many_times_in_both_directions_is_made_once(line: Timeline) -> None:
    chance = random.Random(3)
    calls = [line.callLater(50, line.seen.append, number) for number in range(50)]
    for _ in range(1000):
        chance.choice(calls).reset(chance.uniform(1, 90))
    due = [call for _, call in sorted((call.getTime(), number) for number, call in enumerate(calls))]
    assert len(line.getDelayedCalls()) == 50
    assert line.pass_time(100) == due
    assert len(line.timers) == 0


@pytest.mark.parametrize("verb", ["cancel", "reset", "delay"])
def test_a_call_that_was_made_cannot_be_changed(line: Timeline, verb: str) -> None:
    call = line.callLater(0, int)
    line.pass_time(0)
    with pytest.raises(AlreadyCalled, match=f"cannot {verb} .*ask active"):
        getattr(call, verb)(*([] if verb == "cancel" else [1]))


@pytest.mark.parametrize("verb", ["cancel", "reset", "delay"])
def test_a_cancelled_call_cannot_be_changed(line: Timeline, verb: str) -> None:
    call = line.callLater(0, int)
    call.cancel()
    with pytest.raises(AlreadyCancelled, match=f"cannot {verb} .*ask active"):
        getattr(call, verb)(*([] if verb == "cancel" else [1]))


def test_a_call_is_no_longer_active_while_it_is_made(line: Timeline) -> None:
    call = line.callLater(0, lambda: line.seen.append((call.active(), call.state)))
    assert line.pass_time(0) == [(False, "called")]


BAD_DELAYS = [-1, -0.001, math.nan, math.inf, "1", None]


@pytest.mark.parametrize("delay", BAD_DELAYS)
def test_a_delay_that_cannot_be_waited_for_is_refused(line: Timeline, delay: Any) -> None:
    with pytest.raises(ValueError, match=r"a number of seconds, 0 or more, not "):
        line.callLater(delay, int)
    call = line.callLater(1, int)
    with pytest.raises(ValueError, match=r"a number of seconds, 0 or more, not "):
        call.reset(delay)
    call.cancel()


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, "1"])
def test_a_call_cannot_be_moved_by_what_is_no_time(line: Timeline, seconds: Any) -> None:
    call = line.callLater(1, line.seen.append, "a")
    with pytest.raises(ValueError, match="moved by a number of seconds, not "):
        call.delay(seconds)
    assert line.pass_time(1) == ["a"]


@pytest.mark.parametrize("what", [None, 3, "print"])
def test_what_cannot_be_called_is_refused(line: Timeline, what: Any) -> None:
    with pytest.raises(TypeError, match="needs something to call, not "):
        line.callLater(0, what)
    assert len(line.timers) == 0


def test_a_call_that_raises_is_reported_and_the_next_one_is_made(line: Timeline, reported: Reports) -> None:
    line.callLater(0, boom)
    line.callLater(0, line.seen.append, "next")
    assert line.pass_time(0) == ["next"]
    (record,) = reported()
    assert "a timer raised" in record.getMessage()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_a_call_runs_in_a_context_of_its_birth(line: Timeline) -> None:
    in_cell("three", line.callLater, 0, lambda: line.seen.append(cell.get()))
    assert line.pass_time(0) == ["three"]
    assert cell.get() == "none"


def test_cancelling_a_hundred_thousand_calls_leaves_a_small_heap(line: Timeline) -> None:
    stays = line.callLater(5, line.seen.append, "stays")
    for number in range(100_000):
        line.callLater(1 + number % 7, int).cancel()
    assert line.timers.heap is not None
    assert len(line.timers.heap) < 200
    assert line.getDelayedCalls() == [stays]
    assert line.pass_time(5) == ["stays"]


def test_moving_one_call_earlier_again_and_again_leaves_a_small_heap(line: Timeline) -> None:
    call = line.callLater(1e6, int)
    for _ in range(10_000):
        call.delay(-1)
    assert len(line.timers.heap) < 200
    call.cancel()


def test_the_timeout_is_the_time_to_the_next_call(line: Timeline) -> None:
    assert line.timeout() == -1
    later = line.callLater(7, int)
    sooner = line.callLater(3, int)
    assert line.timeout() == 3
    sooner.cancel()
    assert line.timeout() == 7
    line.clock += 9
    assert line.timeout() == 0
    later.cancel()
    assert line.timeout() == -1


def test_a_pending_call_is_a_handle(line: Timeline) -> None:
    call = line.callLater(3, boom)
    assert (call.kind, call.state, call.label, call.born) == ("timer", "pending", "boom", 1000.0)
    assert list(line.handles) == [call] == line.handles.of("timer")
    assert line.handles.get(call.handleId) is call
    fired = call.closeHandle()
    assert fired.called
    assert not list(line.handles)
    assert call.closeHandle().called


def test_a_call_prints_what_it_waits_for(line: Timeline) -> None:
    call = line.callLater(3, boom)
    assert repr(call) == "<DelayedCall boom in 3.000 s>"
    call.cancel()
    assert repr(call) == "<DelayedCall cancelled>"


@pytest.mark.parametrize("args", [(), (1,), ((),), (None,), (1, 2)])
@pytest.mark.parametrize("kw", [{}, {"key": 3}])
def test_a_call_tells_what_it_calls_with_what(line: Timeline, args: tuple[Any, ...], kw: dict[str, Any]) -> None:
    def func(*args: Any, **kw: Any) -> None:
        line.seen.append((args, kw))

    call = line.callLater(1, func, *args, **kw)
    assert (call.func, call.args, call.kw) == (func, args, kw)
    assert line.pass_time(1) == [(args, kw)]
    assert (call.func, call.args, call.kw, call.called) == (func, args, kw, True)


def test_calls_compare_by_their_time(line: Timeline) -> None:
    sooner, later, also_later = (line.callLater(delay, int) for delay in (1, 2, 2))
    assert sooner < later
    assert sooner <= later <= also_later
    assert not later < also_later
    assert line.getDelayedCalls() == [sooner, later, also_later]
    line.pass_time(2)


def test_every_call_has_a_number_of_its_own_that_stays(line: Timeline) -> None:
    calls = [line.callLater(1, int) for _ in range(3)]
    numbers = [call.handleId for call in calls]
    assert len(set(numbers)) == 3
    assert [call.handleId for call in calls] == numbers == sorted(numbers)
    line.pass_time(1)


def test_what_a_call_schedules_at_once_is_made_in_the_next_iteration_also_when_others_wait(line: Timeline) -> None:
    waits = line.callLater(9, int)
    line.callLater(0, line.callLater, 0, line.seen.append, "next")
    assert line.pass_time(0) == []
    assert line.pass_time(0) == ["next"]
    waits.cancel()


def test_the_clock_of_a_reactor_can_be_replaced(line: Timeline) -> None:
    line.seconds = lambda: 70.0
    assert line.callLater(5, line.seen.append, "a").getTime() == 75
    line.seconds = lambda: 75.0
    assert line.pass_time(0) == ["a"]


# --- great numbers of calls, which take several iterations


def iterations_until_tidy(line: Timeline) -> int:
    """Iterate until every call is sorted in and the heap needs no more work; how often."""
    for number in range(1000):
        if not line.timers.recent and not line.timers.worn:
            return number
        line.iterate()
    raise AssertionError("it never came to an end")


def test_many_calls_are_sorted_in_bit_by_bit_and_then_made_in_order(line: Timeline) -> None:
    delays = [random.Random(8).uniform(0, 9) for _ in range(20_000)]
    for delay in delays:
        line.callLater(delay, line.seen.append, delay)
    line.clock += 10
    line.iterate()
    assert line.seen == []
    assert 0 < len(line.timers.heap) <= 2 * (EFFORT // LIVE_EFFORT + PORTION)
    assert line.timeout() == 0
    iterations_until_tidy(line)
    assert line.pass_time(0) == sorted(delays)


def test_cancelling_many_calls_that_were_sorted_in_empties_the_heap_bit_by_bit(line: Timeline) -> None:
    calls = [line.callLater(1 + number % 7, line.seen.append, number) for number in range(20_000)]
    iterations_until_tidy(line)
    for call in calls[10:]:
        call.cancel()
    line.iterate()
    assert iterations_until_tidy(line) > 1
    assert len(line.timers.heap) == len(line.timers) == 10
    assert line.getDelayedCalls() == sorted(calls[:10], key=lambda call: call.getTime())
    assert sorted(line.pass_time(9)) == list(range(10))


def test_calls_are_made_in_time_while_the_heap_is_being_emptied(line: Timeline) -> None:
    calls = [line.callLater(1 + number / 20_000, line.seen.append, number) for number in range(20_000)]
    iterations_until_tidy(line)
    for call in calls[100:19_000]:
        call.cancel()
    line.iterate()
    assert line.timers.worn
    assert line.pass_time(1.5) == list(range(100))
    iterations_until_tidy(line)
    assert line.pass_time(1) == [*range(100), *range(19_000, 20_000)]
    assert len(line.timers) == 0


def test_many_dead_calls_do_not_hide_the_next_one_for_long(line: Timeline) -> None:
    calls = [line.callLater(1, line.seen.append, "dead") for _ in range(9_000)]
    last = [line.callLater(2, line.seen.append, "alive") for _ in range(10_000)]
    iterations_until_tidy(line)
    for call in calls:
        call.cancel()
    for _ in range(10):
        line.iterate(0)
    assert line.timeout() == 2
    assert line.timers.pop_due(line.clock + 2) is last[0]
    assert line.pass_time(2) == ["alive"] * 9_999


def test_a_clock_takes_out_what_is_due_behind_many_dead_calls(line: Timeline) -> None:
    calls = [line.callLater(1, int) for _ in range(9_000)]
    last = [line.callLater(2, int) for _ in range(10_000)]
    iterations_until_tidy(line)
    for call in calls:
        call.cancel()
    assert line.timers.pop_due(line.clock + 3) is last[0]
    for call in last[1:]:
        call.cancel()


# --- other threads


def test_only_a_call_before_the_one_waited_for_ends_the_wait() -> None:
    class Keeper(Timekeeper):
        timers = TimerQueue(lambda: 0.0, lambda: woken.append(None))

    woken: list[None] = []
    keeper = Keeper()
    keeper.callLater(5, int)
    assert woken == []
    assert keeper.timers.timeout() == 5
    keeper.callLater(6, int).reset(5.5)
    assert woken == []
    keeper.callLater(4, int)
    assert len(woken) == 1
    keeper.callLater(7, int).delay(-4)
    assert len(woken) == 2


def test_a_call_that_the_loop_has_only_looked_at_can_still_be_cancelled(line: Timeline) -> None:
    call = line.callLater(1, line.seen.append, "never")
    cancelled = threading.Thread(target=call.cancel)
    with line.turn():
        # As the loop does with a call that it takes out and puts back, because it was moved meanwhile.
        queue = call._queue
        del call._queue
        cancelled.start()
        cancelled.join(0.02)
        assert cancelled.is_alive()
        call._queue = queue
    cancelled.join(5)
    assert line.pass_time(2) == []


def test_calls_that_threads_schedule_move_and_cancel_are_made_once_or_not_at_all(any_reactor: Reactor) -> None:
    made: list[tuple[int, int]] = []
    cancelled: list[tuple[int, int]] = []

    def work(thread: int) -> None:
        chance = random.Random(thread)
        calls = []
        for number in range(1500):
            calls.append(
                ((thread, number), any_reactor.callLater(chance.uniform(0, 0.02), made.append, (thread, number)))
            )
            name, call = chance.choice(calls[-20:])
            verbs: list[Callable[[], None]] = [call.cancel, partial(call.reset, 0.01), partial(call.delay, 0.001)]
            try:
                chance.choice(verbs)()
            except (AlreadyCalled, AlreadyCancelled):
                continue
            if call.cancelled:
                cancelled.append(name)

    run_threads(4, work)
    assert eventually(lambda: not any_reactor.getDelayedCalls(), 5)
    on_reactor(any_reactor, int)
    assert len(cancelled) == len(set(cancelled))
    assert sorted([*made, *cancelled]) == [(thread, number) for thread in range(4) for number in range(1500)]


def test_a_call_moved_earlier_from_another_thread_is_made_in_time(any_reactor: Reactor) -> None:
    made = threading.Event()
    call = any_reactor.callLater(60, made.set)
    call.reset(0)
    assert made.wait(5)
