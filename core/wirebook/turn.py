"""The turn: who may touch reactor state now.

One process-wide re-entrant lock serialises every callback and every call into the framework, whichever
thread makes it. The reactor thread holds the turn while it runs callbacks and lets go of it while it
waits in the poller; every public entry point takes it for the length of the call. So no two callbacks
ever run at the same time, and a cell that calls ``port.stopListening()`` gets a real answer at once.

Fair
    With ``threading.RLock`` the reactor would, under load, release it and take it again before a woken waiter
    is scheduled, so a cell could starve for seconds. Here a waiter puts up a flag and stands in a gate until it
    has the turn; to whoever sees the flag, the turn is not free when it is given back but offered, so all others
    queue up, also the reactor that comes back for its next batch. The wait is thereby at most one batch.

Cheap
    To take the turn is to delete an attribute, `Turn.free`, and to give it back is to set it again. Each is one
    operation of the interpreter, so only one thread can succeed, at a quarter of the price of a lock. What programs
    call most (`in_turn`, firing a Deferred, starting a coroutine) does in line what `Turn.acquire` and `Turn.release`
    do, which saves another 120 ns. Nothing in there but the deletion can fail, and nothing lets another thread in.

Safe from interrupts
    CPython looks for signals when a function written in C has returned, where one written in Python starts, and at
    jumps back; a deletion is none of these. So no KeyboardInterrupt comes between taking the turn and naming the owner
    in the next line. From 3.14 on one can come between a lock's ``__enter__`` and the body of its ``with``, so the
    gate is no lock either, and locks are only what rings.
"""

from __future__ import annotations

import os
from _thread import LockType, allocate_lock, get_ident
from collections.abc import Callable
from functools import wraps
from time import monotonic
from types import TracebackType
from typing import Concatenate, Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

# Seconds after which a waiter looks for itself: an interrupt may have kept the one before it from waking it, or have
# come just before it fell asleep, which CPython does not notice until it is awake.
LOOK_AGAIN: Final = 0.05


class TurnHeldError(RuntimeError):
    """Something that waits for the reactor was called by the thread that holds the turn."""


class Turn:
    """A fair, re-entrant lock that knows its owner.

    ``owner`` is the identifier of the thread that holds the turn, 0 when nobody does. A hot path compares
    it with ``get_ident()`` and takes the turn only when they differ. ``free`` is there while anybody may take it,
    ``offered`` while only who waits for it may. ``asked`` is whether there is something to do when it is given back:
    somebody is ``waiting``, or an interrupt is held back for the thread ``interrupted`` (else 0). ``depth`` is how
    often the owner has taken it again.
    """

    __slots__ = ("_bell", "_door", "_gate", "asked", "depth", "free", "interrupted", "offered", "owner", "waiting")

    free: None
    offered: None
    _gate: None

    def __init__(self) -> None:
        self.owner = 0
        self.free = None
        self.asked = False
        self.waiting = False
        self.interrupted = 0
        self.depth = 0
        self._gate = None
        self._door = _silent_bell()
        self._bell = _silent_bell()

    def held(self) -> bool:
        """Whether the calling thread holds the turn."""
        return self.owner == get_ident()

    def acquire(self) -> None:
        """Take the turn, waiting for it if another thread has it. Any thread, nested calls included."""
        me = get_ident()
        if self.owner == me:
            self.depth += 1
            return
        try:
            del self.free
        except AttributeError:
            self.queue_up(me)
        else:
            self.owner = me

    def release(self) -> None:
        """Give the turn back; the outermost release lets the next thread in."""
        me = get_ident()
        if self.owner != me:
            raise RuntimeError("cannot release the turn: this thread does not hold it")
        if self.depth:
            self.depth -= 1
            return
        self.owner = 0
        if self.asked:
            self.offered = None
            self.given(me)
        else:
            self.free = None

    def queue_up(self, me: int) -> None:
        """Take the turn when it comes."""
        try:
            self._enter_gate(None)
            try:
                self._wait(None)
                self.owner = me
            finally:
                self._gate = None
                _ring(self._door)
        except BaseException:
            # An interrupt, which may have come when the turn had.
            if self.owner == me:
                self.owner = 0
                self.offered = None
            raise

    def _enter_gate(self, until: float | None) -> bool:
        """Get into the gate, where one waits at a time; False when that cannot be `until` then."""
        while True:
            try:
                del self._gate
            except AttributeError:
                if not _sleep(self._door, until):
                    return False
            else:
                return True

    def _wait(self, until: float | None) -> bool:
        """Stand in the gate until the turn is to be had, and take it; False when it is not `until` then."""
        self.asked = self.waiting = True
        try:
            while not self._take():
                if not _sleep(self._bell, until):
                    return False
            return True
        finally:
            self.waiting = False
            self.asked = self.interrupted != 0

    def given(self, me: int) -> None:
        """Wake who waits for what this thread gave back; then raise an interrupt that was held back until here.

        That is looked at last, so that none is left over, and by thread, so that no other one gets it.
        """
        if self.waiting:
            _ring(self._bell)
        if self.interrupted == me:
            self.interrupted = 0
            self.asked = self.waiting
            raise KeyboardInterrupt

    def _take(self) -> bool:
        """Take the turn if who waits for it may have it."""
        try:
            del self.offered
        except AttributeError:
            try:
                del self.free
            except AttributeError:
                return False
        return True

    def comes_within(self, seconds: float) -> bool:
        """Whether the turn can be had within `seconds`; it is not kept. For those who must not wait for ever."""
        if self.held():
            return True
        until = monotonic() + seconds
        if not self._enter_gate(until):
            return False
        try:
            came = self._wait(until)
            if came:
                self.free = None
            return came
        finally:
            self._gate = None
            _ring(self._door)

    def take_away(self) -> int:
        """Give the turn back in the place of its owner, which is stuck; returns what `take_back` needs.

        For one who sees to it that the owner does nothing more before it has called `take_back`.
        """
        depth, self.depth = self.depth, 0
        self.owner = 0
        self.offered = None
        _ring(self._bell)
        return depth

    def take_back(self, depth: int) -> None:
        """Take the turn again after `take_away`, as it was; called by the thread that it was taken from."""
        self.queue_up(get_ident())
        self.depth = depth

    def hold_interrupt(self) -> None:
        """Remember an interrupt until this thread releases the turn, which then raises KeyboardInterrupt.

        For a SIGINT handler that finds the main thread inside the framework: state must stay whole.
        """
        self.interrupted = get_ident()
        self.asked = True

    def forget_others(self) -> None:
        """In a child process that was forked: of all threads only the calling one has come along."""
        self._gate = None
        self._door, self._bell = _silent_bell(), _silent_bell()
        self.asked = self.waiting = False
        self.interrupted = 0
        if self.owner not in (0, get_ident()):
            self.owner = self.depth = 0
            self.free = None

    def refuse_to_wait(self, what: str) -> None:
        """Raise `TurnHeldError` when the calling thread holds the turn: waiting now would never end."""
        if self.owner == get_ident():
            raise TurnHeldError(
                f"{what} would wait for ever: this thread holds the turn, so the reactor cannot go on. "
                "Call it outside callbacks and outside 'with reactor.turn()', or attach a callback instead."
            )

    def __enter__(self) -> Turn:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def _silent_bell() -> LockType:
    """A lock that wakes who waits for it when it is released."""
    bell = allocate_lock()
    bell.acquire()
    return bell


def _ring(bell: LockType) -> None:
    try:
        bell.release()
    except RuntimeError:
        """It rings already."""


def _sleep(bell: LockType, until: float | None) -> bool:
    """Wait for `bell`, for a while at most; False when it is `until` already."""
    patience = LOOK_AGAIN if until is None else min(LOOK_AGAIN, until - monotonic())
    return patience > 0 and (bell.acquire(timeout=patience) or True)


turn = Turn()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=turn.forget_others)


def in_turn(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorate a method so that it holds the turn while it runs: the mark of a public entry point."""

    @wraps(method)
    def entry(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        me = get_ident()
        if turn.owner == me:
            return method(self, *args, **kwargs)
        # In line, so that no interrupt comes between the method and giving the turn back.
        try:
            del turn.free
        except AttributeError:
            turn.queue_up(me)
        else:
            turn.owner = me
        try:
            return method(self, *args, **kwargs)
        finally:
            turn.owner = 0
            if turn.asked:
                turn.offered = None
                turn.given(me)
            else:
                turn.free = None

    return entry
