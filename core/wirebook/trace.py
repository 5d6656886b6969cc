"""The turn trace: what the reactor ran, and what happened to each Deferred on the way.

A `TurnTrace` listens at two places: the reactor tells it of every callback, and every Deferred tells it of each
step of its chain. It keeps the last of both, as text: short reprs, names, places. It so keeps no object of the
program alive but the contexts, which say where things came from (in a notebook: from which cell), and those
only as long as their turn or step is among the last.

Traces stack: one started while another is on passes on to it what it hears.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from itertools import count
from reprlib import Repr
from time import perf_counter, time
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from wirebook.deferred import Deferred, DeferredTracer, getTracer, setTracer
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import ITurnTrace
from wirebook.turn import in_turn, turn

MOST_TEXT: Final = 120
Outcome: TypeAlias = Literal["value", "failed", "waits"]


class Traceable(Protocol):
    """The part of a reactor that a trace needs."""

    trace: ITurnTrace | None


class TracedTurn(NamedTuple):
    """One callback of the reactor.

    ``number`` counts the turns of a trace from 1. ``cause`` is "read", "write", "timer" or "call", ``subject``
    the name of what was called, or of the protocol, and ``handleId`` the handle that it is about, if it is one.
    ``began`` is on the scale of ``time.perf_counter``, ``seconds`` how long it took. ``origin`` is the context
    that it ran in, None when it is not known.
    """

    number: int
    cause: str
    subject: str
    place: str
    handleId: int | None
    began: float
    seconds: float
    origin: Context | None


class TracedStep(NamedTuple):
    """One callback of a Deferred.

    ``deferred`` is the number that the trace has given the Deferred. ``callback`` is the function's name and
    ``place`` where it is defined (``demo.py:7``). It was ``given`` something and gave ``result``, both short
    reprs. ``outcome`` is "value", "failed" (then ``raised`` says where the error comes from) or "waits" (then
    ``waitsFor`` is the number of the Deferred whose outcome the chain goes on with). ``began`` and ``seconds``
    are as in `TracedTurn`. ``origin`` is the context in which the callback was attached, and ``turn`` the
    number of the reactor's turn it ran in, None when it was run by another thread or at once.
    """

    deferred: int
    callback: str
    place: str
    given: str
    result: str
    outcome: Outcome
    raised: str
    waitsFor: int | None
    began: float
    seconds: float
    origin: Context
    turn: int | None


class _Track:
    """What is known of one Deferred while it lives: its number, and what its next step is given."""

    __slots__ = ("given", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.given: str | None = None


_Begun: TypeAlias = tuple[int, str, str, str, int | None, float, Context | None]
_traces: WeakSet[TurnTrace] = WeakSet()


class TurnTrace:
    """Records what a reactor and all Deferreds do, from `start` to `stop`, or inside a ``with`` block.

    `limit` is how many turns, and how many steps, are kept: the last ones. Everything may be called and read
    from any thread; what was recorded stays when the trace is stopped. While it is on a step costs some
    microseconds more, and the ``repr`` of every result is asked for. ``epoch`` added to a ``began`` gives the time
    of day, in seconds since 1970.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit is {limit!r}; it is how many turns and steps are kept, 1 at least")
        self.limit = limit
        self.active = False
        self.born = perf_counter()
        self.epoch = time() - self.born
        self._turns: deque[TracedTurn] = deque(maxlen=limit)
        self._steps: deque[TracedStep] = deque(maxlen=limit)
        self._begun: list[_Begun] = []
        self._thread = 0
        self._turn_numbers, self._numbers = count(1), count(1)
        self._tracks: WeakKeyDictionary[Deferred[Any], _Track] = WeakKeyDictionary()
        self._deferreds: WeakValueDictionary[int, Deferred[Any]] = WeakValueDictionary()
        self._reactor: Traceable | None = None
        self._earlier_trace: ITurnTrace | None = None
        self._earlier_tracer: DeferredTracer | None = None
        _traces.add(self)

    # On and off

    @in_turn
    def start(self, reactor: Traceable | None = None) -> TurnTrace:
        """Record `reactor` (the process's when None) and all Deferreds from now on. Returns the trace itself.

        `RuntimeError` when it was started before: make a new one.
        """
        if self._reactor is not None:
            raise RuntimeError("this trace was started before: make a new TurnTrace for each recording")
        self._reactor = the_reactor() if reactor is None else reactor
        self._earlier_trace, self._reactor.trace = self._reactor.trace, self
        self._earlier_tracer = getTracer()
        setTracer(self)
        self.active = True
        return self

    @in_turn
    def stop(self) -> None:
        """Record nothing more. Harmless when it is not on."""
        if not self.active or self._reactor is None:
            return
        self.active = False
        # One behind another cannot be taken out: it passes on what it hears until that one goes too.
        while isinstance(ended := self._reactor.trace, TurnTrace) and not ended.active:
            self._reactor.trace = ended._earlier_trace
        while isinstance(listener := getTracer(), TurnTrace) and not listener.active:
            setTracer(listener._earlier_tracer)

    def __enter__(self) -> TurnTrace:
        return self if self.active else self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # Reading it

    @property
    def turns(self) -> tuple[TracedTurn, ...]:
        """The last turns that have ended, in the order of their end."""
        with turn:
            return tuple(self._turns)

    @property
    def steps(self) -> tuple[TracedStep, ...]:
        """The last steps, in the order of their end."""
        with turn:
            return tuple(self._steps)

    @in_turn
    def steps_of(self, deferred: Deferred[Any] | int) -> tuple[TracedStep, ...]:
        """The steps of one Deferred, or of the one with this number, as far as they are kept."""
        number = deferred if isinstance(deferred, int) else self.number_of(deferred)
        return tuple(step for step in self._steps if step.deferred == number)

    @in_turn
    def number_of(self, deferred: Deferred[Any]) -> int | None:
        """The number that a Deferred has in this trace; None when no step of it was seen."""
        track = self._tracks.get(deferred)
        return None if track is None else track.number

    @in_turn
    def deferred(self, number: int) -> Deferred[Any] | None:
        """The Deferred with this number; None when it is gone."""
        return self._deferreds.get(number)

    @in_turn
    def clear(self) -> None:
        """Forget all turns and steps so far."""
        self._turns.clear()
        self._steps.clear()

    # What the reactor and the Deferreds call; in the turn

    def begin(self, cause: str, subject: object, origin: Context | None = None) -> None:
        """A callback of the reactor begins; see `wirebook.interfaces.ITurnTrace`."""
        if self._earlier_trace is not None:
            self._earlier_trace.begin(cause, subject, origin)
        if origin is None:
            origin = getattr(subject, "context", None)
        name, place = name_and_place(subject)
        self._thread = get_ident()
        handle = getattr(subject, "handleId", None)
        self._begun.append((next(self._turn_numbers), cause, name, place, handle, perf_counter(), origin))

    def end(self) -> None:
        """It has ended."""
        now = perf_counter()
        # One that began before the trace did is not known here.
        if self._begun:
            number, cause, name, place, handle, began, origin = self._begun.pop()
            if self.active:
                self._turns.append(TracedTurn(number, cause, name, place, handle, began, now - began, origin))
        if self._earlier_trace is not None:
            self._earlier_trace.end()

    def step(
        self, deferred: Deferred[Any], callback: Callable[..., Any], result: Any, seconds: float, origin: Context
    ) -> None:
        """A Deferred has run a callback; see `wirebook.deferred.DeferredTracer`."""
        if self.active:
            self._record(deferred, callback, result, seconds, origin)
        if self._earlier_tracer is not None:
            self._earlier_tracer.step(deferred, callback, result, seconds, origin)

    def _record(
        self, deferred: Deferred[Any], callback: Callable[..., Any], result: Any, seconds: float, origin: Context
    ) -> None:
        began = perf_counter() - seconds
        track = self._track(deferred)
        # While a chain runs, ``result`` is still what this run of it began with.
        given = track.given if track.given is not None else brief(getattr(deferred, "result", None))
        outcome: Outcome = "value"
        text, raised, waits_for = brief(result), "", None
        if isinstance(result, Failure):
            outcome, raised = "failed", place_of_error(result)
        elif isinstance(result, Deferred):
            outcome, waits_for = "waits", self._track(result).number
        track.given = None if outcome == "waits" else text
        name, place = name_and_place(callback)
        number = self._begun[-1][0] if self._begun and self._thread == get_ident() else None
        self._steps.append(
            TracedStep(
                track.number, name, place, given, text, outcome, raised, waits_for, began, seconds, origin, number
            )
        )

    def _track(self, deferred: Deferred[Any]) -> _Track:
        track = self._tracks.get(deferred)
        if track is None:
            track = self._tracks[deferred] = _Track(next(self._numbers))
            self._deferreds[track.number] = deferred
        return track


@contextmanager
def tracing(reactor: Traceable | None = None, limit: int = 10_000) -> Iterator[TurnTrace]:
    """``with tracing(reactor) as trace:`` records what happens meanwhile, in all threads. See `TurnTrace`."""
    trace = TurnTrace(limit).start(reactor)
    try:
        yield trace
    finally:
        trace.stop()


@in_turn
def traced_steps(deferred: Deferred[Any]) -> tuple[TracedStep, ...]:
    """The steps of `deferred` that a trace, on or stopped, still knows; empty when none does. Any thread."""
    for trace in sorted(_traces, key=lambda trace: trace.born, reverse=True):
        steps = trace.steps_of(deferred)
        if steps:
            return steps
    return ()


# What is said of things


class _Brief(Repr):
    """Reprs that are short, and cheap also for what is huge."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MOST_TEXT
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 8
        self.maxlevel = 3

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Bytes, the middle left out as in long text."""
        return repr(x) if len(x) <= MOST_TEXT else f"{x[: MOST_TEXT // 2]!r}...{x[-MOST_TEXT // 4 :]!r}"

    def repr_Failure(self, x: Failure, level: int) -> str:
        """A failure, by its error."""
        return f"{x.type.__qualname__}: {x.getErrorMessage()}"


_shortener = _Brief()


def brief(value: object) -> str:
    """A short text for `value`: its repr, or the error of a Failure, cut to `MOST_TEXT` characters."""
    try:
        text = _shortener.repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def name_and_place(subject: Any) -> tuple[str, str]:
    """What to call a callback or a transport, and where its code is (``demo.py:7``, empty if that is not Python)."""
    try:
        label = getattr(subject, "label", None)
        if isinstance(label, str):
            return label, ""
        while isinstance(subject, partial):
            subject = subject.func
        function = getattr(subject, "__func__", subject)
        name = getattr(function, "__qualname__", None) or type(subject).__qualname__
        if function is not subject:
            # Of a method, the object's own class says more than the one that defines it.
            name = f"{type(subject.__self__).__qualname__}.{function.__name__}"
        code = getattr(function, "__code__", None) or getattr(type(subject).__call__, "__code__", None)
        return str(name), f"{code.co_filename}:{code.co_firstlineno}" if code else ""
    except Exception:
        return type(subject).__qualname__, ""


def place_of_error(failure: Failure) -> str:
    """Where the error was raised, ``demo.py:7 in start``; empty when that is not known."""
    place = ""
    for frame, line in walk_tb(failure.getTracebackObject()):
        place = f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
    return place
