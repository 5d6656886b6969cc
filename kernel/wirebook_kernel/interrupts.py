"""The stop button: where a KeyboardInterrupt may land, and where it must wait.

SIGINT is handled on the main thread, between any two bytecodes of whatever runs there. In a cell's own code
that is what the user wants. In the middle of the framework it would leave a half-changed structure behind,
so while the main thread holds the turn and framework code is at work, the interrupt is noted and raised when
the turn ends. A user's callback in the turn stays interruptible: its frame is the innermost one that counts.

Who is meant
    The running cell. Where it waits for the reactor (for the turn, a Deferred, the end of `run`), or where no cell
    runs, a callback that keeps the reactor is in the way, so that one is interrupted too. A signal handler cannot
    see to that; it rings a bell, and the watchdog does it (`interrupt_holder`), once it has found that the turn
    is really kept by something and not just changing hands.

On another thread
    A callback on the reactor's thread gets an asynchronous exception. CPython raises it at the next place at which it
    looks for signals, wherever that is. So it is sent only when the thread stands in the user's code, which is
    looked at and acted on in one step: see `Interruption.send`. It then comes in that code, or at the very entry or
    return of a call out of it, where it is like an exception of the callback. (CPython 3.13 and later may look once
    more before they raise it; then it can come a moment after the callback in the loop, which survives it.)

Calls that cannot be interrupted
    A call written in C sees no exception before it returns, and a signal does not end it: only on the main thread do
    Python's blocking calls give up when one comes (PEP 475). The turn is therefore taken away from a thread that
    does not react, and the reactor goes on in a new one. The exception is still on its way to the old thread, and is
    made there before any other code runs. Making it takes the turn again. So the framework's
    frames further up never run without the turn, and to them it is as if the callback had iterated the reactor.
"""

from __future__ import annotations

import builtins
import ctypes
import signal
import sys
import threading
from _thread import allocate_lock, get_ident
from collections import deque
from types import FrameType
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from wirebook import reactor
from wirebook.logger import report_event
from wirebook.turn import turn
from wirebook_kernel.frames import in_framework, outwards, package_of, position_of
from wirebook_kernel.sharing import quicken_reactor

# How often it is looked whether a thread is in the user's code, and how long a pause is made after a few looks.
LOOKS: Final = 200
LOOK_PAUSE: Final = 0.0005
# Seconds in which Python code reacts to an exception, and a call in C commonly does not.
REACTION: Final = 0.05

_RUN_CODE = InteractiveShell.run_code.__code__
# What Python calls when it frees an object: an exception in there is printed and dropped.
_FINALIZERS: Final = frozenset({("_weakrefset", "_remove"), ("weakref", "remove"), ("weakref", "__call__")})
_dropped: Final[deque[int]] = deque()
_set_async_exc: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc


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


# --- on the main thread --------------------------------------------------------------------------------


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


def interrupt(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler of cells: raise KeyboardInterrupt now, or when the framework has done what it is at."""
    if _would_drop(frame):
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


def interrupt_idle(signum: int, frame: FrameType | None) -> None:
    """The SIGINT handler while no cell runs: it is for a callback that keeps the reactor, if there is one."""
    bell.press()


def runs_cell_code(frame: FrameType | None) -> bool:
    """Whether `frame` was called, at any depth, by the code of a cell, which catches what is raised in it."""
    return frame is not None and any(each.f_code is _RUN_CODE for each in outwards(frame.f_back))


# --- on other threads ----------------------------------------------------------------------------------


class StopButton(KeyboardInterrupt):
    """What a callback is interrupted with. To people it is the KeyboardInterrupt that it is."""

    __module__ = "builtins"

    def __init__(self) -> None:
        super().__init__()
        interruption = _under_way.pop(get_ident(), None)
        if interruption is not None:
            interruption.arrive()


StopButton.__name__ = StopButton.__qualname__ = builtins.KeyboardInterrupt.__name__


class Interruption:
    """One exception on its way to the thread that holds the turn."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.arrived = threading.Event()
        self._first = allocate_lock()
        self._taken_away = threading.Event()
        self._depth = 0
        # Where the thread was when it was sent: while it is there still, it has not run.
        self._frame: FrameType | None = None
        self._at = -1

    def send(self) -> bool:
        """Send it, once the thread is in the user's code; False when it is never seen there."""
        pause = threading.Event()
        for look in range(LOOKS):
            if turn.owner != self.thread:
                return False
            if self._send_now():
                return True
            if look % 8 == 7:
                pause.wait(LOOK_PAUSE)
        return False

    def _send_now(self) -> bool:
        thread = self.thread
        frame = sys._current_frames().get(thread)
        if frame is None or in_framework(frame):
            return False
        at = frame.f_lasti
        ident, kind = ctypes.c_ulong(thread), ctypes.py_object(StopButton)
        _under_way[thread] = self
        # No other thread runs from the first step of this loop to the call in it: CPython lets others run where a
        # call has returned, but not where an iterator has.
        for frames in iter(sys._current_frames, None):
            if frames[thread] is frame and frame.f_lasti == at and turn.owner == thread:
                _set_async_exc(ident, kind)
                self._frame, self._at = frame, at
                return True
            break
        del _under_way[thread]
        return False

    def arrive(self) -> None:
        """It is raised, on its thread; go on with the turn, whatever happened meanwhile."""
        # One that was thought to be lost may come as well.
        if not self._first.acquire(blocking=False) and not self.arrived.is_set():
            self._taken_away.wait()
            turn.take_back(self._depth)
        self.arrived.set()

    def take_away(self) -> bool:
        """Take the turn away from the thread if it has not run since; False when it has."""
        thread, frame, at, claim = self.thread, self._frame, self._at, self._first
        if frame is None:
            return False
        for frames in iter(sys._current_frames, None):
            # As above: it is still there, and cannot get any further before this has the claim.
            if thread not in frames or frames[thread] is not frame or frame.f_lasti != at or not claim.acquire(False):
                return False
            break
        self._depth = turn.take_away()
        self._taken_away.set()
        return True


_under_way: dict[int, Interruption] = {}


def interrupt_holder() -> None:
    """Interrupt what keeps the turn, and see to it that the turn comes free; not on the main thread."""
    thread = turn.owner
    if thread == threading.main_thread().ident:
        if turn.interrupted == thread:
            # It is held back, and may be outside the framework by now.
            signal.pthread_kill(thread, signal.SIGINT)
        return
    interruption = Interruption(thread)
    # It is sent again when it was lost: what is raised while C code tidies up is dropped by the interpreter.
    while thread and interruption.send() and not interruption.arrived.wait(REACTION):
        if interruption.take_away():
            _go_on_without(thread)
            return


def _go_on_without(thread: int) -> None:
    frame = sys._current_frames().get(thread)
    if reactor.hosting.thread is not None and reactor.hosting.thread.ident == thread:
        reactor.hosting.replace_thread()
        reactor.callFromThread(quicken_reactor)
    if frame is not None:
        at = position_of(frame)
        report_event(
            f"Interrupted: {at.call or at.function}() in {at.function} cannot be ended before it returns, "
            "which is when it gets the KeyboardInterrupt. The reactor goes on without it.",
            at.context,
        )
