"""Coroutines of our own: `ensureDeferred` and what may be awaited in it."""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextvars
import gc
import types
import weakref
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from tests.core.deferred_kit import (
    cell,
    error_of,
    fire_when,
    outcome,
    without_gc,
)
from wirebook.deferred import (
    CancelledError,
    Deferred,
    NotACoroutineError,
    ensureDeferred,
    fail,
    succeed,
)
from wirebook.turn import TurnHeldError, turn

# In coroutines of our own


def test_a_coroutine_runs_at_once_and_fires_with_what_it_returns() -> None:
    steps: list[str] = []
    inner: Deferred[int] = Deferred()

    async def main() -> int:
        steps.append("started")
        value = await inner
        steps.append("resumed")
        return value * 2

    deferred = ensureDeferred(main())
    assert steps == ["started"]
    inner.callback(21)
    assert steps == ["started", "resumed"]
    assert deferred.result == 42
    assert inner.result == 21


def test_a_coroutine_fails_with_what_it_raises_and_the_traceback_reads_as_one() -> None:
    def boom(_: object) -> None:
        raise ValueError("boom")

    async def inner() -> None:
        await started.addCallback(boom)

    async def outer() -> None:
        await inner()

    started: Deferred[Any] = Deferred()
    deferred = ensureDeferred(outer())
    started.callback(1)
    failure = outcome(deferred)
    names = [frame[0] for frame in failure.frames]
    assert names == ["outer", "inner", "boom"]


def test_the_traceback_through_coroutines_that_wait_for_one_another_has_a_frame_for_each() -> None:
    async def wait(depth: int) -> None:
        if depth:
            await ensureDeferred(wait(depth - 1))
        else:
            await gate
            raise ValueError("boom")

    for fired_before in (True, False):
        gate: Deferred[None] = Deferred()
        if fired_before:
            gate.callback(None)
        deferred = ensureDeferred(wait(5))
        if not fired_before:
            gate.callback(None)
        assert [frame[0] for frame in outcome(deferred).frames] == ["wait"] * 6


def test_a_coroutine_can_catch_the_error_it_awaits() -> None:
    async def main() -> str:
        try:
            await fail(KeyError("k"))
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    assert ensureDeferred(main()).result == "caught 'k'"


def test_a_coroutine_keeps_one_context_for_its_life() -> None:
    seen: list[str] = []
    gates = [Deferred[None](), Deferred[None]()]

    async def main() -> None:
        for number, gate in enumerate(gates):
            cell.set(f"{cell.get()}{number}")
            await gate
            seen.append(cell.get())

    context = contextvars.copy_context()
    context.run(cell.set, "start")
    context.run(ensureDeferred, main())
    for gate in gates:
        gate.callback(None)
    assert seen == ["start0", "start01"]
    assert cell.get() == "none"
    assert context.get(cell) == "start"


def test_what_a_coroutine_sets_before_it_ever_waits_does_not_leak() -> None:
    async def main() -> str:
        cell.set("inside")
        await succeed(None)
        return cell.get()

    assert ensureDeferred(main()).result == "inside"
    assert cell.get() == "none"


def test_a_coroutine_is_resumed_in_the_turn() -> None:
    held: list[bool] = []
    gate: Deferred[None] = Deferred()

    async def main() -> None:
        held.append(turn.held())
        await gate
        held.append(turn.held())

    ensureDeferred(main())
    fire_when(lambda: True, gate, None).join()
    assert held == [True, True]


def test_a_coroutine_that_awaits_with_more_of_the_turn_is_told_and_gives_it_back() -> None:
    gate: Deferred[None] = Deferred()
    reached: list[str] = []

    async def main() -> str:
        await succeed(None)
        with turn:
            await succeed("what has fired")
            reached.append("inside")
            with pytest.raises(TurnHeldError, match="Await after it"):
                await gate
        await gate
        with turn:
            await Deferred()
        return "never"

    deferred = ensureDeferred(main())
    assert not turn.held()
    gate.callback(None)
    error_of(deferred, TurnHeldError)
    assert not turn.held()
    assert reached == ["inside"]


def test_a_coroutine_that_began_in_the_turn_may_wait() -> None:
    gate: Deferred[None] = Deferred()

    async def main() -> str:
        await gate
        await gate
        return "waited"

    with turn, turn:
        deferred = ensureDeferred(main())
    gate.callback(None)
    assert deferred.result == "waited"


def test_cancelling_a_coroutine_cancels_what_it_waits_for() -> None:
    cancelled: list[object] = []
    inner: Deferred[int] = Deferred(cancelled.append)

    async def main() -> None:
        await inner

    deferred = ensureDeferred(main())
    deferred.cancel()
    assert cancelled == [inner]
    error_of(deferred, CancelledError)


def test_a_cancelled_coroutine_may_clean_up_and_return_another_result() -> None:
    cleaning: Deferred[None] = Deferred()

    async def main() -> str:
        try:
            await Deferred()
        except CancelledError:
            await cleaning
        return "cleaned up"

    deferred = ensureDeferred(main())
    deferred.cancel()
    assert not deferred.called
    cleaning.callback(None)
    assert deferred.result == "cleaned up"


def test_cancelling_reaches_through_nested_coroutines_and_chains() -> None:
    innermost: Deferred[int] = Deferred()

    async def inner() -> int:
        return await innermost

    async def outer() -> int:
        return await ensureDeferred(inner())

    deferred = succeed(None).addCallback(lambda _: ensureDeferred(outer()))
    deferred.cancel()
    assert innermost.called
    error_of(deferred, CancelledError)


def test_a_coroutine_that_cancels_itself_is_cancelled() -> None:
    async def main() -> str:
        await gate
        deferred.cancel()
        return "ignored"

    gate: Deferred[None] = Deferred()
    deferred = ensureDeferred(main())
    gate.callback(None)
    error_of(deferred, CancelledError)


def test_awaiting_its_own_deferred_is_an_error_not_a_hang() -> None:
    async def main() -> None:
        await gate
        await deferred

    gate: Deferred[None] = Deferred()
    deferred = ensureDeferred(main())
    gate.callback(None)
    assert "would never end" in str(error_of(deferred, RuntimeError))


def test_awaiting_its_own_deferred_through_another_is_an_error_too() -> None:
    async def main() -> None:
        await gate
        await other

    gate: Deferred[None] = Deferred()
    deferred = ensureDeferred(main())
    other = succeed(None).addCallback(lambda _: deferred)
    gate.callback(None)
    assert "would never end" in str(error_of(other, RuntimeError))


def test_a_coroutine_awaits_a_chain_that_stands_still_or_is_paused() -> None:
    inner: Deferred[int] = Deferred()
    waiting = succeed(1).addCallback(lambda _: inner)
    paused = succeed(2)
    paused.pause()

    async def main() -> int:
        return await waiting + await paused

    deferred = ensureDeferred(main())
    inner.callback(10)
    assert not deferred.called
    paused.unpause()
    assert deferred.result == 12


def test_a_deferred_awaited_by_two_coroutines_gives_its_error_to_both() -> None:
    async def wait() -> str:
        try:
            await gate
        except KeyError:
            return "caught"
        return ""

    gate: Deferred[Any] = Deferred()
    both = [ensureDeferred(wait()), ensureDeferred(wait())]
    gate.errback(KeyError())
    assert [deferred.result for deferred in both] == ["caught", "caught"]


def test_an_awaited_generator_exit_ends_the_coroutine_and_fails_its_deferred() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            await gate
        finally:
            ended.append("ended")

    for error in (GeneratorExit(), GeneratorExit("again")):
        gate: Deferred[Any] = Deferred()
        deferred = ensureDeferred(main())
        gate.errback(error)
        error_of(deferred, GeneratorExit)
    assert ended == ["ended"] * 2
    assert ensureDeferred(simple()).result == "simple"


async def simple() -> str:
    return await succeed("simple")


def test_a_coroutine_that_raises_generator_exit_fails_its_deferred() -> None:
    async def main() -> None:
        raise GeneratorExit

    error_of(ensureDeferred(main()), GeneratorExit)


def test_a_coroutine_that_nobody_can_resume_any_more_is_closed() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            await Deferred()
        finally:
            ended.append("closed")

    ensureDeferred(main())
    gc.collect()
    assert ended == ["closed"]
    assert ensureDeferred(simple()).result == "simple"


def test_coroutines_started_by_a_coroutine_run_inside_each_other() -> None:
    async def dig(depth: int) -> int:
        return 1 + await ensureDeferred(dig(depth - 1)) if depth else 0

    assert ensureDeferred(dig(50)).result == 50


def test_a_hundred_thousand_fired_deferreds_are_awaited_without_recursion() -> None:
    async def main() -> int:
        total = 0
        for number in range(100_000):
            total += await succeed(number)
        return total

    assert ensureDeferred(main()).result == sum(range(100_000))


def test_ten_thousand_deferreds_that_fire_at_once_do_not_recurse() -> None:
    gate: Deferred[None] = Deferred()

    async def wait(number: int) -> int:
        await gate
        return number

    async def main() -> int:
        return sum([await deferred for deferred in waiting])

    waiting = [ensureDeferred(wait(number)) for number in range(10_000)]
    deferred = ensureDeferred(main())
    gate.callback(None)
    assert deferred.result == sum(range(10_000))


def test_coroutines_that_wait_for_one_another_end_without_recursion() -> None:
    async def wait(inner: Deferred[int]) -> int:
        return await inner + 1

    innermost: Deferred[int] = Deferred()
    deferred = innermost
    for _ in range(10_000):
        deferred = ensureDeferred(wait(deferred))
    innermost.callback(0)
    assert deferred.result == 10_000


def test_a_coroutine_that_returns_a_deferred_is_told_how_to_write_it() -> None:
    async def main() -> Any:
        return succeed(1)

    assert "return await" in str(error_of(ensureDeferred(main()), TypeError))


def test_an_object_with_the_methods_of_a_coroutine_is_run_too() -> None:
    class Delegating(Coroutine[Any, Any, int]):
        def __init__(self, inner: Coroutine[Any, Any, int]) -> None:
            self.inner = inner

        def __await__(self) -> Generator[Any, Any, int]:
            return self.inner.__await__()

        def send(self, value: Any) -> Any:
            return self.inner.send(value)

        def throw(self, *error: Any) -> Any:
            return self.inner.throw(*error)

        def close(self) -> None:
            self.inner.close()

    async def main() -> int:
        return await inner

    inner: Deferred[int] = Deferred()
    deferred = ensureDeferred(Delegating(main()))
    inner.callback(3)
    assert deferred.result == 3


def test_what_is_no_coroutine_is_refused_by_name() -> None:
    async def main() -> None: ...

    with pytest.raises(NotACoroutineError, match=r"main.* is no coroutine: call it"):
        ensureDeferred(main)  # type: ignore[arg-type]
    with pytest.raises(NotACoroutineError, match="5 is no coroutine"):
        Deferred.fromCoroutine(5)  # type: ignore[arg-type]


def test_awaiting_what_nothing_here_can_wait_for_raises_in_the_coroutine() -> None:
    @types.coroutine
    def strange() -> Generator[object, Any, None]:
        yield "a string"

    async def main() -> str:
        try:
            await strange()
        except RuntimeError as error:
            return str(error)
        return ""

    assert "a coroutine awaits 'a string'" in ensureDeferred(main()).result


def test_asyncio_without_a_loop_raises_in_the_coroutine() -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    assert "asyncio loop" in str(error_of(ensureDeferred(main()), RuntimeError))


def test_a_coroutine_awaits_what_asyncio_offers_where_a_loop_runs() -> None:
    async def ours() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "from the loop")
        return await future

    async def main() -> str:
        return await ensureDeferred(ours())

    assert asyncio.run(main()) == "from the loop"


def test_the_error_of_an_asyncio_future_is_raised_in_our_coroutine() -> None:
    async def ours() -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("k"))
        try:
            await future
        except KeyError:
            return "caught"
        return "nothing"

    async def main() -> str:
        return await ensureDeferred(ours())

    assert asyncio.run(main()) == "caught"


def test_cancelling_our_coroutine_cancels_the_asyncio_future_it_awaits() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()

        async def ours() -> None:
            await future

        deferred = ensureDeferred(ours())
        deferred.cancel()
        assert future.cancelled()
        await asyncio.sleep(0)
        error_of(deferred, asyncio.CancelledError)

    asyncio.run(main())


@without_gc()
@pytest.mark.parametrize("fired_before", [True, False])
def test_an_error_that_a_coroutine_returns_leaves_no_cycle(fired_before: bool) -> None:
    def start() -> list[weakref.ref[Any]]:
        gate: Deferred[Any] = Deferred()
        gates = [gate]

        async def main() -> BaseException | None:
            try:
                await gates.pop()
            except KeyError as error:
                return error
            return None

        if fired_before:
            gate.errback(KeyError())
        deferred = ensureDeferred(main())
        if not fired_before:
            gate.errback(KeyError())
        assert isinstance(deferred.result, KeyError)
        return [weakref.ref(deferred), weakref.ref(gate)]

    assert [reference() for reference in start()] == [None, None]


@without_gc()
def test_a_coroutine_that_fails_at_once_leaves_no_cycle() -> None:
    def start() -> weakref.ref[Any]:
        async def main() -> None:
            await ensureDeferred(inner())

        async def inner() -> None:
            raise KeyError("k")

        deferred = ensureDeferred(main())
        deferred.addErrback(lambda failure: failure.trap(KeyError) and None)
        return weakref.ref(deferred)

    assert start()() is None


@without_gc()
def test_a_failed_coroutine_leaves_no_cycle() -> None:
    def start() -> weakref.ref[Any]:
        gates: list[Deferred[Any]] = [Deferred()]
        gate = gates[0]

        async def wait() -> None:
            await gates.pop()

        deferred = ensureDeferred(wait())
        reference = weakref.ref(deferred)
        deferred.addErrback(lambda failure: failure.trap(IndexError))
        deferred.addErrback(lambda failure: None)
        gate.errback(KeyError())
        return reference

    assert start()() is None


def test_an_unhandled_error_of_a_coroutine_is_reported_once(reported: Any) -> None:
    async def main() -> None:
        raise KeyError("k")

    ensureDeferred(main())
    assert [record.wirebook_failure.type for record in reported()] == [KeyError]
