"""Deferred: used by many threads at once, and waited for by threads."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any, ClassVar

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import (
    boom,
    fire_when,
    outcome,
    run_threads,
    until,
)
from wirebook.deferred import (
    AlreadyCalledError,
    Deferred,
    TimeoutError,
    chainState,
    succeed,
)
from wirebook.deferred.observers import Latch
from wirebook.turn import TurnHeldError, turn


def add(text: str, more: str) -> str:
    """A callback that leaves its mark."""
    return text + more


# Threads


@pytest.fixture
def fast_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("fast_switching")
def test_callbacks_attached_by_many_threads_run_once_each_and_never_two_at_a_time() -> None:
    rounds, threads, each = 60, 8, 20
    running = 0
    overlaps: list[int] = []
    for _ in range(rounds):
        deferred: Deferred[int] = Deferred()
        seen: list[tuple[int, int]] = []

        def note(value: int, key: tuple[int, int], seen: list[tuple[int, int]] = seen) -> int:
            nonlocal running
            running += 1
            overlaps.append(running)
            seen.append(key)
            running -= 1
            return value

        def hammer(number: int, deferred: Deferred[int] = deferred, note: Any = note) -> None:
            for index in range(each):
                if number == 0 and index == each // 2:
                    deferred.callback(1)
                deferred.addCallback(note, (number, index))

        run_threads(threads, hammer)
        assert sorted(seen) == [(number, index) for number in range(threads) for index in range(each)]
        assert deferred.result == 1
    assert set(overlaps) == {1}


@pytest.mark.usefixtures("fast_switching")
def test_of_many_threads_that_fire_exactly_one_succeeds() -> None:
    for _ in range(50):
        deferred: Deferred[int] = Deferred()
        refused: list[int] = []

        def fire(number: int, deferred: Deferred[int] = deferred, refused: list[int] = refused) -> None:
            try:
                deferred.callback(number)
            except AlreadyCalledError:
                refused.append(number)

        run_threads(4, fire)
        assert sorted([*refused, deferred.result]) == [0, 1, 2, 3]


# Everything at once, by many threads. WIREBOOK_STRESS multiplies the work: 5 is what 10 seconds hold.

THREADS = 8
OPERATIONS = 40_000 * int(os.environ.get("WIREBOOK_STRESS", "1"))
SHARED = 24


class Stress:
    """Deferreds that all threads work on, and what has become of the callbacks attached to them."""

    def __init__(self) -> None:
        self.shared: list[Deferred[Any]] = [Deferred() for _ in range(SHARED)]
        self.made = list(self.shared)
        self.attached: list[int] = []
        self.seen: list[int] = []
        self.running = 0
        self.overlaps = 0

    def note(self, result: Any, key: int, given: Any = None) -> Any:
        """The callback: it is run once, and never while another one is."""
        self.running += 1
        self.overlaps += self.running != 1
        self.seen.append(key)
        self.running -= 1
        return result if given is None else given

    def work(self, number: int) -> None:
        """What one thread does: a row of operations, the same in every run."""
        random = Random(number)
        for index in range(OPERATIONS):
            deferred = random.choice(self.shared)
            key = number * OPERATIONS + index
            operation = random.choices(list(self.OPERATIONS), list(self.OPERATIONS.values()))[0]
            try:
                operation(self, deferred, key, random)
            except AlreadyCalledError:
                """Another thread was first."""

    def attach(self, deferred: Deferred[Any], key: int, _: Random) -> None:
        self.attached.append(key)
        deferred.addBoth(self.note, key)

    def attach_waiting(self, deferred: Deferred[Any], key: int, random: Random) -> None:
        self.attached.append(key)
        deferred.addBoth(self.note, key, random.choice(self.shared))

    def fire(self, deferred: Deferred[Any], key: int, _: Random) -> None:
        deferred.callback(key)

    def fail(self, deferred: Deferred[Any], key: int, _: Random) -> None:
        deferred.errback(ValueError(key))

    def cancel(self, deferred: Deferred[Any], _: int, __: Random) -> None:
        deferred.cancel()

    def hold_up(self, deferred: Deferred[Any], _: int, __: Random) -> None:
        deferred.pause()
        deferred.unpause()

    def chain(self, deferred: Deferred[Any], _: int, random: Random) -> None:
        deferred.chainDeferred(random.choice(self.shared))

    def replace(self, _: Deferred[Any], __: int, random: Random) -> None:
        fresh: Deferred[Any] = Deferred()
        self.made.append(fresh)
        self.shared[random.randrange(SHARED)] = fresh

    def use_alone(self, _: Deferred[Any], key: int, random: Random) -> None:
        own: Deferred[Any] = Deferred()
        self.attach(own, key, random)
        own.callback(key)
        assert own.result == key

    OPERATIONS: ClassVar[dict[Callable[..., None], int]] = {
        attach: 8,
        attach_waiting: 1,
        fire: 2,
        fail: 1,
        cancel: 1,
        hold_up: 2,
        chain: 1,
        replace: 4,
        use_alone: 4,
    }

    def finish(self) -> None:
        """Fire what nobody has fired, and handle all errors."""
        for deferred in self.made:
            deferred.addErrback(lambda _: None)
            with suppress(AlreadyCalledError):
                deferred.callback(None)


@pytest.mark.usefixtures("fast_switching")
def test_threads_that_do_everything_at_once_lose_no_callback_and_run_none_twice_or_together() -> None:
    stress = Stress()
    run_threads(THREADS, stress.work)
    stress.finish()
    assert stress.overlaps == 0
    assert sorted(stress.seen) == sorted(stress.attached)
    assert len(stress.seen) > OPERATIONS
    assert not turn.held()


# wait()


def test_wait_returns_the_result_and_leaves_it_in_the_chain() -> None:
    deferred: Deferred[int] = Deferred()
    thread = fire_when(lambda: deferred._steps, deferred, 5)
    assert deferred.wait(10) == 5
    thread.join()
    assert deferred.wait() == 5
    assert outcome(deferred) == 5


def test_wait_raises_the_error_with_its_traceback() -> None:
    deferred = succeed(1).addCallback(boom)
    with pytest.raises(ValueError, match="boom") as caught:
        deferred.wait()
    assert caught.traceback[-1].name == "boom"


def test_an_error_raised_by_wait_is_handled_and_raised_again_by_another_wait() -> None:
    deferred = succeed(1).addCallback(boom)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            deferred.wait()
    assert outcome(deferred) is None


def test_many_threads_can_wait_for_one_error() -> None:
    deferred: Deferred[int] = Deferred()
    seen: list[type[BaseException]] = []

    def wait(number: int) -> None:
        if number == 0:
            until(lambda: chainState(deferred).awaited == 3)
            deferred.errback(KeyError())
        try:
            deferred.wait(20)
        except KeyError as error:
            seen.append(type(error))

    run_threads(4, wait)
    assert seen == [KeyError] * 4


def test_wait_names_the_time_when_it_is_over_and_the_deferred_goes_on() -> None:
    deferred: Deferred[int] = Deferred()
    with pytest.raises(TimeoutError, match=r"within 0.01 seconds; <Deferred at .*> itself goes on"):
        deferred.wait(0.01)
    assert deferred._steps is None
    deferred.callback(1)
    assert deferred.wait(0) == 1


def test_a_wait_that_timed_out_leaves_the_other_steps_in_their_order() -> None:
    for before, after in ((0, 2), (2, 0), (1, 1), (0, 0)):
        deferred: Deferred[str] = Deferred()
        for name in "ab"[:before]:
            deferred.addCallback(add, name)
        with pytest.raises(TimeoutError):
            deferred.wait(0)
        for name in "cde"[: after + 1]:
            deferred.addCallback(add, name)
        deferred.callback("")
        assert outcome(deferred) == "ab"[:before] + "cde"[: after + 1]


def test_of_several_waits_the_one_that_timed_out_is_forgotten() -> None:
    deferred: Deferred[str] = Deferred()
    deferred.addCallback(add, "a")
    latch = Latch()
    deferred._observe(latch)
    deferred.addCallback(add, "b")
    deferred._forget(latch)
    deferred.addCallback(add, "c")
    assert chainState(deferred).awaited == 0
    deferred.callback("")
    assert outcome(deferred) == "abc"


def test_an_error_after_the_wait_timed_out_is_not_handled(reported: Any) -> None:
    deferred: Deferred[int] = Deferred()
    with pytest.raises(TimeoutError):
        deferred.wait(0)
    deferred.errback(KeyError())
    del deferred
    assert len(reported()) == 1


def test_wait_refuses_to_wait_in_the_turn() -> None:
    with turn, pytest.raises(TurnHeldError, match=r"Deferred.wait\(\)"):
        Deferred().wait()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_wait_refuses_a_timeout_that_is_no_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout is"):
        Deferred().wait(timeout)


def test_wait_can_be_interrupted() -> None:
    code = """
import signal, threading
from wirebook.deferred import Deferred
deferred = Deferred()
main = threading.get_ident()
def interrupt():
    while not deferred._steps:
        pass
    signal.pthread_kill(main, signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    deferred.wait(20)
except KeyboardInterrupt:
    print("interrupted", deferred._steps)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "interrupted None\n"


def test_wait_can_be_interrupted_by_what_does_not_wake_it() -> None:
    """As a signal that comes just before the thread falls asleep."""
    deferred: Deferred[None] = Deferred()

    def interrupt() -> None:
        main = threading.main_thread().ident or 0
        assert eventually(lambda: sys._current_frames()[main].f_code is Latch.wait.__code__)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        deferred.wait(20)
    assert time.monotonic() - began < 10
    thread.join()
