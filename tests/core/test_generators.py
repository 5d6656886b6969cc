"""inlineCallbacks: generators that yield what they wait for."""

from __future__ import annotations

import contextvars
import traceback
import weakref
from collections.abc import Generator
from inspect import signature
from typing import Any

import pytest

from tests.core.deferred_kit import cell, error_of, fire_when, outcome, without_gc
from wirebook.deferred import (
    CancelledError,
    Deferred,
    ensureDeferred,
    fail,
    inlineCallbacks,
    returnValue,
    succeed,
)
from wirebook.failure import Failure
from wirebook.turn import turn

Steps = Generator[Any, Any, Any]


@inlineCallbacks
def double(awaited: Any) -> Steps:
    """Twice what is awaited."""
    return (yield awaited) * 2


# Values and errors


def test_the_call_runs_the_generator_and_gives_what_it_returns() -> None:
    steps: list[str] = []
    inner: Deferred[int] = Deferred()

    @inlineCallbacks
    def run(first: int, *, second: int) -> Steps:
        steps.append("started")
        value = yield inner
        steps.append("resumed")
        return first + second + value

    deferred = run(1, second=2)
    assert steps == ["started"]
    inner.callback(4)
    assert steps == ["started", "resumed"]
    assert deferred.result == 7


def test_a_generator_that_returns_nothing_gives_none() -> None:
    @inlineCallbacks
    def run() -> Steps:
        yield succeed(1)

    assert run().result is None


def test_an_error_is_raised_at_the_yield_and_can_be_caught() -> None:
    @inlineCallbacks
    def run(awaited: Deferred[Any]) -> Steps:
        try:
            yield awaited
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    later: Deferred[Any] = Deferred()
    assert run(fail(KeyError("k"))).result == "caught 'k'"
    deferred = run(later)
    later.errback(KeyError("l"))
    assert deferred.result == "caught 'l'"


def test_an_error_that_is_not_caught_fails_the_deferred() -> None:
    error_of(double(fail(KeyError())), KeyError)
    error_of(double(succeed(None)), TypeError)


@pytest.mark.parametrize("value", [None, 5, "text", [1], Deferred])
def test_a_plain_value_comes_back_as_it_is(value: object) -> None:
    @inlineCallbacks
    def run() -> Steps:
        return [(yield value)]

    assert run().result == [value]


def test_a_failure_that_is_yielded_is_raised() -> None:
    error_of(double(Failure(KeyError())), KeyError)


def test_a_coroutine_and_a_generator_that_are_yielded_are_run() -> None:
    async def asynchronous() -> int:
        return await inner

    def generator() -> Steps:
        return (yield inner)

    inner: Deferred[int] = Deferred()
    both = [double(asynchronous()), double(generator())]
    inner.callback(4)
    assert [deferred.result for deferred in both] == [8, 8]


def test_yield_from_waits_like_yield() -> None:
    @inlineCallbacks
    def run() -> Steps:
        return (yield from inner) + (yield from succeed(1))

    inner: Deferred[int] = Deferred()
    deferred = run()
    inner.callback(2)
    assert deferred.result == 3


def test_the_awaited_deferred_keeps_its_result_and_its_error_counts_as_handled() -> None:
    good, bad = succeed(1), fail(KeyError())
    assert double(good).result == 2
    error_of(double(bad), KeyError)
    assert outcome(good) == 1
    assert outcome(bad) is None


def test_an_error_nobody_handles_is_reported_once(reported: Any) -> None:
    double(fail(KeyError()))
    assert [record.wirebook_failure.type for record in reported()] == [KeyError]


def test_a_generator_that_returns_a_deferred_is_told_how_to_write_it() -> None:
    @inlineCallbacks
    def run() -> Steps:
        return succeed(1)
        yield

    assert "return (yield ...)" in str(error_of(run(), TypeError))


def test_the_generator_is_resumed_in_the_turn() -> None:
    held: list[bool] = []
    gate: Deferred[None] = Deferred()

    @inlineCallbacks
    def run() -> Steps:
        held.append(turn.held())
        yield gate
        held.append(turn.held())

    run()
    fire_when(lambda: True, gate, None).join()
    assert held == [True, True]


# What is decorated


def test_the_decorated_function_keeps_name_docstring_and_signature() -> None:
    assert (double.__name__, double.__doc__) == ("double", "Twice what is awaited.")
    assert list(signature(double).parameters) == ["awaited"]


def test_a_method_can_be_decorated() -> None:
    class Counter:
        count = 1

        @inlineCallbacks
        def add(self, awaited: Any) -> Steps:
            self.count += yield awaited
            return self.count

    assert Counter().add(succeed(2)).result == 3


def test_a_function_that_makes_no_generator_is_refused_by_name() -> None:
    @inlineCallbacks  # type: ignore[arg-type]
    def plain() -> int:
        return 5

    with pytest.raises(TypeError, match=r"inlineCallbacks decorates functions that yield.*plain.* gave 5"):
        plain()


def test_wrong_arguments_raise_in_the_caller() -> None:
    with pytest.raises(TypeError, match="awaited"):
        double()  # type: ignore[call-arg]


def test_return_value_ends_the_generator_and_says_what_to_write() -> None:
    @inlineCallbacks
    def run() -> Steps:
        value = yield inner
        with pytest.warns(DeprecationWarning, match="write 'return val'"):
            returnValue(value + 1)

    inner: Deferred[int] = Deferred()
    later = run()
    inner.callback(1)
    assert later.result == 2
    inner = succeed(2)
    assert run().result == 3


def test_return_value_in_a_function_that_does_not_yield_is_an_error() -> None:
    @inlineCallbacks
    def run() -> Any:
        with pytest.warns(DeprecationWarning, match="write"):
            returnValue(1)

    with pytest.raises(TypeError, match="inlineCallbacks"):
        run()


# Cancelling


def test_cancelling_cancels_what_is_waited_for() -> None:
    cancelled: list[object] = []
    inner: Deferred[int] = Deferred(cancelled.append)
    deferred = double(inner)
    deferred.cancel()
    assert cancelled == [inner]
    error_of(deferred, CancelledError)


def test_cancelling_reaches_through_nested_generators() -> None:
    inner: Deferred[int] = Deferred()
    deferred = double(double(double(inner)))
    deferred.cancel()
    assert inner.called
    error_of(deferred, CancelledError)


def test_a_cancelled_generator_may_go_on_and_be_cancelled_again() -> None:
    seen: list[str] = []

    @inlineCallbacks
    def run() -> Steps:
        for name in ("first", "second"):
            try:
                yield Deferred()
            except CancelledError:
                seen.append(name)
        return (yield last)

    last: Deferred[int] = Deferred()
    deferred = run()
    deferred.cancel()
    assert seen == ["first"]
    deferred.cancel()
    assert seen == ["first", "second"]
    last.callback(3)
    assert deferred.result == 3


def test_the_canceller_of_what_is_waited_for_decides() -> None:
    assert_result = double(Deferred(lambda waiting: waiting.callback(4)))
    assert_result.cancel()
    assert assert_result.result == 8
    failing = double(Deferred(lambda waiting: waiting.errback(KeyError())))
    failing.cancel()
    error_of(failing, KeyError)


def test_cancelling_when_it_has_ended_does_nothing() -> None:
    deferred = double(succeed(1))
    deferred.cancel()
    assert deferred.result == 2


# Contexts


def test_the_generator_keeps_one_context_and_leaks_nothing() -> None:
    seen: list[str] = []
    gates = [Deferred[None](), Deferred[None]()]

    @inlineCallbacks
    def run() -> Steps:
        for number, gate in enumerate(gates):
            cell.set(f"{cell.get()}{number}")
            yield gate
            seen.append(cell.get())

    context = contextvars.copy_context()
    context.run(cell.set, "start")
    context.run(run)
    for gate in gates:
        gate.addCallback(lambda _: cell.set("a callback's"))
        gate.callback(None)
    assert seen == ["start0", "start01"]
    assert context.get(cell) == "start"
    assert cell.get() == "none"


def test_a_yielded_coroutine_starts_with_what_the_generator_has_set_and_keeps_its_own() -> None:
    async def ask() -> str:
        found = cell.get()
        cell.set("the coroutine's")
        return found

    @inlineCallbacks
    def run() -> Steps:
        cell.set("the generator's")
        found = yield ask()
        return found, cell.get()

    assert run().result == ("the generator's", "the generator's")


# Tracebacks


@pytest.mark.parametrize("fired_before", [True, False])
def test_a_traceback_through_generators_and_coroutines_reads_as_one(fired_before: bool) -> None:
    def boom() -> None:
        raise ValueError("boom")

    @inlineCallbacks
    def innermost() -> Steps:
        yield gate
        boom()

    async def middle() -> None:
        await innermost()

    @inlineCallbacks
    def outermost() -> Steps:
        yield middle()

    gate: Deferred[None] = Deferred()
    if fired_before:
        gate.callback(None)
    deferred = outermost()
    if not fired_before:
        gate.callback(None)
    failure = outcome(deferred)
    assert [frame[0] for frame in failure.frames] == ["outermost", "middle", "innermost", "boom"]


def test_a_traceback_printed_in_the_generator_shows_where_the_error_came_from() -> None:
    @inlineCallbacks
    def fails() -> Steps:
        yield succeed(1)
        raise ValueError("boom")

    @inlineCallbacks
    def run() -> Steps:
        try:
            yield fails()
        except ValueError:
            return traceback.format_exc()

    text = run().result
    assert [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith("  File")] == ["run", "fails"]
    assert "During handling" not in text


def test_an_error_thrown_into_a_generator_that_raises_another_keeps_both() -> None:
    @inlineCallbacks
    def run() -> Steps:
        try:
            yield fail(KeyError("first"))
        except KeyError as error:
            raise RuntimeError("second") from error

    report = outcome(run()).getTraceback()
    assert report.index("first") < report.index("direct cause") < report.index("second")


# Depth and memory


def test_a_hundred_thousand_yields_of_fired_deferreds_do_not_recurse() -> None:
    @inlineCallbacks
    def run() -> Steps:
        total = 0
        for number in range(100_000):
            total += yield succeed(number)
        return total

    assert run().result == sum(range(100_000))


@pytest.mark.parametrize("error", [None, KeyError()])
def test_ten_thousand_generators_that_wait_for_one_another_end_without_recursion(error: Exception | None) -> None:
    @inlineCallbacks
    def wait(inner: Deferred[int]) -> Steps:
        return (yield inner) + 1

    innermost: Deferred[int] = Deferred()
    deferred = innermost
    for _ in range(10_000):
        deferred = wait(deferred)
    if error is None:
        innermost.callback(0)
        assert deferred.result == 10_000
    else:
        innermost.errback(error)
        assert outcome(deferred).value is error


@without_gc()
@pytest.mark.parametrize("fired_before", [True, False])
def test_nothing_is_kept_alive_once_it_has_ended(fired_before: bool) -> None:
    class Argument:
        pass

    @inlineCallbacks
    def wait(inner: Deferred[Any], argument: Argument) -> Steps:
        return (yield inner)

    def start() -> list[weakref.ref[Any]]:
        gate: Deferred[Any] = Deferred()
        if fired_before:
            gate.callback(1)
        argument = Argument()
        deferred = wait(wait(gate, argument), argument)
        if not fired_before:
            gate.callback(1)
        assert deferred.result == 1
        return [weakref.ref(deferred), weakref.ref(argument)]

    assert [reference() for reference in start()] == [None, None]


@without_gc()
@pytest.mark.parametrize("fired_before", [True, False])
def test_an_unhandled_error_is_reported_without_the_help_of_the_garbage_collector(
    fired_before: bool, reported: Any
) -> None:
    def start() -> None:
        gate: Deferred[Any] = Deferred()
        if fired_before:
            gate.errback(KeyError())
        deferred = double(double(gate))
        if not fired_before:
            gate.errback(KeyError())
        assert deferred.called

    start()
    assert len(reported.records) == 1
    reported()


def test_a_coroutine_awaits_a_decorated_function() -> None:
    async def main() -> Any:
        return await double(inner)

    inner: Deferred[int] = Deferred()
    deferred = ensureDeferred(main())
    inner.callback(3)
    assert deferred.result == 6
