"""Interrupting a callback that keeps the reactor, whatever it does there.

One that runs Python code gets its KeyboardInterrupt at the next step that it takes in the user's code: see `Tripwire`.
It becomes a Failure, or is reported, like any error of a callback.

A call written in C (``sleep``, ``recv``) takes no step before it returns, and a signal does not end it: only on the
main thread do Python's blocking calls give up for one (PEP 475). It can only be left behind. The turn is taken away
from its thread, and the reactor goes on in a new one. When the call does return, the first thing that happens on
the old thread is that it takes the turn again and gets its KeyboardInterrupt. To the framework's frames further up it
is as if the callback had iterated the reactor itself; they return, and the old thread ends.

Nothing of this depends on time. A thread that has no processor for a while looks like one that is stuck; the turn is
taken away from it and given back all the same, and no harm is done.
"""

from __future__ import annotations

import signal
import sys
import threading
from _thread import allocate_lock, get_ident
from time import monotonic
from types import FrameType
from typing import Final

from wirebook import reactor
from wirebook.logger import report_event
from wirebook.turn import turn
from wirebook_kernel.frames import callback_on, in_framework, outwards, position_of
from wirebook_kernel.interrupts import bell, has_to_end
from wirebook_kernel.tripwire import Tripwire, Verdict

# Seconds after which one callback counts as one that keeps the turn, and all callbacks of one iteration together.
KEPT: Final = 0.1
ALL_KEPT: Final = 1.0


class Interruption:
    """What the stop button does to who keeps the turn, while the thread that uses this stands in line for it.

    A context manager for that time. It is meant for the callback that keeps the turn: once that has returned, nothing
    is interrupted. `pressed` is whether the button was pressed before.
    """

    def __init__(self, pressed: bool) -> None:
        self._pressed = pressed
        self._began = self._since = monotonic()
        self._callback = callback_on(turn.owner)
        self._shot: Shot | None = None

    def __enter__(self) -> Interruption:
        return self

    def __exit__(self, *_: object) -> None:
        self._call_off()

    def urge(self) -> None:
        """Do what can be done now, if the button was pressed. Called every now and then."""
        holder = turn.owner
        callback = callback_on(holder)
        if callback is not self._callback:
            self._callback, self._since = callback, monotonic()
        if bell.take_press():
            self._pressed = True
            self._call_off()
        if not self._pressed:
            return
        if holder == threading.main_thread().ident:
            if turn.interrupted == holder:
                # It is held back, and may be outside the framework by now.
                signal.pthread_kill(holder, signal.SIGINT)
        elif self._shot is not None:
            self._shot.urge()
        elif is_reactor(holder):
            self._shoot(holder)

    def _shoot(self, thread: int) -> None:
        now = monotonic()
        if self._callback is not None and now - self._since >= KEPT:
            self._shot = Shot(thread, self._callback)
        elif now - self._began >= ALL_KEPT:
            self._shot = Shot(thread, None)

    def _call_off(self) -> None:
        if self._shot is not None:
            self._shot.call_off()
            self._shot = None


class Shot:
    """One KeyboardInterrupt for what the reactor is at on `thread`, where it holds the turn: `callback`, or any."""

    def __init__(self, thread: int, callback: FrameType | None) -> None:
        self._thread = thread
        self._callback = callback
        # Held by the thread at its first step, or by who takes the turn away from it.
        self._claim = allocate_lock()
        self._moved = False
        self._depth: int | None = None
        self._wire = Tripwire(thread, self._judge)
        # Where the thread was when it was looked at last.
        self._frame = self._wire.stretch()

    def urge(self) -> None:
        """Look what has become of it, some time later."""
        if self._depth is None and turn.owner == self._thread and not self._leave_behind():
            self._frame = self._wire.stretch()

    def call_off(self) -> None:
        """The thread has given the turn back; if it was taken away, the shot is still to come."""
        if self._depth is None:
            self._wire.cut()

    def _leave_behind(self) -> bool:
        """Have the reactor go on without the thread, if that is stuck in the user's code."""
        with self._claim:
            frame = self._frame
            if self._moved or frame is None or sys._current_frames().get(self._thread) is not frame:
                return False
            if not _is_users(frame):
                return False
            at = position_of(frame)
            self._wire.blocked = frame
            self._depth = reactor.hosting.replace_thread()
        what = f"{at.call or at.function}() cannot be interrupted before it returns; the reactor goes on without it"
        then = f", and {at.function}() gets its KeyboardInterrupt then" if at.file else ""
        report_event(what + then, at.context)
        return True

    def _judge(self, frame: FrameType) -> Verdict:
        """On the thread, at every step: is this the place?"""
        if not self._moved:
            with self._claim:
                self._moved = True
            if self._depth is not None:
                turn.take_back(self._depth)
                if not _is_users(frame):
                    # The framework itself has called what was stuck, and that has returned.
                    return Verdict.CUT
        if turn.owner != get_ident() or not (self._callback is None or self._callback in outwards(frame)):
            return Verdict.CUT
        return Verdict.RAISE if _is_users(frame) else Verdict.PASS


def _is_users(frame: FrameType) -> bool:
    return not (in_framework(frame) or has_to_end(frame))


def is_reactor(thread: int) -> bool:
    """Whether the reactor runs on this thread."""
    hosted = reactor.hosting.thread
    return hosted is not None and hosted.ident == thread
