"""The turn trace records what the reactor ran and each step of every Deferred, and keeps nothing alive."""

from __future__ import annotations

import contextvars
import functools
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import boom, cell, double, in_cell, outcome, run_threads
from wirebook.deferred import Deferred, getTracer, succeed
from wirebook.trace import (
    MOST_TEXT,
    TracedStep,
    TurnTrace,
    brief,
    name_and_place,
    place_of_error,
    traced_steps,
    tracing,
)
from wirebook.transports.reactor import Reactor


class Stage:
    """As much of a reactor as a trace needs."""

    trace: Any = None


@pytest.fixture
def trace() -> Iterator[TurnTrace]:
    """A trace that is on."""
    with tracing(Stage()) as found:
        yield found
    assert getTracer() is None


def told(steps: tuple[TracedStep, ...]) -> list[tuple[str, str, str, str]]:
    """What happened at each step."""
    return [(step.callback, step.given, step.outcome, step.result) for step in steps]


# Steps


def test_each_step_tells_what_it_was_given_and_what_it_made_of_it(trace: TurnTrace) -> None:
    d: Deferred[Any] = Deferred()
    d.addCallback(double).addCallback(boom).addCallback(print).addErrback(repr)
    d.callback(4)
    assert told(trace.steps) == [
        ("double", "4", "value", "8"),
        ("boom", "8", "failed", "ValueError: boom"),
        ("repr", "ValueError: boom", "value", repr(outcome(d))),
    ]
    assert trace.steps_of(d) == trace.steps


def test_a_step_tells_where_its_code_and_its_error_are(trace: TurnTrace) -> None:
    succeed(1).addCallback(boom).addErrback(lambda _: None)
    first, second = trace.steps
    path, line = boom.__code__.co_filename, boom.__code__.co_firstlineno
    assert first.place == f"{path}:{line}"
    assert first.raised == f"{path}:{line + 2} in boom"
    assert second.raised == ""


def test_a_step_tells_when_and_how_long(trace: TurnTrace) -> None:
    before, day = time.perf_counter(), time.time()
    succeed(1).addCallback(lambda _: time.process_time() and sum(range(10_000)))
    (step,) = trace.steps
    assert before <= step.began <= step.began + step.seconds <= time.perf_counter()
    assert step.seconds > 0
    assert trace.epoch + step.began == pytest.approx(day, abs=1)


def test_a_step_remembers_the_context_it_was_attached_in(trace: TurnTrace) -> None:
    d: Deferred[int] = Deferred()
    in_cell("seven", d.addCallback, double)
    in_cell("eight", d.callback, 1)
    assert trace.steps[0].origin[cell] == "seven"


def test_a_step_that_waits_tells_for_which_deferred(trace: TurnTrace) -> None:
    inner: Deferred[str] = Deferred()
    inner.addCallback(str.strip)
    outer = succeed(1).addCallback(lambda _: inner).addCallback(str.upper)
    (step,) = trace.steps
    assert (step.outcome, step.waitsFor) == ("waits", trace.number_of(inner))
    inner.callback(" a ")
    assert told(trace.steps_of(outer))[1] == ("str.upper", "'a'", "value", "'A'")
    assert told(trace.steps_of(inner)) == [("str.strip", "' a '", "value", "'a'")]


def test_deferreds_have_numbers_while_they_live(trace: TurnTrace) -> None:
    first, second = succeed(1), succeed(2)
    assert trace.number_of(first) is None
    first.addCallback(double)
    second.addCallback(double)
    assert [trace.number_of(first), trace.number_of(second)] == [1, 2]
    assert trace.deferred(2) is second
    del second
    assert trace.deferred(2) is None
    assert len(trace.steps_of(2)) == 1


def test_only_the_last_steps_are_kept() -> None:
    with tracing(Stage(), limit=3) as trace:
        d = succeed(0)
        for _ in range(10):
            d.addCallback(lambda n: n + 1)
    assert [step.result for step in trace.steps] == ["8", "9", "10"]
    trace.clear()
    assert trace.steps == ()


class Thing:
    """Can be watched."""


def test_nothing_of_the_program_is_kept_alive(trace: TurnTrace) -> None:
    def use(thing: Thing) -> Thing:
        raise ValueError(thing)

    watched: list[weakref.ref[Any]] = []

    def chain() -> None:
        thing = Thing()
        d = succeed(thing).addCallback(use).addErrback(lambda _: thing)
        watched.extend(weakref.ref(found) for found in (thing, d))

    chain()
    assert len(trace.steps) == 2
    gc.collect()
    assert [found() for found in watched] == [None, None]


def test_a_huge_result_is_cut(trace: TurnTrace) -> None:
    succeed(list(range(100_000))).addCallback(lambda _: b"x" * 10_000_000).addCallback(lambda _: "y" * 10_000_000)
    assert all(len(text) <= MOST_TEXT for step in trace.steps for text in (step.given, step.result))


def test_a_result_that_cannot_be_shown_does_not_disturb_the_chain(trace: TurnTrace) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    d = succeed(1).addCallback(lambda _: [Unprintable()]).addCallback(len)
    assert outcome(d) == 1
    assert "Unprintable" in trace.steps[0].result


def test_threads_are_recorded_whole(trace: TurnTrace) -> None:
    def work(number: int) -> None:
        for _ in range(200):
            succeed(number).addCallback(double).addCallback(double)
            assert trace.steps

    run_threads(4, work)
    found: dict[int, list[str]] = {}
    for step in trace.steps:
        found.setdefault(step.deferred, []).append(step.given)
    assert len(found) == 800
    assert sorted(map(tuple, found.values())) == [(str(n), str(2 * n)) for n in range(4) for _ in range(200)]


# Turns


def test_each_callback_of_a_reactor_is_a_turn_and_steps_know_theirs(reactor: Reactor) -> None:
    d: Deferred[int] = Deferred()
    d.addCallback(double)
    with tracing(reactor) as trace:
        reactor.callLater(0, d.callback, 3)
        assert d.wait(5) == 6
        assert eventually(lambda: any(found.cause == "timer" for found in trace.turns))
    (timer,) = [found for found in trace.turns if found.cause == "timer"]
    assert timer.subject == "Deferred.callback"
    (step,) = trace.steps_of(d)
    assert step.turn == timer.number
    assert timer.began <= step.began
    assert step.began + step.seconds <= timer.began + timer.seconds


def test_a_step_of_another_thread_belongs_to_no_turn(reactor: Reactor) -> None:
    with tracing(reactor) as trace:
        succeed(1).addCallback(double)
    assert trace.steps[0].turn is None


def test_a_turn_tells_its_handle_its_name_and_its_context(trace: TurnTrace) -> None:
    class Connection:
        label = "Echo"
        handleId = 7
        context = in_cell("nine", contextvars.copy_context)

    trace.begin("read", Connection())
    trace.begin("call", double, Connection.context)
    trace.end()
    trace.end()
    inner, outer = trace.turns
    assert (outer.cause, outer.subject, outer.handleId, outer.number) == ("read", "Echo", 7, 1)
    assert outer.origin is not None
    assert outer.origin[cell] == "nine"
    assert (inner.subject, inner.origin) == ("double", Connection.context)
    assert inner.place == name_and_place(double)[1]


def test_a_turn_that_began_before_the_trace_is_not_known_to_it(trace: TurnTrace) -> None:
    trace.end()
    assert trace.turns == ()


# On and off


def test_a_trace_hears_nothing_after_its_end(reactor: Reactor) -> None:
    with tracing(reactor) as trace:
        assert trace.active
    succeed(1).addCallback(double)
    assert not trace.active
    assert (reactor.trace, getTracer(), trace.steps) == (None, None, ())
    trace.stop()


def test_the_process_s_reactor_is_meant_by_default() -> None:
    from wirebook import reactor as process_reactor

    with TurnTrace() as trace:
        assert process_reactor.trace is trace
    assert process_reactor.trace is None


def test_a_trace_is_started_once() -> None:
    trace = TurnTrace().start(Stage())
    with pytest.raises(RuntimeError, match="started before"):
        trace.start(Stage())
    trace.stop()
    with pytest.raises(ValueError, match="limit is 0"):
        TurnTrace(0)


def test_two_traces_hear_the_same() -> None:
    stage = Stage()
    with tracing(stage) as first, tracing(stage) as second:
        succeed(1).addCallback(double)
        stage.trace.begin("call", double)
        stage.trace.end()
    assert told(first.steps) == told(second.steps) == [("double", "1", "value", "2")]
    assert [found.subject for found in first.turns] == [found.subject for found in second.turns] == ["double"]
    assert (stage.trace, getTracer()) == (None, None)


def test_traces_may_end_in_any_order() -> None:
    stage = Stage()
    first = TurnTrace().start(stage)
    second = TurnTrace().start(stage)
    first.stop()
    succeed(1).addCallback(double)
    second.stop()
    assert (len(first.steps), len(second.steps)) == (0, 1)
    assert (stage.trace, getTracer()) == (None, None)


def test_the_steps_of_a_deferred_are_found_in_whatever_trace_has_them() -> None:
    d = succeed(1)
    with tracing(Stage()) as trace:
        d.addCallback(double)
    with tracing(Stage()):
        succeed(1).addCallback(double)
    assert traced_steps(d) == trace.steps
    assert traced_steps(succeed(1)) == ()


# What is said of things


def test_functions_are_called_by_their_names() -> None:
    place = f"{double.__code__.co_filename}:{double.__code__.co_firstlineno}"

    class Caller:
        def __call__(self) -> None: ...

        def method(self) -> None: ...

    assert name_and_place(double) == ("double", place)
    assert name_and_place(functools.partial(functools.partial(double), 1)) == ("double", place)
    assert name_and_place(Caller().method)[0].endswith("Caller.method")
    assert name_and_place(Caller())[0].endswith("Caller")
    assert __file__ in name_and_place(Caller())[1]
    assert name_and_place(print) == ("print", "")
    assert name_and_place(int) == ("int", "")


class Awkward:
    """Answers every question with an error."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError


def test_nothing_is_too_awkward_to_be_named() -> None:
    assert name_and_place(Awkward())[0].endswith("Awkward")
    assert brief(Awkward()).startswith("<")


def test_an_error_without_frames_has_no_place() -> None:
    from wirebook.failure import Failure

    assert place_of_error(Failure(ValueError())) == ""


def test_the_origin_of_a_timer_is_the_context_of_its_callLater(reactor: Reactor) -> None:
    done = threading.Event()
    with tracing(reactor) as trace:
        in_cell("eleven", reactor.callLater, 0, done.set)
        assert done.wait(5)
        assert eventually(lambda: [turn for turn in trace.turns if turn.cause == "timer"])
    (traced,) = [turn for turn in trace.turns if turn.cause == "timer"]
    assert traced.origin is not None
    assert traced.origin[cell] == "eleven"
