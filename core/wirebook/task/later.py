"""A call to be made later, as a Deferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from wirebook.deferred import Deferred
from wirebook.interfaces import IReactorTime
from wirebook.task.naming import name_of

T = TypeVar("T")


@overload
def deferLater(clock: IReactorTime, delay: float) -> Deferred[None]: ...
@overload
def deferLater(clock: IReactorTime, delay: float, callable: None) -> Deferred[None]: ...
@overload
def deferLater(
    clock: IReactorTime, delay: float, callable: Callable[..., Deferred[T]], *args: Any, **kw: Any
) -> Deferred[T]: ...
@overload
def deferLater(clock: IReactorTime, delay: float, callable: Callable[..., T], *args: Any, **kw: Any) -> Deferred[T]: ...
def deferLater(
    clock: IReactorTime, delay: float, callable: Callable[..., Any] | None = None, *args: Any, **kw: Any
) -> Deferred[Any]:
    """Call ``callable(*args, **kw)`` after `delay` seconds on `clock`, a reactor or a `Clock`.

    Fires with what it returns (None when there is no callable: a mere pause), or fails with what it raises.
    Cancelling the Deferred before takes the call back. The call is made in the context of this one. Any thread.
    """

    def fire() -> None:
        due.callback(None)

    def take_back(_: Deferred[Any]) -> None:
        if call.active():
            call.cancel()

    fire.__qualname__ = name_of(deferLater if callable is None else callable)
    due: Deferred[Any] = Deferred(take_back)
    if callable is not None:
        function = callable
        due.addCallback(lambda _: function(*args, **kw))
    call = clock.callLater(delay, fire)
    return due
