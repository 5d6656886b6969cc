"""What the tests of Deferreds share."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from wirebook.deferred import (
    Deferred,
    setDebugging,
)
from wirebook.failure import Failure

T = TypeVar("T")
cell: ContextVar[str] = ContextVar("cell", default="none")


def in_cell(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call with the variable `cell` set to `name`, in a context of its own."""
    context = contextvars.copy_context()
    context.run(cell.set, name)
    return context.run(function, *args)


def boom(*_: object) -> None:
    """Raise ValueError("boom")."""
    raise ValueError("boom")


def double(value: int) -> int:
    """Twice the value."""
    return value * 2


def outcome(deferred: Deferred[Any]) -> Any:
    """What the Deferred has now, consumed."""
    seen: list[Any] = []
    deferred.addBoth(seen.append)
    assert seen, f"{deferred!r} has no result"
    return seen[0]


def error_of(deferred: Deferred[Any], kind: type[BaseException]) -> Any:
    """The error the Deferred has now, consumed; it must be of this kind."""
    failure = outcome(deferred)
    assert isinstance(failure, Failure)
    assert failure.type is kind, failure
    return failure.value


def run_threads(count: int, function: Callable[[int], None]) -> None:
    """Call ``function(number)`` in `count` threads at once, and wait; an error in one fails the test."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            function(number)
        except BaseException as error:  # told to the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert errors == []


def give(_: object, value: T) -> T:
    """Return the extra argument: a callback that replaces its result."""
    return value


def waits_for(outer: Deferred[Any], inner: Deferred[Any]) -> bool:
    """Whether the chain of `outer` stands still for `inner`."""
    return outer.result is inner


def fire_when(ready: Callable[[], object], deferred: Deferred[T], result: T) -> threading.Thread:
    """A thread that fires `deferred` as soon as `ready` is true."""

    def fire() -> None:
        until(ready)
        deferred.callback(result)

    thread = threading.Thread(target=fire)
    thread.start()
    return thread


def until(condition: Callable[[], object]) -> None:
    """Spin until `condition` is true; a bound for what another thread does next."""
    for _ in range(100_000_000):
        if condition():
            return
    raise AssertionError("it never happened")


class Clock:
    """Virtual time, as far as addTimeout needs it."""

    class Timer:
        def __init__(self, function: Callable[[], None]) -> None:
            self.function, self.pending = function, True

        def active(self) -> bool:
            return self.pending

        def cancel(self) -> None:
            assert self.pending
            self.pending = False

        def expire(self) -> None:
            assert self.pending
            self.pending = False
            self.function()

    def __init__(self) -> None:
        self.delay = 0.0

    def callLater(self, delay: float, function: Callable[..., Any], /) -> Timer:
        self.delay, self.timer = delay, self.Timer(function)
        return self.timer


@contextmanager
def without_gc() -> Iterator[None]:
    """Have only reference counts free what is dropped."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def debugging() -> Iterator[None]:
    """Have Deferreds record where they are made and fired."""
    setDebugging(True)
    try:
        yield
    finally:
        setDebugging(False)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
