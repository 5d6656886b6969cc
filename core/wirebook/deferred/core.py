"""Deferred: a result that is not there yet, and the chain of callbacks it will pass through.

The chain
    Each step has a callback for a value and an errback for a `Failure`. What a step returns goes to the next
    one: a value to its callback, a Failure (or any exception it raises) to its errback, and a Deferred makes
    the chain wait and go on with that Deferred's outcome. *Any* exception becomes a Failure, also
    KeyboardInterrupt, SystemExit and GeneratorExit: a callback belongs to whoever attached it, not to the
    thread that happens to run it, so it can end neither the reactor nor somebody else's cell.

Threads
    Any thread may call anything here. Callbacks run in the turn, so never two at a time. Attaching to a
    Deferred that has not fired takes no lock at all: the step is linked in (one operation to other threads, see
    `wirebook.deferred.chain`) *before* the state is read, and whoever fires sets the state *before* it reads the
    steps, so one sees the other.

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
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from wirebook.deferred.attaching import Attachable
from wirebook.deferred.chain import (
    CANCELLED,
    DEBUGGED,
    FAILURE,
    KIND,
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
from wirebook.failure import STEERING, Failure, Steering, caught
from wirebook.turn import turn

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

debugging = False


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
        # Only what every Deferred needs, for each line here is paid for by all of them.
        self._state = UNFIRED
        self._steps = None
        self.context = copy_context()
        if canceller is not None:
            if not callable(canceller):
                raise TypeError(f"the canceller is {short(canceller)}; it must be callable with the Deferred, or None")
            self._canceller = canceller
        if debugging:
            self._state = DEBUGGED
            self._notes = Notes(self.context)
            self._notes.made = f" made at {whereabouts()}"

    @property
    def called(self) -> bool:
        """Whether `callback` or `errback` has been called."""
        return self._state & KIND != UNFIRED

    @property
    def paused(self) -> int:
        """How many `unpause` calls are needed before the chain goes on."""
        return self._state // PAUSED

    # The chain's machinery; all of it in the turn

    def _fire(self, result: Any) -> None:
        """Fire with anything, in any state."""
        if self._conclude(result) is not None:
            run(self)

    def _conclude(self, result: Any) -> Deferred[T] | None:
        """Take `result` as the one it is fired with; the Deferred if there is anything to run now."""
        if self._state & KIND:
            self._refuse()
            return None
        kind = VALUE
        if type(result) in STEERING:
            if not isinstance(result, Failure):
                raise TypeError(
                    f"a Deferred cannot be fired with a Deferred ({short(result)}): "
                    "return it from a callback, 'return await' it, or use result.chainDeferred(this)"
                )
            kind = FAILURE
        if self._state & DEBUGGED:
            self._state -= DEBUGGED
            self._notes.fired = f" with {short(result)} at {whereabouts()}"
        self._canceller = None
        self._state += kind
        self.result = result
        return self if self._steps or kind == FAILURE else None

    def _refuse(self) -> None:
        """Ignore the one late firing after a cancel; object to any other."""
        marks, notes = getattr(self, "_marks", 0), getattr(self, "_notes", None)
        if marks & SUPPRESS:
            self._marks &= ~SUPPRESS
            return
        cancelled = marks & CANCELLED
        made, fired = (notes.made, notes.fired) if notes else ("", "")
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
                del turn.free
            except AttributeError:
                turn.queue_up(me)
            else:
                turn.owner = me
        try:
            if UNFIRED < self._state < RUNNING and self._steps:
                if self._state == FAILURE:
                    self._note_failure(None)
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

    def _peek(self) -> Any:
        """The outcome for somebody who raises it if it is an error, or PENDING."""
        if turn.owner != get_ident():
            with turn:
                return self._peek()
        if self._steps or not UNFIRED < self._state < RUNNING:
            return PENDING
        if self._state == FAILURE:
            self._state = TOLD
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
            self._add(link(observer))
        return outcome

    def _forget(self, observer: Observer) -> None:
        """Tell `observer` nothing any more."""
        with turn:
            self._drop(observer)

    def _join(self, outer: Deferred[Any]) -> tuple[Any, int]:
        """What `outer`, whose callback returned this, goes on with: the outcome, or this to wait for."""
        kind = self._state
        if kind == VALUE:
            result, self.result = self.result, None
            return result, VALUE
        if UNFIRED < kind < RUNNING:
            result, self.result, self._state = self.result, None, VALUE
            self._note_failure(None)
            return (None, VALUE) if kind == TOLD else (result, FAILURE)
        if self is outer or (outer._steps and self._leads_to(outer)):
            return Failure(_ring(self)), FAILURE
        self._add([None, outer, outer, None, ()])
        outer._waiting_on = self
        outer._state += WAITING
        return self, VALUE

    def _leads_to(self, outer: Deferred[Any]) -> bool:
        """Whether this Deferred waits for `outer`, so that `outer` must not wait for it."""
        found = self._awaited()
        # Whoever waits has a link. Looking for one saves walking a long row of waiting Deferreds at each join.
        if found is None or all(context is not None for _, _, _, context, _ in outer._steps_to_come()):
            return False
        while found is not None and found is not outer:
            found = found._awaited()
        return found is outer

    def _arrive(self, result: Any, kind: int) -> Arrival:
        """Go on with the outcome of the Deferred waited for, which keeps nothing of it."""
        self._waiting_on = None
        if kind == TOLD:
            result, kind = None, VALUE
        self.result = result
        self._state += kind - (VALUE + WAITING)
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
        notes = getattr(self, "_notes", None)
        if notes is None:
            notes = self._notes = Notes(self.context)
        notes.failure = failure

    def __repr__(self) -> str:
        place = f"{type(self).__name__} at {id(self):#x}"
        waits_for = self._awaited()
        awaited = id(waits_for) if waits_for is not None else 0
        if not self.called:
            awaited = awaited or getattr(self, "_source", 0)
        if awaited:
            return f"<{place} waiting on Deferred at {awaited:#x}>"
        if not hasattr(self, "result"):
            return f"<{place}>"
        return f"<{place} current result: {short(self.result)}>"


def setDebugging(on: bool) -> None:
    """Whether Deferreds made from now on record where they are made and fired; it costs microseconds each."""
    global debugging
    debugging = Deferred.debug = bool(on)


def getDebugging() -> bool:
    """Whether `setDebugging` is on."""
    return debugging


def _ring(deferred: Deferred[Any]) -> RuntimeError:
    return RuntimeError(
        f"a callback returned {deferred!r}, which waits for the chain of that callback: it would never end. "
        "Return the value, or another Deferred."
    )
