"""The stop button: where a KeyboardInterrupt may land, and where it must wait.

SIGINT is handled on the main thread, between any two bytecodes of whatever runs there. In a cell's own code
that is what the user wants. In the middle of the framework it would leave a half-changed structure behind,
so while the main thread holds the turn and framework code is at work, the interrupt is noted and raised when
the turn ends. A user's callback in the turn stays interruptible: its frame is the innermost one that counts.
"""

from __future__ import annotations

import signal
import threading
from _thread import allocate_lock, get_ident
from collections import deque
from types import FrameType
from typing import Final

from IPython.core.interactiveshell import InteractiveShell

from wirebook.turn import turn
from wirebook_kernel.frames import in_framework, outwards, package_of

_RUN_CODE = InteractiveShell.run_code.__code__
# What Python calls when it frees an object: an exception in there is printed and dropped.
_FINALIZERS: Final = frozenset({("_weakrefset", "_remove"), ("weakref", "remove"), ("weakref", "__call__")})
_dropped: Final[deque[int]] = deque()


class Bell:
    """Wakes the watchdog, also from a signal handler: each method is safe wherever it interrupts whom."""

    def __init__(self) -> None:
        self._silence = allocate_lock()
        self._silence.acquire()

    def ring(self) -> None:
        """End a `wait`, or the next one."""
        try:
            self._silence.release()
        except RuntimeError:
            """It rings already."""

    def wait(self, seconds: float) -> None:
        """Wait until it rings, `seconds` at most; -1 is for ever."""
        self._silence.acquire(timeout=seconds)


bell: Final = Bell()


def guard_cell() -> None:
    """Guard the cell that starts now, if it runs on the main thread and the usual handler is in place.

    ipykernel puts its own handler back when the message is done, so there is nothing to undo here.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler of cells: raise KeyboardInterrupt now, or when the framework has done what it is at."""
    if _would_drop(frame):
        _dropped.append(signum)
        bell.ring()
        return
    held = turn.owner == get_ident()
    inside = in_framework(frame)
    if held and (inside or _in_callback(frame)):
        # In a callback the exception goes to its Deferred or is reported: the cell has to hear of it too.
        turn.hold_interrupt()
    if not (held and inside):
        raise KeyboardInterrupt


def press_again() -> None:
    """Send the interrupts again that came where Python drops exceptions; by now that is over, or soon will be."""
    while _dropped:
        signal.pthread_kill(threading.main_thread().ident or 0, _dropped.pop())


def _would_drop(frame: FrameType | None) -> bool:
    for each in outwards(frame):
        if each.f_code is _RUN_CODE:
            return False
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
