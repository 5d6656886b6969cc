"""Those who wait for a Deferred from outside its chain: a blocked thread, an asyncio task.

Each is an observer in the sense of `wirebook.deferred.chain`: it is told the outcome and leaves it in the chain. A
failure told to one of them counts as handled, because it is raised there.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from collections.abc import Callable
from contextvars import Context, copy_context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from wirebook.deferred.chain import PENDING, TOLD, VALUE, Arrival, CancelledError
from wirebook.failure import Failure
from wirebook.turn import LOOK_AGAIN, TurnHeldError, turn

if TYPE_CHECKING:
    import asyncio

    from wirebook.deferred.core import Deferred

Wake: TypeAlias = "Callable[[Waiter], object]"


def told(kind: int) -> int:
    """The kind of a result that somebody outside the chain has got."""
    return kind if kind == VALUE else TOLD


def is_cancellation(result: object) -> bool:
    """Whether the result is the failure of a cancelled Deferred."""
    return isinstance(result, Failure) and issubclass(result.type, CancelledError)


class Latch:
    """Holds one thread until the outcome is there."""

    __slots__ = ("_lock", "abandoned", "outcome")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self.outcome: Any = PENDING
        self.abandoned = False

    def _arrive(self, result: Any, kind: int) -> Arrival:
        if self.abandoned:
            return None, result, kind
        self.outcome = result
        self._lock.release()
        return None, result, told(kind)

    def wait(self, timeout: float | None) -> Any:
        """The outcome, or PENDING after `timeout` seconds; interruptible. Not to be called in the turn."""
        until = inf if timeout is None else monotonic() + timeout
        try:
            while not self._lock.acquire(timeout=min(LOOK_AGAIN, max(0.0, until - monotonic()))):
                if monotonic() >= until:
                    break
        finally:
            with turn:
                self.abandoned = True
        return self.outcome


class Waiter:
    """One ``await`` of a Deferred, in the shape of an asyncio future.

    asyncio's tasks, in C and in Python, accept any object with ``_asyncio_future_blocking`` and these
    methods. The task is woken through its loop: directly when the Deferred fires on the loop's thread,
    else through ``call_soon_threadsafe``.
    """

    # Our own coroutines need these two only. The rest is asyncio's: defaults in the class cost nothing to make.
    __slots__ = ("__dict__", "deferred", "outcome")

    _asyncio_future_blocking = True
    _cancelled = _cancelling = False
    _message: object = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread = 0
    _wakes: tuple[tuple[Wake, Context], ...] = ()

    def __init__(self, deferred: Any) -> None:
        self.deferred: Deferred[Any] = deferred
        self.outcome: Any = PENDING

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The asyncio loop running in this thread."""
        if self._loop is None:
            import asyncio

            self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        return self._loop

    def add_done_callback(self, wake: Wake, /, *, context: Context | None = None) -> None:
        """Have the loop call ``wake(self)`` in `context` once there is an outcome."""
        loop = self.get_loop()
        if turn.held():
            loop.call_soon(self._refuse_to_wait)
        with turn:
            first = not self._wakes
            self._wakes = (*self._wakes, (wake, context or copy_context()))
            if first and not self.done():
                self.outcome = self.deferred._observe(self)
            if self.done():
                self._wake_all()

    def _refuse_to_wait(self) -> None:
        """End the wait with an error when the task has gone to sleep with the turn: nothing could ever wake it."""
        if self.done():
            return
        try:
            turn.refuse_to_wait("await")
        except TurnHeldError as error:
            self.deferred._forget(self)
            self.outcome = Failure(error)
            self._wake_all()

    def remove_done_callback(self, wake: Wake, /) -> int:
        """Forget `wake`; how often it was there."""
        with turn:
            kept = tuple((other, context) for other, context in self._wakes if other != wake)
            removed = len(self._wakes) - len(kept)
            self._wakes = kept
            return removed

    def done(self) -> bool:
        """Whether there is an outcome, or the wait was cancelled."""
        return self._cancelled or self.outcome is not PENDING

    def cancelled(self) -> bool:
        """Whether the wait was cancelled."""
        return self._cancelled

    def cancel(self, msg: object = None) -> bool:
        """Stop waiting, and cancel the Deferred. False when there was an outcome already."""
        with turn:
            if self.done():
                return False
            self._cancelled, self._message = True, msg
            self._wake_all()
            self._cancelling = True
            try:
                self.deferred.cancel()
            finally:
                self._cancelling = False
            return True

    def result(self) -> Any:
        """The Deferred's result; raises its error, or `asyncio.CancelledError` after `cancel`."""
        failure = self._failure()
        try:
            if failure is not None:
                raise failure
            return self.outcome
        finally:
            del self, failure

    def exception(self) -> BaseException | None:
        """The Deferred's error, None when it has a plain result; raises when the wait was cancelled."""
        failure = self._failure()
        if self._cancelled and failure is not None:
            raise failure
        return failure

    def _failure(self) -> BaseException | None:
        if self._cancelled:
            import asyncio

            return asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)
        if self.outcome is PENDING:
            import asyncio

            raise asyncio.InvalidStateError(f"{self.deferred!r} has not fired yet: await it")
        if isinstance(self.outcome, Failure):
            return self.outcome.value.with_traceback(self.outcome.tb)
        return None

    def _arrive(self, result: Any, kind: int) -> Arrival:
        if self._cancelled:
            # The task has its CancelledError: this is the same news, any other error is not.
            heard = self._cancelling or is_cancellation(result)
        else:
            self.outcome = result
            heard = self._wake_all()
        return None, result, told(kind) if heard else kind

    def _wake_all(self) -> bool:
        """Schedule everyone who waits; False when nobody hears of it, also because their loop is closed."""
        wakes, self._wakes = self._wakes, ()
        loop = self.get_loop()
        schedule = loop.call_soon if get_ident() == self._thread else loop.call_soon_threadsafe
        try:
            for wake, context in wakes:
                schedule(wake, self, context=context)
        except RuntimeError:
            if not loop.is_closed():
                raise
            return False
        return bool(wakes)
