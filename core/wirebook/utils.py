"""Run a program and get its output, its exit code, or both, as a Deferred; call a function with warnings suppressed.

Cancelling the Deferred of a program ends the program (SIGTERM, and SIGKILL if that is not enough), so that a timeout
(``d.addTimeout(5, reactor)``) leaves nothing running. The program's standard input is empty and at its end
unless bytes are given for it, so that nothing waits for ever. A program that cannot be run is the Deferred's
OSError.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar

from wirebook.deferred import Deferred
from wirebook.error import ProcessTerminated
from wirebook.failure import Failure, caught
from wirebook.installed import the_reactor
from wirebook.interfaces import IReactorProcess
from wirebook.protocol import ProcessProtocol
from wirebook.transports.process import NO_ENVIRONMENT

T = TypeVar("T")

__all__ = [
    "ErrorOutput",
    "OutputUntilSignal",
    "getProcessOutput",
    "getProcessOutputAndValue",
    "getProcessValue",
    "runWithWarningsSuppressed",
    "suppressWarnings",
]


class ErrorOutput(OSError):
    """A program wrote to its standard error output, where that was to mean that something is wrong.

    ``output`` is what it had written there first.
    """

    def __init__(self, output: bytes) -> None:
        super().__init__(f"got stderr: {output!r}")
        self.output = output
        self._reason: Failure | None = None
        self._waiters: list[Deferred[None]] = []

    @property
    def processEnded(self) -> Deferred[None]:
        """A Deferred that fails, once the program has ended, with how: `ProcessDone` or `ProcessTerminated`.

        Each is a new one, so that nothing is unhandled if nobody asks.
        """
        ended: Deferred[None] = Deferred()
        if self._reason is None:
            self._waiters.append(ended)
        else:
            ended.errback(self._reason)
        return ended

    def end(self, reason: Failure) -> None:
        """The program has ended."""
        self._reason = reason
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(reason)


class OutputUntilSignal(ProcessTerminated, Sequence[Any]):
    """A signal ended a program. As a sequence it is (output, error output, number of the signal)."""

    def __init__(self, output: bytes, errors: bytes, reason: ProcessTerminated) -> None:
        super().__init__(reason.exitCode, reason.signal, reason.status)
        self._parts = (output, errors, reason.signal)

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index]

    def __len__(self) -> int:
        return len(self._parts)

    def __eq__(self, other: object) -> bool:
        return self is other or self._parts == other

    __hash__ = ProcessTerminated.__hash__


class _Run(ProcessProtocol):
    """One run of a program, and the Deferred of what comes of it."""

    def __init__(self, stdin: bytes | None = None) -> None:
        self.stdin = stdin
        self.output = bytearray()
        self.errors = bytearray()
        self.result: Deferred[Any] = Deferred(self._cancel)

    def connectionMade(self) -> None:
        if self.stdin:
            self.transport.write(self.stdin)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self.output += data

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        # Not after it was cancelled.
        if not self.result.called:
            self.finish(reason)

    def finish(self, reason: Failure) -> None:
        """Fire ``result``: the program has ended."""
        raise NotImplementedError

    def _cancel(self, _: Deferred[Any]) -> None:
        close: Any = getattr(self.transport, "closeHandle", None)
        if close is None:
            # Another reactor's transport.
            with suppress(Exception):
                self.transport.signalProcess("KILL")
        else:
            close()


class _Output(_Run):
    """Wants the output, and none of errors unless ``errortoo``."""

    def __init__(self, errortoo: bool) -> None:
        super().__init__()
        self.errortoo = errortoo
        self.refused: ErrorOutput | None = None

    def errReceived(self, data: bytes) -> None:
        if self.errortoo:
            self.output += data
        elif not self.result.called:
            self.refused = ErrorOutput(data)
            self.transport.loseConnection()
            self.result.errback(self.refused)

    def processEnded(self, reason: Failure) -> None:
        if self.refused is not None:
            self.refused.end(reason)
        super().processEnded(reason)

    def finish(self, reason: Failure) -> None:
        self.result.callback(bytes(self.output))


class _Value(_Run):
    """Wants the exit code."""

    def outReceived(self, data: bytes) -> None:
        """Not wanted."""

    errReceived = outReceived

    def finish(self, reason: Failure) -> None:
        ending: Any = reason.value
        self.result.callback(ending.exitCode)


class _Everything(_Run):
    """Wants the output, the error output and the exit code."""

    def finish(self, reason: Failure) -> None:
        output, errors, ending = bytes(self.output), bytes(self.errors), reason.value
        if isinstance(ending, ProcessTerminated) and ending.signal is not None:
            failure = Failure(OutputUntilSignal(output, errors, ending))
            # Programs that are written for a plain tuple ask for one: failure.trap(tuple).
            failure.parents = [*failure.parents, "builtins.tuple"]
            self.result.errback(failure)
        else:
            self.result.callback((output, errors, getattr(ending, "exitCode", None)))


def _run(
    run: _Run, executable: Any, args: Sequence[Any], env: Mapping[Any, Any] | None, path: Any, reactor: Any
) -> Deferred[Any]:
    reactor = the_reactor() if reactor is None else reactor
    try:
        reactor.spawnProcess(run, executable, (executable, *args), env, path)
    except Exception as error:
        run.result.errback(caught(error))
    return run.result


def getProcessOutput(
    executable: Any,
    args: Sequence[Any] = (),
    env: Mapping[Any, Any] | None = NO_ENVIRONMENT,
    path: Any = None,
    reactor: IReactorProcess | None = None,
    errortoo: bool = False,
) -> Deferred[bytes]:
    """Run a program; the Deferred fires with all that it wrote to its standard output, whatever its exit code.

    `args` are its words without its own name; `env` and `path` as for ``reactor.spawnProcess``; `reactor` is the
    process's by default. With `errortoo` its standard error output is among the output; otherwise the first of it
    makes the Deferred fail, with an OSError whose ``processEnded`` is a Deferred for its end (`ErrorOutput`).
    """
    return _run(_Output(bool(errortoo)), executable, args, env, path, reactor)


def getProcessValue(
    executable: Any,
    args: Sequence[Any] = (),
    env: Mapping[Any, Any] | None = NO_ENVIRONMENT,
    path: Any = None,
    reactor: IReactorProcess | None = None,
) -> Deferred[int | None]:
    """Run a program; the Deferred fires with its exit code, None when a signal ended it. Else as `getProcessOutput`."""
    return _run(_Value(), executable, args, env, path, reactor)


def getProcessOutputAndValue(
    executable: Any,
    args: Sequence[Any] = (),
    env: Mapping[Any, Any] | None = NO_ENVIRONMENT,
    path: Any = None,
    reactor: IReactorProcess | None = None,
    stdinBytes: bytes | None = None,
) -> Deferred[tuple[bytes, bytes, int]]:
    """Run a program; the Deferred fires with (output, error output, exit code).

    `stdinBytes` are its input. When a signal ends it the Deferred fails with (output, error output, number of the
    signal), an `OutputUntilSignal`. Else as `getProcessOutput`.
    """
    return _run(_Everything(stdinBytes), executable, args, env, path, reactor)


# --- warnings --------------------------------------------------------------------------------------------


def runWithWarningsSuppressed(
    suppressedWarnings: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    f: Callable[..., T],
    *a: Any,
    **kw: Any,
) -> T:
    """Call ``f(*a, **kw)`` with more filters for warnings, and return what it returns.

    `suppressedWarnings` are pairs of positional and keyword arguments for `warnings.filterwarnings`, for example
    ``(("ignore",), {"category": DeprecationWarning})``. The filters, which are the whole process's, go when `f` has
    returned or raised; when it returns a Deferred, as soon as that has fired.
    """
    before = list(warnings.filters)
    for args, kwargs in suppressedWarnings:
        warnings.filterwarnings(*args, **kwargs)
    added = [new for new in warnings.filters if new not in before]

    def take_back(result: Any) -> Any:
        for new in added:
            # The program may have reset them all.
            with suppress(ValueError):
                warnings.filters.remove(new)  # type: ignore[attr-defined]  # typeshed sees any sequence
        return result

    result: Any = None
    try:
        result = f(*a, **kw)
    finally:
        if not isinstance(result, Deferred):
            take_back(None)
    if isinstance(result, Deferred):
        result.addBoth(take_back)
    return result  # type: ignore[no-any-return]


def suppressWarnings(
    f: Callable[..., T], *suppressedWarnings: tuple[Sequence[Any], Mapping[str, Any]]
) -> Callable[..., T]:
    """A function that calls `f` as `runWithWarningsSuppressed` does, with these filters."""

    @wraps(f)
    def quiet(*a: Any, **kw: Any) -> T:
        return runWithWarningsSuppressed(suppressedWarnings, f, *a, **kw)

    return quiet
