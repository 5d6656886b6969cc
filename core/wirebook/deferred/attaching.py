"""How steps are attached to a Deferred's chain.

The four ways differ in which results a step is for. Their bodies are much alike on purpose: these are the
calls a program makes most, and one call more, to `Chain._add`, would cost each of them a tenth of a microsecond.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from wirebook.deferred.chain import NEXT, NO_KEYWORDS, CancelledError, Chain, short
from wirebook.failure import Failure

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")
P = ParamSpec("P")


class TimerHandle(Protocol):
    """The part of a delayed call that `Deferred.addTimeout` needs."""

    def active(self) -> bool: ...
    def cancel(self) -> object: ...


class Clock(Protocol):
    """The part of a reactor (or a virtual clock) that `Deferred.addTimeout` needs."""

    def callLater(self, delay: float, callable: Callable[..., object], /) -> TimerHandle: ...


class Attachable(Chain, Generic[T]):
    """A chain to which steps can be attached, before and after it has a result."""

    __slots__ = ()

    @abstractmethod
    def _proceed(self) -> None:
        """Run what can run."""

    @abstractmethod
    def cancel(self) -> None:
        """Give up waiting for the result."""

    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, ...], Deferred[R]],
        errback: None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[R]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, ...], R],
        errback: None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[R]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[Concatenate[T, ...], Deferred[R] | R],
        errback: Callable[Concatenate[Failure, ...], Deferred[S] | S],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[R | S]: ...
    def addCallbacks(
        self,
        callback: Callable[..., Any],
        errback: Callable[..., Any] | None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Attach one step: `callback` for a value, `errback` (None: passes on) for a Failure.

        Each is called with the result, then its own arguments, in the context of this call: at once in this
        thread when the Deferred has its result, otherwise by whoever fires it. Returns the Deferred itself.
        `TypeError` when one is not callable. Any thread.
        """
        if not callable(callback) or (errback is not None and not callable(errback)):
            raise _not_callable(errback if callable(callback) else callback)
        arguments = None
        if callbackArgs or callbackKeywords or errbackArgs or errbackKeywords:
            arguments = (
                tuple(callbackArgs or ()),
                callbackKeywords or NO_KEYWORDS,
                tuple(errbackArgs or ()),
                errbackKeywords or NO_KEYWORDS,
            )
        step = [None, callback, errback, copy_context(), arguments]
        if self._steps is None:
            self._steps = self._last = step
        else:
            self._last[NEXT] = step
            self._last = step
        if self._state:
            self._proceed()
        return self

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Deferred[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Failure], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[Never]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]: ...
    def addCallback(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Attach `callback` for a value; a Failure passes by. It gets the value, then `args` and `kwargs`.

        Otherwise as `addCallbacks`.
        """
        if not callable(callback):
            raise _not_callable(callback)
        arguments = (args, kwargs, (), NO_KEYWORDS) if args or kwargs else None
        step = [None, callback, None, copy_context(), arguments]
        if self._steps is None:
            self._steps = self._last = step
        else:
            self._last[NEXT] = step
            self._last = step
        if self._state:
            self._proceed()
        return self

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Deferred[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | R]: ...
    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Failure], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...
    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | R]: ...
    def addErrback(self, errback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Attach `errback` for a Failure; a value passes by. Otherwise as `addCallback`."""
        if not callable(errback):
            raise _not_callable(errback)
        arguments = ((), NO_KEYWORDS, args, kwargs) if args or kwargs else None
        step = [None, None, errback, copy_context(), arguments]
        if self._steps is None:
            self._steps = self._last = step
        else:
            self._last[NEXT] = step
            self._last = step
        if self._state:
            self._proceed()
        return self

    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[T | Failure, P], Deferred[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[R]: ...
    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[T | Failure, P], T | Failure],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]: ...
    @overload
    def addBoth(
        self, callback: Callable[Concatenate[T | Failure, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]: ...
    def addBoth(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Attach `callback` for whatever comes, a value or a Failure. Otherwise as `addCallback`."""
        if not callable(callback):
            raise _not_callable(callback)
        arguments = (args, kwargs, args, kwargs) if args or kwargs else None
        step = [None, callback, callback, copy_context(), arguments]
        if self._steps is None:
            self._steps = self._last = step
        else:
            self._last[NEXT] = step
            self._last = step
        if self._state:
            self._proceed()
        return self

    def addTimeout(
        self, timeout: float, clock: Clock, onTimeoutCancel: Callable[[Any, float], Any] | None = None
    ) -> Deferred[T]:
        """Cancel this Deferred when it has no result `timeout` seconds from now on `clock`.

        It then fails with `TimeoutError`, or goes on with what ``onTimeoutCancel(result, timeout)`` makes of
        the outcome of cancelling. Steps attached before this call count, later ones do not. Any thread.
        """
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            self.cancel()

        def finish(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return (onTimeoutCancel or _as_timeout)(result, timeout) if expired else result

        timer = clock.callLater(timeout, expire)
        self.addBoth(finish)
        return cast("Deferred[T]", self)


def _as_timeout(result: Any, timeout: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        return Failure(TimeoutError(f"no result within {timeout} seconds"))
    return result


def _not_callable(value: object) -> TypeError:
    return TypeError(f"a callback must be callable, and {short(value)} is not: pass the function itself")
