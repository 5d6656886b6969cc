"""Futures and Deferreds: each can be made of the other, and cancelling one asks the other to end."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wirebook.deferred.observers import is_cancellation
from wirebook.failure import Failure

if TYPE_CHECKING:
    import asyncio

    from wirebook.deferred.core import Deferred

AnyFuture: TypeAlias = "asyncio.Future[Any] | concurrent.futures.Future[Any]"
CANCELLING: Final = object()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs in this thread, or None."""
    import asyncio

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


class Feed:
    """The step of a Deferred that gives its outcome to an asyncio future; the chain goes on with None."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def __call__(self, result: Any) -> Any:
        """Pass `result` to the future. An error that it is too late for goes on along the chain."""
        if not self.future.done():
            on_loop(self.future.get_loop(), self.settle, result)
        elif isinstance(result, Failure) and not is_cancellation(result):
            return result
        return None

    def settle(self, result: Any) -> None:
        """End the future with `result`, unless it was cancelled meanwhile. On its loop's thread."""
        import asyncio

        if self.future.done():
            return
        if not isinstance(result, Failure):
            self.future.set_result(result)
        elif isinstance(result.value, asyncio.CancelledError):
            self.future.cancel()
        else:
            self.future.set_exception(result.value.with_traceback(result.tb))


class Follower:
    """Has ``deferred`` follow a future of asyncio or of an executor.

    Whether a future that is asked to end does so is its own business (a task may clean up first, or refuse), so a
    cancelled Deferred waits for what becomes of it. Cancelling it once more gives up on that.
    """

    def __init__(self, future: AnyFuture, make: Callable[..., Deferred[Any]]) -> None:
        self.future = future
        self.make = make
        self.deferred = self.fired_at_the_end = make(self.cancel)
        self.deferred.addCallback(self.wait_for_the_end)

    def cancel(self, deferred: Deferred[Any]) -> None:
        """Ask the future to end: the canceller."""
        self.fired_at_the_end = self.make()
        if isinstance(self.future, concurrent.futures.Future):
            self.future.cancel()
        else:
            on_loop(self.future.get_loop(), self.future.cancel)
        deferred.callback(CANCELLING)

    def wait_for_the_end(self, result: Any) -> Any:
        """Turn the news of a cancellation into what the future gives in the end."""
        return self.fired_at_the_end if result is CANCELLING else result

    def settle(self, future: Any) -> None:
        """Fire with the outcome of the future, which is done. Any thread."""
        self.fired_at_the_end._settle_as(future)


def follow(future: AnyFuture, make: Callable[..., Deferred[Any]]) -> Deferred[Any]:
    """A Deferred, made by `make`, that fires with the outcome of `future`. Any thread."""
    follower = Follower(future, make)
    if isinstance(future, concurrent.futures.Future):
        future.add_done_callback(follower.settle)
    else:
        on_loop(future.get_loop(), future.add_done_callback, follower.settle)
    return follower.deferred
