"""How threads, asyncio and coroutines wait for a Deferred, and how what they wait for becomes one.

``await`` has one mechanism for all who drive coroutines: `Deferred.__await__` yields a `Waiter`. To asyncio it
looks like one of its futures, so its tasks wait for it without knowing Deferreds. `wirebook.deferred.driving`,
our own, takes the Deferred out of the Waiter and waits for that.
"""

from __future__ import annotations

import concurrent.futures
from abc import abstractmethod
from collections.abc import Awaitable, Coroutine, Generator
from inspect import isawaitable
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from wirebook.deferred.chain import KIND, PENDING, UNFIRED, VALUE, NotACoroutineError, Observer, Step, short
from wirebook.deferred.driving import AWAITING, drive
from wirebook.deferred.futures import Feed, follow
from wirebook.deferred.observers import Latch, Waiter
from wirebook.failure import Failure
from wirebook.turn import turn

if TYPE_CHECKING:
    import asyncio

    from wirebook.deferred.core import Deferred

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Waitable(Generic[T_co]):
    """What can be waited for in a thread, in asyncio and in a coroutine, and be made of a coroutine or a future."""

    __slots__ = ()

    _state: int
    _steps: Step | None
    result: T_co

    @abstractmethod
    def _peek(self) -> Any:
        """The outcome if it is there, else PENDING."""

    @abstractmethod
    def _observe(self, observer: Observer) -> Any:
        """As `_peek`, and `observer` is told later."""

    @abstractmethod
    def _forget(self, observer: Observer) -> None:
        """Do not tell `observer`."""

    @abstractmethod
    def cancel(self) -> None:
        """Give up waiting for the result."""

    def wait(self, timeout: float | None = None) -> T_co:
        """Block this thread until the result is there, and return it, or raise the error.

        `TimeoutError` after `timeout` seconds (the Deferred goes on); `TurnHeldError` in the turn, where it
        would never end. Interruptible. Any number of threads may wait, and the chain keeps the result; an
        error counts as handled once it is raised here.
        """
        turn.refuse_to_wait("Deferred.wait()")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout!r}; it is a number of seconds from 0 up, or None for ever")
        latch = Latch()
        outcome = PENDING
        try:
            outcome = self._observe(latch)
            if outcome is PENDING:
                outcome = latch.wait(timeout)
            if outcome is PENDING:
                raise TimeoutError(f"no result within {timeout} seconds; {self!r} itself goes on")
            if isinstance(outcome, Failure):
                outcome.raiseException()
            return cast("T_co", outcome)
        finally:
            if outcome is PENDING:
                self._forget(latch)
            del self, outcome, latch

    def __await__(self) -> Generator[Any, Any, T_co]:
        """Wait in a coroutine, driven by asyncio or by `ensureDeferred`; cancelling the task cancels this."""
        # No call comes in between, so no other thread either.
        if self._state == VALUE and not self._steps:
            return self.result
        waiter: Any = None
        outcome: Any = PENDING
        try:
            if self._state:
                outcome = self._peek()
            if outcome is PENDING:
                waiter = Waiter(self)
                result: T_co = yield waiter
                if waiter.outcome is PENDING:
                    # Resumed with the value by our own driver, which throws errors; by any other one, too early.
                    if self._state & KIND == UNFIRED:
                        raise RuntimeError(
                            f"{short(self)} is awaited in a coroutine that is run by something which does not wait "
                            "for Deferreds: run it with ensureDeferred(), with asyncio, or with await in a cell"
                        )
                    return result
                outcome = waiter.outcome
            if isinstance(outcome, Failure):
                raise outcome.value.with_traceback(outcome.tb)
            result = outcome
            return result
        finally:
            outcome = waiter = None
            del self

    __iter__ = __await__

    def asFuture(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T_co]:
        """An asyncio future of `loop` that gets the outcome; cancelling it cancels this. Any thread.

        It takes the outcome, be it a value or an error: the chain goes on with None.
        """
        future: asyncio.Future[T_co] = loop.create_future()
        cast("Deferred[Any]", self).addBoth(Feed(future))
        future.add_done_callback(lambda done: self.cancel() if done.cancelled() else None)
        return future

    @classmethod
    def fromFuture(cls, future: asyncio.Future[T]) -> Deferred[T]:
        """A Deferred that fires with the outcome of an asyncio future. Any thread.

        Cancelling it cancels the future, and it then fires with what becomes of that: commonly it fails with
        `asyncio.CancelledError`, as it does when others cancel the future. `TypeError` when it is no future.
        """
        import asyncio

        if not asyncio.isfuture(future):
            raise TypeError(f"{future!r} is no asyncio future; for a coroutine use Deferred.fromCoroutine")
        return follow(future, cast("type[Deferred[Any]]", cls))

    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine, its first step at once in this thread, and fire with what it returns or raises.

        It may await Deferreds, other coroutines, and what asyncio offers in a thread where a loop runs; a generator
        yields what it waits for, as in `inlineCallbacks`. It keeps a copy of this context for life. Cancelling
        cancels what it waits for, which commonly raises `CancelledError` there. `TypeError` when `coro` is no
        coroutine (but, say, the function that would make one). Any thread.
        """
        if not isinstance(coro, CoroutineType | GeneratorType):
            if not isinstance(coro, Coroutine):
                hint = "call it" if callable(coro) else "make it with 'async def'"
                raise NotACoroutineError(f"{short(coro)} is no coroutine: {hint}")
            coro = _awaiting(coro)
        deferred: Any = cls()
        return drive(coro, deferred)

    @classmethod
    def adapt(cls, awaitable: Awaitable[T] | concurrent.futures.Future[T] | Generator[Any, Any, T]) -> Deferred[T]:
        """A Deferred for anything that can be awaited, and for the future of an executor. Any thread.

        A Deferred is returned as it is; a coroutine is run as by `fromCoroutine`, a future followed as by
        `fromFuture` (cancelling does not stop an executor's job that runs already). `TypeError` for all else.
        """
        if isinstance(awaitable, Waitable):
            return cast("Deferred[T]", awaitable)
        import asyncio

        if isinstance(awaitable, concurrent.futures.Future) or asyncio.isfuture(awaitable):
            return follow(awaitable, cast("type[Deferred[Any]]", cls))
        if isinstance(awaitable, CoroutineType | GeneratorType | Coroutine):
            return cls.fromCoroutine(awaitable)
        if isawaitable(awaitable):
            return cls.fromCoroutine(_awaiting(awaitable))
        raise TypeError(f"{short(awaitable)} cannot be awaited: pass a Deferred, a coroutine or a future")


AWAITING.add(Waitable.__await__.__code__)


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable
