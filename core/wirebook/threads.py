"""Work that blocks, done in threads; and threads that wait for the reactor.

``deferToThread(f)`` is for code that would hold up the reactor: it runs `f` in a thread and gives a Deferred.
`blockingCallFromThread` is the way back: code in a thread has the reactor do something, and waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, TypeAlias, TypeVar, overload

from wirebook.deferred import Deferred, maybeDeferred
from wirebook.failure import caught
from wirebook.installed import the_reactor
from wirebook.interfaces import IReactorFromThreads, IThreadPool
from wirebook.reactor.pool import ThreadPool
from wirebook.turn import turn

__all__ = [
    "ThreadPool",
    "blockingCallFromThread",
    "callInThread",
    "callMultipleInThread",
    "deferToThread",
    "deferToThreadPool",
]

P = ParamSpec("P")
R = TypeVar("R")


_Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _Work:
    """One call in a thread and the Deferred for its result."""

    __slots__ = ("call", "deferred", "reactor")

    def __init__(
        self, reactor: IReactorFromThreads, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.reactor = reactor
        # In one attribute, so that the thread gets all of it or, after `cancel`, nothing.
        self.call: _Call | None = (func, args, kwargs)
        self.deferred: Deferred[Any] = Deferred(self.cancel)

    def begin(self, threadpool: IThreadPool) -> Deferred[Any]:
        """Have a thread of `threadpool` make the call."""
        threadpool.callInThreadWithCallback(self.hand_over, self.run)
        return self.deferred

    def run(self) -> Any:
        """Make the call, in the thread; the result, or the `Failure` with nothing but the call in its traceback."""
        call, self.call = self.call, None
        if call is None:
            return None
        func, args, kwargs = call
        del call
        try:
            return func(*args, **kwargs)
        except BaseException as error:
            return caught(error)

    def hand_over(self, succeeded: bool, result: Any) -> None:
        """Take the result to the reactor; in the thread."""
        self.reactor.callFromThread(self.fire, result)

    def fire(self, result: Any) -> None:
        """Fire the Deferred, unless it was cancelled meanwhile; in the turn."""
        if isinstance(result, Deferred):
            result.addBoth(self.fire)
        elif not self.deferred.called:
            self.deferred.callback(result)

    def cancel(self, _: Deferred[Any]) -> None:
        """Do not make the call, if it has not begun."""
        self.call = None


def deferToThreadPool(
    reactor: IReactorFromThreads, threadpool: IThreadPool, f: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> Deferred[R]:
    """Call ``f(*args, **kwargs)`` in a thread of `threadpool`. Fires on `reactor` with the result or the error.

    A Deferred that `f` returns is waited for. The call runs in a copy of this context. Cancelling the Deferred
    prevents a call that has not begun; one that runs goes on, and its result is dropped. Any thread.
    """
    return _Work(reactor, f, args, kwargs).begin(threadpool)


def deferToThread(f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
    """As `deferToThreadPool`, in the process's reactor and its pool. A call waits until the reactor runs."""
    reactor = the_reactor()
    return _Work(reactor, f, args, kwargs).begin(reactor.getThreadPool())


def callInThread(f: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call ``f(*args, **kwargs)`` in a thread of the process's reactor; an error is reported to the log. Any thread."""
    the_reactor().callInThread(f, *args, **kwargs)


def callMultipleInThread(tupleList: Iterable[tuple[Callable[..., object], Iterable[Any], Mapping[str, Any]]]) -> None:
    """Make several calls, each a (function, args, kwargs), one after the other in one thread of the process's reactor.

    The first error ends it and is reported to the log. Any thread.
    """
    the_reactor().callInThread(_call_each, [*tupleList])


def _call_each(calls: list[tuple[Callable[..., object], Iterable[Any], Mapping[str, Any]]]) -> None:
    for func, args, kwargs in calls:
        func(*args, **kwargs)


@overload
def blockingCallFromThread(
    reactor: IReactorFromThreads, f: Callable[P, Deferred[R]], *a: P.args, **kw: P.kwargs
) -> R: ...
@overload
def blockingCallFromThread(
    reactor: IReactorFromThreads, f: Callable[P, Coroutine[Any, Any, R]], *a: P.args, **kw: P.kwargs
) -> R: ...
@overload
def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[P, R], *a: P.args, **kw: P.kwargs) -> R: ...
def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[..., Any], *a: Any, **kw: Any) -> Any:
    """Call ``f(*a, **kw)`` on `reactor` and wait for its result, also for what a Deferred or a coroutine gives.

    Raises what `f` or its Deferred fails with, and `TurnHeldError` where waiting would never end: in a
    callback, or inside ``with reactor.turn()``. The call runs in a copy of this context. For any other thread.
    """
    turn.refuse_to_wait("blockingCallFromThread()")
    result: Deferred[Any] = Deferred()
    result.addCallback(lambda _: maybeDeferred(f, *a, **kw))
    reactor.callFromThread(result.callback, None)
    return result.wait()
