"""DeferredLock and DeferredSemaphore."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.deferred_kit import boom, cell, error_of, in_cell, outcome, run_threads
from wirebook.deferred import CancelledError, Deferred, DeferredLock, DeferredSemaphore, succeed
from wirebook.turn import turn

Lock: TypeAlias = DeferredLock | DeferredSemaphore

either = pytest.mark.parametrize("make", [DeferredLock, lambda: DeferredSemaphore(1)], ids=["lock", "semaphore"])


# ------------------------------------------------------------------------- acquiring, releasing


@either
def test_a_free_lock_is_had_at_once(make: Callable[[], Lock]) -> None:
    lock = make()
    assert outcome(lock.acquire()) is lock
    assert not lock.acquire().called


def test_locked_tells_whether_somebody_has_the_lock() -> None:
    lock = DeferredLock()
    assert not lock.locked
    lock.acquire()
    assert lock.locked
    lock.acquire()
    lock.release()
    assert lock.locked
    lock.release()
    assert not lock.locked


def test_a_lock_goes_to_the_one_who_has_waited_longest() -> None:
    lock = DeferredLock()
    lock.acquire()
    first, second = lock.acquire(), lock.acquire()
    assert lock.waiting == [first, second]
    lock.release()
    assert outcome(first) is lock
    assert not second.called
    assert lock.waiting == [second]


def test_a_semaphore_has_as_many_tokens_as_it_was_made_with() -> None:
    semaphore = DeferredSemaphore(2)
    assert (semaphore.limit, semaphore.tokens) == (2, 2)
    assert semaphore.acquire().called
    assert semaphore.acquire().called
    third = semaphore.acquire()
    assert (semaphore.limit, semaphore.tokens) == (2, 0)
    assert semaphore.waiting == [third]
    semaphore.release()
    assert (third.called, semaphore.tokens) == (True, 0)
    semaphore.release()
    assert semaphore.tokens == 1


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_semaphore_without_tokens_is_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match=f"tokens={tokens} could never be acquired"):
        DeferredSemaphore(tokens)


@either
def test_releasing_what_nobody_has_is_refused(make: Callable[[], Lock]) -> None:
    lock = make()
    with pytest.raises(AssertionError, match="released more often than acquired"):
        lock.release()
    lock.acquire()
    lock.release()
    with pytest.raises(AssertionError):
        lock.release()
    assert outcome(lock.acquire()) is lock


def test_a_lock_that_is_released_too_often_within_a_release_is_refused() -> None:
    lock = DeferredLock()
    lock.acquire()
    errors: list[AssertionError] = []

    def release_twice(lock: DeferredLock) -> None:
        lock.release()
        with pytest.raises(AssertionError) as caught:
            lock.release()
        errors.append(caught.value)

    lock.acquire().addCallback(release_twice)
    lock.release()
    assert len(errors) == 1
    assert not lock.locked


def test_a_token_that_is_promised_cannot_be_given_back_again() -> None:
    lock = DeferredLock()
    lock.acquire()
    refused: list[str] = []

    def release_twice(lock: DeferredLock) -> None:
        lock.release()
        with pytest.raises(AssertionError) as caught:
            lock.release()
        refused.append(str(caught.value))

    lock.acquire().addCallback(release_twice)
    last = lock.acquire()
    lock.release()
    assert len(refused) == 1
    assert last.called
    assert lock.locked


def test_tokens_that_nobody_waits_for_are_free_at_once() -> None:
    semaphore = DeferredSemaphore(2)
    semaphore.acquire()
    semaphore.acquire()
    seen: list[int] = []

    def release_both(semaphore: DeferredSemaphore) -> None:
        semaphore.release()
        semaphore.release()
        seen.append(semaphore.tokens)

    semaphore.acquire().addCallback(release_both)
    semaphore.acquire()
    semaphore.release()
    assert seen == [1]
    assert semaphore.tokens == 1


def test_a_repr_shows_the_state() -> None:
    lock, semaphore = DeferredLock(), DeferredSemaphore(3)
    assert repr(lock) == "<DeferredLock: unlocked, 0 waiting>"
    lock.acquire()
    lock.acquire()
    semaphore.acquire()
    assert repr(lock) == "<DeferredLock: locked, 1 waiting>"
    assert repr(semaphore) == "<DeferredSemaphore: 2 of 3 tokens free, 0 waiting>"


# --------------------------------------------------------------------- releasing in a callback


def test_a_release_in_the_callback_that_got_the_lock_shows_at_once() -> None:
    lock = DeferredLock()
    lock.acquire()
    seen: list[bool] = []

    def give_back(lock: DeferredLock) -> None:
        lock.release()
        seen.append(lock.locked)
        seen.append(lock.acquire().called)

    lock.acquire().addCallback(give_back)
    lock.release()
    assert seen == [False, True]


def test_nobody_overtakes_a_waiter_between_two_releases() -> None:
    lock = DeferredLock()
    lock.acquire()
    order: list[str] = []

    def give_back_and_ask_again(lock: DeferredLock) -> None:
        order.append("first")
        lock.release()
        assert lock.locked
        lock.acquire().addCallback(lambda _: order.append("third"))

    lock.acquire().addCallback(give_back_and_ask_again)
    lock.acquire().addCallback(lambda lock: order.append("second"))
    lock.release()
    assert order == ["first", "second"]
    lock.release()
    assert order == ["first", "second", "third"]


def test_a_waiter_that_is_cancelled_while_its_token_is_on_the_way_leaves_the_lock_free() -> None:
    lock = DeferredLock()
    lock.acquire()

    def give_back_and_cancel(lock: DeferredLock) -> None:
        lock.release()
        last.cancel()

    lock.acquire().addCallback(give_back_and_cancel)
    last = lock.acquire()
    lock.release()
    error_of(last, CancelledError)
    assert not lock.locked


@pytest.mark.parametrize("make", [DeferredLock, lambda: DeferredSemaphore(3)], ids=["lock", "semaphore"])
def test_a_hundred_thousand_waiters_whose_work_is_done_at_once_need_no_recursion(make: Callable[[], Lock]) -> None:
    lock = make()
    while lock.tokens:
        lock.acquire()
    done: list[int] = []
    for number in range(100_000):
        lock.run(done.append, number)
    lock.release()
    assert done == list(range(100_000))
    assert (lock.tokens, len(lock.waiting)) == (1, 0)


def test_coroutines_whose_work_is_done_at_once_need_no_recursion() -> None:
    lock = DeferredLock()
    lock.acquire()
    done: list[int] = []

    async def work(number: int) -> None:
        async with lock:
            done.append(number)

    last = [Deferred.fromCoroutine(work(number)) for number in range(20_000)][-1]
    lock.release()
    assert last.called
    assert len(done) == 20_000


# --------------------------------------------------------------------------------- cancelling


@either
def test_cancelling_a_waiter_takes_it_out_of_the_line(make: Callable[[], Lock]) -> None:
    lock = make()
    lock.acquire()
    first, second = lock.acquire(), lock.acquire()
    first.cancel()
    error_of(first, CancelledError)
    lock.release()
    assert outcome(second) is lock
    assert lock.waiting == []


@either
def test_cancelling_after_the_lock_was_had_does_nothing(make: Callable[[], Lock]) -> None:
    lock = make()
    deferred = lock.acquire()
    deferred.cancel()
    assert outcome(deferred) is lock
    assert not lock.acquire().called


# ----------------------------------------------------------------------------------------- run


@either
def test_run_has_the_lock_as_long_as_the_function_takes(make: Callable[[], Lock]) -> None:
    lock = make()
    working: Deferred[str] = Deferred()
    calls: list[tuple[object, ...]] = []

    def work(*args: object, **kwargs: object) -> Deferred[str]:
        calls.append((args, kwargs))
        return working

    result = lock.run(work, 1, key=2)
    waiter = lock.acquire()
    assert calls == [((1,), {"key": 2})]
    assert not waiter.called
    working.callback("done")
    assert outcome(result) == "done"
    assert waiter.called


@either
def test_run_releases_after_an_error(make: Callable[[], Lock]) -> None:
    lock = make()
    assert str(error_of(lock.run(boom), ValueError)) == "boom"
    assert lock.tokens == 1


def test_run_waits_for_a_coroutine() -> None:
    lock = DeferredLock()
    step: Deferred[int] = Deferred()

    async def work(extra: int) -> int:
        return await step + extra

    result = lock.run(work, 1)
    assert_type(result, Deferred[int])
    assert lock.locked
    step.callback(1)
    assert outcome(result) == 2
    assert not lock.locked


def test_the_types_of_run_follow_the_function() -> None:
    lock = DeferredLock()
    assert_type(lock.run(lambda: succeed("text")), Deferred[str])
    assert_type(lock.run(len, "text"), Deferred[int])
    assert_type(lock.acquire(), Deferred[DeferredLock])


def test_run_without_a_function_is_refused() -> None:
    with pytest.raises(TypeError):
        DeferredLock().run()  # type: ignore[call-overload]


def test_cancelling_run_in_the_line_never_calls_the_function() -> None:
    lock = DeferredLock()
    lock.acquire()
    called: list[None] = []
    running = lock.run(called.append, None)
    running.cancel()
    error_of(running, CancelledError)
    lock.release()
    assert called == []
    assert not lock.locked


def test_cancelling_run_at_work_cancels_the_work_and_releases() -> None:
    lock = DeferredLock()
    work: Deferred[None] = Deferred()
    running = lock.run(lambda: work)
    running.cancel()
    error_of(running, CancelledError)
    assert work.called
    assert not lock.locked


def test_the_function_runs_in_the_context_of_the_call() -> None:
    lock = DeferredLock()
    lock.acquire()
    running = in_cell("mine", lock.run, cell.get)
    in_cell("other", lock.release)
    assert outcome(running) == "mine"


# --------------------------------------------------------------------------------- async with


@either
def test_async_with_has_the_lock_for_its_body(make: Callable[[], Lock]) -> None:
    lock = make()
    step: Deferred[None] = Deferred()

    async def work() -> str:
        async with lock as same:
            assert same is lock
            await step
        return "out"

    result = Deferred.fromCoroutine(work())
    assert lock.tokens == 0
    step.callback(None)
    assert outcome(result) == "out"
    assert lock.tokens == 1


@either
def test_async_with_releases_when_its_body_raises_and_lets_the_error_through(make: Callable[[], Lock]) -> None:
    lock = make()

    async def work() -> None:
        async with lock:
            raise KeyError("inside")

    error_of(Deferred.fromCoroutine(work()), KeyError)
    assert lock.tokens == 1


def test_cancelling_a_coroutine_in_the_line_takes_it_out() -> None:
    lock = DeferredLock()
    lock.acquire()

    async def work() -> None:
        async with lock:
            raise AssertionError("it never gets here")

    result = Deferred.fromCoroutine(work())
    result.cancel()
    error_of(result, CancelledError)
    assert lock.waiting == []


def test_closing_a_coroutine_in_the_line_takes_it_out() -> None:
    lock = DeferredLock()
    lock.acquire()
    entering = lock.__aenter__()
    entering.send(None)
    assert len(lock.waiting) == 1
    entering.close()
    assert lock.waiting == []


def test_an_asyncio_task_cancelled_in_the_line_leaves_it() -> None:
    lock = DeferredLock()
    lock.acquire()

    async def work() -> None:
        async with lock:
            raise AssertionError("it never gets here")

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert len(lock.waiting) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert lock.waiting == []


def test_an_asyncio_task_cancelled_just_after_it_got_the_lock_gives_it_back() -> None:
    lock = DeferredLock()
    lock.acquire()

    async def work() -> None:
        async with lock:
            raise AssertionError("it never gets here")

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        lock.release()
        assert lock.locked
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not lock.locked


# ---------------------------------------------------------------------------- threads, properties


def test_threads_share_a_semaphore_and_each_gets_a_token() -> None:
    semaphore = DeferredSemaphore(2)
    held: list[int] = []
    served: list[int] = []
    most: list[int] = []

    def got(_: DeferredSemaphore, number: int) -> None:
        held.append(number)
        most.append(len(held))

    def work(number: int) -> None:
        if number % 2:
            for index in range(100):
                semaphore.acquire().addCallback(got, number * 100 + index)
            return
        while len(served) < 400:
            with turn:
                if held:
                    served.append(held.pop())
                    semaphore.release()

    run_threads(8, work)
    assert sorted(served) == sorted(number * 100 + index for number in range(1, 8, 2) for index in range(100))
    assert max(most) == 2
    assert (semaphore.tokens, len(semaphore.waiting)) == (2, 0)


@given(st.integers(1, 4), st.lists(st.sampled_from(["acquire", "release", "cancel"]), max_size=60), st.data())
def test_a_semaphore_keeps_its_count_and_its_line(limit: int, moves: list[str], data: st.DataObject) -> None:
    semaphore = DeferredSemaphore(limit)
    line: list[Deferred[Any]] = []
    holders = 0
    for move in moves:
        if move == "acquire":
            asked = semaphore.acquire()
            assert asked.called is (holders < limit)
            if asked.called:
                holders += 1
            else:
                line.append(asked)
        elif move == "release" and holders:
            semaphore.release()
            if line:
                assert outcome(line.pop(0)) is semaphore
            else:
                holders -= 1
        elif move == "cancel" and line:
            left = line.pop(data.draw(st.integers(0, len(line) - 1)))
            left.cancel()
            error_of(left, CancelledError)
        assert semaphore.waiting == line
        assert semaphore.tokens == limit - holders
        assert not any(waiter.called for waiter in line)
