"""Coroutines of our own: `ensureDeferred` and what may be awaited in it."""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextvars
import types
import weakref
from collections.abc import Generator
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
from wirebook.turn import turn

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
    assert [name for name in names if not name.startswith("_")] == ["outer", "inner", "boom"]
    assert "__await__" not in failure.getTraceback(elideFrameworkCode=1)


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


def test_ten_thousand_fired_deferreds_are_awaited_without_recursion() -> None:
    async def main() -> int:
        total = 0
        for number in range(10_000):
            total += await succeed(number)
        return total

    assert ensureDeferred(main()).result == sum(range(10_000))


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
        error_of(deferred, CancelledError)
        assert future.cancelled()

    asyncio.run(main())


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
