"""The turn: who may touch reactor state now.

One process-wide re-entrant lock serialises every callback and every call into the framework, whichever
thread makes it. The reactor thread holds the turn while it runs callbacks and lets go of it while it
waits in the poller; every public entry point takes it for the length of the call. So no two callbacks
ever run at the same time, and a cell that calls ``port.stopListening()`` gets a real answer at once.

Why not ``threading.RLock``: under load the reactor would release it and take it again before a woken
waiter is scheduled, so a cell could starve for seconds. Here everybody passes a gate first; a waiter
stands in the gate until it has the lock, and the reactor, coming back for its next batch, queues up
behind it. The wait is thereby at most one batch.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class TurnHeldError(RuntimeError):
    """Something that waits for the reactor was called by the thread that holds the turn."""


class Turn:
    """A fair, re-entrant lock that knows its owner.

    ``owner`` is the identifier of the thread that holds the turn, 0 when nobody does. A hot path compares
    it with ``get_ident()`` and takes the lock only when they differ.
    """

    __slots__ = ("_depth", "_gate", "_interrupted", "_lock", "owner")

    def __init__(self) -> None:
        self._gate = allocate_lock()
        self._lock = allocate_lock()
        self._depth = 0
        self._interrupted = 0
        self.owner = 0

    def held(self) -> bool:
        """Whether the calling thread holds the turn."""
        return self.owner == get_ident()

    def acquire(self) -> None:
        """Take the turn, waiting for it if another thread has it. Any thread, nested calls included."""
        me = get_ident()
        if self.owner == me:
            self._depth += 1
            return
        with self._gate:
            self._lock.acquire()
        self.owner = me
        self._depth = 1

    def comes_within(self, seconds: float) -> bool:
        """Whether the turn can be had within `seconds`; it is not kept. For those who must not wait for ever."""
        if self.held():
            return True
        if not self._gate.acquire(timeout=seconds):
            return False
        try:
            if not self._lock.acquire(timeout=seconds):
                return False
            self._lock.release()
            return True
        finally:
            self._gate.release()

    def release(self) -> None:
        """Give the turn back; the outermost release lets the next thread in."""
        if self.owner != get_ident():
            raise RuntimeError("cannot release the turn: this thread does not hold it")
        self._depth -= 1
        if self._depth == 0:
            self.owner = 0
            self._lock.release()
            # Looked at last, so that an interrupt held back until here is not left over, and by thread, so that
            # no other one gets it.
            if self._interrupted == get_ident():
                self._interrupted = 0
                raise KeyboardInterrupt

    def hold_interrupt(self) -> None:
        """Remember an interrupt until this thread releases the turn, which then raises KeyboardInterrupt.

        For a SIGINT handler that finds the main thread inside the framework: state must stay whole.
        """
        self._interrupted = get_ident()

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


turn = Turn()


def in_turn(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorate a method so that it holds the turn while it runs: the mark of a public entry point."""

    @wraps(method)
    def entry(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if turn.owner == get_ident():
            return method(self, *args, **kwargs)
        with turn:
            return method(self, *args, **kwargs)

    return entry
