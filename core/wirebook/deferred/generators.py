"""inlineCallbacks: code that reads in sequence and waits at each ``yield``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from functools import wraps
from types import GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar

from wirebook.deferred.chain import short
from wirebook.deferred.core import Deferred
from wirebook.deferred.driving import Returned, drive

T = TypeVar("T")
P = ParamSpec("P")


def inlineCallbacks(f: Callable[P, Generator[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Decorate a generator function so that a call runs it and gives a Deferred of what it returns.

    ``result = yield deferred`` waits, and raises the error of a Deferred that fails; the generator may catch it.
    A coroutine or generator that is yielded is run and waited for; a `Failure` is raised at once; any other value
    comes back as it is. The first step is taken at once in the calling thread, the others in the turn by whoever
    fires what was waited for, all in one copy of the context of the call, which keeps what the generator sets.

    Cancelling the Deferred cancels what the generator waits for, so `CancelledError` (or what that Deferred's
    canceller fires it with) comes out of its ``yield``. The Deferred fires once the generator has ended.

    The call raises `TypeError` when `f` makes no generator. Any thread.
    """

    @wraps(f)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        generator: Any
        try:
            generator = f(*args, **kwargs)
        except Returned as stop:
            generator = stop.value
        if not isinstance(generator, GeneratorType):
            name = getattr(f, "__qualname__", f)
            raise TypeError(
                f"inlineCallbacks decorates functions that yield, and {name} gave {short(generator)}: "
                "use it without the decorator, or with maybeDeferred"
            )
        return drive(generator, Deferred())

    return run


def returnValue(val: object) -> NoReturn:
    """End the `inlineCallbacks` generator that calls this, with `val` as its result.

    Deprecated: ``return val`` does the same. It works by raising, so a bare ``except:`` around it would stop it.
    """
    warnings.warn("returnValue(val) is deprecated: write 'return val'", DeprecationWarning, stacklevel=2)
    raise Returned(val)
