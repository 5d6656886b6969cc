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

import asyncio
from _thread import get_ident
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from time import perf_counter
from types import GeneratorType
from typing import Any, ClassVar, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from wirebook.deferred.attaching import Attachable
from wirebook.deferred.chain import (
    AWAITED,
    CANCELLED,
    FAILURE,
    NO_ARGUMENTS,
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
    Arguments,
    Arrival,
    CancelledError,
    Notes,
    Observer,
    Step,
    link,
    short,
    whereabouts,
)
from wirebook.deferred.waiting import Waitable
from wirebook.failure import STEERING, Failure, Steering, caught
from wirebook.turn import in_turn, turn

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")
P = ParamSpec("P")


class DeferredTracer(Protocol):
    """Seam 4: who is told of every callback that a Deferred has run. See `setTracer`."""

    def step(
        self,
        deferred: Deferred[Any],
        callback: Callable[..., Any],
        result: Any,
        seconds: float,
        origin: Context,
    ) -> None:
        """`callback` of `deferred` took `seconds` and gave `result`.

        That is a value, a Failure, or the Deferred it waits for. `origin` is the context it was
        attached in. Called in the turn, on any thread; must not raise.
        """


_tracer: DeferredTracer | None = None

Runner: TypeAlias = "GeneratorType[None, Deferred[Any], None]"

_debugging = False
_runner: Runner
_send: Callable[[Deferred[Any]], None]


class Deferred(Steering, Attachable[T], Waitable[T]):
    """A result to come, with the chain of callbacks that it passes through.

    `canceller` is called with the Deferred by `cancel`; it should stop the work and may fire the Deferred.

    Attributes: ``called`` whether it was fired; ``paused`` how often it is paused; ``result`` what the chain
    has made of it so far (missing until it is fired; the other Deferred while it waits for one); ``context``
    the `contextvars.Context` it was made in; ``debug`` whether where it is made and fired is recorded.
    """

    __slots__ = (
        "__weakref__",
        "_blocked",
        "_canceller",
        "_kind",
        "_marks",
        "_notes",
        "_steps",
        "_waiting_on",
        "context",
        "result",
    )

    debug: ClassVar[bool] = False
    result: Any

    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None:
        self._kind = self._blocked = self._marks = 0
        self._steps: list[Step] = []
        self._canceller = canceller
        self._waiting_on: Deferred[Any] | None = None
        self._notes: Notes | None = None
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

    # Firing

    def callback(self, result: T) -> None:
        """Fire with `result`: the chain runs now, in this thread, as far as it can. Any thread.

        `AlreadyCalledError` when it was fired before; `TypeError` when `result` is a Deferred.
        """
        if turn.owner != get_ident():
            turn.acquire()
            try:
                return self.callback(result)
            finally:
                turn.release()
        if self._kind or self._blocked or _debugging or type(result) in STEERING:
            return self._fire(result)
        self._canceller = None
        self._kind = VALUE
        self.result = result
        if self._steps:
            if _runner.gi_running:
                _run_nested(self)
            else:
                _send(self)
        return None

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fire with a failure: `fail`, or the exception being handled when it is None. Else as `callback`."""
        if turn.owner != get_ident():
            turn.acquire()
            try:
                return self.errback(fail)
            finally:
                turn.release()
        failure = fail if isinstance(fail, Failure) else Failure(fail)
        if self._kind or self._blocked or _debugging:
            return self._fire(failure)
        self._canceller = None
        self._kind = FAILURE
        self.result = failure
        if _runner.gi_running:
            _run_nested(self)
        else:
            _send(self)
        return None

    @in_turn
    def pause(self) -> None:
        """Hold the chain after the step that is running now, until `unpause`. Any thread."""
        self._blocked += PAUSED

    @in_turn
    def unpause(self) -> None:
        """Undo one `pause`; after the last one the chain goes on at once. Any thread."""
        if self._blocked < PAUSED:
            raise RuntimeError(f"{self!r} is not paused: each unpause() needs a pause() before it")
        self._blocked -= PAUSED
        self._proceed()

    @in_turn
    def cancel(self) -> None:
        """Give up waiting for the result. Does nothing when it is there already. Any thread.

        What it waits for (a Deferred that a callback returned or that a coroutine awaits) is cancelled in its
        place. Otherwise the canceller is called, in a copy of the context the Deferred was made in; if it
        fires nothing, or there is none, the Deferred fails with `CancelledError`. Without a canceller the
        work goes on, so the one `callback` or `errback` it will still make is ignored.
        """
        target: Deferred[Any] = self
        while target._waiting_on is not None:
            target = target._waiting_on
            if type(target).cancel is not Deferred.cancel:
                return target.cancel()
        return target._cancel()

    def _cancel(self) -> None:
        if self._kind:
            return
        canceller = self._canceller
        self._marks |= CANCELLED if canceller else CANCELLED | SUPPRESS
        try:
            if canceller:
                self.context.copy().run(canceller, self)
        finally:
            if not self._kind:
                self._fire(Failure(CancelledError(f"{self!r} was cancelled")))

    # The chain's machinery; all of it in the turn

    def _fire(self, result: Any) -> None:
        """Fire with anything, in any state."""
        if self._conclude(result) is None:
            return
        if self._notes is not None:
            self._notes.fired = f" with {short(result)} at {whereabouts()}"
        _run(self)

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
        if turn.owner != get_ident():
            turn.acquire()
            try:
                return self._proceed()
            finally:
                turn.release()
        if UNFIRED < self._kind < RUNNING and not self._blocked:
            if self._notes is not None:
                self._notes.failure = None
            _run(self)
        return None

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
                if step[0] is observer and self._kind != RUNNING:
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
        place = f"Deferred at {id(self):#x}"
        if self._waiting_on is not None:
            return f"<{place} waiting on Deferred at {id(self._waiting_on):#x}>"
        if not hasattr(self, "result"):
            return f"<{place}>"
        return f"<{place} current result: {short(self.result)}>"


# Running the chains


# Why a generator: a failed callback's traceback keeps its frame, and a frame keeps its callers with all their
# variables, among them the very Deferred that holds the failure. Only the garbage collector could break that
# ring, and until it does nobody hears of the error. A generator that has yielded forgets who resumed it, so
# the frames end there, and its own variables are let go before it yields. Resuming one costs 20 ns.


def _run_chains(later: list[Deferred[Any]]) -> Generator[None, Deferred[Any], None]:
    """Run the chain of the Deferred sent in, and all that go on because of it; `later` is for its own use."""
    current: Deferred[Any] | None = None
    result, kind, done = None, VALUE, 0
    try:
        while True:
            current = yield
            while current is not None:
                watch, following, done = _tracer, None, 0
                result, kind, current._kind = current.result, current._kind, RUNNING
                for callback, errback, context, arguments in current._steps:
                    if current._blocked:
                        break
                    done += 1
                    if kind == TOLD and context is not None:
                        result, kind = None, VALUE
                    elif kind != VALUE:
                        callback = errback
                    if callback is None:
                        continue
                    try:
                        if arguments is None and watch is None:
                            result = context.run(callback, result)
                        elif context is None:
                            following, result, kind = callback._arrive(result, kind)
                            if following is not None:
                                break
                            continue
                        elif watch is None:
                            arguments = arguments[kind != VALUE]
                            result = context.run(callback, result, *arguments[0], **arguments[1])
                        else:
                            result = _run_step(watch, current, callback, context, result, arguments, kind)
                        if type(result) not in STEERING:
                            kind = VALUE
                        elif isinstance(result, Deferred):
                            result, kind = result._join(current)
                        else:
                            kind = FAILURE
                    except BaseException as error:
                        result, kind = caught(error, result), FAILURE
                del current._steps[:done]
                current.result, current._kind = result, kind
                if kind != VALUE or current._steps:
                    _leave(current, kind, later)
                current = following if following is not None else later.pop() if later else None
            result = callback = errback = context = arguments = None
    except (Exception, KeyboardInterrupt, SystemExit):
        _recover(current, result, kind, done)
        raise


def _run_step(
    watch: DeferredTracer,
    deferred: Deferred[Any],
    callback: Callable[..., Any],
    context: Context,
    result: Any,
    arguments: tuple[Arguments, Arguments] | None,
    kind: int,
) -> Any:
    """Run a callback and tell `watch`; its error is returned."""
    args, kwargs = arguments[kind != VALUE] if arguments else NO_ARGUMENTS
    started = perf_counter()
    try:
        try:
            outcome = context.run(callback, result, *args, **kwargs)
        except BaseException as error:
            outcome = caught(error, result)
        watch.step(deferred, callback, outcome, perf_counter() - started, context)
        return outcome
    finally:
        del deferred, callback, context, result, outcome, arguments, args, kwargs


def _leave(current: Deferred[Any], kind: int, later: list[Deferred[Any]]) -> None:
    """Note what is left of `current`, whose chain stops here: steps to come back to, or an error."""
    if current._steps and not current._blocked:
        later.append(current)
    elif kind == FAILURE:
        current._note_failure(current.result)


def _run(deferred: Deferred[Any]) -> None:
    """Run the chain of `deferred`, which is ready; in the turn."""
    if _runner.gi_running:
        _run_nested(deferred)
    else:
        _send(deferred)


_nested_runners: list[Runner] = []


def _run_nested(deferred: Deferred[Any]) -> None:
    """Run a chain while a callback of another one is running, further up the stack."""
    runner = _nested_runners.pop() if _nested_runners else _new_runner()
    runner.send(deferred)
    _nested_runners.append(runner)


def _new_runner() -> Runner:
    runner = _run_chains([])
    next(runner)
    return cast("Runner", runner)


def _recover(current: Deferred[Any] | None, result: Any, kind: int, done: int) -> None:
    """Leave `current` fit to go on, after an interrupt that came between two steps and ends the runner."""
    if current is not None and current._kind == RUNNING:
        del current._steps[:done]
        current.result, current._kind = result, kind
    _renew_runner()


def _renew_runner() -> None:
    global _runner, _send
    _runner = _new_runner()
    _send = _runner.send


_renew_runner()


def setDebugging(on: bool) -> None:
    """Whether Deferreds made from now on record where they are made and fired; it costs microseconds each."""
    global _debugging
    _debugging = Deferred.debug = bool(on)


def setTracer(tracer: DeferredTracer | None) -> None:
    """Have `tracer` told of every step of every Deferred from now on; None: nobody. Any thread."""
    global _tracer
    _tracer = tracer


def getTracer() -> DeferredTracer | None:
    """Who is told of the steps of Deferreds now."""
    return _tracer


def getDebugging() -> bool:
    """Whether `setDebugging` is on."""
    return _debugging


def _ring(deferred: Deferred[Any]) -> RuntimeError:
    return RuntimeError(
        f"a callback returned {deferred!r}, which waits for the chain of that callback: it would never end. "
        "Return the value, or another Deferred."
    )
