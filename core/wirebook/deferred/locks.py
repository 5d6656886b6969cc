"""Locks that are waited for without blocking: one at a time, or so many at a time.

Who gets a token back may give it up at once, in the callback that got it: a hundred thousand waiters whose work
is done immediately would each release the lock from within the release before. So the outermost release hands
over in a loop, and those within it only promise their token to it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Self, TypeVar, overload

from wirebook.deferred.core import Deferred
from wirebook.deferred.making import maybeDeferred, succeed
from wirebook.deferred.queues import Line, stand_in
from wirebook.turn import in_turn

T = TypeVar("T")
P = ParamSpec("P")


class Tokens:
    """What lock and semaphore share: tokens, those who wait for one in the order they came, and how it changes hands.

    Also an asynchronous context manager: ``async with lock: ...`` in coroutines of any kind. Any thread may use it.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.limit = tokens
        self.waiting: Line[Deferred[Self]] = Line()
        self._promised = 0
        self._handing_over = False

    @in_turn
    def acquire(self) -> Deferred[Self]:
        """A Deferred that fires with this object once the caller has it; cancelling it leaves the line. Any thread."""
        if not self.tokens:
            return stand_in(self.waiting)
        self.tokens -= 1
        return succeed(self)

    @in_turn
    def release(self) -> None:
        """Give back what an `acquire` got: to the one who has waited longest, if there is one. Any thread.

        The callbacks of that one run now; if this was called in such a callback, as soon as it is done.
        `AssertionError` when there is nothing to give back.
        """
        if self.tokens + self._promised >= self.limit:
            raise AssertionError(
                f"{self!r} was released more often than acquired: each release() needs an acquire() that has fired"
            )
        if len(self.waiting) <= self._promised:
            self.tokens += 1
            return
        self._promised += 1
        if not self._handing_over:
            self._hand_over()

    def _hand_over(self: Self) -> None:
        self._handing_over = True
        try:
            while self._promised:
                self._promised -= 1
                if self.waiting:
                    self.waiting.popleft().callback(self)
                else:
                    self.tokens += 1
        finally:
            self._handing_over = False

    @overload
    def run(self, f: Callable[P, Deferred[T]], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...
    @overload
    def run(self, f: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...
    @overload
    def run(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...
    def run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Acquire, call ``f(*args, **kwargs)``, release; a Deferred of what it gives.

        When `f` returns a Deferred or a coroutine, the release waits for its end. Cancelling leaves the line, or
        cancels what `f` returned. Any thread.
        """

        def work(_: Self) -> Deferred[Any]:
            return maybeDeferred(f, *args, **kwargs).addBoth(self._release_and_return)

        return self.acquire().addCallback(work)

    def _release_and_return(self, result: T) -> T:
        self.release()
        return result

    async def __aenter__(self) -> Self:
        acquiring = self.acquire()
        try:
            return await acquiring
        except BaseException:
            # An asyncio task can be cancelled after it was given the token and before it goes on.
            if getattr(acquiring, "result", None) is self:
                self.release()
            else:
                acquiring.addErrback(_ignore).cancel()
            raise

    async def __aexit__(self, *error: object) -> None:
        self.release()


def _ignore(_: object) -> None:
    """Nobody waits for this any more."""


class DeferredLock(Tokens):
    """A lock that one at a time can have. ``waiting`` are the Deferreds of those in line."""

    def __init__(self) -> None:
        super().__init__(1)

    @property
    def locked(self) -> bool:
        """Whether somebody has the lock: `acquire` would wait."""
        return not self.tokens

    def __repr__(self) -> str:
        return f"<DeferredLock: {'locked' if self.locked else 'unlocked'}, {len(self.waiting)} waiting>"


class DeferredSemaphore(Tokens):
    """A lock that `tokens` at a time can have.

    ``limit`` is that number, ``tokens`` how many are to be had now, ``waiting`` the Deferreds of those in line.
    `ValueError` for less than one token.
    """

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"a semaphore with tokens={tokens!r} could never be acquired; it needs 1 or more")
        super().__init__(tokens)

    def __repr__(self) -> str:
        return f"<DeferredSemaphore: {self.tokens} of {self.limit} tokens free, {len(self.waiting)} waiting>"
