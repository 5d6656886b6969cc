"""The stop button: where a KeyboardInterrupt may land, and where it must wait.

SIGINT is handled on the main thread, between any two bytecodes of whatever runs there. In a cell's own code
that is what the user wants. In the middle of the framework it would leave a half-changed structure behind,
so while the main thread holds the turn and framework code is at work, the interrupt is noted and raised when
the turn ends. A user's callback in the turn stays interruptible: its frame is the innermost one that counts.

When neither can help, because the main thread waits for a turn that a callback on the reactor thread does
not give back, interrupting that callback is the business of whoever watches the reactor for stalls.
"""

from __future__ import annotations

import signal
import sys
import threading
from _thread import get_ident
from types import FrameType

from IPython.core.interactiveshell import InteractiveShell

from wirebook import reactor
from wirebook.turn import Turn, turn

FRAMEWORK = frozenset({"wirebook", "wirebook_kernel", "wirebook_widgets"})
"""Top-level packages that a KeyboardInterrupt must not surprise while they hold the turn."""

LIBRARIES = sys.stdlib_module_names | {"OpenSSL", "cryptography", "_cffi_backend"}
"""Top-level packages that work for whoever called them: their frames tell nothing."""

_CHANGING_HANDS = {Turn.acquire.__code__, Turn.release.__code__}
_RUN_CODE = InteractiveShell.run_code.__code__


def guard_cell() -> None:
    """Guard the cell that starts now, if it runs on the main thread and the usual handler is in place.

    ipykernel puts its own handler back when the message is done, so there is nothing to undo here.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler: raise KeyboardInterrupt now, at the end of the turn, or in a moment."""
    owner = turn.owner
    if owner == get_ident() and _in_framework(frame):
        turn.hold_interrupt()
    elif owner == 0 and frame is not None and frame.f_code in _CHANGING_HANDS:
        # This thread may have the lock without being known as the owner: an exception would keep it for ever. The
        # reactor sends the signal again when its own turn comes; then this thread has it, or has not.
        reactor.callFromThread(signal.pthread_kill, get_ident(), signum)
    else:
        raise KeyboardInterrupt


def runs_cell_code(frame: FrameType | None) -> bool:
    """Whether `frame` was called, at any depth, by the code of a cell, which catches what is raised in it."""
    while frame is not None:
        frame = frame.f_back
        if frame is not None and frame.f_code is _RUN_CODE:
            return True
    return False


def _in_framework(frame: FrameType | None) -> bool:
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in FRAMEWORK:
            return True
        if package not in LIBRARIES:
            return False
        frame = frame.f_back
    return False
