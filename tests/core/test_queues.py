"""DeferredQueue."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.deferred_kit import error_of, outcome, run_threads
from wirebook.deferred import CancelledError, Deferred, DeferredQueue, QueueOverflow, QueueUnderflow, succeed
from wirebook.failure import Failure


def test_objects_come_out_in_the_order_they_went_in() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    for number in range(3):
        queue.put(number)
    assert queue.pending == [0, 1, 2]
    assert [outcome(queue.get()) for _ in range(3)] == [0, 1, 2]
    assert queue.pending == []


def test_whoever_waited_longest_gets_the_next_object() -> None:
    queue: DeferredQueue[str] = DeferredQueue()
    first, second = queue.get(), queue.get()
    assert queue.waiting == [first, second]
    queue.put("a")
    assert outcome(first) == "a"
    assert not second.called
    queue.put("b")
    assert outcome(second) == "b"
    assert queue.waiting == []
    assert queue.pending == []


def test_a_full_queue_refuses_another_object() -> None:
    queue: DeferredQueue[int] = DeferredQueue(size=2)
    queue.put(1)
    queue.put(2)
    with pytest.raises(QueueOverflow, match="2 of 2 pending"):
        queue.put(3)
    assert queue.pending == [1, 2]


def test_a_queue_of_size_zero_takes_objects_for_those_who_wait() -> None:
    queue: DeferredQueue[int] = DeferredQueue(size=0)
    with pytest.raises(QueueOverflow):
        queue.put(1)
    waiting = queue.get()
    queue.put(2)
    assert outcome(waiting) == 2


def test_more_than_the_backlog_may_not_wait() -> None:
    queue: DeferredQueue[int] = DeferredQueue(backlog=1)
    waiting = queue.get()
    with pytest.raises(QueueUnderflow, match="1 of 1 waiting"):
        queue.get()
    queue.put(1)
    assert outcome(waiting) == 1


def test_a_queue_without_backlog_gives_what_is_there() -> None:
    queue: DeferredQueue[int] = DeferredQueue(backlog=0)
    with pytest.raises(QueueUnderflow):
        queue.get()
    queue.put(1)
    assert outcome(queue.get()) == 1


def test_limits_are_readable_and_may_be_changed() -> None:
    queue: DeferredQueue[int] = DeferredQueue(1, 2)
    assert (queue.size, queue.backlog) == (1, 2)
    queue.put(1)
    queue.size = None
    queue.put(2)
    assert len(queue.pending) == 2


@pytest.mark.parametrize("limits", [{"size": -1}, {"backlog": -1}])
def test_limits_below_zero_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is -1; it is a number from 0 up"):
        DeferredQueue(**limits)


def test_cancelling_a_get_takes_it_out_of_the_line() -> None:
    queue: DeferredQueue[int] = DeferredQueue(backlog=2)
    first, second = queue.get(), queue.get()
    first.cancel()
    error_of(first, CancelledError)
    assert queue.waiting == [second]
    queue.put(1)
    assert outcome(second) == 1


def test_cancelling_a_get_that_has_its_object_does_nothing() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    waiting = queue.get()
    queue.put(1)
    waiting.cancel()
    assert outcome(waiting) == 1


def test_a_callback_may_use_the_queue_again() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    seen: list[int] = []

    def again(number: int) -> None:
        seen.append(number)
        queue.get().addCallback(again)

    queue.get().addCallback(again)
    for number in range(3):
        queue.put(number)
    assert seen == [0, 1, 2]
    assert len(queue.waiting) == 1


def test_a_failure_in_the_queue_fails_the_one_who_gets_it() -> None:
    queue: DeferredQueue[Any] = DeferredQueue()
    waiting = queue.get()
    queue.put(Failure(ValueError("waited for")))
    queue.put(Failure(KeyError("kept")))
    error_of(waiting, ValueError)
    error_of(queue.get(), KeyError)


def test_a_deferred_in_the_queue_is_refused_and_nobody_loses_the_place() -> None:
    queue: DeferredQueue[Any] = DeferredQueue()
    waiting = queue.get()
    with pytest.raises(TypeError, match="put its result"):
        queue.put(succeed(1))
    assert queue.waiting == [waiting]


def test_a_coroutine_can_consume_a_queue() -> None:
    queue: DeferredQueue[int] = DeferredQueue()

    async def total() -> int:
        seen = 0
        while number := await queue.get():
            seen += number
        return seen

    result = Deferred.fromCoroutine(total())
    for number in (*range(1, 10_001), 0):
        queue.put(number)
    assert outcome(result) == 50_005_000


def test_a_hundred_thousand_wait_and_are_served_in_order() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    seen: list[int] = []
    for _ in range(100_000):
        queue.get().addCallback(seen.append)
    for number in range(100_000):
        queue.put(number)
    assert seen == list(range(100_000))


def test_a_line_equals_a_list_of_the_same_items() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    queue.put(1)
    assert queue.pending == [1]
    assert [1] == queue.pending  # noqa: SIM300 -- from the other side
    assert queue.pending != [2]
    assert queue.pending == queue.pending.copy()
    assert queue.pending != (1,)
    assert not queue.pending == deque([2])  # noqa: SIM201 -- == is meant


def test_a_repr_shows_the_state() -> None:
    queue: DeferredQueue[int] = DeferredQueue(size=5)
    queue.put(1)
    assert repr(queue) == "<DeferredQueue: 1 of 5 pending, 0 waiting>"


def test_threads_put_and_get_and_nothing_is_lost() -> None:
    queue: DeferredQueue[int] = DeferredQueue()
    seen: list[int] = []

    def work(number: int) -> None:
        for index in range(200):
            if number % 2:
                queue.get().addCallback(seen.append)
            else:
                queue.put(number * 200 + index)

    run_threads(8, work)
    assert sorted(seen) == sorted(number * 200 + index for number in range(0, 8, 2) for index in range(200))


@given(
    st.integers(0, 3), st.integers(0, 3), st.lists(st.sampled_from(["put", "get", "cancel"]), max_size=60), st.data()
)
def test_a_queue_behaves_like_two_lines(size: int, backlog: int, moves: list[str], data: st.DataObject) -> None:
    queue: DeferredQueue[int] = DeferredQueue(size, backlog)
    pending: list[int] = []
    line: list[Deferred[int]] = []
    for number, move in enumerate(moves):
        if move == "put" and not line and len(pending) == size:
            with pytest.raises(QueueOverflow):
                queue.put(number)
        elif move == "put":
            queue.put(number)
            if line:
                assert outcome(line.pop(0)) == number
            else:
                pending.append(number)
        elif move == "get" and pending:
            assert outcome(queue.get()) == pending.pop(0)
        elif move == "get" and len(line) == backlog:
            with pytest.raises(QueueUnderflow):
                queue.get()
        elif move == "get":
            line.append(queue.get())
        elif line:
            left = line.pop(data.draw(st.integers(0, len(line) - 1)))
            left.cancel()
            error_of(left, CancelledError)
        assert queue.pending == pending
        assert queue.waiting == line
