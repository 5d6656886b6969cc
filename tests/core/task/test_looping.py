"""LoopingCall: the grid it keeps to, how it ends, and whose context it runs in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, cell, error_of, in_cell, outcome, run_threads
from wirebook.deferred import CancelledError, Deferred, succeed
from wirebook.installed import the_reactor
from wirebook.task import Clock, LoopingCall
from wirebook.transports.reactor import Reactor


class Loop:
    """A LoopingCall on a clock, and the times at which it called."""

    def __init__(self, work: Callable[[], object] = lambda: None, *, counted: bool = False) -> None:
        self.clock = Clock()
        self.times: list[float] = []
        self.counts: list[int] = []
        self.work = work
        self.call = LoopingCall.withCount(self.count) if counted else LoopingCall(self.note)
        self.call.clock = self.clock

    def note(self) -> object:
        self.times.append(round(self.clock.seconds(), 9))
        return self.work()

    def count(self, count: int) -> object:
        self.counts.append(count)
        return self.note()


# --- the grid ----------------------------------------------------------------------------------------


def test_it_calls_now_and_then_every_interval() -> None:
    loop = Loop()
    loop.call.start(2)
    assert loop.times == [0]
    loop.clock.pump([1] * 5)
    assert loop.times == [0, 2, 4]
    loop.call.stop()


def test_it_can_wait_one_interval_first() -> None:
    loop = Loop()
    loop.call.start(2, now=False)
    assert loop.times == []
    loop.clock.pump([1] * 4)
    assert loop.times == [2, 4]
    loop.call.stop()


def test_arguments_are_passed_on() -> None:
    seen: list[Any] = []
    loop = LoopingCall(lambda *args, **kw: seen.append((args, kw)), 1, key=2)
    loop.clock = Clock()
    loop.start(1)
    assert seen == [((1,), {"key": 2})]
    loop.stop()


def test_calls_that_come_late_do_not_shift_the_grid() -> None:
    loop = Loop()
    loop.call.start(1)
    loop.clock.pump([1.25, 0.75, 1.5, 0.5])
    assert loop.times == [0, 1.25, 2, 3.5, 4]
    loop.call.stop()


def test_points_that_have_passed_are_left_out() -> None:
    loop = Loop()
    loop.call.start(1)
    loop.clock.pump([3.5, 0.25, 0.25])
    assert loop.times == [0, 3.5, 4]
    loop.call.stop()


def test_a_call_that_takes_longer_than_the_interval_skips_to_the_next_point_to_come() -> None:
    loop = Loop()
    loop.work = lambda: loop.clock.advance(2)
    loop.call.start(0.5)
    loop.clock.advance(0)
    loop.work = lambda: None
    loop.clock.advance(0.5)
    assert loop.times == [0, 2.5]
    loop.call.stop()


def test_an_interval_that_is_lost_beside_a_large_time_is_waited_for_all_the_same() -> None:
    loop = Loop()
    loop.clock.rightNow = 2.0**52
    loop.call.start(1, now=False)
    loop.clock.pump([1, 1])
    assert loop.times == [2.0**52 + 1, 2.0**52 + 2]
    loop.call.stop()


def test_with_interval_zero_it_is_called_whenever_the_clock_comes_round() -> None:
    loop = Loop()
    loop.work = lambda: loop.call.stop() if len(loop.times) == 5 else None
    done = loop.call.start(0)
    assert loop.times == [0]
    loop.clock.advance(0)
    assert outcome(done) is loop.call
    assert loop.times == [0] * 5


def test_a_new_interval_counts_from_the_next_call_on() -> None:
    loop = Loop()
    loop.call.start(1)
    loop.call.interval = 3
    loop.clock.pump([1] * 6)
    assert loop.times == [0, 1, 3, 6]
    loop.call.stop()


def test_reset_begins_the_grid_anew() -> None:
    loop = Loop()
    loop.call.start(2, now=False)
    loop.clock.advance(1)
    loop.call.reset()
    assert loop.call.starttime == 1
    loop.clock.pump([1] * 4)
    assert loop.times == [3, 5]
    loop.call.stop()


def test_reset_while_a_call_is_under_way_changes_nothing() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    loop.call.start(2)
    loop.clock.advance(1)
    loop.call.reset()
    work.callback(None)
    loop.clock.advance(1)
    assert loop.times == [0, 2]
    loop.call.stop()


# --- counting ----------------------------------------------------------------------------------------


def test_a_counted_loop_is_told_how_many_calls_came_due() -> None:
    loop = Loop(counted=True)
    loop.call.start(0.5)
    loop.clock.pump([0.51, 1.51, 0, 0.48])
    assert loop.times == [0, 0.51, 2.02, 2.5]
    assert loop.counts == [1, 1, 3, 1]
    loop.call.stop()


def test_a_late_call_counts_only_whole_points_of_the_grid() -> None:
    loop = Loop(counted=True)
    loop.call.start(1, now=False)
    loop.clock.pump([1, 1.75, 0.25])
    assert loop.times == [1, 2.75, 3]
    assert loop.counts == [1, 1, 1]
    loop.call.stop()


def test_a_call_that_waits_is_counted_up_afterwards() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work, counted=True)
    loop.call.start(0.25, now=False)
    loop.clock.pump([0.25, 0.5])
    work.callback(None)
    loop.clock.advance(0.25)
    assert loop.counts == [1, 3]
    loop.call.stop()


@pytest.mark.parametrize("number", [10, 7, 3, 49])
def test_the_counts_add_up_and_none_is_zero_whatever_rounding_does(number: int) -> None:
    loop = Loop(counted=True)
    loop.call.start(1 / number, now=False)
    for _ in range(number):
        loop.clock.advance(1 / number)
    loop.clock.advance(max(0, 1 - loop.clock.seconds()))
    assert sum(loop.counts) == number
    assert 0 not in loop.counts
    loop.call.stop()


def test_with_interval_zero_the_count_is_one() -> None:
    loop = Loop(counted=True)
    loop.work = lambda: loop.call.stop() if len(loop.times) == 3 else None
    loop.call.start(0, now=False)
    loop.clock.advance(5)
    assert loop.counts == [1, 1, 1]


def test_the_time_between_two_runs_is_not_counted() -> None:
    loop = Loop(counted=True)
    loop.call.start(1)
    loop.call.stop()
    loop.clock.advance(10)
    loop.call.start(1)
    assert loop.counts == [1, 1]
    loop.call.stop()


# --- waiting for what the function returns -----------------------------------------------------------


def test_the_next_call_waits_for_the_deferred_of_the_last() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    loop.call.start(1)
    loop.clock.advance(2.5)
    assert (loop.times, loop.call.call) == ([0], None)
    work.callback(None)
    loop.clock.advance(0.5)
    assert loop.times == [0, 3]
    loop.call.stop()


def test_the_function_may_be_a_coroutine_function() -> None:
    gate: Deferred[None] = Deferred()

    async def work() -> None:
        await gate

    loop = Loop(work)
    loop.call.start(1)
    loop.clock.advance(5)
    assert loop.times == [0]
    gate.callback(None)
    loop.clock.advance(1)
    assert loop.times == [0, 6]
    loop.call.stop()


# --- how it ends -------------------------------------------------------------------------------------


def test_stopping_fires_with_the_loop_and_leaves_no_timer() -> None:
    loop = Loop()
    done = loop.call.start(1)
    assert loop.call.running
    loop.call.stop()
    assert outcome(done) is loop.call
    assert not loop.call.running
    assert (loop.call.call, loop.clock.calls) == (None, [])


def test_stopping_from_within_the_function_fires_when_it_has_returned() -> None:
    loop = Loop()
    fired: list[object] = []
    loop.work = loop.call.stop
    loop.call.start(1, now=False).addCallback(fired.append)
    loop.clock.advance(1)
    assert fired == [loop.call]
    assert loop.clock.calls == []


def test_stopping_while_the_function_waits_fires_when_it_has_ended() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    done = loop.call.start(1)
    loop.call.stop()
    assert (loop.call.running, done.called) == (False, False)
    work.callback(None)
    assert outcome(done) is loop.call
    assert loop.clock.calls == []


def raising() -> Deferred[None]:
    raise ValueError


async def raising_coroutine() -> None:
    raise ValueError


@pytest.mark.parametrize("work", [boom, raising, raising_coroutine])
def test_an_error_ends_the_loop(work: Callable[[], object]) -> None:
    loop = Loop()
    done = loop.call.start(1)
    loop.work = work
    loop.clock.advance(1)
    error_of(done, ValueError)
    assert not loop.call.running
    assert loop.clock.calls == []


def test_an_error_after_stopping_from_within_is_told() -> None:
    loop = Loop()

    def stop_and_fail() -> None:
        loop.call.stop()
        boom()

    loop.work = stop_and_fail
    error_of(loop.call.start(1), ValueError)


def test_a_failing_deferred_ends_the_loop() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    done = loop.call.start(1)
    work.errback(ValueError())
    error_of(done, ValueError)
    assert loop.clock.calls == []


def test_an_error_that_nobody_handles_is_reported_in_the_cell_that_started_it(reported: Reports) -> None:
    loop = Loop()
    in_cell("three", loop.call.start, 1)
    loop.work = boom
    loop.clock.advance(1)
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_it_can_be_started_again() -> None:
    loop = Loop()
    loop.call.start(1)
    loop.call.stop()
    loop.clock.advance(5.5)
    loop.call.start(2)
    loop.clock.advance(2)
    assert loop.times == [0, 5.5, 7.5]
    loop.call.stop()


def test_it_can_be_started_again_while_a_call_of_the_run_before_is_under_way() -> None:
    works: list[Deferred[None]] = []

    def work() -> Deferred[None]:
        works.append(Deferred())
        return works[-1]

    loop = Loop(work)
    first = loop.call.start(1)
    loop.call.stop()
    second = loop.call.start(1)
    works[0].callback(None)
    assert outcome(first) is loop.call
    assert (second.called, loop.call.running, loop.clock.calls) == (False, True, [])
    works[1].callback(None)
    loop.clock.advance(1)
    assert len(works) == 3
    loop.call.stop()
    works[2].callback(None)
    assert outcome(second) is loop.call


def test_cancelling_ends_the_loop() -> None:
    loop = Loop()
    done = loop.call.start(1)
    done.cancel()
    error_of(done, CancelledError)
    assert (loop.call.running, loop.clock.calls) == (False, [])
    loop.call.start(1)
    loop.call.stop()


def test_cancelling_while_the_function_waits_cancels_that() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    done = loop.call.start(1)
    done.cancel()
    error_of(done, CancelledError)
    assert (work.called, loop.call.running, loop.clock.calls) == (True, False, [])


def test_cancelling_from_within_the_function_ends_the_loop() -> None:
    loop = Loop()
    done = loop.call.start(1, now=False)
    loop.work = done.cancel
    loop.clock.advance(1)
    error_of(done, CancelledError)
    assert (loop.call.running, loop.clock.calls) == (False, [])


def stubborn() -> Deferred[None]:
    """Work that cancelling does not end at once."""
    return Deferred(lambda work: work.pause())


def test_the_end_of_work_that_outlives_its_cancelling_is_ignored() -> None:
    work = stubborn().addErrback(lambda _: None)
    loop = Loop(lambda: work)
    done = loop.call.start(1)
    done.cancel()
    error_of(done, CancelledError)
    work.unpause()
    assert (loop.call.running, loop.clock.calls) == (False, [])


def test_the_error_of_work_that_outlives_its_cancelling_is_reported(reported: Reports) -> None:
    works = [stubborn().addErrback(boom)]
    loop = Loop(lambda: works[0])
    done = loop.call.start(1)
    done.cancel()
    error_of(done, CancelledError)
    works.pop().unpause()
    del loop
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_closing_its_timer_ends_the_loop() -> None:
    loop = Loop()
    ended = loop.call.start(1)
    loop.clock.calls[0].closeHandle()
    assert not loop.call.running
    assert outcome(ended) is loop.call


# --- misuse ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [-1, float("nan"), float("inf"), "1"])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    loop = Loop()
    with pytest.raises(ValueError, match="a number of seconds, 0 or more"):
        loop.call.start(interval)
    assert not loop.call.running


def test_starting_twice_is_refused() -> None:
    loop = Loop()
    loop.call.start(1)
    with pytest.raises(AssertionError, match=r"LoopingCall<1>.* is running already"):
        loop.call.start(1)
    loop.call.stop()


@pytest.mark.parametrize("verb", ["stop", "reset", "__call__"])
def test_what_does_not_run_is_neither_stopped_nor_reset_nor_called(verb: str) -> None:
    with pytest.raises(AssertionError, match="it is not running"):
        getattr(Loop().call, verb)()


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="needs something to call, not None"):
        LoopingCall(None)  # type: ignore[arg-type]


def test_the_deferred_attribute_is_there_and_deprecated() -> None:
    loop = Loop()
    with pytest.deprecated_call(match=r"use the deferred returned by start\(\)"):
        assert loop.call.deferred is None
    done = loop.call.start(1)
    with pytest.deprecated_call():
        assert loop.call.deferred is done
    loop.call.stop()


# --- contexts, and what others see -------------------------------------------------------------------


def test_every_call_runs_in_a_copy_of_the_context_of_start() -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(cell.get())
        cell.set("changed")

    def start() -> None:
        loop.call.start(1)
        seen.append(cell.get())

    loop = Loop(work)
    in_cell("three", start)
    in_cell("four", loop.clock.advance, 1)
    in_cell("five", loop.call.reset)
    loop.clock.advance(1)
    assert seen == ["three"] * 4
    loop.call.stop()


def test_the_timer_belongs_to_the_context_of_start() -> None:
    work: Deferred[None] = Deferred()
    loop = Loop(lambda: work)
    in_cell("three", loop.call.start, 1)
    in_cell("four", work.callback, None)
    assert loop.clock.calls[0].context[cell] == "three"
    in_cell("five", loop.call.reset)
    assert loop.clock.calls[0].context[cell] == "three"
    loop.call.stop()


def test_a_table_of_timers_shows_the_users_function() -> None:
    for loop in (LoopingCall(boom), LoopingCall.withCount(boom)):
        loop.clock = clock = Clock()
        loop.start(1, now=False)
        assert [call.label for call in clock.calls] == ["boom"]
        loop.stop()


def test_it_prints_what_it_calls_and_how_often() -> None:
    loop = LoopingCall(boom, 1, key=2)
    assert repr(loop) == "LoopingCall<None>(boom, *(1,), **{'key': 2})"
    loop.clock = Clock()
    loop.start(0.5, now=False)
    assert repr(loop) == "LoopingCall<0.5>(boom, *(1,), **{'key': 2})"
    loop.stop()
    assert repr(LoopingCall.withCount(boom)) == "LoopingCall<None>(boom, *(), **{})"


# --- on a reactor ------------------------------------------------------------------------------------


def test_its_clock_is_the_process_reactor_unless_another_is_set() -> None:
    assert LoopingCall(boom).clock is the_reactor()


@pytest.mark.parametrize("interval", [0, 0.001])
def test_it_runs_on_a_reactor_and_its_timer_is_a_handle(reactor: Reactor, interval: float) -> None:
    calls: list[int] = []
    labels: list[str] = []
    seen = threading.Event()

    def tick() -> None:
        calls.append(threading.get_ident())
        if len(calls) == 5:
            seen.set()

    loop = LoopingCall(tick)
    loop.clock = reactor
    with reactor.turn():
        done = loop.start(interval, now=False)
        labels += [handle.label for handle in reactor.handles.of("timer")]
    assert seen.wait(5)
    loop.stop()
    assert done.wait(5) is loop
    assert len(set(calls)) == 1
    assert labels[0].endswith("tick")


def test_any_thread_may_start_and_stop_loops(reactor: Reactor) -> None:
    def work(number: int) -> None:
        for _ in range(50):
            loop = LoopingCall(lambda: None)
            loop.clock = reactor
            done = loop.start(0 if number % 2 else 0.001)
            loop.reset()
            loop.stop()
            assert done.wait(5) is loop

    run_threads(4, work)


@pytest.mark.parametrize("chained", [False, True])
def test_while_its_function_waits_it_is_a_handle_that_can_be_closed(reactor: Reactor, chained: bool) -> None:
    cancelled: list[object] = []
    work: Deferred[None] = Deferred(cancelled.append)
    loop = LoopingCall(lambda: succeed(None).addCallback(lambda _: work) if chained else work)
    loop.clock = reactor
    with reactor.turn():
        ended = loop.start(60)
        (handle,) = reactor.handles
        assert (handle.kind, handle.state, loop.call) == ("timer", "running", None)
        closed = handle.closeHandle()
        assert closed.called
        assert cancelled == [work]
        assert not loop.running
        assert ended.called
        assert len(reactor.handles) == 0


def test_the_handle_of_a_waiting_function_goes_when_it_has_ended_and_the_timer_comes(reactor: Reactor) -> None:
    work: Deferred[None] = Deferred()
    loop = LoopingCall(lambda: work)
    loop.clock = reactor
    with reactor.turn():
        loop.start(60)
        work.callback(None)
        assert [handle.state for handle in reactor.handles] == ["pending"]
        loop.stop()
