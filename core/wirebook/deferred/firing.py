"""How a Deferred is fired, paused and cancelled.

`Fireable.callback` and `Fireable.errback` are what programs call most beside attaching, so they take the turn, and
have the chain run, in line: with calls instead they would cost a seventh more outside the turn.
"""

from __future__ import annotations

from _thread import get_ident
from abc import abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from weakref import ref

from wirebook.deferred import running
from wirebook.deferred.chain import (
    CANCELLED,
    FAILURE,
    KIND,
    PAUSED,
    SUPPRESS,
    TOLD,
    VALUE,
    Arrival,
    CancelledError,
    Chain,
    link,
)
from wirebook.deferred.running import run_nested, runner
from wirebook.failure import STEERING, Failure
from wirebook.turn import in_turn, turn

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred

T = TypeVar("T")


class Fireable(Chain, Generic[T]):
    """What can be given its result, be held up, and be given up."""

    __slots__ = ()

    @abstractmethod
    def _fire(self, result: Any) -> None:
        """Fire with anything, in any state."""

    @abstractmethod
    def _proceed(self) -> None:
        """Run what can run."""

    def callback(self, result: T) -> None:
        """Fire with `result`: the chain runs now, in this thread, as far as it can. Any thread.

        `AlreadyCalledError` when it was fired before; `TypeError` when `result` is a Deferred.
        """
        outermost = turn.owner != (me := get_ident())
        if outermost:
            try:
                del turn.free
            except AttributeError:
                turn.queue_up(me)
            else:
                turn.owner = me
        try:
            if self._state or type(result) in STEERING:
                self._fire(result)
            else:
                self._canceller = None
                self._state = VALUE
                self.result = result
                if self._steps is not None:
                    if runner.busy:
                        run_nested(self)
                    else:
                        runner.send(self)
        finally:
            if outermost:
                turn.owner = 0
                if turn.asked:
                    turn.offered = None
                    turn.given(me)
                else:
                    turn.free = None

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fire with a failure: `fail`, or the exception being handled when it is None. Else as `callback`."""
        failure = fail if isinstance(fail, Failure) else Failure(fail)
        outermost = turn.owner != (me := get_ident())
        if outermost:
            try:
                del turn.free
            except AttributeError:
                turn.queue_up(me)
            else:
                turn.owner = me
        try:
            if self._state or self._steps is None:
                self._fire(failure)
            else:
                self._canceller = None
                self._state = FAILURE
                self.result = failure
                if runner.busy:
                    run_nested(self)
                else:
                    runner.send(self)
        finally:
            if outermost:
                turn.owner = 0
                if turn.asked:
                    turn.offered = None
                    turn.given(me)
                else:
                    turn.free = None

    def chainDeferred(self, d: Deferred[Any]) -> Deferred[None]:
        """Fire `d` with this Deferred's result, whatever it is; this one goes on with None. Any thread.

        Chains of any length are fired without recursion. Firing or cancelling `d` does nothing to this one.
        """
        kind = type(d)
        if issubclass(kind, Fireable) and kind.callback is Fireable.callback and kind.errback is Fireable.errback:
            d._source = id(self)
            feed = Feed(d) if running.tracer is None else TracedFeed(d, self)
            self._add(link(feed))
            if self._state:
                self._proceed()
        else:
            cast("Deferred[T]", self).addCallbacks(d.callback, d.errback)
        return cast("Deferred[None]", self)

    @in_turn
    def pause(self) -> None:
        """Hold the chain after the step that is running now, until `unpause`. Any thread."""
        self._state += PAUSED

    @in_turn
    def unpause(self) -> None:
        """Undo one `pause`; after the last one the chain goes on at once. Any thread."""
        if self._state < PAUSED:
            raise RuntimeError(f"{self!r} is not paused: each unpause() needs a pause() before it")
        self._state -= PAUSED
        self._proceed()

    @in_turn
    def cancel(self) -> None:
        """Give up waiting for the result. Does nothing when it is there already. Any thread.

        What it waits for (a Deferred that a callback returned or that a coroutine awaits) is cancelled in its
        place. Otherwise the canceller is called, in a copy of the context the Deferred was made in; if it
        fires nothing, or there is none, the Deferred fails with `CancelledError`. What the canceller raises is
        raised here, and the Deferred is not cancelled. Without a canceller the work goes on, so the one
        `callback` or `errback` it will still make is ignored.
        """
        target = cast("Deferred[Any]", self)
        while (awaited := target._awaited()) is not None:
            target = awaited
            if type(target).cancel is not Fireable.cancel:
                return target.cancel()
        return target._cancel()

    def _cancel(self) -> None:
        if self._state & KIND:
            return
        canceller = getattr(self, "_canceller", None)
        self._marks = CANCELLED if canceller else CANCELLED | SUPPRESS
        if canceller:
            try:
                self.context.copy().run(canceller, cast("Deferred[T]", self))
            except BaseException:
                if not self._state & KIND:
                    self._marks &= ~CANCELLED
                raise
        if not self._state & KIND:
            self._fire(Failure(CancelledError(f"{self!r} was cancelled")))


class Feed:
    """What `Deferred.chainDeferred` attaches: a link whose outcome fires `target`."""

    __slots__ = ("target",)

    def __init__(self, target: Deferred[Any]) -> None:
        self.target = target

    def _arrive(self, result: Any, kind: int) -> Arrival:
        return self.target._conclude(None if kind == TOLD else result), None, VALUE


class TracedFeed(Feed):
    """One that tells the tracer when it does so, as any other step is told of."""

    __slots__ = ("context", "source")

    def __init__(self, target: Deferred[Any], source: Fireable[Any]) -> None:
        super().__init__(target)
        self.source = ref(source)
        self.context = copy_context()

    def _arrive(self, result: Any, kind: int) -> Arrival:
        arrival = super()._arrive(result, kind)
        source = cast("Deferred[Any] | None", self.source())
        if running.tracer is not None and source is not None:
            running.tracer.step(source, self.target.callback, None, 0.0, self.context)
        return arrival
