"""Deferred: a result that is not there yet, and the chain of callbacks it will pass through.

The chain
    Each step has a callback for a value and an errback for a `Failure`. What a step returns goes to the next
    one: a value to its callback, a Failure (or any exception it raises) to its errback, and a Deferred makes
    the chain wait and go on with that Deferred's outcome. *Any* exception becomes a Failure, also
    KeyboardInterrupt, SystemExit and GeneratorExit: a callback belongs to whoever attached it, not to the
    thread that happens to run it, so it can end neither the reactor nor somebody else's cell.

Threads
    Any thread may call anything here. Callbacks run in the turn, so never two at a time. Attaching to a
    Deferred that has not fired takes no lock at all: the step is appended (one atomic operation) *before* the
    state is read, and whoever fires sets the state *before* it reads the steps, so one sees the other.

Contexts
    Every step runs in the copy of the context that was current when it was attached. It runs once, so that
    copy is private already.

Who saw the error
    A failed Deferred that is forgotten reports its error, once, to `wirebook.logger`. A failure raised out of
    ``await`` or `Deferred.wait` has been seen: steps after it go on with None, while another ``await`` or
    ``wait`` raises it again. Plain results stay what they are.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from wirebook.deferred.attaching import Attachable
from wirebook.deferred.chain import (
    AWAITED,
    CANCELLED,
    FAILURE,
    PAUSED,
    PENDING,
    RUNNING,
    SUPPRESS,
    TOLD,
    UNFIRED,
    VALUE,
    WAITING,
    AlreadyCalledError,
    AlreadyCancelledError,
    Arrival,
    Notes,
    Observer,
    link,
    short,
    whereabouts,
)
from wirebook.deferred.firing import Fireable
from wirebook.deferred.running import run, run_nested, runner
from wirebook.deferred.waiting import Waitable
from wirebook.failure import Failure, Steering, caught
from wirebook.turn import turn

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

token: Final = turn.token
_debugging = False


class Deferred(Steering, Fireable[T], Attachable[T], Waitable[T]):
    """A result to come, with the chain of callbacks that it passes through.

    `canceller` is called with the Deferred by `cancel`; it should stop the work and may fire the Deferred.

    Attributes: ``called`` whether it was fired; ``paused`` how often it is paused; ``result`` what the chain
    has made of it so far (missing until it is fired; the other Deferred while it waits for one); ``context``
    the `contextvars.Context` it was made in; ``debug`` whether where it is made and fired is recorded.
    """

    __slots__ = ()

    debug: ClassVar[bool] = False

    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None:
        # Only what other methods read without asking, for each line here is paid for by every Deferred.
        self._kind = self._blocked = self._marks = 0
        self._steps = []
        self._canceller = canceller
        self._waiting_on = self._notes = None
        self.context = copy_context()
        if canceller is not None and not callable(canceller):
            raise TypeError(f"the canceller is {short(canceller)}; it must be callable with the Deferred, or None")
        if _debugging:
            self._notes = Notes(self.context)
            self._notes.made = f" made at {whereabouts()}"

    @property
    def called(self) -> bool:
        """Whether `callback` or `errback` has been called."""
        return self._kind != UNFIRED

    @property
    def paused(self) -> int:
        """How many `unpause` calls are needed before the chain goes on."""
        return self._blocked // PAUSED

    # The chain's machinery; all of it in the turn

    def _fire(self, result: Any) -> None:
        """Fire with anything, in any state."""
        if self._conclude(result) is None:
            return
        if self._notes is not None:
            self._notes.fired = f" with {short(result)} at {whereabouts()}"
        run(self)

    def _conclude(self, result: Any) -> Deferred[T] | None:
        """Take `result` as the one it is fired with; the Deferred if its chain is to be run now."""
        if self._kind:
            self._refuse()
            return None
        if isinstance(result, Deferred):
            raise TypeError(
                f"a Deferred cannot be fired with a Deferred ({short(result)}): "
                "return it from a callback, 'return await' it, or use result.chainDeferred(this)"
            )
        self._canceller = None
        self._kind = FAILURE if isinstance(result, Failure) else VALUE
        self.result = result
        return self

    def _refuse(self) -> None:
        """Ignore the one late firing after a cancel; object to any other."""
        if self._marks & SUPPRESS:
            self._marks &= ~SUPPRESS
            return
        cancelled = self._marks & CANCELLED
        made, fired = (self._notes.made, self._notes.fired) if self._notes else ("", "")
        hint = "" if made else "; setDebugging(True) tells where that was"
        now = short(self.result) if hasattr(self, "result") else "not there yet"
        raise (AlreadyCancelledError if cancelled else AlreadyCalledError)(
            f"this Deferred{made} was already {'cancelled' if cancelled else 'fired'}{fired}{hint}; "
            f"its result is now {now}. Fire it once only: make a new Deferred for each result."
        )

    def _proceed(self) -> None:
        """Run what can run: after a step was added or a hold was lifted."""
        outermost = turn.owner != (me := get_ident())
        if outermost:
            try:
                del token[turn.waiting]
            except IndexError:
                turn.queue_up(me)
            else:
                turn.owner = me
        try:
            if UNFIRED < self._kind < RUNNING and not self._blocked:
                if self._notes is not None:
                    self._notes.failure = None
                if runner.busy:
                    run_nested(self)
                else:
                    send = runner.send
                    send(self)
        finally:
            if outermost:
                turn.owner = 0
                token.append(None)
                if turn.waiting or turn.interrupted:
                    turn.given(me)

    def _peek(self) -> Any:
        """The outcome for somebody who raises it if it is an error, or PENDING."""
        if turn.owner != get_ident():
            with turn:
                return self._peek()
        if self._steps or self._blocked or not UNFIRED < self._kind < RUNNING:
            return PENDING
        if self._kind == FAILURE:
            self._kind = TOLD
            self._note_failure(None)
        return self.result

    def _observe(self, observer: Observer) -> Any:
        """As `_peek`, but `observer` is told later of what is pending now."""
        if turn.owner != get_ident():
            with turn:
                return self._observe(observer)
        self._proceed()
        outcome = self._peek()
        if outcome is PENDING:
            self._marks |= AWAITED
            self._steps.append(link(observer))
        return outcome

    def _forget(self, observer: Observer) -> None:
        """Tell `observer` nothing any more."""
        with turn:
            for position, step in enumerate(self._steps):
                if step[0] is observer:
                    del self._steps[position]
                    return

    def _join(self, outer: Deferred[Any]) -> tuple[Any, int]:
        """What `outer`, whose callback returned this, goes on with: the outcome, or this to wait for."""
        if UNFIRED < self._kind < RUNNING and not self._blocked:
            result, kind = (None, VALUE) if self._kind == TOLD else (self.result, self._kind)
            self.result, self._kind = None, VALUE
            if self._notes is not None:
                self._notes.failure = None
            return result, kind
        if self is outer or (outer._marks & AWAITED and self._leads_to(outer)):
            return Failure(_ring(self)), FAILURE
        self._steps.append((outer, outer, None, ()))
        self._marks |= AWAITED
        outer._waiting_on = self
        outer._blocked += WAITING
        return self, VALUE

    def _leads_to(self, outer: Deferred[Any]) -> bool:
        """Whether this Deferred waits for `outer`, so that `outer` must not wait for it."""
        found: Deferred[Any] | None = self
        while found is not None and found is not outer:
            found = found._waiting_on
        return found is outer

    def _arrive(self, result: Any, kind: int) -> Arrival:
        """Go on with the outcome of the Deferred waited for, which keeps nothing of it."""
        self._waiting_on = None
        self._blocked -= WAITING
        self.result, self._kind = (None, VALUE) if kind == TOLD else (result, kind)
        return (self if self._steps or kind == FAILURE else None), None, VALUE

    def _settle_as(self, future: asyncio.Future[T]) -> None:
        """Fire with the outcome of `future`, which is done."""
        with turn:
            try:
                result: Any = future.result()
            except BaseException as error:
                result = caught(error)
            if not self.called:
                self._fire(result)

    def _note_failure(self, failure: Failure | None) -> None:
        """`failure` is what nobody has handled so far; None: there is nothing."""
        if self._notes is not None:
            self._notes.failure = failure
        elif failure is not None:
            self._notes = Notes(self.context)
            self._notes.failure = failure

    def __repr__(self) -> str:
        place = f"{type(self).__name__} at {id(self):#x}"
        awaited = id(self._waiting_on) if self._waiting_on is not None else 0
        if not self._kind:
            awaited = awaited or getattr(self, "_source", 0)
        if awaited:
            return f"<{place} waiting on Deferred at {awaited:#x}>"
        if not hasattr(self, "result"):
            return f"<{place}>"
        return f"<{place} current result: {short(self.result)}>"


def setDebugging(on: bool) -> None:
    """Whether Deferreds made from now on record where they are made and fired; it costs microseconds each."""
    global _debugging
    _debugging = Deferred.debug = bool(on)


def getDebugging() -> bool:
    """Whether `setDebugging` is on."""
    return _debugging


def _ring(deferred: Deferred[Any]) -> RuntimeError:
    return RuntimeError(
        f"a callback returned {deferred!r}, which waits for the chain of that callback: it would never end. "
        "Return the value, or another Deferred."
    )
