"""Running chains: the loop that takes a Deferred's steps, and those of all that go on because of it.

It runs inside a generator that never ends. Why: a failed callback's traceback keeps its frame, and a frame keeps its
callers with all their variables, among them the very Deferred that holds the failure. Only the garbage collector could
break that ring, and until it does nobody hears of the error. A generator that has yielded forgets who resumed it, so
the frames end there, and its own variables are let go before it yields. Resuming one costs 20 ns.

Going on with another Deferred, the one that waited or was chained, is the next round of the same loop. Only a
callback that fires a Deferred itself nests: that one's callbacks run before ``callback()`` returns, as they should.

Most chains that are run have one step, a plain callback or a link. The generator takes it itself, for the loop that can
take everything would make such a Deferred a sixth dearer, from its making to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context
from sys import exception
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from wirebook.deferred.chain import FAILURE, KIND, NO_KEYWORDS, RUNNING, TOLD, VALUE, Chain
from wirebook.failure import STEERING, caught

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred


D: TypeAlias = "Deferred[Any]"

# What is added to the state of a Deferred whose run has come to a value.
DONE: Final = VALUE - RUNNING


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


# Who is told of every step, if anybody is.
tracer: DeferredTracer | None = None


class Runner:
    """One such generator. ``send(deferred)`` runs a chain that is ready and has steps, unless it is ``busy``."""

    __slots__ = ("busy", "send")

    busy: bool
    send: Callable[[Chain], object]

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Make a generator that waits for the first Deferred."""
        self.busy = False
        chains = _run_chains(self)
        next(chains)
        self.send = chains.send

    def recover(self, current: D | None, result: Any, kind: int) -> None:
        """Begin anew after an interrupt that came between two steps, and leave `current` fit to go on."""
        if isinstance(exception(), GeneratorExit):
            return  # The interpreter ends.
        if current is not None:
            _put_down(current, result, kind)
        self.start()


def _run_chains(runner: Runner, current: Any = None) -> Generator[None, Any, None]:
    """Run the chain of each Deferred sent in, and of all that go on because of it."""
    result, kind = None, VALUE
    try:
        while True:
            current = yield
            runner.busy = True
            following, result = None, current.result
            kind, current._state = current._state, RUNNING
            further, callback, errback, context, arguments = current._steps
            if kind != VALUE:
                callback = errback if kind == FAILURE else None
            # For speed alone; `_run_steps` can do it too.
            if further is None and callback is not None and tracer is None and not arguments:
                current._steps = current._last = None
                try:
                    if context is None:
                        following, result, kind = callback._arrive(result, kind)
                    else:
                        result, kind = context.run(callback, result), VALUE
                        if type(result) in STEERING:
                            if result._state == VALUE:
                                # What `_join` would do, the commonest case.
                                result.result, result = None, result.result
                            else:
                                result, kind = result._join(current)
                except BaseException as error:
                    result, kind = caught(error, result), FAILURE
            if following is None and kind == VALUE and current._steps is None:
                current.result = result
                current._state += DONE
            else:
                callback = errback = context = arguments = further = None
                _run_steps(current, result, kind, following)
            current = callback = errback = context = arguments = following = result = None
            runner.busy = False
    finally:
        runner.recover(current, result, kind)


def _run_steps(current: Any, result: Any, kind: int, following: D | None) -> None:
    """Take the steps of `current`, which has come to `result`, and of all that go on because of it."""
    later: list[D] = []
    watch = tracer
    try:
        while True:
            while following is None and current._steps is not None and current._state == RUNNING:
                # The chain moves on first: what the variables let go of then may attach a step, as may other threads.
                current._steps, callback, errback, context, arguments = current._steps
                if kind != VALUE:
                    if kind == TOLD and context is not None:
                        result, kind = None, VALUE
                    else:
                        callback, arguments = errback, arguments and arguments[2:]
                if callback is None:
                    continue
                try:
                    if arguments is None and watch is None:
                        given, result = result, context.run(callback, result)
                        if result is given:
                            continue
                    elif context is None:
                        following, result, kind = callback._arrive(result, kind)
                        continue
                    elif watch is not None:
                        result = _run_step(watch, current, callback, context, result, arguments)
                    else:
                        result = context.run(callback, result, *arguments[0], **arguments[1])
                    if type(result) not in STEERING:
                        kind = VALUE
                    else:
                        result, kind = result._join(current)
                except BaseException as error:
                    result, kind = caught(error, result), FAILURE
            current.result = result
            current._state += kind - RUNNING
            if current._steps is None:
                current._last = None
            if kind == FAILURE or current._steps is not None:
                _leave(current, later)
            current = following if following is not None else later.pop() if later else None
            if current is None:
                break
            following, result, kind = None, current.result, current._state & KIND
            current._state += RUNNING - kind
    except BaseException:
        _put_down(current, result, kind)
        raise
    callback = errback = context = arguments = given = result = watch = None


def _leave(current: D, later: list[D]) -> None:
    """Note what is left of `current`, whose chain stops here: steps to come back to, or an error."""
    if current._steps is not None and current._state < RUNNING:
        later.append(current)
    elif current._state & KIND == FAILURE:
        current._note_failure(current.result)


def _put_down(current: D, result: Any, kind: int) -> None:
    """Leave `current`, whose run was interrupted, fit to go on."""
    if current._state & KIND == RUNNING:
        current.result = result
        current._state += kind - RUNNING


def _run_step(
    watch: DeferredTracer,
    deferred: Deferred[Any],
    callback: Callable[..., Any],
    context: Context,
    result: Any,
    arguments: tuple[Any, ...] | None,
) -> Any:
    """Run a callback and tell `watch`; its error is returned."""
    args, kwargs = arguments[:2] if arguments else ((), NO_KEYWORDS)
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


# The one that is used most: what fires a Deferred outside any callback.
runner = Runner()
_idle_runners: list[Runner] = []


def run(deferred: Chain) -> None:
    """Run the chain of `deferred`, which has its result, unless it is held up; in the turn."""
    if deferred._steps is not None and deferred._state < RUNNING:
        if runner.busy:
            run_nested(deferred)
        else:
            runner.send(deferred)
    elif deferred._state & KIND == FAILURE:
        cast("D", deferred)._note_failure(deferred.result)


def run_nested(deferred: Chain) -> None:
    """Run a chain while a callback of another one is running, further up the stack."""
    nested = _idle_runners.pop() if _idle_runners else Runner()
    nested.send(deferred)
    _idle_runners.append(nested)


def setTracer(new: DeferredTracer | None) -> None:
    """Have `new` told of every step of every Deferred from now on; None: nobody. Any thread."""
    global tracer
    tracer = new


def getTracer() -> DeferredTracer | None:
    """Who is told of the steps of Deferreds now."""
    return tracer
