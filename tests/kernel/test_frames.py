"""What a thread is at is read from its frames: whose code, for whom, on which line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from tests.conftest import eventually
from wirebook.deferred import Deferred, ensureDeferred, inlineCallbacks, maybeDeferred, succeed
from wirebook.reactor.loop import ReactorBase
from wirebook.task import Cooperator
from wirebook.turn import turn
from wirebook_kernel.frames import in_framework, position_of

LONG = 0.3


@contextmanager
def busy(action: Callable[[], object]) -> Iterator[FrameType]:
    """The innermost frame of a thread that has been in `action` for a moment, and will be for another."""
    thread = threading.Thread(target=action)
    thread.start()
    ident = thread.ident
    assert ident is not None
    assert eventually(lambda: turn.owner == ident)
    time.sleep(LONG / 6)
    yield sys._current_frames()[ident]
    thread.join()


def wait(_: object = None) -> None:
    """A user's function."""
    time.sleep(LONG)


async def wait_in_coroutine() -> None:
    """A user's coroutine."""
    wait()


def wait_in_lambda() -> object:
    """A user's function, with another inside."""
    return succeed(None).addCallback(lambda _: wait())


def wait_in_framework(_: object = None) -> object:
    """A user's function, which has something called by the framework that leaves no frame."""
    return maybeDeferred(time.sleep, LONG)


def in_turn() -> None:
    """A cell that holds the turn."""
    with turn:
        wait()


def in_turn_and_framework() -> None:
    """A cell that holds the turn, and calls the framework."""
    with turn:
        wait_in_framework()


def of_cooperator() -> None:
    """A step of a cooperative task."""
    ticks: list[Callable[[], None]] = []
    Cooperator(scheduler=ticks.append).cooperate(iter(wait, 1))
    with turn:
        ticks[0]()


def of_reactor() -> None:
    """A call of the reactor's."""
    reactor = ReactorBase()
    reactor.callFromThread(time.sleep, LONG)
    reactor.iterate()
    reactor.close()


USERS: dict[str, Callable[[], object]] = {
    "a step": lambda: succeed(None).addCallback(wait),
    "a coroutine": lambda: ensureDeferred(wait_in_coroutine()),
    "a generator": lambda: inlineCallbacks(lambda: (yield wait()))(),  # type: ignore[func-returns-value]
    "a cell": in_turn,
    "a step written in C": lambda: succeed(LONG).addCallback(time.sleep),
    "a call written in C": of_reactor,
    "the standard library, as a step": lambda: succeed(LONG).addCallback(threading.Event().wait),
}


@pytest.mark.parametrize("what", USERS)
def test_code_of_the_user_is_at_work_in(what: str) -> None:
    with busy(USERS[what]) as frame:
        assert not in_framework(frame)


def test_the_framework_is_at_work_where_it_waits_itself() -> None:
    thread = threading.Thread(target=Deferred[None]().wait, args=(LONG,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: None)
        thread.start()
        ident = thread.ident
        assert ident is not None
        time.sleep(LONG / 6)
        assert in_framework(sys._current_frames()[ident])
        thread.join()


def test_code_that_only_the_system_has_called_is_nobodys() -> None:
    assert not in_framework(None)


CALLS: dict[str, tuple[Callable[[], object], str, str]] = {
    "a step": (USERS["a step"], "wait", "time.sleep"),
    "a coroutine": (USERS["a coroutine"], "wait_in_coroutine", "time.sleep"),
    "a step written in C": (USERS["a step written in C"], "sleep", ""),
    "a cooperative task": (of_cooperator, "wait", "time.sleep"),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_position_names_the_callback_and_the_call_it_is_at(what: str) -> None:
    action, function, call = CALLS[what]
    with busy(action) as frame:
        position = position_of(frame)
    assert position.function == function
    assert position.call == call
    assert position.context is not None
    if call:
        assert (position.file, position.source) == (__file__, "time.sleep(LONG)")


def test_of_callbacks_within_callbacks_the_inner_one_counts() -> None:
    with busy(lambda: succeed(None).addCallback(lambda _: wait_in_lambda())) as frame:
        assert position_of(frame).function.endswith("wait_in_lambda.<locals>.<lambda>")


def test_a_callback_that_has_called_the_framework_is_still_that_callback() -> None:
    with busy(lambda: succeed(None).addCallback(wait_in_framework)) as frame:
        position = position_of(frame)
    assert position.function == "wait_in_framework"
    assert position.source == "return maybeDeferred(time.sleep, LONG)"
    assert position.context is not None


@pytest.mark.parametrize(
    ("cell", "source"),
    [(in_turn, "time.sleep(LONG)"), (in_turn_and_framework, "return maybeDeferred(time.sleep, LONG)")],
)
def test_a_cell_that_holds_the_turn_has_no_callback(cell: Callable[[], None], source: str) -> None:
    with busy(cell) as frame:
        position = position_of(frame)
    assert position.context is None
    assert position.source == source
