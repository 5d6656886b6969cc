"""What a Deferred's chain is made of: the words for its state, its steps, and the error nobody handled.

A step is ``(callback, errback, context, arguments)``; the arguments are None, or a tuple and a mapping for the
callback and then the same for the errback. A *link* is a step without context whose both callables are one
thing that waits for the Deferred: another Deferred's chain, a coroutine, a blocked thread. Its
``_arrive(result, kind)`` is told the outcome and returns what comes of it: the Deferred that can go on now (or
None), and the result and kind with which this chain continues. Going on by returning instead of calling is
what keeps chains of any length free of recursion.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping
from contextvars import Context
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from wirebook.failure import FRAMEWORK, Failure
from wirebook.logger import report_failure

if TYPE_CHECKING:
    from wirebook.deferred.core import Deferred

# What a Deferred's result is; while its steps are being taken, only the loop that takes them knows.
UNFIRED: Final = 0
VALUE: Final = 1
FAILURE: Final = 2
TOLD: Final = 3  # a Failure that an await or a wait() has raised: handled
RUNNING: Final = 4

# Why a chain stands still: it waits for the Deferred that a callback returned, or is paused (a count).
WAITING: Final = 1
PAUSED: Final = 2

# What else matters of a Deferred now and then.
AWAITED: Final = 1  # something waits for its outcome
CANCELLED: Final = 2
SUPPRESS: Final = 4  # cancelled without a canceller: one late callback() or errback() is ignored


class AlreadyCalledError(Exception):
    """A Deferred that has its result was fired again."""

    __module__ = "wirebook.deferred"


class AlreadyCancelledError(AlreadyCalledError):
    """A Deferred that was cancelled was fired again."""

    __module__ = "wirebook.deferred"


class CancelledError(Exception):
    """What a Deferred fails with when it is cancelled and its canceller gave it no other result."""

    __module__ = "wirebook.deferred"


class TimeoutError(builtins.TimeoutError):
    """A Deferred had no result in time. Also a built-in ``TimeoutError``, so either name catches it."""

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
Step: TypeAlias = tuple[Any, Any, Any, Any]
Arrival: TypeAlias = "tuple[Deferred[Any] | None, Any, int]"

NO_KEYWORDS: Final[Mapping[str, Any]] = {}


class Observer(Protocol):
    """Something that waits for a Deferred's outcome."""

    def _arrive(self, result: Any, kind: int) -> Arrival: ...


def link(observer: Observer) -> Step:
    """The step that tells `observer` the outcome."""
    return observer, observer, None, ()


class Chain:
    """The state of a Deferred, which the classes that it is composed of share.

    ``_steps`` are the steps to come, ``_kind`` is what ``result`` is, ``_blocked`` why it stands still, ``_marks``
    what else matters, ``_waiting_on`` the Deferred it waits for, ``_source`` the id of one that was chained to it.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_blocked",
        "_canceller",
        "_kind",
        "_marks",
        "_notes",
        "_source",
        "_steps",
        "_waiting_on",
        "context",
        "result",
    )

    _blocked: int
    _canceller: Callable[[Deferred[Any]], object] | None
    _kind: int
    _marks: int
    _notes: Notes | None
    _source: int
    _steps: list[Step]
    _waiting_on: Deferred[Any] | None
    context: Context
    result: Any


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
