"""Awaiting Deferreds: in asyncio tasks, in coroutines of our own, and the bridges between both."""

from __future__ import annotations

import asyncio
import asyncio.tasks
import concurrent.futures
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from tests.core.deferred_kit import (
    cell,
    error_of,
    fire_when,
    outcome,
)
from wirebook.deferred import (
    CancelledError,
    Deferred,
    fail,
    succeed,
)
from wirebook.turn import TurnHeldError, turn

TASKS: dict[str, Any] = {"C task": asyncio.tasks._CTask}  # type: ignore[attr-defined]
if sys.version_info < (3, 14):
    # asyncio's functions, which are C too, do not see the other ones any more.
    TASKS["Python task"] = asyncio.tasks._PyTask  # type: ignore[attr-defined]


@pytest.fixture(params=list(TASKS.values()), ids=list(TASKS))
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine in an asyncio loop that makes its tasks of one of the two implementations."""

    def run_with_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner() as runner:
            runner.get_loop().set_task_factory(lambda loop, coro, **options: request.param(coro, loop=loop, **options))
            return runner.run(asyncio.wait_for(coroutine, 20))

    return run_with_task


Run = Callable[[Coroutine[Any, Any, Any]], Any]


# In asyncio tasks


def test_awaiting_a_fired_deferred_gives_its_result_without_yielding() -> None:
    async def main() -> int:
        return await succeed(5)

    with pytest.raises(StopIteration) as stop:
        main().send(None)
    assert stop.value.value == 5


def test_a_coroutine_that_is_driven_by_something_else_is_told_what_would_drive_it() -> None:
    async def main() -> int:
        waiting: Deferred[int] = Deferred()
        return await waiting

    coroutine = main()
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="run it with ensureDeferred"):
        coroutine.send(None)


def test_a_task_waits_for_a_deferred_fired_on_the_loops_thread(run: Run) -> None:
    async def main() -> int:
        deferred: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.callback, 7)
        return await deferred

    assert run(main()) == 7


def test_a_task_waits_for_a_deferred_fired_on_another_thread(run: Run) -> None:
    async def main() -> int:
        deferred: Deferred[int] = Deferred()
        thread = fire_when(lambda: deferred._steps, deferred, 8)
        result = await deferred
        thread.join()
        return result

    assert run(main()) == 8


def test_an_error_is_raised_with_the_traceback_of_where_it_happened(run: Run) -> None:
    def boom(_: object) -> None:
        raise ValueError("boom")

    async def main() -> None:
        deferred: Deferred[Any] = Deferred()
        deferred.addCallback(boom)
        asyncio.get_running_loop().call_soon(deferred.callback, 1)
        await deferred

    with pytest.raises(ValueError, match="boom") as caught:
        run(main())
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "boom"
    assert "main" in names


def test_an_awaited_error_counts_as_handled_and_can_be_awaited_again(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.errback, KeyError("k"))
        for _ in range(2):
            with pytest.raises(KeyError):
                await deferred
        assert outcome(deferred) is None

    run(main())


def test_several_tasks_can_wait_for_one_deferred(run: Run) -> None:
    async def one(deferred: Deferred[int]) -> int:
        return await deferred

    async def main() -> list[int]:
        deferred: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.callback, 3)
        return list(await asyncio.gather(one(deferred), one(deferred), deferred))

    assert run(main()) == [3, 3, 3]


def test_every_task_that_waits_for_a_failing_deferred_gets_the_error(run: Run) -> None:
    async def main() -> list[Any]:
        deferred: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.errback, KeyError())
        tasks = [asyncio.ensure_future(deferred) for _ in range(3)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(error) for error in run(main())] == [KeyError] * 3


def test_callbacks_attached_before_and_after_an_await_see_the_result(run: Run) -> None:
    seen: list[Any] = []

    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        deferred.addCallback(lambda value: value + 1)
        asyncio.get_running_loop().call_soon(deferred.callback, 1)
        seen.append(await deferred)
        deferred.addCallback(seen.append)

    run(main())
    assert seen == [2, 2]


def test_cancelling_a_task_cancels_the_deferred(run: Run) -> None:
    cancelled: list[Any] = []

    async def wait(deferred: Deferred[int]) -> None:
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await deferred
        cancelled.append("task")

    async def main() -> None:
        deferred: Deferred[int] = Deferred(cancelled.append)
        task = asyncio.ensure_future(wait(deferred))
        await asyncio.sleep(0)
        task.cancel("enough")
        await task
        assert cancelled == [deferred, "task"]

    run(main())


def test_a_cancelled_task_is_cancelled_even_if_the_canceller_gives_a_value(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred(lambda d: d.callback(1))
        task = asyncio.ensure_future(deferred)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert outcome(deferred) == 1

    run(main())


def test_cancelling_a_task_that_awaits_a_paused_deferred_ends_it(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        deferred.pause()
        deferred.callback(1)
        task = asyncio.ensure_future(deferred)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_later_error_of_a_deferred_whose_task_was_cancelled_is_reported(run: Run, reported: Any) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        deferred.addErrback(lambda _: inner)
        inner: Deferred[int] = Deferred()
        task = asyncio.ensure_future(deferred)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        inner.errback(KeyError())

    run(main())
    assert [record.wirebook_failure.type for record in reported()] == [KeyError]


def test_a_cancelled_deferred_raises_our_cancelled_error_in_the_task(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.cancel)
        with pytest.raises(CancelledError):
            await deferred

    run(main())


def test_wait_for_cancels_the_deferred_when_its_time_is_over(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(deferred, 0.001)
        assert deferred.called

    run(main())


def test_an_error_for_a_closed_loop_is_reported(reported: Any) -> None:
    async def main(deferred: Deferred[int]) -> None:
        await deferred

    deferred: Deferred[int] = Deferred()
    loop = asyncio.new_event_loop()
    task = loop.create_task(main(deferred))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    fired = threading.Thread(target=deferred.errback, args=(KeyError(),))
    fired.start()
    fired.join()
    task.get_coro().close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del deferred, task, fired
    assert [record.wirebook_failure.type for record in reported()] == [KeyError]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_waits_too() -> None:
    async def main() -> int:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        deferred: Deferred[int] = Deferred()
        task = asyncio.ensure_future(deferred)
        deferred.callback(6)
        return await task

    assert asyncio.run(main()) == 6


def test_a_task_that_awaits_keeps_its_context(run: Run) -> None:
    async def main() -> str:
        cell.set("task")
        deferred: Deferred[int] = Deferred()
        thread = fire_when(lambda: deferred._steps, deferred, 1)
        await deferred
        thread.join()
        return cell.get()

    assert run(main()) == "task"


# Bridges


def test_awaiting_with_the_turn_is_an_error_at_once_and_leaves_the_deferred_alone(run: Run) -> None:
    deferred = Deferred[int]()

    async def main() -> None:
        with turn:
            await deferred

    with pytest.raises(TurnHeldError, match="await would wait for ever: this thread holds the turn"):
        run(main())
    deferred.callback(3)
    assert outcome(deferred) == 3


def test_a_task_that_began_in_the_turn_may_wait_once_it_was_given_back(run: Run) -> None:
    deferred = Deferred[int]()

    async def main() -> int:
        coroutine = deferred.__await__()
        with turn:
            waiter = next(coroutine)
            woken = asyncio.get_running_loop().create_future()
            waiter.add_done_callback(woken.set_result)
        asyncio.get_running_loop().call_later(0.01, deferred.callback, 4)
        return int((await woken).result())

    assert run(main()) == 4


def test_as_future_takes_the_result(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        deferred: Deferred[int] = Deferred()
        future = deferred.asFuture(loop)
        deferred.callback(1)
        assert await future == 1
        assert await succeed(2).asFuture(loop) == 2
        assert outcome(deferred) is None

    run(main())


def test_as_future_gives_the_error_which_is_handled_then(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        deferred: Deferred[int] = Deferred()
        future = deferred.asFuture(loop)
        deferred.errback(KeyError())
        with pytest.raises(KeyError):
            await future
        with pytest.raises(IndexError):
            await fail(IndexError()).asFuture(loop)

    run(main())


def test_as_future_is_settled_from_another_thread(run: Run) -> None:
    async def main() -> int:
        deferred: Deferred[int] = Deferred()
        future = deferred.asFuture(asyncio.get_running_loop())
        thread = threading.Thread(target=deferred.callback, args=(3,))
        thread.start()
        return await future

    assert run(main()) == 3


def test_cancelling_the_future_cancels_the_deferred(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()
        future = deferred.asFuture(asyncio.get_running_loop())
        future.cancel()
        await asyncio.sleep(0)
        assert outcome(deferred) is None

    run(main())


def test_an_error_that_comes_too_late_for_its_future_goes_on_along_the_chain(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred(lambda waiting: waiting.errback(KeyError()))
        future = deferred.asFuture(asyncio.get_running_loop())
        future.cancel()
        await asyncio.sleep(0)
        error_of(deferred, KeyError)

    run(main())


def test_from_future_gives_result_error_and_cancellation(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        good, bad, gone = (loop.create_future() for _ in range(3))
        deferreds = [Deferred.fromFuture(future) for future in (good, bad, gone)]
        good.set_result(1)
        bad.set_exception(KeyError())
        gone.cancel()
        await asyncio.sleep(0)
        assert deferreds[0].result == 1
        error_of(deferreds[1], KeyError)
        error_of(deferreds[2], asyncio.CancelledError)

    run(main())


def test_cancelling_the_deferred_cancels_its_future_and_waits_for_that(run: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        deferred: Deferred[Any] = Deferred.fromFuture(future)
        deferred.cancel()
        assert future.cancelled()
        await asyncio.sleep(0)
        error_of(deferred, asyncio.CancelledError)

    run(main())


def test_a_cancelled_task_decides_what_its_deferred_fires_with(run: Run) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "cleaned up"
        return ""

    async def main() -> str:
        task = asyncio.ensure_future(stubborn())
        deferred: Deferred[str] = Deferred.fromFuture(task)
        await asyncio.sleep(0)
        deferred.cancel()
        return await deferred

    assert run(main()) == "cleaned up"


def test_cancelling_twice_does_not_wait_for_the_future(run: Run) -> None:
    async def main() -> None:
        deferred: Deferred[Any] = Deferred.fromFuture(asyncio.get_running_loop().create_future())
        deferred.cancel()
        deferred.cancel()
        error_of(deferred, CancelledError)
        await asyncio.sleep(0)

    run(main())


def test_from_future_works_from_another_thread(run: Run) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        deferreds: list[Deferred[int]] = []
        await loop.run_in_executor(None, lambda: deferreds.append(Deferred.fromFuture(future)))
        future.set_result(4)
        return await deferreds[0]

    assert run(main()) == 4


def test_from_future_refuses_what_is_no_future_by_name() -> None:
    with pytest.raises(TypeError, match="5 is no asyncio future"):
        Deferred.fromFuture(5)  # type: ignore[arg-type]


# Anything that can be awaited


def test_adapt_returns_a_deferred_as_it_is() -> None:
    deferred = succeed(1)
    assert Deferred.adapt(deferred) is deferred


def test_adapt_runs_a_coroutine() -> None:
    async def main() -> int:
        return await succeed(2)

    assert Deferred.adapt(main()).result == 2


def test_adapt_follows_a_future_of_asyncio(run: Run) -> None:
    async def main() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        deferred = Deferred.adapt(future)
        future.set_result(3)
        return await deferred

    assert run(main()) == 3


def test_adapt_follows_a_future_of_an_executor() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert Deferred.adapt(pool.submit(int, "4")).wait(20) == 4
        with pytest.raises(ValueError, match="four"):
            Deferred.adapt(pool.submit(int, "four")).wait(20)


def test_cancelling_an_adapted_job_that_waits_in_its_executor_keeps_it_from_running() -> None:
    def job() -> bool:
        started.set()
        return release.wait(20)

    started, release = threading.Event(), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = Deferred.adapt(pool.submit(job))
        waiting: Deferred[Any] = Deferred.adapt(pool.submit(pytest.fail))
        assert started.wait(20)
        running.cancel()
        waiting.cancel()
        error_of(waiting, concurrent.futures.CancelledError)
        assert not succeeded(running)
        release.set()
        assert running.wait(20)


def succeeded(deferred: Deferred[Any]) -> bool:
    return not isinstance(deferred.result, Deferred)


def test_adapt_awaits_any_object_that_can_be() -> None:
    class Five:
        def __await__(self) -> Generator[Any, Any, int]:
            return (yield from succeed(5).__await__())

    assert Deferred.adapt(Five()).result == 5


def test_adapt_refuses_what_cannot_be_awaited_by_name() -> None:
    with pytest.raises(TypeError, match="6 cannot be awaited"):
        Deferred.adapt(6)  # type: ignore[arg-type]
