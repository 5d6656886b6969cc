"""Deferred: its chain of callbacks, firing, chaining, pausing, and the functions that make one."""

from __future__ import annotations

import threading
import weakref
from itertools import pairwise
from typing import Any, assert_type

import pytest

from tests.core.deferred_kit import (
    Clock,
    boom,
    debugging,
    double,
    error_of,
    give,
    outcome,
    waits_for,
)
from wirebook.deferred import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    ensureDeferred,
    execute,
    fail,
    getDebugging,
    maybeDeferred,
    succeed,
)
from wirebook.failure import Failure

# The chain


def test_a_callback_gets_what_the_one_before_returned() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(double).addCallback(str)
    deferred.callback(21)
    assert deferred.result == "42"


def test_a_callback_added_after_firing_runs_at_once_in_this_thread() -> None:
    threads: list[int] = []
    succeed(1).addCallback(lambda _: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()]


def test_the_add_methods_return_the_deferred() -> None:
    deferred: Deferred[int] = Deferred()
    returned: list[Any] = [
        deferred.addCallback(double),
        deferred.addErrback(str),
        deferred.addBoth(str),
        deferred.addCallbacks(double, str),
        deferred.addTimeout(1, Clock()),
        deferred.chainDeferred(Deferred()),
    ]
    assert all(one is deferred for one in returned)


def test_types_follow_the_chain() -> None:
    def parse(text: str, base: int) -> int:
        return int(text, base)

    def later(number: int) -> Deferred[float]:
        return succeed(number / 2)

    def recover(failure: Failure) -> str:
        return failure.getErrorMessage()

    text = succeed("ff")
    number = assert_type(text.addCallback(parse, 16), Deferred[int])
    half = assert_type(number.addCallback(later), Deferred[float])
    safe = assert_type(half.addErrback(recover), Deferred[float | str])
    assert_type(half.addCallbacks(str), Deferred[str])
    assert_type(number.addCallbacks(later), Deferred[float])
    assert_type(half.addCallbacks(bool, recover), Deferred[bool | str])
    assert_type(execute(parse, "1", 10), Deferred[int])
    assert safe is half


def test_own_arguments_follow_the_result() -> None:
    seen: list[Any] = []

    def note(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return args[0]

    deferred: Deferred[int] = succeed(1)
    deferred.addCallback(note, 2, key=3)
    deferred.addBoth(note, 4)
    deferred.addCallbacks(note, note, (5,), {"k": 6}, (7,), {"k": 8})
    assert seen == [((1, 2), {"key": 3}), ((1, 4), {}), ((1, 5), {"k": 6})]


def test_own_arguments_of_errbacks_follow_the_failure() -> None:
    seen: list[Any] = []

    def note(failure: Failure, *args: Any, **kwargs: Any) -> Any:
        seen.append((failure.type, args, kwargs))
        return failure

    deferred = fail(KeyError())
    deferred.addErrback(note, 2, key=3)
    deferred.addBoth(note, 4)
    deferred.addCallbacks(note, note, (5,), {"k": 6}, (7,), {"k": 8})
    error_of(deferred, KeyError)
    assert seen == [(KeyError, (2,), {"key": 3}), (KeyError, (4,), {}), (KeyError, (7,), {"k": 8})]


def test_an_exception_goes_to_the_next_errback_and_a_value_returns_to_the_callbacks() -> None:
    path: list[str] = []
    deferred = succeed(1).addCallback(boom)
    deferred.addCallback(lambda _: path.append("skipped"))
    deferred.addErrback(lambda failure: failure.getErrorMessage())
    deferred.addErrback(lambda _: path.append("skipped"))
    deferred.addCallback(lambda message: path.append(str(message)))
    assert path == ["boom"]


def test_errback_takes_an_exception_a_failure_or_the_current_exception() -> None:
    error = ValueError("x")
    assert error_of(fail(error), ValueError) is error
    assert error_of(fail(Failure(error)), ValueError) is error
    try:
        boom()
    except ValueError:
        assert error_of(fail(), ValueError).args == ("boom",)


def test_errback_refuses_what_is_no_error_and_leaves_the_deferred_unfired() -> None:
    deferred: Deferred[None] = Deferred()
    with pytest.raises(TypeError, match="not 'oops'"):
        deferred.errback("oops")  # type: ignore[arg-type]
    assert not deferred.called


def test_a_failure_given_to_callback_goes_to_the_errbacks() -> None:
    deferred: Deferred[Any] = Deferred()
    deferred.callback(Failure(KeyError("k")))
    error_of(deferred, KeyError)


def test_a_failure_returned_by_a_callback_goes_to_the_errbacks() -> None:
    error_of(succeed(1).addCallback(lambda _: Failure(KeyError())), KeyError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_becomes_a_failure(kind: type[BaseException]) -> None:
    def leave(_: object) -> None:
        raise kind

    error_of(succeed(None).addCallback(leave), kind)


def test_a_subclass_of_failure_is_a_failure() -> None:
    class Special(Failure):
        pass

    error_of(succeed(None).addCallback(lambda _: Special(KeyError())), KeyError)


def test_an_errback_that_raises_its_own_failure_passes_it_on_unchanged() -> None:
    failure = Failure(ValueError("x"))

    def trapping(found: Failure) -> None:
        found.trap(KeyError)

    deferred: Deferred[Any] = fail(failure).addErrback(trapping)
    assert outcome(deferred) is failure
    assert failure.value.__traceback__ is None


def test_the_traceback_starts_in_the_callback() -> None:
    deferred = succeed(1).addCallback(boom)
    failure = outcome(deferred)
    assert [frame[0] for frame in failure.frames] == ["boom"]


@pytest.mark.parametrize("add", [Deferred.addCallback, Deferred.addErrback, Deferred.addBoth])
def test_a_callback_that_is_not_callable_is_refused_by_name(add: Any) -> None:
    with pytest.raises(TypeError, match="42 is not: pass the function itself"):
        add(Deferred(), 42)


@pytest.mark.parametrize(("steps", "name"), [((None,), "None"), ((double, "x"), "'x'")])
def test_add_callbacks_refuses_what_is_not_callable(steps: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is not"):
        Deferred().addCallbacks(*steps)


def test_a_canceller_that_is_not_callable_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="the canceller is 7"):
        Deferred(7)  # type: ignore[arg-type]


def test_a_callback_added_by_a_callback_runs_after_those_already_there() -> None:
    order: list[int] = []
    deferred: Deferred[int] = Deferred()

    def add_more(value: int) -> int:
        deferred.addCallback(lambda _: order.append(3))
        order.append(1)
        return value

    deferred.addCallback(add_more).addCallback(lambda _: order.append(2))
    deferred.callback(0)
    assert order == [1, 2, 3]


def test_a_step_attached_when_a_callback_is_dropped_is_taken_too() -> None:
    class Parting:
        """A callback that attaches another one with its last breath."""

        def __call__(self, value: int) -> int:
            return value

        def __del__(self) -> None:
            deferred.addCallback(seen.append)

    seen: list[int] = []
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(double).addCallback(Parting()).addCallback(double)
    deferred.callback(1)
    assert seen == [4]


def test_the_result_is_missing_until_fired() -> None:
    deferred: Deferred[int] = Deferred()
    assert not deferred.called
    assert not hasattr(deferred, "result")
    deferred.callback(5)
    assert deferred.called
    assert deferred.result == 5


def test_repr_tells_the_state() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner)
    assert repr(inner) == f"<Deferred at {id(inner):#x}>"
    assert repr(outer) == f"<Deferred at {id(outer):#x} waiting on Deferred at {id(inner):#x}>"
    assert repr(succeed(5)).endswith("current result: 5>")
    assert len(repr(succeed("x" * 1000))) < 200


def test_repr_tells_what_it_was_chained_to_until_it_fires() -> None:
    source: Deferred[int] = Deferred()
    target: Deferred[int] = Deferred()
    source.chainDeferred(target)
    assert repr(target) == f"<Deferred at {id(target):#x} waiting on Deferred at {id(source):#x}>"
    source.callback(1)
    assert repr(target) == f"<Deferred at {id(target):#x} current result: 1>"


def test_repr_names_the_subclass() -> None:
    class Answer(Deferred[int]):
        """A Deferred of another name."""

    assert repr(Answer()).startswith("<Answer at 0x")


def test_a_deferred_can_be_given_attributes() -> None:
    deferred: Any = Deferred()
    deferred.purpose = "demonstration"
    assert deferred.purpose == "demonstration"
    assert vars(deferred)["purpose"] == "demonstration"


def test_deferreds_can_be_subscripted_for_annotations() -> None:
    assert Deferred[int]().called is False


def test_a_subclass_can_have_attributes() -> None:
    class Named(Deferred[int]):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    named = Named("n")
    named.callback(1)
    assert outcome(named) == 1
    assert weakref.ref(named)() is named


# Firing twice


def test_firing_twice_names_the_result() -> None:
    deferred = succeed(41).addCallback(lambda value: value + 1)
    with pytest.raises(AlreadyCalledError, match=r"already fired; .*its result is now 42"):
        deferred.callback(43)
    with pytest.raises(AlreadyCalledError):
        deferred.errback(ValueError())
    assert deferred.result == 42


def test_firing_twice_cuts_a_long_result() -> None:
    with pytest.raises(AlreadyCalledError) as caught:
        succeed("x" * 10_000).callback("y")
    assert len(str(caught.value)) < 300


@debugging()
def test_with_debugging_a_chained_deferred_tells_who_fired_it() -> None:
    source, target = Deferred[int](), Deferred[int]()
    source.chainDeferred(target)
    source.callback(41)
    with pytest.raises(AlreadyCalledError, match=r"already fired with 41 at .*test_deferred.py:\d+"):
        target.callback(1)


@debugging()
def test_with_debugging_firing_twice_tells_the_first_value_and_where() -> None:
    assert getDebugging()
    assert Deferred.debug
    deferred: Deferred[int] = Deferred()
    deferred.callback(41)
    deferred.addCallback(double)
    with pytest.raises(AlreadyCalledError) as caught:
        deferred.callback(1)
    here = r"test_deferred.py:\d+ in test_with_debugging"
    caught.match(f"made at .*{here}.* already fired with 41 at .*{here}.*; its result is now 82")


def test_firing_while_a_callback_runs_is_refused() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(lambda _: deferred.callback(2))
    deferred.callback(1)
    error_of(deferred, AlreadyCalledError)


def test_a_deferred_cannot_be_fired_with_a_deferred() -> None:
    deferred: Deferred[Any] = Deferred()
    with pytest.raises(TypeError, match="return it from a callback"):
        deferred.callback(succeed(1))
    assert not deferred.called


# Chaining


def test_a_returned_deferred_holds_the_chain_until_it_fires() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner).addCallback(double)
    assert waits_for(outer, inner)
    inner.callback(21)
    assert outer.result == 42
    assert inner.result is None


def test_a_returned_deferred_that_has_fired_gives_its_result_at_once() -> None:
    inner = succeed(21)
    outer = succeed(1).addCallback(lambda _: inner)
    assert outer.result == 21
    assert inner.result is None


def test_the_error_of_a_returned_deferred_goes_to_the_outer_errbacks() -> None:
    error_of(succeed(1).addCallback(lambda _: fail(KeyError())), KeyError)
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner)
    inner.errback(IndexError())
    error_of(outer, IndexError)


def test_the_outer_chain_runs_before_later_callbacks_of_the_inner_one() -> None:
    order: list[str] = []
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner)
    inner.addCallback(lambda value: order.append(f"inner {value}"))
    outer.addCallback(lambda value: order.append(f"outer {value}"))
    inner.callback(5)
    assert order == ["outer 5", "inner None"]


def test_two_chains_can_wait_for_one_deferred() -> None:
    inner: Deferred[int] = Deferred()
    first = succeed(1).addCallback(lambda _: inner)
    second = succeed(1).addCallback(lambda _: inner)
    inner.callback(7)
    assert (first.result, second.result) == (7, None)


def test_a_paused_inner_deferred_is_waited_for() -> None:
    inner = succeed(3)
    inner.pause()
    outer = succeed(1).addCallback(lambda _: inner)
    assert waits_for(outer, inner)
    inner.unpause()
    assert outer.result == 3


def test_returning_itself_is_an_error_not_a_hang() -> None:
    deferred: Deferred[Any] = Deferred()
    deferred.addCallback(lambda _: deferred)
    deferred.callback(1)
    assert "would never end" in str(error_of(deferred, RuntimeError))


def test_a_ring_of_deferreds_is_an_error_not_a_hang() -> None:
    first: Deferred[Any] = Deferred()
    second: Deferred[Any] = Deferred()
    first.addCallback(lambda _: second)
    second.addCallback(lambda _: first)
    first.callback(1)
    second.callback(2)
    assert "would never end" in str(error_of(first, RuntimeError))


def test_chain_deferred_passes_values_and_errors() -> None:
    target: Deferred[int] = Deferred()
    source = succeed(5)
    source.chainDeferred(target)
    assert (target.result, source.result) == (5, None)
    target = Deferred()
    fail(KeyError()).chainDeferred(target)
    error_of(target, KeyError)


def test_a_chained_deferred_is_fired_before_the_next_callback() -> None:
    seen: list[str] = []
    target: Deferred[int] = Deferred()
    target.addCallback(lambda _: seen.append("target"))
    source: Deferred[int] = Deferred()
    source.chainDeferred(target)
    source.addCallback(lambda value: seen.append(f"source {value}"))
    source.callback(1)
    assert seen == ["target", "source None"]


def test_chaining_is_one_way() -> None:
    source: Deferred[int] = Deferred()
    target: Deferred[int] = Deferred()
    source.chainDeferred(target)
    target.cancel()
    error_of(target, CancelledError)
    assert not source.called
    source.callback(1)
    assert source.result is None


def test_chaining_to_what_has_fired_fails_the_chain() -> None:
    source = succeed(1)
    source.chainDeferred(succeed(2))
    error_of(source, AlreadyCalledError)


def test_a_chained_deferred_may_be_paused_and_fires_its_own() -> None:
    source: Deferred[int] = Deferred()
    middle: Deferred[int] = Deferred()
    last: Deferred[int] = Deferred()
    source.chainDeferred(middle)
    middle.chainDeferred(last)
    middle.pause()
    source.callback(1)
    assert not last.called
    middle.unpause()
    assert last.result == 1


def test_one_deferred_can_be_chained_to_several() -> None:
    source: Deferred[int] = Deferred()
    targets: list[Deferred[Any]] = [Deferred() for _ in range(3)]
    for target in targets:
        source.chainDeferred(target)
    source.callback(1)
    assert [target.result for target in targets] == [1, None, None]


def test_a_subclass_that_fires_in_its_own_way_is_chained_by_its_own_methods() -> None:
    class Doubled(Deferred[int]):
        def callback(self, result: int) -> None:
            super().callback(result * 2)

    target = Doubled()
    succeed(4).chainDeferred(target)
    assert target.result == 8


DEPTH = 100_000


def test_chained_deferreds_do_not_recurse() -> None:
    chain: list[Deferred[Any]] = [Deferred() for _ in range(DEPTH)]
    for source, target in pairwise(chain):
        source.chainDeferred(target)
    chain[0].callback("through")
    assert chain[-1].result == "through"
    assert chain[DEPTH // 2].result is None


def test_nested_deferreds_fired_from_the_outside_in_do_not_recurse() -> None:
    chain: list[Deferred[Any]] = [Deferred() for _ in range(DEPTH)]
    for outer, inner in pairwise(chain):
        outer.addCallback(give, inner)
    for deferred in chain:
        deferred.callback("end")
    assert chain[0].result == "end"


def test_nested_deferreds_fired_from_the_inside_out_do_not_recurse() -> None:
    chain: list[Deferred[Any]] = [Deferred() for _ in range(DEPTH)]
    for outer, inner in pairwise(chain):
        outer.addCallback(give, inner)
    for deferred in reversed(chain):
        deferred.callback("end")
    assert chain[0].result == "end"


def test_nested_deferreds_waiting_for_an_unfired_one_do_not_recurse() -> None:
    chain: list[Deferred[Any]] = [Deferred() for _ in range(DEPTH)]
    for outer, inner in pairwise(chain):
        outer.addCallback(give, inner)
    for deferred in reversed(chain[:-1]):
        deferred.callback(None)
    chain[-1].callback("end")
    assert chain[0].result == "end"


def test_nested_deferreds_with_more_to_do_are_joined_without_walking_the_row_each_time() -> None:
    last: Deferred[Any] = Deferred()
    inner = last
    for _ in range(DEPTH):
        inner = succeed(None).addCallback(give, inner)
    for _ in range(DEPTH // 100):
        outer: Deferred[Any] = Deferred()
        outer.addCallback(give, inner).addCallback(str)
        outer.callback(None)
        inner = outer
    last.callback("end")
    assert inner.result == "end"


def test_a_waiting_chain_of_any_length_can_be_dropped_and_cancelled() -> None:
    chain: list[Deferred[Any]] = [Deferred() for _ in range(DEPTH)]
    for outer, inner in pairwise(chain):
        outer.addCallback(give, inner)
    for deferred in chain[:-1]:
        deferred.callback(None)
    first = chain[0]
    del chain, outer, inner, deferred
    first.cancel()
    error_of(first, CancelledError)


def test_any_number_of_callbacks_can_be_attached_to_one_deferred() -> None:
    deferred: Deferred[int] = Deferred()
    for _ in range(DEPTH):
        deferred.addCallback(lambda value: value + 1)
    deferred.callback(0)
    assert deferred.result == DEPTH


# Pausing


def test_a_paused_deferred_runs_nothing_until_unpaused_as_often() -> None:
    seen: list[int] = []
    deferred: Deferred[int] = Deferred()
    deferred.addCallback(seen.append)
    deferred.pause()
    deferred.pause()
    deferred.callback(1)
    assert deferred.paused == 2
    deferred.unpause()
    assert seen == []
    deferred.unpause()
    assert seen == [1]


def test_a_callback_can_pause_its_own_chain() -> None:
    order: list[str] = []
    deferred: Deferred[int] = Deferred()

    def hold(value: int) -> int:
        deferred.pause()
        order.append("hold")
        return value

    deferred.addCallback(hold).addCallback(lambda _: order.append("after"))
    deferred.callback(1)
    assert order == ["hold"]
    deferred.unpause()
    assert order == ["hold", "after"]


def test_unpausing_what_is_not_paused_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="is not paused"):
        succeed(1).unpause()


def test_unpausing_does_not_end_the_wait_for_another_deferred() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner).addCallback(double)
    outer.pause()
    outer.unpause()
    assert waits_for(outer, inner)
    inner.callback(2)
    assert outer.result == 4


def test_a_paused_outer_deferred_keeps_what_the_inner_one_gave() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner).addCallback(double)
    outer.pause()
    inner.callback(4)
    assert outer.result == 4
    outer.unpause()
    assert outer.result == 8


# Making them


def test_execute_gives_results_and_errors() -> None:
    assert execute(double, 2).result == 4
    error_of(execute(boom), ValueError)


def test_maybe_deferred_takes_whatever_a_function_gives() -> None:
    async def coroutine() -> int:
        return 3

    made: Deferred[int] = Deferred()
    assert maybeDeferred(double, 2).result == 4
    assert maybeDeferred(lambda: made) is made
    assert maybeDeferred(coroutine).result == 3
    error_of(maybeDeferred(boom), ValueError)
    error_of(maybeDeferred(lambda: Failure(KeyError())), KeyError)


def test_ensure_deferred_returns_a_deferred_as_it_is() -> None:
    deferred = succeed(1)
    assert ensureDeferred(deferred) is deferred
