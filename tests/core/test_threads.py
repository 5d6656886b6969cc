"""Work in threads as Deferreds, and threads that wait for the reactor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, cell, in_cell
from tests.core.net_kit import PATIENCE, on_reactor
from wirebook import reactor as process_reactor
from wirebook.deferred import CancelledError, Deferred, fail, succeed
from wirebook.failure import Failure
from wirebook.reactor.pool import PoolStoppedError, ThreadPool
from wirebook.threads import (
    blockingCallFromThread,
    callInThread,
    callMultipleInThread,
    deferToThread,
    deferToThreadPool,
)
from wirebook.transports.reactor import Reactor
from wirebook.turn import TurnHeldError, turn


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A pool of one thread."""
    pool = ThreadPool(0, 1)
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture
def hosted() -> Iterator[Reactor]:
    """The process's reactor, in a thread."""
    process_reactor.runInThread()
    yield process_reactor
    process_reactor.shutDown()


@pytest.fixture
def busy(pool: ThreadPool) -> Iterator[threading.Event]:
    """Keeps the pool's thread busy until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    pool.callInThread(work)
    assert begun.wait(PATIENCE)
    yield go_on
    go_on.set()


# --- deferToThreadPool


def test_the_result_of_a_call_in_a_thread_arrives(reactor: Reactor, pool: ThreadPool) -> None:
    def work(x: int, y: int = 5) -> tuple[int, str]:
        return x + y, threading.current_thread().name

    assert deferToThreadPool(reactor, pool, work, 3, y=4).wait(PATIENCE) == (7, "wirebook-pool-1")


def test_callbacks_run_on_the_reactor_in_the_turn_and_in_the_context_they_were_attached_in(
    reactor: Reactor, pool: ThreadPool
) -> None:
    seen: list[tuple[bool, bool, str]] = []

    def attach() -> None:
        with reactor.turn():
            deferToThreadPool(reactor, pool, int).addCallback(
                lambda _: seen.append((reactor.onReactorThread(), turn.held(), cell.get()))
            )

    in_cell("two", attach)
    assert eventually(lambda: seen == [(True, True, "two")])


def test_the_call_runs_in_the_caller_s_context_and_outside_the_turn(reactor: Reactor, pool: ThreadPool) -> None:
    deferred = in_cell("three", deferToThreadPool, reactor, pool, lambda: (cell.get(), turn.held()))
    assert deferred.wait(PATIENCE) == ("three", False)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_error_in_a_thread_arrives_with_its_traceback(
    reactor: Reactor, pool: ThreadPool, error: type[BaseException]
) -> None:
    def wrong() -> None:
        raise error

    failures: list[Failure] = []
    with reactor.turn():
        deferToThreadPool(reactor, pool, wrong).addErrback(failures.append)
    assert eventually(lambda: failures)
    assert failures[0].check(error)
    assert [frame[0] for frame in failures[0].frames] == ["wrong"]


def test_a_failure_that_is_returned_fails_the_deferred(reactor: Reactor, pool: ThreadPool) -> None:
    with pytest.raises(ValueError, match="returned"):
        deferToThreadPool(reactor, pool, lambda: Failure(ValueError("returned"))).wait(PATIENCE)


def test_a_deferred_that_the_call_returns_is_waited_for(reactor: Reactor, pool: ThreadPool) -> None:
    inner: Deferred[str] = Deferred()
    outer: Deferred[Any] = deferToThreadPool(reactor, pool, lambda: inner)
    reactor.callLater(0.01, inner.callback, "inner")
    assert outer.wait(PATIENCE) == "inner"


def test_what_cannot_be_called_fails_the_deferred(reactor: Reactor, pool: ThreadPool) -> None:
    with pytest.raises(TypeError, match="'int' object is not callable"):
        deferToThreadPool(reactor, pool, 5).wait(PATIENCE)  # type: ignore[arg-type]


def test_a_pool_that_was_stopped_fails_the_deferred(reactor: Reactor, pool: ThreadPool) -> None:
    pool.stop()
    with pytest.raises(PoolStoppedError):
        deferToThreadPool(reactor, pool, int).wait(PATIENCE)


def test_cancelling_prevents_a_call_that_has_not_begun(
    reactor: Reactor, pool: ThreadPool, busy: threading.Event
) -> None:
    made: list[int] = []
    deferred = deferToThreadPool(reactor, pool, made.append, 1)
    deferred.cancel()
    with pytest.raises(CancelledError):
        deferred.wait(PATIENCE)
    busy.set()
    assert deferToThreadPool(reactor, pool, str, 1).wait(PATIENCE) == "1"
    on_reactor(reactor, int)
    assert made == []


@pytest.mark.parametrize("outcome", [int, boom])
def test_cancelling_drops_the_result_of_a_call_that_runs(
    reactor: Reactor, pool: ThreadPool, outcome: Callable[[], object]
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        made.append(1)
        outcome()

    deferred = deferToThreadPool(reactor, pool, work)
    assert begun.wait(PATIENCE)
    deferred.cancel()
    go_on.set()
    with pytest.raises(CancelledError):
        deferred.wait(PATIENCE)
    assert deferToThreadPool(reactor, pool, str, 1).wait(PATIENCE) == "1"
    on_reactor(reactor, int)
    assert made == [1]


def test_any_object_that_calls_in_threads_is_a_pool(reactor: Reactor) -> None:
    class AtOnce:
        def callInThreadWithCallback(
            self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], /, *args: Any, **kw: Any
        ) -> None:
            assert onResult is not None
            onResult(True, func(*args, **kw))

    assert deferToThreadPool(reactor, AtOnce(), str, 5).wait(PATIENCE) == "5"


def test_many_calls_at_once_each_give_their_own_result(reactor: Reactor) -> None:
    waiting = [deferToThreadPool(reactor, reactor.getThreadPool(), str, number) for number in range(500)]
    assert [deferred.wait(PATIENCE) for deferred in waiting] == [str(number) for number in range(500)]


# --- in the process's reactor


def test_defer_to_thread_uses_the_process_s_reactor_and_its_pool(hosted: Reactor) -> None:
    assert deferToThread(threading.current_thread).wait(PATIENCE) in hosted.getThreadPool().threads


def test_a_function_may_have_parameters_named_as_those_of_defer_to_thread_pool(hosted: Reactor) -> None:
    def work(**kw: int) -> dict[str, int]:
        return kw

    assert deferToThread(work, reactor=1, threadpool=2).wait(PATIENCE) == {"reactor": 1, "threadpool": 2}


def test_call_in_thread_calls_in_a_thread_of_the_process_s_reactor(hosted: Reactor) -> None:
    seen: list[tuple[Any, ...]] = []

    def work(*args: int, **kw: int) -> None:
        seen.append((args, kw, threading.current_thread().name))

    callInThread(work, 1, key=2)
    assert eventually(lambda: seen == [((1,), {"key": 2}, "wirebook-pool-1")])


def test_multiple_calls_are_made_in_order_in_one_thread(hosted: Reactor) -> None:
    seen: list[Any] = []

    def note(*args: int, **kw: int) -> None:
        seen.append((threading.get_ident(), args, kw))

    callMultipleInThread([(note, (1,), {}), (note, [2], {"key": 3}), (note, (), {})])
    assert eventually(lambda: len(seen) == 3)
    assert len({thread for thread, _, _ in seen}) == 1
    assert [call[1:] for call in seen] == [((1,), {}), ((2,), {"key": 3}), ((), {})]


def test_an_error_ends_multiple_calls_and_is_reported(hosted: Reactor, reported: Reports) -> None:
    seen: list[int] = []
    callMultipleInThread([(seen.append, (1,), {}), (boom, (), {}), (seen.append, (2,), {})])
    (record,) = reported.wait()
    assert vars(record)["wirebook_failure"].check(ValueError)
    assert seen == [1]


# --- blockingCallFromThread


def test_a_thread_gets_what_the_reactor_answers(any_reactor: Reactor) -> None:
    def answer(x: int, y: int = 0) -> tuple[int, bool, bool]:
        return x + y, any_reactor.onReactorThread(), turn.held()

    assert blockingCallFromThread(any_reactor, answer, 1, y=2) == (3, True, True)


def test_a_deferred_is_waited_for(reactor: Reactor) -> None:
    def later() -> Deferred[str]:
        deferred: Deferred[str] = Deferred()
        reactor.callLater(0.01, deferred.callback, "egg")
        return deferred

    assert blockingCallFromThread(reactor, later) == "egg"
    assert blockingCallFromThread(reactor, succeed, "foo") == "foo"


def test_a_coroutine_is_waited_for(reactor: Reactor) -> None:
    async def spam() -> str:
        return await succeed("spam")

    assert blockingCallFromThread(reactor, spam) == "spam"


@pytest.mark.parametrize("how", [boom, lambda: fail(ValueError("boom")), lambda: Failure(ValueError("boom"))])
def test_the_error_itself_is_raised(reactor: Reactor, how: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="boom"):
        blockingCallFromThread(reactor, how)


def test_the_error_is_raised_with_the_traceback_of_the_call(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        blockingCallFromThread(reactor, boom)
    assert caught.traceback[-1].name == "boom"


def test_the_call_sees_the_caller_s_context(reactor: Reactor) -> None:
    assert in_cell("six", blockingCallFromThread, reactor, cell.get) == "six"


def test_waiting_while_holding_the_turn_is_refused(reactor: Reactor) -> None:
    with reactor.turn(), pytest.raises(TurnHeldError, match=r"blockingCallFromThread\(\) would wait for ever"):
        blockingCallFromThread(reactor, int)


def test_waiting_in_a_callback_is_refused(reactor: Reactor) -> None:
    with pytest.raises(TurnHeldError):
        blockingCallFromThread(reactor, blockingCallFromThread, reactor, int)


def test_a_call_in_a_thread_may_ask_the_reactor(reactor: Reactor, pool: ThreadPool) -> None:
    def ask() -> bool:
        return blockingCallFromThread(reactor, reactor.onReactorThread)

    assert deferToThreadPool(reactor, pool, ask).wait(PATIENCE)
