"""What another thread does next waits until somebody was asked, and an interrupt comes at a chosen place."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from tests.conftest import eventually
from wirebook.turn import turn
from wirebook_kernel import tripwire
from wirebook_kernel.frames import position_of
from wirebook_kernel.tracebacks import steps_of
from wirebook_kernel.tripwire import Tripwire, Verdict, enlist_thread, safe_points

PATIENCE = 10.0


class Victim:
    """A thread that runs `function` in the turn. ``outcome`` is what that returned or raised."""

    def __init__(self, function: Callable[[Victim], Any]) -> None:
        # What it may wait for, in a call of a function written in C.
        self.lock = threading.Lock()
        self.lock.acquire()
        self.noted: list[str] = []
        self.outcome: object = None
        self.trace: object = None
        self._function = function
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(PATIENCE)

    @property
    def ident(self) -> int:
        """The thread."""
        return self._thread.ident or 0

    def here(self) -> None:
        """What comes now is what the test is about."""
        self._begun.set()

    def blocks(self) -> bool:
        """Whether it waits for the lock."""
        frame = sys._current_frames().get(self.ident)
        return frame is not None and position_of(frame).call == "victim.lock.acquire"

    def end(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def functions(self) -> list[str]:
        """The functions on the way from `function` to where the interrupt came."""
        assert isinstance(self.outcome, KeyboardInterrupt)
        codes = [step.tb_frame.f_code for step in steps_of(self.outcome.__traceback__)]
        # From Python 3.12 on it is raised in the wire's own function.
        users = [code for code in codes if code.co_filename != tripwire.__file__]
        return [code.co_name for code in users if not code.co_name.startswith("_")]

    def _run(self) -> None:
        enlist_thread()
        with turn:
            try:
                self.outcome = self._function(self)
            except KeyboardInterrupt as error:
                self.outcome = error
            self.trace = sys.gettrace()


def always(frame: FrameType) -> Verdict:
    """Interrupt the thread wherever that can be."""
    return Verdict.RAISE


def interrupt(function: Callable[[Victim], Any], judge: Callable[[FrameType], Verdict] = always) -> Victim:
    """Interrupt `function` while it computes, and wait until it has ended."""
    victim = Victim(function)
    assert Tripwire(victim.ident, judge).stretch() is not None
    victim.end()
    return victim


def interrupt_call(function: Callable[[Victim], Any], judge: Callable[[FrameType], Verdict] = always) -> Victim:
    """Interrupt `function` while it waits for the lock, and give it the lock."""
    victim = Victim(function)
    assert eventually(victim.blocks)
    wire = Tripwire(victim.ident, judge)
    wire.blocked = wire.stretch()
    victim.lock.release()
    victim.end()
    return victim


# --- what computes -----------------------------------------------------------------------------------


def loop(victim: Victim) -> None:
    victim.here()
    while True:
        pass


def iterate(victim: Victim) -> None:
    victim.here()
    for _ in itertools.count():
        pass


def take_from_a_generator(victim: Victim) -> None:
    victim.here()
    sum(1 for _ in itertools.count())


def be_called_by_c(victim: Victim) -> None:
    victim.here()
    sum(map(nothing, itertools.count()))


def nothing(number: int) -> int:
    return 0


def call_again_and_again(victim: Victim) -> None:
    victim.here()
    while True:
        nothing(0)


def loop_in_a_coroutine(victim: Victim) -> None:
    async def coroutine() -> None:
        loop(victim)

    coroutine().send(None)


HOGS = [loop, iterate, take_from_a_generator, be_called_by_c, call_again_and_again, loop_in_a_coroutine]


@pytest.mark.parametrize("function", HOGS)
def test_what_does_not_end_is_interrupted(function: Callable[[Victim], Any]) -> None:
    assert function.__name__ in interrupt(function).functions()


def test_nothing_is_left_on_the_thread() -> None:
    assert interrupt(loop).trace is None


def test_it_comes_once() -> None:
    def again(victim: Victim) -> str:
        for _ in range(2):
            try:
                if not victim.noted:
                    loop(victim)
                for _ in range(1000):
                    nothing(0)
            except KeyboardInterrupt:
                victim.noted.append("interrupted")
        return "ended"

    victim = interrupt(again)
    assert (victim.outcome, victim.noted) == ("ended", ["interrupted"])


def test_it_comes_only_where_the_judge_says() -> None:
    def outer(victim: Victim) -> None:
        inner(victim)
        while True:
            pass

    def inner(victim: Victim) -> None:
        victim.here()
        for _ in range(1000):
            nothing(0)
        victim.noted.append("ended")

    def judge(frame: FrameType) -> Verdict:
        return Verdict.RAISE if frame.f_code is outer.__code__ else Verdict.PASS

    victim = interrupt(outer, judge)
    assert victim.functions() == ["outer"]
    assert victim.noted == ["ended"]


@pytest.mark.parametrize("by", ["judge", "cut"])
def test_once_it_is_cut_nothing_happens(by: str) -> None:
    def work(victim: Victim) -> str:
        victim.here()
        victim.lock.acquire()
        for _ in range(1000):
            nothing(0)
        return "whole"

    asked: list[str] = []

    def judge(frame: FrameType) -> Verdict:
        asked.append(frame.f_code.co_name)
        return Verdict.CUT

    victim = Victim(work)
    assert eventually(victim.blocks)
    wire = Tripwire(victim.ident, judge)
    wire.stretch()
    if by == "cut":
        wire.cut()
    victim.lock.release()
    victim.end()
    assert (victim.outcome, victim.trace) == ("whole", None)
    assert asked == (["work"] if by == "judge" else [])


def test_a_thread_that_is_not_known_is_left_alone() -> None:
    assert Tripwire(0, always).stretch() is None


# --- calls that block ----------------------------------------------------------------------------------


def call(victim: Victim) -> None:
    victim.here()
    victim.lock.acquire()
    victim.noted.append("went on")


def call_last(victim: Victim) -> object:
    victim.here()
    return victim.lock.acquire()


def call_in_try(victim: Victim) -> None:
    victim.here()
    try:
        victim.lock.acquire()
    finally:
        victim.noted.append("left")


def call_last_in_try(victim: Victim) -> object:
    victim.here()
    try:
        return victim.lock.acquire()
    finally:
        victim.noted.append("left")


@contextmanager
def block(victim: Victim) -> Iterator[None]:
    """Note that it was left."""
    try:
        yield
    finally:
        victim.noted.append("left")


def call_last_in_with(victim: Victim) -> object:
    victim.here()
    with block(victim):
        return victim.lock.acquire()


# And what of them is done all the same.
BLOCKING: dict[Callable[[Victim], Any], list[str]] = {
    call: [],
    call_last: [],
    call_in_try: ["left"],
    call_last_in_try: ["left"],
    call_last_in_with: ["left"],
}


@pytest.mark.parametrize("function", BLOCKING)
def test_a_call_that_blocks_is_interrupted_when_it_returns(function: Callable[[Victim], Any]) -> None:
    victim = interrupt_call(function)
    assert victim.functions()[0] == function.__name__
    assert victim.noted == BLOCKING[function]


def test_the_judge_is_asked_before_anything_follows_a_call() -> None:
    seen: list[list[str]] = []
    victim = Victim(call)

    def judge(frame: FrameType) -> Verdict:
        seen.append(list(victim.noted))
        return Verdict.CUT

    assert eventually(victim.blocks)
    Tripwire(victim.ident, judge).stretch()
    victim.lock.release()
    victim.end()
    assert seen == [[]]
    assert victim.noted == ["went on"]


# --- what is tidied up ---------------------------------------------------------------------------------


class Counted:
    """A resource that counts how often it is taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


@pytest.mark.parametrize("attempt", range(10))
@pytest.mark.parametrize("make", [Counted, threading.Lock])
def test_an_interrupt_never_leaves_out_the_end_of_a_with_block(make: Callable[[], Any], attempt: int) -> None:
    """At points that nobody chose."""
    resource = make()

    def use(victim: Victim) -> None:
        victim.here()
        while True:
            with resource:
                nothing(attempt)

    # A function's start is a place to interrupt it, but this one has the resource by then.
    interrupt(use, lambda frame: Verdict.PASS if frame.f_code.co_name == "__enter__" else Verdict.RAISE)
    assert not (resource.locked() if make is threading.Lock else resource.taken)


def returning(path: str) -> object:
    with open(path) as file:
        return file.read()


def test_the_points_that_are_safe_are_inside_the_block_that_is_left() -> None:
    assert safe_points(returning.__code__) < safe_points(returning.__code__, calls=True)
    assert not safe_points(Counted.__exit__.__code__)
