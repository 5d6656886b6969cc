"""Failure: an exception as a value, with its traceback, that can be passed on, asked about and raised again.

A Failure must be cheap, since every error in a callback makes one, and must not keep more alive than the
error itself does. So it holds the exception and its live traceback and nothing else; whatever is text
(frames, reports) is made when somebody asks. The traceback belongs to the Failure: the exception's own
``__traceback__`` grows each time it is raised again, so raising always starts from the one kept here.

Where cycles lurk: a frame that raises an exception is part of its traceback, so a local variable of that
frame that leads to the exception closes a ring. Methods here that raise therefore forget ``self`` first.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Generator
from itertools import count
from os.path import dirname, join
from types import TracebackType
from typing import IO, Any, Literal, NoReturn, TypeAlias

Detail: TypeAlias = Literal["default", "brief", "verbose"]
ErrorType: TypeAlias = type[BaseException]
FrameText: TypeAlias = tuple[str, str, int, list[tuple[str, str]], list[tuple[str, str]]]

FRAMEWORK = join(dirname(__file__), "")
_numbers = count(1)


class NoCurrentExceptionError(Exception):
    """`Failure` was made without an exception while none was being handled."""


STEERING: set[type] = set()


class Steering:
    """What a callback may return that steers its chain: a `Failure` or a Deferred.

    The chain's hot loop tells it from a plain value by its exact class being among `STEERING`, where every
    subclass enters itself: a third of the time of an ``isinstance`` that says no.
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        STEERING.add(cls)


def qualified(kind: ErrorType) -> str:
    """The dotted name of an exception class, as `Failure.check` takes it: ``builtins.ValueError``."""
    return f"{kind.__module__}.{kind.__qualname__}"


class Failure(Steering):
    """An exception and where it was raised.

    ``Failure()`` takes the exception being handled now; ``Failure(error)`` any other one, raised or not.
    `exc_type` and `exc_tb` override the exception's own class and traceback. `captureVars` keeps the text
    of every frame's local variables from this moment, for the verbose report.

    Attributes: ``value`` the exception, ``type`` its class, ``tb`` the live traceback (None when never
    raised, cleaned or unpickled), ``count`` its number in this process, given when first asked for.

    Errors: `NoCurrentExceptionError` without an exception, `TypeError` for a `exc_value` that is none.
    Any thread may make and read one.
    """

    __slots__ = ("__weakref__", "_count", "_stack", "captureVars", "tb", "type", "value")

    value: BaseException
    type: ErrorType
    tb: TracebackType | None

    def __init__(
        self,
        exc_value: BaseException | Failure | None = None,
        exc_type: ErrorType | None = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            exc_value = _current_exception()
        elif not isinstance(exc_value, BaseException):
            exc_value, exc_tb = _unwrapped(exc_value)
        self.value = exc_value
        self.type = exc_type or exc_value.__class__
        self.tb = exc_tb or exc_value.__traceback__
        self.captureVars = captureVars
        self._count = 0
        self._stack: traceback.StackSummary | None = None
        if captureVars:
            self._stack = self._summary(with_locals=True)

    @property
    def count(self) -> int:
        """The number by which reports call this Failure."""
        if not self._count:
            self._count = next(_numbers)
        return self._count

    # Questions

    def check(self, *errorTypes: ErrorType | str) -> ErrorType | str | None:
        """The first of `errorTypes` (classes or dotted names) that fits the error; None if none does."""
        for wanted in errorTypes:
            if wanted in self.parents if isinstance(wanted, str) else issubclass(self.type, wanted):
                return wanted
        return None

    def trap(self, *errorTypes: ErrorType | str) -> ErrorType | str:
        """As `check`, but raise the error when it is none of them: an errback that lets the rest pass."""
        found = self.check(*errorTypes)
        if found is None:
            try:
                self.raiseException()
            finally:
                del self
        return found

    @property
    def parents(self) -> list[str]:
        """Dotted names of the error's class and all its bases."""
        return [qualified(kind) for kind in self.type.__mro__]

    @property
    def frames(self) -> list[FrameText]:
        """The traceback as (function, file, line, locals, globals), outermost first.

        Locals are (name, repr) pairs when the Failure captured them; globals are always empty.
        """
        return [
            (frame.name, frame.filename, frame.lineno or 0, list((frame.locals or {}).items()), [])
            for frame in self._summary()
        ]

    @property
    def stack(self) -> list[FrameText]:
        """The calls above the one that caught the error, in the form of `frames`; empty without traceback."""
        above = self.tb.tb_frame.f_back if self.tb else None
        summary = traceback.StackSummary.extract(traceback.walk_stack(above)) if above else []
        return [(frame.name, frame.filename, frame.lineno or 0, [], []) for frame in reversed(summary)]

    def getErrorMessage(self) -> str:
        """What the error says of itself, also when its ``__str__`` raises."""
        return _text_of(self.value)

    def getTracebackObject(self) -> TracebackType | None:
        """The live traceback, or None when there is none (any more)."""
        return self.tb

    # Reports

    def getTraceback(self, elideFrameworkCode: int = 0, detail: Detail = "default") -> str:
        """The report as text: "default" as Python prints it, "brief" a line a frame, "verbose" with locals.

        With `elideFrameworkCode` the frames of Wirebook itself are left out.
        """
        if detail not in ("default", "brief", "verbose"):
            raise ValueError(f"detail is {detail!r}; it can be 'default', 'brief' or 'verbose'")
        report = self._report(with_locals=detail == "verbose")
        if elideFrameworkCode:
            _elide(report)
        if detail == "brief":
            places = "".join(f"{at.filename}:{at.lineno}:{at.name}\n" for at in report.stack)
            return f"Traceback: {self._headline()}\n{places}"
        heading = f"Failure #{self.count}: {self._headline()}\n" if detail == "verbose" else ""
        return heading + "".join(report.format())

    def getBriefTraceback(self) -> str:
        """`getTraceback` with detail "brief"."""
        return self.getTraceback(detail="brief")

    def printTraceback(
        self, file: IO[str] | None = None, elideFrameworkCode: int = 0, detail: Detail = "default"
    ) -> None:
        """Write the report to `file` (standard error when None)."""
        (file or sys.stderr).write(self.getTraceback(elideFrameworkCode, detail))

    def printBriefTraceback(self, file: IO[str] | None = None, elideFrameworkCode: int = 0) -> None:
        """Write the brief report to `file` (standard error when None)."""
        self.printTraceback(file, elideFrameworkCode, "brief")

    def printDetailedTraceback(self, file: IO[str] | None = None, elideFrameworkCode: int = 0) -> None:
        """Write the report with local variables to `file` (standard error when None)."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    # Raising it again

    def raiseException(self) -> NoReturn:
        """Raise the error, its traceback going on where it was raised first."""
        try:
            raise self.value.with_traceback(self.tb)
        finally:
            del self

    def throwExceptionIntoGenerator(self, g: Generator[Any, Any, Any]) -> Any:
        """Raise the error inside generator `g` where it waits; return what it yields next."""
        try:
            return g.throw(self.value.with_traceback(self.tb))
        finally:
            del self

    def cleanFailure(self) -> None:
        """Let go of the frames, keeping the traceback as text."""
        self._stack = self._summary()
        self.tb = self.value.__traceback__ = None

    # How it is kept and shown

    def __getstate__(self) -> dict[str, Any]:
        stack = [(at.filename, at.lineno, at.name, at.line, at.locals) for at in self._summary()]
        return {
            "value": self.value,
            "type": self.type,
            "captureVars": self.captureVars,
            "stack": stack,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.value, self.type, self.tb = state["value"], state["type"], None
        self.captureVars, self._count = state["captureVars"], 0
        frames = (
            traceback.FrameSummary(file, line, name, lookup_line=False, line=text, locals=found)
            for file, line, name, text, found in state["stack"]
        )
        self._stack = traceback.StackSummary.from_list(frames)

    def __repr__(self) -> str:
        kind = self.__class__
        return f"<{kind.__module__}.{kind.__qualname__} {self._headline()}>"

    __str__ = __repr__

    def _headline(self) -> str:
        return f"{qualified(self.type)}: {self.getErrorMessage()}"

    def _summary(self, with_locals: bool = False) -> traceback.StackSummary:
        if self._stack is not None:
            return self._stack
        return traceback.StackSummary.extract(traceback.walk_tb(self.tb), capture_locals=with_locals)

    def _report(self, with_locals: bool) -> traceback.TracebackException:
        report = traceback.TracebackException(self.type, self.value, self.tb, capture_locals=with_locals)
        if self._stack is not None:
            report.stack = self._stack
        return report


def caught(error: BaseException, passed: object = None) -> Failure:
    """The `Failure` for `error`, caught by the calling frame, which is left out of the traceback.

    When a callback raised the very error of the Failure it was `passed` (by ``trap``, or a bare raise), that
    Failure goes on: no frames of mere passing on in the report, and no ring through the callback's frame.
    """
    if isinstance(passed, Failure) and passed.value is error:
        error.__traceback__ = passed.tb
        return passed
    found = error.__traceback__
    if found is not None:
        error.__traceback__ = found.tb_next
    return Failure(error)


def _current_exception() -> BaseException:
    error = sys.exception()
    if error is None:
        raise NoCurrentExceptionError(
            "Failure() takes the exception being handled, and there is none here: "
            "call it in an except block, or pass it an exception"
        )
    return error


def _unwrapped(value: object) -> tuple[BaseException, TracebackType | None]:
    if isinstance(value, Failure):
        return value.value, value.tb
    raise TypeError(f"a Failure holds an exception, not {value!r}: pass an exception, e.g. ValueError(...)")


def _text_of(value: BaseException) -> str:
    reads: Callable[[], str]
    for reads in (value.__str__, value.__repr__):
        try:
            return reads()
        except Exception:
            continue
    return f"<{qualified(value.__class__)} that can be neither printed nor shown>"


def _elide(report: traceback.TracebackException) -> None:
    """Take Wirebook's own frames out of `report` and the errors it came from."""
    seen: traceback.TracebackException | None = report
    while seen is not None:
        kept = [frame for frame in seen.stack if not frame.filename.startswith(FRAMEWORK)]
        seen.stack = traceback.StackSummary.from_list(kept)
        seen = seen.__cause__ or seen.__context__
