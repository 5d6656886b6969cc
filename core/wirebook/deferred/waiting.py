"""Those who wait for a Deferred from outside its chain: a blocked thread, an asyncio task, a coroutine.

Each is an observer in the sense of `wirebook.deferred.chain`: it is told the outcome and leaves it in the chain. A
failure told to one of them counts as handled, because it is raised there.

``await`` has one mechanism for all who drive coroutines: `Deferred.__await__` yields a `Waiter`. To asyncio
it looks like one of its futures, so its tasks wait for it without knowing Deferreds. `CoroutineDriver`, our
own, sees the Waiter, takes the Deferred out of it and waits for that.
"""

from __future__ import annotations

import asyncio
from _thread import TIMEOUT_MAX, allocate_lock, get_ident
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from wirebook.deferred.chain import (
    PENDING,
    TOLD,
    VALUE,
    Arrival,
    CancelledError,
    NotACoroutineError,
    Observer,
    TimeoutError,
    link,
)
from wirebook.failure import STEERING, Failure, caught
from wirebook.turn import turn

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Wake: TypeAlias = "Callable[[Waiter], object]"
AnyCoroutine: TypeAlias = Coroutine[Any, Any, Any] | Generator[Any, Any, Any]


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
        try:
            self._lock.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
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

    __slots__ = (
        "_asyncio_future_blocking",
        "_cancelled",
        "_cancelling",
        "_loop",
        "_message",
        "_thread",
        "_wakes",
        "deferred",
        "outcome",
    )

    def __init__(self, deferred: Deferred[Any]) -> None:
        self._asyncio_future_blocking = True
        self._cancelled = self._cancelling = False
        self._message: object = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._wakes: list[tuple[Wake, Context]] = []
        self.deferred = deferred
        self.outcome: Any = PENDING

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The asyncio loop running in this thread."""
        if self._loop is None:
            self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        return self._loop

    def add_done_callback(self, wake: Wake, /, *, context: Context | None = None) -> None:
        """Have the loop call ``wake(self)`` in `context` once there is an outcome."""
        self.get_loop()
        with turn:
            first = not self._wakes
            self._wakes.append((wake, context or copy_context()))
            if first and not self.done():
                self.outcome = self.deferred._observe(self)
            if self.done():
                self._wake_all()

    def remove_done_callback(self, wake: Wake, /) -> int:
        """Forget `wake`; how often it was there."""
        with turn:
            kept = [(other, context) for other, context in self._wakes if other != wake]
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
            return asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)
        if self.outcome is PENDING:
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
        wakes, self._wakes = self._wakes, []
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


class CoroutineDriver:
    """Takes a coroutine from one wait to the next, in one context for its whole life, and fires `deferred`.

    `awaited` says which Deferred to wait for when the coroutine yields something, or what to raise in it
    instead. Every step is taken in the turn, because the driver is itself an observer.
    """

    __slots__ = ("awaited", "context", "coroutine", "deferred")

    def __init__(
        self,
        coroutine: AnyCoroutine,
        deferred: Deferred[Any],
        awaited: Callable[[object, Deferred[Any]], Deferred[Any] | Failure],
    ) -> None:
        self.coroutine = coroutine
        self.deferred = deferred
        self.awaited = awaited
        self.context = copy_context()

    def _arrive(self, result: Any, kind: int) -> Arrival:
        try:
            return self._advance(result), result, told(kind)
        finally:
            del self, result

    def _advance(self, outcome: Any) -> Deferred[Any] | None:
        """Resume with `outcome` and go on while what is awaited is there; the Deferred to run at the end."""
        coroutine, run = self.coroutine, self.context.run
        self.deferred._waiting_on = None
        try:
            while outcome is not PENDING:
                try:
                    if isinstance(outcome, Failure):
                        yielded = run(coroutine.throw, outcome.value.with_traceback(outcome.tb))
                    else:
                        yielded = run(coroutine.send, outcome)
                except StopIteration as stop:
                    final = _returned(stop.value)
                except BaseException as error:
                    final = caught(error)
                else:
                    outcome = self._wait_for(self.awaited(yielded, self.deferred))
                    continue
                return self.deferred._conclude(final)
            return None
        finally:
            final = yielded = None
            del self, outcome, coroutine

    def _wait_for(self, awaited: Deferred[Any] | Failure) -> Any:
        if isinstance(awaited, Failure):
            return awaited
        if awaited._leads_to(self.deferred):
            return Failure(RuntimeError(f"waiting for {awaited!r} would never end: it waits for this coroutine"))
        outcome = awaited._observe(self)
        if outcome is PENDING:
            self.deferred._waiting_on = awaited
        return outcome


def _returned(value: Any) -> Any:
    """What the coroutine's Deferred is fired with: `value`, unless it can not be."""
    if type(value) in STEERING and not isinstance(value, Failure):
        return Failure(TypeError(f"the coroutine returned {value!r}: write 'return await ...' to return its result"))
    return value


def awaited_by_coroutine(yielded: Any, deferred: Deferred[Any]) -> Deferred[Any] | Failure:
    """What a coroutine that yielded this waits for: a Deferred, a future, or asyncio's next round."""
    if isinstance(yielded, Waiter):
        return yielded.deferred
    if isinstance(yielded, Waitable):
        return cast("Deferred[Any]", yielded)
    if asyncio.isfuture(yielded):
        yielded._asyncio_future_blocking = False
        return deferred.fromFuture(yielded)
    loop = running_loop()
    if yielded is None and loop is not None:
        future = loop.create_future()
        loop.call_soon(_finish, future)
        return deferred.fromFuture(future)
    return Failure(
        RuntimeError(
            f"a coroutine awaits {yielded!r}, which nothing here can wait for: await a Deferred or another "
            "coroutine, or something of asyncio in a thread where an asyncio loop is running"
        )
    )


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """Call `function` on the thread of `loop`: now if that is this one or the loop stands still."""
    if loop is running_loop() or not loop.is_running():
        function(*args)
    else:
        loop.call_soon_threadsafe(function, *args)


class FutureFeed:
    """Gives the outcome to an asyncio future."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def _arrive(self, result: Any, kind: int) -> Arrival:
        try:
            if self.future.done():
                return None, result, told(kind) if is_cancellation(result) else kind
            on_loop(self.future.get_loop(), self.feed, result)
            return None, result, told(kind)
        finally:
            del self, result

    def feed(self, result: Any) -> None:
        """Settle the future with `result`, unless it was cancelled meanwhile."""
        if self.future.done():
            return
        if not isinstance(result, Failure):
            self.future.set_result(result)
        elif isinstance(result.value, asyncio.CancelledError):
            self.future.cancel()
        else:
            self.future.set_exception(result.value.with_traceback(result.tb))


class Waitable(Generic[T_co]):
    """How threads, asyncio and coroutines wait for a Deferred, and how they become one."""

    __slots__ = ()

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
        waiter = None
        try:
            outcome = self._peek()
            if outcome is PENDING:
                waiter = Waiter(cast("Deferred[Any]", self))
                outcome = yield waiter
                if waiter.outcome is not PENDING:
                    outcome = waiter.outcome
            if isinstance(outcome, Failure):
                outcome.raiseException()
            return cast("T_co", outcome)
        finally:
            outcome = waiter = None
            del self

    def asFuture(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T_co]:
        """An asyncio future of `loop` that gets the outcome; cancelling it cancels this. Any thread.

        The chain keeps the result; an error counts as handled.
        """
        future: asyncio.Future[T_co] = loop.create_future()
        feed = FutureFeed(future)
        outcome = self._observe(feed)
        if outcome is not PENDING:
            on_loop(loop, feed.feed, outcome)
        else:
            future.add_done_callback(lambda done: self.cancel() if done.cancelled() else None)
        return future

    @classmethod
    def fromFuture(cls, future: asyncio.Future[T]) -> Deferred[T]:
        """A Deferred that fires with the outcome of an asyncio future; cancelling it cancels the future.

        A future cancelled by others fails it with `asyncio.CancelledError`. Any thread.
        """
        if not asyncio.isfuture(future):
            raise TypeError(f"{future!r} is no asyncio future; for a coroutine use Deferred.fromCoroutine")
        loop = future.get_loop()
        make = cast("type[Deferred[T]]", cls)
        deferred = make(lambda _: on_loop(loop, future.cancel))
        on_loop(loop, future.add_done_callback, deferred._settle_as)
        return deferred

    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine, its first step at once in this thread, and fire with what it returns or raises.

        It may await Deferreds, other coroutines, and what asyncio offers in a thread where a loop runs. It
        keeps a copy of this context for life. Cancelling raises `CancelledError` where it waits. `TypeError`
        when `coro` is no coroutine (but, say, the function that would make one). Any thread.
        """
        if not isinstance(coro, (CoroutineType, GeneratorType, Coroutine)):
            hint = "call it" if callable(coro) else "make it with 'async def'"
            raise NotACoroutineError(f"{coro!r} is no coroutine: {hint}")
        make = cast("type[Deferred[Any]]", cls)
        deferred, beginning = make(), make()
        beginning._steps.append(link(CoroutineDriver(coro, deferred, awaited_by_coroutine)))
        beginning.callback(None)
        return deferred
