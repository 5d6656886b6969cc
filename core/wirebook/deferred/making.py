"""Deferreds made of what is there already: a value, an error, a call, a coroutine."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from inspect import iscoroutine
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

from wirebook.deferred import core
from wirebook.deferred.chain import VALUE
from wirebook.deferred.core import Deferred
from wirebook.deferred.driving import drive
from wirebook.failure import STEERING, Failure, caught

T = TypeVar("T")
P = ParamSpec("P")

_new = object.__new__


def succeed(result: T) -> Deferred[T]:
    """A Deferred that has fired with `result`."""
    deferred: Deferred[T]
    if core.debugging or type(result) in STEERING:
        deferred = Deferred()
        deferred.callback(result)
    else:
        # As `Deferred.__init__` and `callback` would. Nobody else has it yet, so there is no turn to take.
        deferred = _new(Deferred)
        deferred._steps = None
        deferred.context = copy_context()
        deferred.result, deferred._state = result, VALUE
    return deferred


def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """A Deferred that has failed with `result`, or with the exception being handled when it is None."""
    deferred: Deferred[Any] = Deferred()
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call now; a Deferred with what it returned or raised."""
    try:
        result = callable(*args, **kwargs)
    except BaseException as error:
        return fail(caught(error))
    return succeed(result)


def maybeDeferred(f: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Deferred[Any]:
    """Call `f` now; a Deferred of what it gives: a Deferred, a coroutine, a Failure, a value, an error."""
    try:
        result = f(*args, **kwargs)
    except BaseException as error:
        return fail(caught(error))
    if isinstance(result, Deferred):
        return result
    return Deferred.fromCoroutine(result) if iscoroutine(result) else succeed(result)


def ensureDeferred(coro: Deferred[T] | Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> Deferred[T]:
    """A Deferred for a coroutine (see `Deferred.fromCoroutine`); a Deferred is returned as it is."""
    if type(coro) is CoroutineType:
        return drive(coro, Deferred())
    return coro if isinstance(coro, Deferred) else Deferred.fromCoroutine(coro)
