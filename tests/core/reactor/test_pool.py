"""Thread pools: who works when, how many there are, how they end; and the pool that every reactor has."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, cell, in_cell, run_python, run_threads
from tests.core.net_kit import PATIENCE, on_reactor
from wirebook.failure import Failure
from wirebook.reactor.pool import PoolStoppedError, ThreadPool
from wirebook.transports.reactor import Reactor
from wirebook.turn import turn


@pytest.fixture
def pools() -> Iterator[Callable[..., ThreadPool]]:
    """Makes started pools, which are stopped at the end."""
    made: list[ThreadPool] = []

    def make(minthreads: int, maxthreads: int) -> ThreadPool:
        made.append(ThreadPool(minthreads, maxthreads))
        made[-1].start()
        return made[-1]

    yield make
    for pool in made:
        pool.stop()


class Gate:
    """A job that stays in its thread until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self) -> None:
        self.entered.release()
        assert self.open.wait(PATIENCE)

    def await_jobs(self, count: int) -> None:
        """Wait until so many are inside."""
        for _ in range(count):
            assert self.entered.acquire(timeout=PATIENCE)


def call(pool: ThreadPool, func: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    """Have `pool` call it; what the receiver of the result was told."""
    told: list[tuple[bool, Any]] = []
    pool.callInThreadWithCallback(lambda succeeded, result: told.append((succeeded, result)), func, *args)
    assert eventually(lambda: told, PATIENCE)
    return told[0]


# --- its size


def test_a_pool_has_five_to_twenty_threads_unless_it_is_told_otherwise() -> None:
    pool = ThreadPool()
    assert (pool.min, pool.max, pool.name, pool.started, pool.joined) == (5, 20, None, False, False)
    assert (pool.threads, pool.workers, pool.waiters, pool.working, pool.q.qsize()) == ([], 0, [], [], 0)


@pytest.mark.parametrize("sizes", [(-1, 2), (3, 2)])
def test_a_size_that_cannot_be_is_refused(sizes: tuple[int, int], pools: Callable[..., ThreadPool]) -> None:
    with pytest.raises(ValueError, match="the first must be 0 or more, the second not less"):
        ThreadPool(*sizes)
    pool = pools(1, 2)
    with pytest.raises(ValueError, match="the first must be 0 or more, the second not less"):
        pool.adjustPoolsize(*sizes)
    assert (pool.min, pool.max) == (1, 2)


def test_a_started_pool_has_its_minimum_of_threads(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(3, 10)
    assert (pool.workers, len(pool.threads), len(pool.waiters)) == (3, 3, 3)


def test_threads_are_added_up_to_the_maximum_while_none_is_idle(pools: Callable[..., ThreadPool]) -> None:
    pool, gate = pools(0, 2), Gate()
    for _ in range(5):
        pool.callInThread(gate)
    gate.await_jobs(2)
    assert (pool.workers, len(pool.working), len(pool.waiters)) == (2, 2, 0)
    assert pool.q.qsize() == 3
    gate.open.set()
    gate.await_jobs(3)
    assert eventually(lambda: len(pool.waiters) == 2)
    assert pool.workers == 2


def test_a_thread_that_is_idle_is_used_again(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(0, 5)
    seen = set()
    for _ in range(20):
        seen.add(call(pool, threading.get_ident)[1])
        assert eventually(lambda: pool.waiters)
    assert len(seen) == 1


def test_raising_the_maximum_starts_threads_for_the_jobs_that_wait(pools: Callable[..., ThreadPool]) -> None:
    pool, gate = pools(0, 0), Gate()
    pool.callInThread(gate)
    pool.callInThread(gate)
    assert pool.workers == 0
    pool.adjustPoolsize(maxthreads=5)
    gate.await_jobs(2)
    assert pool.workers == 2
    gate.open.set()


def test_lowering_the_maximum_ends_idle_threads_now_and_busy_ones_later(pools: Callable[..., ThreadPool]) -> None:
    pool, gate = pools(4, 4), Gate()
    pool.callInThread(gate)
    pool.callInThread(gate)
    gate.await_jobs(2)
    pool.adjustPoolsize(0, 1)
    assert eventually(lambda: len(pool.threads) == 2)
    gate.open.set()
    assert eventually(lambda: len(pool.threads) == 1)
    assert pool.workers == 1


def test_raising_the_minimum_starts_threads(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(1, 4)
    pool.adjustPoolsize(3)
    assert (pool.min, pool.max, pool.workers) == (3, 4, 3)


def test_a_pool_that_is_not_started_keeps_its_new_size_for_later() -> None:
    pool = ThreadPool(1, 4)
    pool.adjustPoolsize(2, 9)
    pool.startAWorker()
    assert (pool.min, pool.max, pool.workers) == (2, 9, 0)


def test_single_threads_can_be_added_and_taken_away(pools: Callable[..., ThreadPool]) -> None:
    pool, gate = pools(0, 2), Gate()
    for _ in range(3):
        pool.startAWorker()
    assert pool.workers == 2
    pool.stopAWorker()
    assert pool.workers == 1
    assert eventually(lambda: len(pool.threads) == 1)
    pool.callInThread(gate)
    gate.await_jobs(1)
    pool.stopAWorker()
    assert pool.workers == 1
    gate.open.set()
    assert eventually(lambda: not pool.threads)
    assert call(pool, int) == (True, 0)


def test_threads_are_daemons_that_tell_whose_they_are(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(2, 2)
    assert [thread.name for thread in pool.threads] == ["wirebook-pool-1", "wirebook-pool-2"]
    assert all(thread.daemon for thread in pool.threads)
    named = ThreadPool(1, 1, "lab")
    named.start()
    assert [thread.name for thread in named.threads] == ["wirebook-pool-lab-1"]
    named.stop()


def test_the_kind_of_thread_can_be_chosen() -> None:
    class Special(threading.Thread):
        pass

    class Pool(ThreadPool):
        threadFactory = Special

    pool = Pool(1, 1)
    pool.start()
    assert isinstance(pool.threads[0], Special)
    pool.stop()


def test_when_the_system_has_no_thread_for_the_first_job_the_caller_hears_of_it() -> None:
    class Refusing(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    class Pool(ThreadPool):
        threadFactory = Refusing

    pool = Pool(0, 1)
    pool.start()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.callInThread(int)
    assert (pool.workers, pool.q.qsize()) == (0, 0)
    pool.stop()


def test_a_copy_by_pickle_has_the_same_size_and_name() -> None:
    copy = pickle.loads(pickle.dumps(ThreadPool(7, 21, "lab")))
    assert (copy.min, copy.max, copy.name, copy.started) == (7, 21, "lab", False)


def test_it_shows_and_logs_how_it_stands(pools: Callable[..., ThreadPool], caplog: pytest.LogCaptureFixture) -> None:
    pool = pools(1, 4)
    assert repr(pool) == "<ThreadPool started, 1 of 1 to 4 threads>"
    with caplog.at_level("INFO", "wirebook"):
        pool.dumpStats()
    assert [line[:8] for line in caplog.messages] == ["waiters:", "workers:", "total: ["]
    assert repr(ThreadPool(name="lab")) == "<ThreadPool lab not started, 0 of 5 to 20 threads>"


# --- its work


def test_a_result_is_told_in_the_thread_that_made_it(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(2, 2)
    threads: list[int] = []
    told = threading.Event()

    def receive(succeeded: bool, result: int) -> None:
        threads.extend([result, threading.get_ident()])
        told.set()

    pool.callInThreadWithCallback(receive, threading.get_ident)
    assert told.wait(PATIENCE)
    assert threads[0] == threads[1] != threading.get_ident()


def test_arguments_are_passed_on(pools: Callable[..., ThreadPool]) -> None:
    assert call(pools(0, 1), lambda *args: args, 1, 2) == (True, (1, 2))
    seen: list[dict[str, int]] = []
    pools(0, 1).callInThread(lambda **kw: seen.append(kw), key=3)
    assert eventually(lambda: seen == [{"key": 3}])


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_any_error_is_told_as_a_failure_and_the_thread_lives_on(
    pools: Callable[..., ThreadPool], error: type[BaseException]
) -> None:
    def wrong() -> None:
        raise error

    pool = pools(0, 1)
    succeeded, failure = call(pool, wrong)
    assert not succeeded
    assert failure.check(error)
    assert [frame[0] for frame in failure.frames] == ["wrong"]
    assert call(pool, int) == (True, 0)
    assert pool.workers == 1


def test_an_error_that_nobody_asked_for_is_reported(pools: Callable[..., ThreadPool], reported: Reports) -> None:
    in_cell("seven", pools(0, 1).callInThread, boom)
    (record,) = reported.wait()
    assert record.getMessage() == "a call in a thread raised: boom"
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_an_error_of_the_receiver_is_reported(pools: Callable[..., ThreadPool], reported: Reports) -> None:
    pool = pools(0, 1)
    pool.callInThreadWithCallback(lambda succeeded, result: boom(), int)
    (record,) = reported.wait()
    assert "the receiver of a result from a thread raised" in record.getMessage()
    assert call(pool, int) == (True, 0)


def test_what_cannot_be_called_is_refused(pools: Callable[..., ThreadPool]) -> None:
    with pytest.raises(TypeError, match="needs something to call, not 5"):
        pools(0, 1).callInThread(5)  # type: ignore[arg-type]


def test_a_call_and_its_receiver_run_in_the_caller_s_context(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(0, 1)
    seen: list[str] = []

    def receive(succeeded: bool, result: str) -> None:
        seen.extend([result, cell.get()])

    in_cell("eight", pool.callInThreadWithCallback, receive, cell.get)
    assert eventually(lambda: seen == ["eight", "eight"])
    assert call(pool, cell.get) == (True, "none")


def test_nothing_of_a_job_is_kept_while_its_result_is_told_nor_after_that(pools: Callable[..., ThreadPool]) -> None:
    class Thing:
        pass

    def work(thing: Thing) -> Thing:
        return Thing()

    pool, thing, go_on = pools(0, 1), Thing(), threading.Event()
    kept: list[Callable[[], object]] = [weakref.ref(thing), weakref.ref(work)]
    alive: list[object] = []
    results: list[Callable[[], object]] = []

    def receive(succeeded: bool, result: Thing) -> None:
        assert go_on.wait(PATIENCE)
        gc.collect()
        alive.extend(ref() for ref in kept)
        results.append(weakref.ref(result))

    pool.callInThreadWithCallback(receive, work, thing)
    del thing, work
    go_on.set()
    assert eventually(lambda: pool.waiters and results)
    assert alive == [None, None]
    assert results[0]() is None


def test_jobs_from_many_threads_are_done_once_each(pools: Callable[..., ThreadPool]) -> None:
    pool = pools(0, 3)
    done: list[tuple[int, int]] = []

    def give(thread: int) -> None:
        for number in range(500):
            pool.callInThread(done.append, (thread, number))

    run_threads(4, give)
    assert eventually(lambda: len(done) == 2000, PATIENCE)
    assert len(set(done)) == 2000
    assert eventually(lambda: len(pool.waiters) == pool.workers <= 3)


# --- its beginning and its end


def test_jobs_that_come_before_the_start_are_done_then() -> None:
    pool = ThreadPool(0, 2)
    done: list[int] = []
    for number in range(5):
        pool.callInThread(done.append, number)
    assert (done, pool.workers, pool.q.qsize()) == ([], 0, 5)
    pool.start()
    pool.stop()
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_stopping_waits_for_what_has_come_in() -> None:
    pool, gate, done = ThreadPool(0, 1), Gate(), threading.Event()
    pool.start()
    pool.callInThread(gate)
    pool.callInThread(done.set)
    gate.await_jobs(1)
    stopper = threading.Thread(target=pool.stop)
    stopper.start()
    assert eventually(lambda: pool.joined)
    assert (pool.started, done.is_set(), stopper.is_alive()) == (False, False, True)
    gate.open.set()
    stopper.join(PATIENCE)
    assert done.is_set()
    assert (pool.threads, pool.workers) == ([], 0)


def test_waiting_for_the_end_can_be_limited() -> None:
    pool, gate = ThreadPool(1, 1), Gate()
    pool.start()
    pool.callInThread(gate)
    gate.await_jobs(1)
    pool.close()
    assert not pool.join(0.01)
    gate.open.set()
    assert pool.join(PATIENCE)


def test_a_stopped_pool_refuses_jobs_and_says_so(reported: Reports) -> None:
    pool = ThreadPool(0, 1)
    pool.start()
    pool.stop()
    succeeded, failure = call(pool, int)
    assert not succeeded
    assert failure.check(PoolStoppedError)
    assert "start() it again" in failure.getErrorMessage()
    pool.callInThread(int)
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(PoolStoppedError)


def test_a_stopped_pool_can_be_started_again() -> None:
    pool = ThreadPool(1, 1)
    for _ in range(3):
        pool.start()
        assert (pool.started, pool.joined, pool.workers) == (True, False, 1)
        assert call(pool, int) == (True, 0)
        pool.stop()


def test_a_job_may_stop_its_own_pool() -> None:
    pool = ThreadPool(2, 2)
    pool.start()
    pool.callInThread(pool.stop)
    assert eventually(lambda: not pool.threads)


def test_stopping_in_the_turn_lets_the_jobs_have_it_meanwhile() -> None:
    pool, had_it = ThreadPool(0, 1), []
    pool.start()

    def needs_the_turn() -> None:
        with turn:
            had_it.append(True)

    with turn, turn:
        pool.callInThread(needs_the_turn)
        pool.stop()
        assert had_it
        assert turn.held()
    assert turn.owner == 0


STUCK = """
import threading
from wirebook.reactor.pool import ThreadPool
pool = ThreadPool(1, 1)
pool.start()
begun = threading.Event()
pool.callInThread(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
print("at the end")
"""


def test_a_job_that_never_ends_does_not_hold_up_the_end_of_the_program() -> None:
    assert run_python(STUCK).stdout == "at the end\n"


# --- the reactor's own


def test_a_reactor_s_pool_has_ten_threads_at_most_and_starts_with_it() -> None:
    reactor, done = Reactor(), threading.Event()
    assert reactor.threadpool is None
    pool = reactor.getThreadPool()
    assert reactor.getThreadPool() is reactor.threadpool is pool
    assert (pool.min, pool.max, pool.started) == (0, 10, False)
    reactor.callInThread(done.set)
    assert not done.is_set()
    reactor.runInThread()
    assert done.wait(PATIENCE)
    assert pool.started
    reactor.shutDown()
    assert (pool.started, pool.joined, pool.threads, reactor.threadpool) == (False, True, [], None)
    reactor.close()


def test_the_size_of_a_reactor_s_pool_can_be_suggested(reactor: Reactor) -> None:
    for size in (34, 4, 0):
        reactor.suggestThreadPoolSize(size)
        assert reactor.getThreadPool().max == size
    with pytest.raises(ValueError, match="maxthreads=-1"):
        reactor.suggestThreadPoolSize(-1)


def test_call_in_thread_passes_arguments_and_context_and_reports_errors(reactor: Reactor, reported: Reports) -> None:
    seen: list[tuple[Any, ...]] = []

    def work(*args: int, **kw: int) -> None:
        seen.append((args, kw, cell.get()))

    in_cell("nine", partial(reactor.callInThread, work, 1, callable=2))
    assert eventually(lambda: seen == [((1,), {"callable": 2}, "nine")])
    reactor.callInThread(boom)
    (record,) = reported.wait()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_run_returns_when_the_calls_in_threads_are_done_and_they_may_use_the_reactor() -> None:
    reactor, gate = Reactor(), Gate()
    served: list[bool] = []

    def work() -> None:
        gate()
        served.append(on_reactor(reactor, reactor.onReactorThread))

    def stop() -> None:
        reactor.stop()
        reactor.callLater(0.01, gate.open.set)

    def stop_soon() -> None:
        gate.await_jobs(1)
        reactor.callFromThread(stop)

    reactor.callInThread(work)
    reactor.callInThread(stop_soon)
    reactor.run(installSignalHandlers=False)
    assert served == [True]
    assert reactor.threadpool is None
    reactor.close()


def test_a_reactor_that_runs_again_has_threads_again() -> None:
    reactor = Reactor()
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        reactor.callFromThread(reactor.stop)

    for number in range(3):
        reactor.callInThread(work, number)
        reactor.run(installSignalHandlers=False)
    assert done == [0, 1, 2]
    reactor.close()


def test_closing_a_reactor_that_crashed_ends_its_threads() -> None:
    reactor = Reactor()
    reactor.callInThread(lambda: reactor.callFromThread(reactor.crash))
    reactor.run(installSignalHandlers=False)
    pool = reactor.getThreadPool()
    assert pool.started
    reactor.close()
    assert not pool.threads


def test_the_shutdown_event_of_a_reactor_that_does_not_run_ends_its_pool() -> None:
    reactor = Reactor()
    pool = reactor.getThreadPool()
    reactor.fireSystemEvent("shutdown")
    assert reactor.threadpool is None
    reactor.callWhenRunning(reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert not pool.started
    reactor.close()


def test_a_program_s_stop_beside_a_hosted_reactor_leaves_it_its_threads(reactor: Reactor) -> None:
    pool = reactor.getThreadPool()

    def stop_when_awaited() -> None:
        reactor.stop() if reactor.hosting._runs else reactor.callLater(0.001, stop_when_awaited)

    reactor.callFromThread(stop_when_awaited)
    reactor.run()
    assert reactor.getThreadPool() is pool
    assert call(pool, int) == (True, 0)


def test_shutting_down_waits_no_longer_than_it_is_told_for_a_call_in_a_thread() -> None:
    reactor, gate = Reactor(), Gate()
    reactor.runInThread()
    reactor.callInThread(gate)
    gate.await_jobs(1)
    reactor.shutDown(timeout=0.3)
    assert not reactor.running
    gate.open.set()
    reactor.close()


SECOND_SIGNAL = """
import os, signal, threading
from wirebook import reactor

begun = threading.Event()

def stuck():
    begun.set()
    threading.Event().wait()

def interrupt():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
    while not (reactor.threadpool and reactor.threadpool.joined):
        pass
    os.kill(os.getpid(), signal.SIGINT)

reactor.callInThread(stuck)
threading.Thread(target=interrupt).start()
reactor.run()
print("ended")
"""


def test_a_second_signal_ends_a_program_that_waits_for_a_call_in_a_thread() -> None:
    assert run_python(SECOND_SIGNAL).stdout == "ended\n"


def test_a_failure_that_a_call_returns_is_a_result_like_any_other(pools: Callable[..., ThreadPool]) -> None:
    succeeded, result = call(pools(0, 1), lambda: Failure(ValueError("kept")))
    assert succeeded
    assert result.check(ValueError)
