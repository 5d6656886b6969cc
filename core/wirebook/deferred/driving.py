"""What drives coroutines and generators: each is resumed with the outcome of what it waits for, and fires a Deferred.

A *stepper* is a generator that delegates to one coroutine after another. To delegate is the cheapest way to run a
coroutine: what it awaits comes out of the stepper as if it stood there alone, and its result needs no StopIteration.
What has fired already is not even yielded: ``await`` reads the value where it stands, so a coroutine that never has
to wait ends in its first step. One that waits keeps its stepper, and a `Driver` resumes it.

A stepper also cuts the tracebacks: an error keeps the coroutine's frame, and that frame keeps its callers with all
their variables, among them the very Deferred that fails with the error. A generator that has yielded forgets who
resumed it, so the frames end there; it lets go of its own variables before it yields, and goes back to the pool.

Every step is taken in the turn, and in the coroutine's own context.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import CodeType, CoroutineType, GeneratorType, coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from wirebook.deferred.chain import FAILURE, KIND, PENDING, TOLD, VALUE, Arrival, link, short
from wirebook.deferred.futures import running_loop
from wirebook.deferred.observers import Waiter
from wirebook.failure import STEERING, Failure, caught
from wirebook.turn import TurnHeldError, turn

if TYPE_CHECKING:
    import asyncio

    from wirebook.deferred.core import Deferred

T = TypeVar("T")
AnyCoroutine: TypeAlias = Coroutine[Any, Any, Any] | Generator[Any, Any, Any]
Stepper: TypeAlias = "GeneratorType[Any, Any, None]"

# What a stepper yields when its coroutine has ended.
ENDED: Final = object()

# How many steppers are kept after a time when more coroutines waited.
MOST_IDLE: Final = 100

# Code of our own whose frames a traceback through an ``await`` shows, and that tells its reader nothing.
AWAITING: set[CodeType] = set()


class Returned(BaseException):
    """Ends a generator with ``value``: what `returnValue` raises."""

    def __init__(self, value: object) -> None:
        self.value = value


def drive(task: AnyCoroutine, deferred: Deferred[T]) -> Deferred[T]:
    """Run `task` as far as it comes, and later further, in a copy of this context; return `deferred`.

    That is a fresh Deferred, fired with what the coroutine returns or raises. Any thread.
    """
    if turn.owner != (me := get_ident()):
        # In line, as in `in_turn`: most coroutines do not take as long as the two calls would.
        try:
            del turn.free
        except AttributeError:
            turn.queue_up(me)
        else:
            turn.owner = me
        try:
            return drive(task, deferred)
        finally:
            turn.owner = 0
            if turn.asked:
                turn.offered = None
                turn.given(me)
            else:
                turn.free = None
    depth = turn.depth
    context = copy_context()
    stepper = _idle_steppers.pop() if _idle_steppers else _new_stepper()
    yielded = context.run(stepper.send, (task, deferred))
    if yielded is ENDED:
        _idle_steppers.append(stepper)
    else:
        Driver(stepper, deferred, context, depth).go_on(yielded)
    if deferred._state == FAILURE:
        deferred._note_failure(deferred.result)
    return deferred


class Driver:
    """Resumes the coroutine of `stepper` when the outcome it waits for is there; its end fires `deferred`.

    ``depth`` is the turn's when the coroutine was resumed: it may not wait with more of the turn.
    """

    __slots__ = ("context", "deferred", "depth", "stepper")

    def __init__(self, stepper: Stepper, deferred: Deferred[Any], context: Context, depth: int) -> None:
        self.stepper = stepper
        self.deferred = deferred
        self.context = context
        self.depth = depth

    def _arrive(self, result: Any, kind: int) -> Arrival:
        deferred = self.deferred
        deferred._waiting_on = None
        self.depth = turn.depth
        if kind == VALUE:
            yielded = self.context.run(self.stepper.send, result)
        else:
            kind = TOLD
            yielded = self._throw(result)
        self.go_on(yielded)
        if deferred._state & KIND == FAILURE or (deferred.called and deferred._steps):
            return deferred, result, kind
        return None, result, kind

    def go_on(self, yielded: Any) -> None:
        """Take further steps after the coroutine `yielded` something, up to one that has to wait, or to its end."""
        while yielded is not ENDED:
            if type(yielded) is Waiter:
                outcome = self._wait_for(yielded.deferred)
            elif type(yielded) not in STEERING:
                outcome = self._meant_by(yielded)
            elif isinstance(yielded, Failure):
                outcome = yielded
            elif yielded._state == VALUE and not yielded._steps:
                outcome = yielded.result
            else:
                outcome = self._wait_for(yielded)
            if outcome is PENDING:
                return
            if type(outcome) not in STEERING:
                yielded = self.context.run(self.stepper.send, outcome)
            else:
                yielded = self._throw(outcome)
        if len(_idle_steppers) < MOST_IDLE:
            _idle_steppers.append(self.stepper)

    def _throw(self, failure: Failure) -> Any:
        """Raise the error in the coroutine; return what it yields next."""
        try:
            return self.context.run(self.stepper.throw, failure.value.with_traceback(failure.tb))
        except GeneratorExit as error:
            # To a generator, as to all that it delegates to, this is the order to end. So the stepper is gone.
            self.stepper = _new_stepper()
            self.deferred._conclude(Failure(error.with_traceback(failure.tb)))
            return ENDED

    def _wait_for(self, awaited: Deferred[Any]) -> Any:
        """The outcome of `awaited`; PENDING when this will be told of it."""
        deferred = self.deferred
        if awaited is deferred or (deferred._steps and awaited._leads_to(deferred)):
            return Failure(RuntimeError(f"waiting for {awaited!r} would never end: it waits for this coroutine"))
        if turn.depth > self.depth:
            hint = "nothing else can go on there, so it would never end. Await after it"
            return Failure(TurnHeldError(f"a coroutine cannot await {awaited!r} inside 'with reactor.turn()': {hint}"))
        if awaited._state:
            outcome = awaited._observe(self)
            if outcome is not PENDING:
                return outcome
        else:
            awaited._add(link(self))
        deferred._waiting_on = awaited
        return PENDING

    def _meant_by(self, yielded: Any) -> Any:
        """As `_wait_for`, when the coroutine yielded something that is no Deferred."""
        if isinstance(yielded, CoroutineType | GeneratorType | Coroutine):
            return self._wait_for(self.context.run(self.deferred.fromCoroutine, yielded))
        if getattr(yielded, "_asyncio_future_blocking", None):
            yielded._asyncio_future_blocking = False
            return self._wait_for(self.deferred.fromFuture(yielded))
        if isinstance(self.stepper.gi_yieldfrom, GeneratorType):
            return yielded
        loop = running_loop()
        if yielded is None and loop is not None:
            return self._wait_for(self.deferred.fromFuture(_next_round(loop)))
        return Failure(
            RuntimeError(
                f"a coroutine awaits {short(yielded)}, which nothing here can wait for: await a Deferred or another "
                "coroutine, or something of asyncio in a thread where an asyncio loop is running"
            )
        )


_idle_steppers: list[Stepper] = []


def _new_stepper() -> Stepper:
    stepper = cast("Stepper", _take_steps())
    next(stepper)
    return stepper


@coroutine
def _take_steps() -> Generator[Any, Any, None]:
    """Run the coroutine sent in to its end, which fires the Deferred sent in; then the next one."""
    task: Any = None
    deferred: Any = None
    result: Any = None
    task, deferred = yield
    while True:
        try:
            result = yield from task
        except BaseException as error:
            if isinstance(error, GeneratorExit) and _raised_here(error):
                # Nobody waits for the outcome, so this generator is closed, and its coroutine with it.
                task = deferred = None
                raise
            result = _outcome_of_error(error, task)
        if type(result) in STEERING or deferred._state:
            _end(deferred, result)
        else:
            deferred.result = result
            deferred._state = VALUE
        task = deferred = result = None
        task, deferred = yield ENDED


def _raised_here(error: BaseException) -> bool:
    """Whether the frame that caught `error` is the one that raised it."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None


def _end(deferred: Deferred[Any], outcome: object) -> None:
    """Fire `deferred` with what its coroutine has come to, unless that cannot be; its chain is run by others."""
    if not isinstance(outcome, Failure) and type(outcome) in STEERING:
        hint = "write 'return await ...', or 'return (yield ...)' in a generator, to return its result"
        outcome = Failure(TypeError(f"the coroutine returned {short(outcome)}: {hint}"))
    deferred._conclude(outcome)


def _outcome_of_error(error: BaseException, task: AnyCoroutine) -> Any:
    """What it comes to that `task` raised `error`."""
    if isinstance(error, Returned):
        return error.value
    place = error.__traceback__
    # What comes after the first such frame was cleaned when it was caught, so long chains cost no more than short
    # ones. A generator has none: it yields the Deferred itself.
    while place is not None and place.tb_next is not None and not isinstance(task, GeneratorType):
        if place.tb_next.tb_frame.f_code in AWAITING:
            place.tb_next = place.tb_next.tb_next
            break
        place = place.tb_next
    return caught(error)


def _next_round(loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """A future that ends when `loop` goes round: what ``asyncio.sleep(0)`` waits for."""
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_end_round, future)
    return future


def _end_round(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
