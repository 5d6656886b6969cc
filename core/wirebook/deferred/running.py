"""Running chains: the loop that takes a Deferred's steps, and those of all that go on because of it.

It is a generator that never ends. Why: a failed callback's traceback keeps its frame, and a frame keeps its callers
with all their variables, among them the very Deferred that holds the failure. Only the garbage collector could break
that ring, and until it does nobody hears of the error. A generator that has yielded forgets who resumed it, so the
frames end there, and its own variables are let go before it yields. Resuming one costs 20 ns.

Going on with another Deferred, the one that waited or was chained, is the next round of the same loop. Only a
callback that fires a Deferred itself nests: that one's callbacks run before ``callback()`` returns, as they should.

A step is deleted as it is taken, which moves up those behind it. For what programs do that is cheaper than counting
(20 ns a chain); a step costs 0.15 microseconds among 1,000, 0.6 among 10,000, 7 among 100,000.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context
from sys import exception
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from wirebook.deferred.chain import FAILURE, NO_KEYWORDS, RUNNING, TOLD, VALUE, Chain
from wirebook.failure import STEERING, Failure, caught

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred


D: TypeAlias = "Deferred[Any]"


# What a generator's variables are set to when a run is over, so that they keep nothing alive; it is not busy then.
LET_GO: Final[Any] = (None, None, None, None, None, None, None, False)


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
    """One such generator. ``send(deferred)`` runs the chain of a Deferred that is ready, unless it is ``busy``."""

    __slots__ = ("busy", "send")

    busy: bool
    send: Callable[[Chain], object]

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Make a generator that waits for the first Deferred."""
        self.busy = False
        chains = _run_chains(self, [])
        next(chains)
        self.send = chains.send

    def recover(self, current: Deferred[Any] | None, result: Any, kind: int) -> None:
        """Begin anew after an interrupt that came between two steps, and leave `current` fit to go on."""
        if isinstance(exception(), GeneratorExit):
            return  # The interpreter ends.
        if current is not None and current._kind == RUNNING:
            current.result, current._kind = result, kind
        self.start()


def _run_chains(runner: Runner, later: list[D], current: D | None = None) -> Generator[None, Any, None]:
    """Run the chain of the Deferred sent in, and all that go on because of it; `later` and `current` are its own."""
    value, steering, result, kind, steps = VALUE, STEERING, None, VALUE, None
    try:
        while True:
            current, runner.busy = (yield), True
            while current is not None:
                watch, following, steps = tracer, None, current._steps
                result, kind, current._kind = current.result, current._kind, RUNNING
                while steps and not current._blocked:
                    callback, errback, context, arguments = steps[0]
                    del steps[0]
                    if kind != value:
                        if kind == TOLD and context is not None:
                            result, kind = None, value
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
                            break
                        elif watch is not None:
                            result = _run_step(watch, current, callback, context, result, arguments)
                        elif len(arguments[0]) == 1 and not arguments[1]:
                            result = context.run(callback, result, arguments[0][0])
                        else:
                            result = context.run(callback, result, *arguments[0], **arguments[1])
                        if type(result) not in steering:
                            kind = value
                        elif isinstance(result, Failure):
                            kind = FAILURE
                        elif result._kind == value and not result._blocked:
                            result.result, result, kind = None, result.result, value
                        else:
                            result, kind = result._join(current)
                    except BaseException as error:
                        result, kind = caught(error, result), FAILURE
                current.result, current._kind = result, kind
                if kind != value or steps:
                    _leave(current, kind, later)
                current = following if following is not None else later.pop() if later else None
            callback, errback, context, arguments, given, result, steps, runner.busy = LET_GO
    finally:
        runner.recover(current, result, kind)


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


def _leave(current: Deferred[Any], kind: int, later: list[Deferred[Any]]) -> None:
    """Note what is left of `current`, whose chain stops here: steps to come back to, or an error."""
    if current._steps and not current._blocked:
        later.append(current)
    elif kind == FAILURE:
        current._note_failure(current.result)


# The one that is used most: what fires a Deferred outside any callback.
runner = Runner()
_idle_runners: list[Runner] = []


def run(deferred: Chain) -> None:
    """Run the chain of `deferred`, which is ready; in the turn."""
    if runner.busy:
        run_nested(deferred)
    else:
        runner.send(deferred)


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
