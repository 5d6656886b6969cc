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
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from os.path import dirname, join
from textwrap import indent
from types import FunctionType, TracebackType
from typing import IO, Any, Final, Literal, NoReturn, TypeAlias

Detail: TypeAlias = Literal["default", "brief", "verbose"]
ErrorType: TypeAlias = type[BaseException]
Variables: TypeAlias = Iterable[tuple[str, Any]]
FrameText: TypeAlias = tuple[str, str, int, Variables, Variables]

FRAMEWORK = join(dirname(__file__), "")
_numbers = count(1)


class NoCurrentExceptionError(Exception):
    """`Failure` was made without an exception while none was being handled."""


class PickledError(Exception):
    """Stands for an exception that cannot be pickled, in the unpickled copy of its `Failure`; tells what it said."""


STEERING: set[type] = set()
# What a result that is a Failure is called; `wirebook.deferred.chain` has the words for all others.
IS_FAILURE: Final = 2


class Steering:
    """What a callback may return that steers its chain: a `Failure` or a Deferred.

    The chain's hot loop tells it from a plain value by its exact class being among `STEERING`, where every
    subclass enters itself: a third of the time of an ``isinstance`` that says no.
    """

    __slots__ = ()

    _state: int  # as a Deferred's, so that the loop can look before it calls `_join`

    def _join(self, outer: Any) -> tuple[Any, int]:
        """What the chain of `outer`, whose callback returned this, goes on with: a result, and what it is."""
        raise NotImplementedError

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        STEERING.add(cls)


def qualified(kind: ErrorType) -> str:
    """The dotted name of an exception class, as `Failure.check` takes it: ``builtins.ValueError``."""
    return f"{kind.__module__}.{kind.__qualname__}"


class Failure(BaseException, Steering):
    """An exception and where it was raised.

    ``Failure()`` takes the exception being handled now; ``Failure(error)`` any other one, raised or not, and of a
    Failure makes a copy. `exc_type` and `exc_tb` override the exception's own class and traceback. `captureVars`
    keeps what every frame's variables hold at this moment, for `frames` and the verbose report; it is slow.

    Attributes: ``value`` the exception, ``type`` its class, ``tb`` the live traceback (None when never raised,
    cleaned or unpickled), ``pickled`` 1 when cleaned or unpickled. Others may be set at will.

    A Failure is itself an exception: ``raise failure`` in a callback passes it on. Nothing else should raise one:
    that is what `raiseException` is for.

    It can be pickled; frames and variables become text then. An exception that cannot be pickled is replaced by a
    `PickledError`, while `check` still knows it by name.

    Errors: `NoCurrentExceptionError` without an exception, `TypeError` for a `exc_value` that is none.
    Any thread may make and read one.
    """

    # What few Failures have stands in the instance's __dict__, and its default here.
    __slots__ = ("__weakref__", "tb", "type", "value")

    value: BaseException
    type: ErrorType
    tb: TracebackType | None
    captureVars = False
    pickled = 0
    _count = 0
    _state = IS_FAILURE
    _frames: list[FrameText] | None = None
    _parents: list[str] | None = None
    _causes: str | None = None

    def __init__(
        self,
        exc_value: BaseException | None = None,
        exc_type: ErrorType | None = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            exc_value = _current_exception()
        if type(exc_value) in STEERING and isinstance(exc_value, Failure):
            self._take_over(exc_value)
            return
        if not isinstance(exc_value, BaseException):
            raise TypeError(f"a Failure holds an exception, not {exc_value!r}: pass an exception, e.g. ValueError(...)")
        self.value = exc_value
        self.type = exc_type or exc_value.__class__
        self.tb = exc_tb or exc_value.__traceback__
        if captureVars:
            self.captureVars = True
            self._frames = list(_frames_of(self.tb, captureVars))

    def _take_over(self, other: Failure) -> None:
        self.value, self.type, self.tb = other.value, other.type, other.tb
        self.__dict__.update(other.__dict__)

    def _join(self, outer: object) -> tuple[Failure, int]:
        return self, IS_FAILURE

    # Questions

    @property
    def count(self) -> int:
        """The number by which reports call this Failure, given when first asked for."""
        if not self._count:
            self._count = next(_numbers)
        return self._count

    def check(self, *errorTypes: ErrorType | str) -> ErrorType | str | None:
        """The first of `errorTypes` (classes or dotted names) that fits the error; None if none does.

        A class fits by its name too: one that was defined anew (in a cell that was run again) is still meant.
        """
        for wanted in errorTypes:
            if isinstance(wanted, str):
                if wanted in self.parents:
                    return wanted
            elif issubclass(self.type, wanted) or qualified(wanted) in self.parents:
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
        """Dotted names of the error's class and all its bases. Can be set."""
        return [qualified(kind) for kind in self.type.__mro__] if self._parents is None else self._parents

    @parents.setter
    def parents(self, names: list[str]) -> None:
        self._parents = names

    @property
    def frames(self) -> list[FrameText]:
        """The traceback as (function, file, line, locals, globals), outermost first. Can be set.

        Locals and globals are (name, value) pairs when the Failure captured them, their reprs once it was cleaned or
        pickled; empty else.
        """
        return list(_frames_of(self.tb)) if self._frames is None else self._frames

    @frames.setter
    def frames(self, frames: list[FrameText]) -> None:
        self._frames = frames

    @property
    def stack(self) -> list[FrameText]:
        """Always empty; who called is found in ``tb``."""
        return []

    def getErrorMessage(self) -> str:
        """What the error says of itself, also when its ``__str__`` raises."""
        return _text_of(self.value)

    def getTracebackObject(self) -> TracebackType | None:
        """The live traceback; one without variables made of `frames` when that is gone; None when there is none."""
        found = self.tb
        if found is None:
            for name, file, line, *_ in reversed(self.frames):
                found = _stand_in(found, name, file, line)
        return found

    # Reports

    def getTraceback(self, elideFrameworkCode: int = 0, detail: Detail = "default") -> str:
        """The report as text: "default" much as Python prints it, "brief" a line a frame, "verbose" with variables.

        With `elideFrameworkCode` the frames of Wirebook itself are left out. `ValueError` for another `detail`.
        """
        frames = [at for at in self.frames if not (elideFrameworkCode and at[1].startswith(FRAMEWORK))]
        lines: list[str] = []
        format_frames(frames, lines.append, "verbose-vars-not-captured" if self._shows_none(detail) else detail)
        places = "".join(lines)
        if detail == "brief":
            heading = "Traceback" if frames else "Traceback (failure with no frames)"
            return f"{heading}: {_text_of(self.type)}: {self.getErrorMessage()}\n{places}"
        error = (places or "Failure: ") + self._last_words()
        if detail == "verbose":
            pickled = "(pickled) " if self.pickled else ""
            return f"*--- Failure #{self.count} {pickled}---\n{error}*--- End of Failure #{self.count} ---\n"
        return f"{self._origin()}Traceback (most recent call last):\n{error}"

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
        """Write the report with the captured variables to `file` (standard error when None)."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    # Raising it again

    def raiseException(self) -> NoReturn:
        """Raise the error, its traceback going on where it was raised first."""
        try:
            raise self.value.with_traceback(self.getTracebackObject())
        finally:
            del self

    def throwExceptionIntoGenerator(self, g: Generator[Any, Any, Any]) -> Any:
        """Raise the error inside generator `g` where it waits; return what it yields next."""
        try:
            return g.throw(self.value.with_traceback(self.getTracebackObject()))
        finally:
            del self

    # Without the frames

    def cleanFailure(self) -> None:
        """Let go of the frames, those of the errors it came from included, keeping their text."""
        state = self.__getstate__()
        self.tb = None
        self.__dict__.update(state)
        for error in (self.value, *_causes_of(self.value)):
            error.__traceback__ = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_count": self.count,
            "_parents": self.parents,
            "_frames": [(*at[:3], _shown(at[3]), _shown(at[4])) for at in self.frames],
            "_causes": self._origin(),
            "pickled": 1,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle

        value, kind = self.value, self.type
        try:
            pickle.loads(pickle.dumps((value, kind)))
        except Exception:
            value, kind = PickledError(self._headline()), PickledError
        return _unpickled, (self.__class__, value, kind, self.__getstate__())

    def __copy__(self) -> Failure:
        return self.__class__(self)

    # How it is shown

    def __repr__(self) -> str:
        return f"<{qualified(self.__class__)} {self._headline()}>"

    def __str__(self) -> str:
        return f"[Failure instance: {self.getBriefTraceback()}]"

    def _headline(self) -> str:
        return f"{self.parents[0]}: {self.getErrorMessage()}"

    def _shows_none(self, detail: Detail) -> bool:
        return detail == "verbose" and not self.captureVars

    def _last_words(self) -> str:
        """The end of the report: the error, its notes, and the errors it is a group of."""
        notes = (f"{note}\n" for note in getattr(self.value, "__notes__", ()))
        members = self.value.exceptions if isinstance(self.value, BaseExceptionGroup) else ()
        reports = (indent("".join(traceback.format_exception(member)), "  | ") for member in members)
        return "".join([self._headline(), "\n", *notes, *reports])

    def _origin(self) -> str:
        """The beginning of the report: what the error came from."""
        if self._causes is not None:
            return self._causes
        for cause in _causes_of(self.value):
            direct = cause is self.value.__cause__
            why = "was the direct cause of" if direct else "was being handled when there was"
            return f"{''.join(traceback.format_exception(cause))}\nThe above exception {why} the following one:\n\n"
        return ""


def caught(error: BaseException, passed: object = None) -> Failure:
    """The `Failure` for `error`, caught by the calling frame, which is left out of the traceback.

    When a callback raised the very error of the Failure it was `passed` (by ``trap``, or a bare raise), that
    Failure goes on: no frames of mere passing on in the report, and no ring through the callback's frame. So
    does a Failure that was raised itself.
    """
    if isinstance(passed, Failure) and passed.value is error:
        error.__traceback__ = passed.tb
        return passed
    if isinstance(error, Failure):
        error.__traceback__ = None
        return error
    found = error.__traceback__
    if found is not None:
        error.__traceback__ = found.tb_next
    return Failure(error)


def format_frames(frames: Iterable[FrameText], write: Callable[[str], object], detail: str = "default") -> None:
    """Pass the text of `frames`, given as in `Failure.frames`, to `write`.

    `detail` is "default", "brief", "verbose", or "verbose-vars-not-captured", which says that there are no variables;
    `ValueError` for any other.
    """
    if detail not in ("default", "brief", "verbose", "verbose-vars-not-captured"):
        raise ValueError(
            f"detail is {detail!r}; it can be 'default', 'brief', 'verbose' or 'verbose-vars-not-captured'"
        )
    if detail == "default":
        summary = traceback.StackSummary.from_list([(at[1], at[2], at[0], None) for at in frames])
        write("".join(summary.format()))
        return
    for name, file, line, local, outer in frames:
        write(f"{file}:{line}:{name}\n" if detail == "brief" else f"{file}:{line}: {name}(...)\n")
        if detail == "verbose":
            write(" [ Locals ]\n" + "".join(f"  {key} : {text!r}\n" for key, text in local))
            write(" ( Globals )\n" + "".join(f"  {key} : {text!r}\n" for key, text in outer))
    if detail == "verbose-vars-not-captured":
        write(" [no variables: make the Failure with captureVars=True to have them]\n")


def startDebugMode() -> None:
    """From now on, open the debugger on each exception that ``Failure()`` finds, before it goes on."""
    import pdb

    make = Failure.__init__

    def debug_and_make(
        self: Failure,
        exc_value: BaseException | None = None,
        exc_type: ErrorType | None = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            pdb.post_mortem(_current_exception().__traceback__)
        make(self, exc_value, exc_type, exc_tb, captureVars)

    Failure.__init__ = debug_and_make  # type: ignore[method-assign]


def _current_exception() -> BaseException:
    error = sys.exception()
    if error is None:
        raise NoCurrentExceptionError(
            "Failure() takes the exception being handled, and there is none here: "
            "call it in an except block, or pass it an exception"
        )
    return error


def _unpickled(kind: type[Failure], value: BaseException, error_type: ErrorType, state: dict[str, Any]) -> Failure:
    failure = kind.__new__(kind)
    failure.value, failure.type, failure.tb = value, error_type, None
    failure.__dict__.update(state)
    return failure


def _frames_of(tb: TracebackType | None, with_variables: bool = False) -> Iterator[FrameText]:
    for frame, line in traceback.walk_tb(tb):
        local: Variables = ()
        outer: Variables = ()
        if with_variables:
            local = _variables(frame.f_locals)
            outer = () if frame.f_locals is frame.f_globals else _variables(frame.f_globals)
        yield frame.f_code.co_name, frame.f_code.co_filename, line, local, outer


def _variables(found: dict[str, Any]) -> Variables:
    return [(name, value) for name, value in found.items() if name != "__builtins__"]


def _shown(variables: Variables) -> Variables:
    return tuple((name, _text_of(value, repr)) for name, value in variables)


def _causes_of(error: BaseException) -> list[BaseException]:
    """What `error` came from, nearest first, by the rules of Python's own reports."""
    found: dict[int, BaseException] = {}
    cause: BaseException | None = error
    while cause is not None and id(cause) not in found:
        found[id(cause)] = cause
        cause = cause.__context__ if cause.__cause__ is None and not cause.__suppress_context__ else cause.__cause__
    return list(found.values())[1:]


def _never_started() -> Generator[None, None, None]:
    yield


def _stand_in(following: TracebackType | None, name: str, file: str, line: int) -> TracebackType:
    """An entry of a traceback for a frame of which only the place is known.

    The frame is that of a generator that has not started: it has no callers and no variables.
    """
    code = _never_started.__code__.replace(co_filename=file, co_name=name, co_qualname=name, co_firstlineno=line)
    frame = FunctionType(code, {})().gi_frame
    # The first instruction, for tools that look the instruction up: they loop for ever over -1.
    return TracebackType(following, frame, 0, line)


def _text_of(value: object, *readers: Callable[[Any], str]) -> str:
    for read in readers or (str, repr):
        try:
            return read(value)
        except Exception:
            continue
    return f"<{type(value).__qualname__} object that can be neither printed nor shown>"
