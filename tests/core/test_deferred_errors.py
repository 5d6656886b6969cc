"""Deferred: errors nobody handled, what it keeps alive, what it costs, and who is told of its steps."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from tests.core.deferred_kit import (
    boom,
    cell,
    debugging,
    double,
    error_of,
    give,
    in_cell,
    outcome,
    run_threads,
    without_gc,
)
from wirebook.deferred import (
    Deferred,
    ensureDeferred,
    fail,
    setTracer,
    succeed,
)
from wirebook.failure import Failure
from wirebook.turn import turn

# Lost errors


def test_an_unhandled_error_is_reported_once_when_the_deferred_goes(reported: Any) -> None:
    deferred: Deferred[Any] = in_cell("maker", Deferred)
    deferred.addCallback(boom)
    deferred.callback(1)
    assert reported() == []
    del deferred
    (record,) = reported()
    assert record.getMessage() == "Unhandled error in a Deferred"
    assert record.wirebook_failure.type is ValueError
    assert record.exc_info[2].tb_frame.f_code.co_name == "boom"


@without_gc()
def test_an_unhandled_error_is_reported_without_the_help_of_the_garbage_collector(reported: Any) -> None:
    def start() -> None:
        deferred: Deferred[int] = Deferred()
        deferred.addCallback(lambda value: value)
        deferred.addCallback(boom)
        nested: Deferred[int] = Deferred()
        nested.addCallback(deferred.callback)
        nested.callback(1)

    start()
    assert len(reported.records) == 1
    reported()


def test_a_report_is_emitted_in_the_context_of_the_making(reported: Any) -> None:
    seen: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(cell.get())

    logger, listener = logging.getLogger("wirebook"), Listener()
    logger.addHandler(listener)
    try:
        in_cell("maker", lambda: fail(KeyError()) and None)
        assert len(reported()) == 1
    finally:
        logger.removeHandler(listener)
    assert seen == ["maker"]


def test_a_handled_error_is_not_reported(reported: Any) -> None:
    fail(KeyError()).addErrback(lambda _: None)
    deferred = fail(KeyError())
    deferred.addErrback(lambda _: None)
    del deferred
    assert reported() == []


def test_an_error_that_moved_to_another_chain_is_reported_there_only(reported: Any) -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(give, inner)
    inner.errback(KeyError())
    del inner
    assert reported() == []
    del outer
    assert len(reported()) == 1


def test_an_error_handled_after_an_observer_was_told_is_not_reported(reported: Any) -> None:
    async def wait() -> None:
        await deferred

    deferred: Deferred[int] = Deferred()
    waiting = ensureDeferred(wait())
    waiting.addErrback(lambda _: None)
    deferred.addErrback(lambda _: None)
    deferred.errback(KeyError())
    assert reported() == []


def test_an_error_handled_by_steps_left_for_another_chain_is_not_reported(reported: Any) -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(give, inner)
    outer.addBoth(lambda _: inner.addErrback(lambda _: None))
    inner.addCallback(boom)
    inner.addErrback(lambda _: None)
    inner.callback(1)
    assert reported() == []


def test_an_error_of_an_errback_is_the_one_reported(reported: Any) -> None:
    deferred = fail(KeyError()).addErrback(boom)
    del deferred
    assert [record.wirebook_failure.type for record in reported()] == [ValueError]


def test_an_error_held_by_a_pause_is_reported(reported: Any) -> None:
    deferred: Deferred[int] = Deferred()
    deferred.addErrback(lambda _: None)
    deferred.pause()
    deferred.errback(KeyError())
    del deferred
    assert len(reported()) == 1


def test_an_error_in_a_cycle_is_reported_once(reported: Any) -> None:
    deferred = fail(KeyError())
    deferred.pause()
    deferred.addCallback(give, deferred)
    del deferred
    assert len(reported()) == 1


@debugging()
def test_with_debugging_the_report_tells_where_the_deferred_was_made(reported: Any) -> None:
    fail(KeyError())
    (record,) = reported()
    assert "test_with_debugging_the_report_tells_where" in record.getMessage()


def test_a_report_may_come_while_another_thread_holds_the_turn(reported: Any) -> None:
    held, finished = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        with turn:
            held.set()
            finished.wait(20)

    def drop(_: int) -> None:
        deferred = made.pop()
        held.wait(20)
        del deferred
        finished.set()

    made = [fail(KeyError())]
    run_threads(2, lambda number: (hold, drop)[number](number))
    assert len(reported()) == 1


def test_an_error_left_at_the_end_of_the_process_is_reported_once() -> None:
    code = "from wirebook.deferred import fail\ndeferred = fail(ValueError('left over'))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.count("ValueError: left over") == 1
    assert "Unhandled error in a Deferred" in done.stderr
    assert "Exception ignored" not in done.stderr


# What it keeps alive, and what it costs


class Precious:
    pass


@without_gc()
def test_a_handled_error_leaves_no_cycle() -> None:
    def start() -> weakref.ref[Precious]:
        precious = Precious()
        reference = weakref.ref(precious)

        def use(_: object) -> None:
            raise ValueError(precious)

        deferred: Deferred[int] = Deferred()
        deferred.addCallback(use)
        deferred.addErrback(lambda failure: failure.trap(KeyError))
        deferred.addErrback(lambda failure: None)
        deferred.callback(1)
        return reference

    assert start()() is None


@without_gc()
@pytest.mark.parametrize("steps", [1, 3])
def test_an_exception_that_is_returned_leaves_no_cycle(steps: int) -> None:
    def answer(_: object) -> ValueError:
        try:
            raise ValueError("an answer like any other")
        except ValueError as error:
            return error

    def start() -> weakref.ref[Deferred[Any]]:
        deferred: Deferred[Any] = Deferred()
        for _ in range(steps):
            deferred.addCallback(answer)
        deferred.callback(1)
        return weakref.ref(deferred)

    assert start()() is None


@without_gc()
def test_a_fired_deferred_keeps_neither_callbacks_nor_canceller() -> None:
    precious = Precious()
    reference = weakref.ref(precious)
    deferred: Deferred[int] = Deferred(partial(give, value=precious))
    deferred.addCallback(lambda value, kept: value, precious)
    deferred.callback(1)
    del precious
    assert reference() is None


@without_gc()
def test_a_deferred_is_freed_at_once_after_its_chain_ran() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(double)
    deferred.callback(1)
    reference = weakref.ref(deferred)
    del deferred
    assert reference() is None


def test_an_unfired_deferred_with_a_callback_is_small() -> None:
    count = 1000
    kept: list[Any] = [None] * count
    Deferred().addCallback(double)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for index in range(count):
            kept[index] = Deferred().addCallback(double)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (after - before) / count <= 536


def test_deep_nesting_of_firings_ends_in_a_failure_not_a_crash() -> None:
    target: Deferred[Any] = Deferred()
    chain: list[Deferred[Any]] = [Deferred() for _ in range(5000)]
    for first, second in zip(chain, [*chain[1:], target], strict=True):
        first.addCallback(second.callback)
    chain[0].callback(1)
    assert not target.called
    failed = [deferred for deferred in chain if isinstance(getattr(deferred, "result", None), Failure)]
    for deferred in failed:
        error_of(deferred, RecursionError)
    assert failed
    assert succeed(1).addCallback(double).result == 2


def test_an_interrupt_between_two_steps_leaves_everything_usable() -> None:
    class Bomb:
        """A step that is no step: what an interrupt does inside the loop, made to happen there."""

        def __iter__(self) -> Iterator[Any]:
            raise KeyboardInterrupt

    seen: list[int] = []
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(double)
    deferred._add(Bomb())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        deferred.callback(1)
    assert deferred.result == 2
    deferred._steps = None
    deferred.addCallback(seen.append)
    assert seen == [2]
    assert succeed(1).addCallback(double).result == 2


# Tracing


def test_a_tracer_is_told_of_every_step(request: pytest.FixtureRequest) -> None:
    steps: list[tuple[Any, ...]] = []

    class Tracer:
        def step(self, deferred: Any, callback: Any, result: Any, seconds: float, origin: Context) -> None:
            assert seconds >= 0
            steps.append((deferred, callback, result, origin.get(cell)))

    request.addfinalizer(lambda: setTracer(None))
    setTracer(Tracer())
    inner: Deferred[int] = Deferred()

    def chain(_: object, extra: int) -> Deferred[int]:
        return inner

    deferred: Deferred[Any] = Deferred()
    in_cell("a", deferred.addCallback, double)
    in_cell("b", deferred.addCallback, chain, 1)
    in_cell("c", deferred.addCallback, boom)
    deferred.callback(1)
    inner.callback(9)
    failure = outcome(deferred)
    assert steps[:3] == [
        (deferred, double, 2, "a"),
        (deferred, chain, inner, "b"),
        (deferred, boom, failure, "c"),
    ]


def test_a_tracer_is_told_of_a_chained_deferred_too(request: pytest.FixtureRequest) -> None:
    told: list[tuple[Any, ...]] = []

    class Tracer:
        def step(self, deferred: Any, callback: Any, result: Any, seconds: float, origin: Context) -> None:
            told.append((deferred, callback, result, origin.get(cell)))

    request.addfinalizer(lambda: setTracer(None))
    setTracer(Tracer())
    source: Deferred[int] = Deferred()
    target: Deferred[int] = Deferred()
    in_cell("a", source.chainDeferred, target)
    in_cell("b", target.addCallback, double)
    source.callback(4)
    assert told == [(source, target.callback, None, "a"), (target, double, 8, "b")]
