"""What a Deferred's chain is made of: the words for its state, its steps, and the error nobody handled.

A step is ``[next step, callback, errback, context, arguments]``; the arguments are None, or a tuple and a mapping for
the callback and then the same for the errback. A *link* is a step without context whose both callables are one
thing that waits for the Deferred: another Deferred's chain, a coroutine, a blocked thread. Its
``_arrive(result, kind)`` is told the outcome and returns what comes of it: the Deferred that can go on now (or
None), and the result and kind with which this chain continues. Going on by returning instead of calling is
what keeps chains of any length free of recursion.

Steps are attached by any thread without a lock. CPython switches threads where a function starts, when a call has
returned, at jumps back, and in what a destructor runs. So what calls nothing and lets go of nothing is, to all other
threads, one operation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from wirebook.failure import FRAMEWORK, IS_FAILURE, Failure
from wirebook.logger import report_failure

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred

# A Deferred's state is one number, so that one look tells whether anything is special. What its result is stands in the
# lowest bits; while its steps are being taken, only the loop that takes them knows.
UNFIRED: Final = 0
VALUE: Final = 1
FAILURE: Final = IS_FAILURE
TOLD: Final = 3  # a Failure that an await or a wait() has raised: handled
RUNNING: Final = 4
KIND: Final = 7

# Any higher bit holds the chain up: it can go on when the number is between UNFIRED and RUNNING.
DEBUGGED: Final = 8  # not fired yet, and where it will be is to be noted
WAITING: Final = 16  # for the Deferred that a callback returned
PAUSED: Final = 32  # this times the number of pauses

# How a Deferred was cancelled.
CANCELLED: Final = 1
SUPPRESS: Final = 2  # without a canceller: one late callback() or errback() is ignored


class AlreadyCalledError(Exception):
    """A Deferred that has its result was fired again."""

    __module__ = "wirebook.deferred"


class AlreadyCancelledError(AlreadyCalledError):
    """A Deferred that was cancelled was fired again."""

    __module__ = "wirebook.deferred"


class CancelledError(Exception):
    """What a Deferred fails with when it is cancelled and its canceller gave it no other result."""

    __module__ = "wirebook.deferred"


class NotACoroutineError(TypeError):
    """Something that is no coroutine was to be run as one."""

    __module__ = "wirebook.deferred"


class Pending(Enum):
    """The outcome of a Deferred that has none yet."""

    PENDING = "pending"

    def __repr__(self) -> str:
        return "PENDING"


PENDING: Final = Pending.PENDING

PendingType: TypeAlias = Literal[Pending.PENDING]
Arguments: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any], tuple[Any, ...], Mapping[str, Any]]
Step: TypeAlias = list[Any]
Arrival: TypeAlias = "tuple[Deferred[Any] | None, Any, int]"

NEXT: Final = 0  # where a step has the one after it, None in the last

NO_KEYWORDS: Final[Mapping[str, Any]] = {}


class Observer(Protocol):
    """Something that waits for a Deferred's outcome."""

    def _arrive(self, result: Any, kind: int) -> Arrival: ...


def link(observer: Observer) -> Step:
    """The step that tells `observer` the outcome."""
    return [None, observer, observer, None, ()]


class Chain:
    """The state of a Deferred, which the classes that it is composed of share.

    ``_steps`` is the first of the steps to come and ``_last`` the last one, ``_state`` says what ``result`` is and
    whether the chain is held up. The others are missing until they are needed, for each attribute set is paid for by
    every Deferred: ``_marks`` says how it was cancelled, ``_waiting_on`` is the Deferred it waits for, ``_source`` the
    id of one that was chained to it.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_canceller",
        "_last",
        "_marks",
        "_notes",
        "_source",
        "_state",
        "_steps",
        "_waiting_on",
        "context",
        "result",
    )

    _canceller: Callable[[Deferred[Any]], object] | None
    _last: Any
    _marks: int
    _notes: Notes
    _source: int
    _state: int
    _steps: Step | None
    _waiting_on: Deferred[Any] | None
    context: Context
    result: Any

    def _add(self, step: Step) -> None:
        """Attach `step`. Any thread: nothing in here lets another one in."""
        if self._steps is None:
            self._steps = self._last = step
        else:
            self._last[NEXT] = step
            self._last = step

    def _steps_to_come(self) -> Iterator[Step]:
        """The steps that have not been taken, in order."""
        step = self._steps
        while step is not None:
            yield step
            step = step[NEXT]

    def _drop(self, observer: Observer) -> None:
        """Take the link to `observer` out of the chain; in the turn."""
        before: Step | None = None
        for step in self._steps_to_come():
            if step[1] is observer:
                # From here to the end nothing lets another thread in, which might attach a step.
                if before is None:
                    self._steps = step[NEXT]
                else:
                    before[NEXT] = step[NEXT]
                if step[NEXT] is None:
                    self._last = before
                return
            before = step

    def _awaited(self) -> Deferred[Any] | None:
        """The Deferred whose outcome this chain, or the coroutine it stands for, needs to go on."""
        return getattr(self, "_waiting_on", None)


class Notes:
    """What is known of a Deferred beyond its chain: an error nobody has handled, and where it was made.

    It exists only once there is something to note, and dies with its Deferred. Its ``__del__`` is then the
    last chance to say that an error was lost; Deferreds themselves need none. That can happen on any
    thread, in or out of the turn, and at the interpreter's end, so it takes no lock and touches no Deferred.
    """

    __slots__ = ("context", "failure", "fired", "made")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.failure: Failure | None = None
        self.made = ""
        self.fired = ""

    def __del__(self) -> None:
        failure, self.failure = self.failure, None
        if failure is None:
            return
        try:
            report_failure(failure, f"Unhandled error in a Deferred{self.made}", self.context)
        except Exception:
            # When the interpreter ends, what logging needs may be gone already.
            if not sys.is_finalizing():
                raise


def whereabouts() -> str:
    """Where the user's code is now, for a message: ``demo.py:7 in start``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(FRAMEWORK):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "no known place"


def short(value: object, limit: int = 80) -> str:
    """The repr of `value` for a message: cut to `limit` characters, and never raising."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
