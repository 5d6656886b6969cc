"""The stop button: where a KeyboardInterrupt may land, and where it must wait.

SIGINT is handled on the main thread, between any two bytecodes of whatever runs there. In a cell's own code
that is what the user wants. In the middle of the framework it would leave a half-changed structure behind,
so while the main thread holds the turn and framework code is at work, the interrupt is noted and raised when
the turn ends. A user's callback in the turn stays interruptible: its frame is the innermost one that counts.

The running cell is meant. Where it waits for the reactor (for the turn, a Deferred, the end of `run`), or where no
cell runs, a callback that keeps the reactor is in the way, so that one is interrupted too. A signal handler cannot
see to that; it rings a bell, and the watchdog does it (see `Interruption`), once it has found that the turn is really
kept by something and not just changing hands.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import CodeType, FrameType, FunctionType
from typing import Any, Final, ParamSpec, TypeVar, cast

from IPython.core.interactiveshell import InteractiveShell

from wirebook.turn import turn
from wirebook_kernel.frames import in_framework, outwards, package_of

P = ParamSpec("P")
R = TypeVar("R")

_RUN_CODE = InteractiveShell.run_code.__code__
# What Python calls when it frees an object: an exception in there is printed and dropped.
_FINALIZERS: Final = frozenset({("_weakrefset", "_remove"), ("weakref", "remove"), ("weakref", "__call__")})
# The code of what is `undivided`.
_undivided: Final[set[CodeType]] = set()
# Interrupts that came in there, and those that came where they would be dropped.
_delayed: Final[deque[int]] = deque()
_dropped: Final[deque[int]] = deque()


class Bell:
    """Wakes the watchdog, also from a signal handler: each method is safe wherever it interrupts whom."""

    def __init__(self) -> None:
        self._pressed = False
        self._silence = allocate_lock()
        self._silence.acquire()

    def ring(self) -> None:
        """End a `wait`, or the next one."""
        try:
            self._silence.release()
        except RuntimeError:
            """It rings already."""

    def press(self) -> None:
        """Ring because of the stop button: what keeps the turn is to be interrupted."""
        self._pressed = True
        self.ring()

    def wait(self, seconds: float) -> None:
        """Wait until it rings, `seconds` at most; -1 is for ever."""
        self._silence.acquire(timeout=seconds)

    def take_press(self) -> bool:
        """Whether the stop button was pressed since this was asked last."""
        pressed, self._pressed = self._pressed, False
        return pressed


bell: Final = Bell()


def guard_cell() -> None:
    """Guard the cell that starts now, if it runs on the main thread and the usual handler is in place.

    ipykernel puts its own handler back when the message is done, so there is nothing to undo here.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def guard_idle(kernel: Any) -> None:
    """Let the stop button reach callbacks while `kernel` runs no cell, where ipykernel ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt_idle)
    elif getattr(kernel, "saved_sigint_handler", None) is signal.SIG_IGN:
        # In a cell: this is what is put back at its end.
        kernel.saved_sigint_handler = interrupt_idle


def guard_await(kernel: Any) -> None:
    """Let the stop button end at once what a cell of `kernel` awaits, from the next cell on."""
    if hasattr(kernel, "_cancel_on_sigint"):
        kernel._cancel_on_sigint = cancel_on_sigint


def unguard_await(kernel: Any) -> None:
    """Give ipykernel its own way back."""
    if hasattr(kernel, "_cancel_on_sigint"):
        del kernel._cancel_on_sigint


@contextmanager
def cancel_on_sigint(future: asyncio.Future[Any]) -> Iterator[None]:
    """Let SIGINT end a cell that awaits, whose end is `future`; what ipykernel enters for each of these cells.

    Its own way wakes the loop too late: Tornado's add_callback from a signal handler does not end the wait in the
    selector. A cell that is computing gets a KeyboardInterrupt, as any cell does. What it awaits may be up to a
    callback that keeps the reactor, and cancelling takes the turn: so that one is ended too.
    """
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        if runs_cell_code(frame):
            interrupt(number, frame)
        else:
            bell.press()
            loop.call_soon_threadsafe(future.cancel)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler of cells: raise KeyboardInterrupt now, or when the framework has done what it is at."""
    if _divides(frame):
        _delayed.append(signum)
        return
    if would_drop(frame):
        _dropped.append(signum)
        bell.ring()
        return
    held = turn.owner == get_ident()
    inside = in_framework(frame)
    if inside:
        bell.press()
    if held and (inside or _in_callback(frame)):
        # In a callback the exception goes to its Deferred or is reported: the cell has to hear of it too.
        turn.hold_interrupt()
    if not (held and inside):
        raise KeyboardInterrupt


def interrupt_idle(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler while no cell runs: it is for a callback that keeps the reactor, if there is one."""
    bell.press()


def press_again() -> None:
    """Send the interrupts again that came where Python drops exceptions; by now that is over, or soon will be."""
    _press_again(_dropped)


def _press_again(presses: deque[int]) -> None:
    # Not until there are none: one that comes too early again, within something else undivided, is its end's.
    for _ in range(len(presses)):
        signal.pthread_kill(threading.main_thread().ident or 0, presses.pop())


def undivided(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that holds a lock for which other threads wait: an interrupt comes when it has ended.

    From Python 3.14 on one could come between taking the lock and the body of its ``with``, which then never gives it
    back.
    """
    _undivided.add(cast(FunctionType, function).__code__)

    @wraps(function)
    def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            # By the main thread itself: a signal that another one sends might come just before a system call in which
            # this one then waits, and be looked at when that is over.
            if _delayed and get_ident() == threading.main_thread().ident:
                _press_again(_delayed)

    return whole


def has_to_end(frame: FrameType | None) -> bool:
    """Whether what runs in `frame` must end before there is an exception."""
    return _divides(frame) or would_drop(frame)


def _divides(frame: FrameType | None) -> bool:
    """Whether `frame` is part of something `undivided`."""
    return any(each.f_code in _undivided for each in outwards(frame))


def would_drop(frame: FrameType | None) -> bool:
    """Whether an exception in `frame` would be dropped by the interpreter, which is freeing an object there."""
    watching_gc = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    for each in outwards(frame):
        if each.f_code is _RUN_CODE:
            return False
        if each.f_code in watching_gc:
            return True
        name = each.f_code.co_name
        if name == "__del__" or (each.f_globals.get("__name__"), name) in _FINALIZERS:
            return True
    return False


def _in_callback(frame: FrameType | None) -> bool:
    """Whether core has called what runs in `frame`, and is called by a cell."""
    for each in outwards(frame):
        if package_of(each) == "wirebook":
            return True
        if each.f_code is _RUN_CODE:
            return False
    return False


def runs_cell_code(frame: FrameType | None) -> bool:
    """Whether `frame` was called, at any depth, by the code of a cell, which catches what is raised in it."""
    return frame is not None and any(each.f_code is _RUN_CODE for each in outwards(frame.f_back))
