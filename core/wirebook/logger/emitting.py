"""Who emits events, and who passes them on to all that watch."""

from __future__ import annotations

import logging
import sys
from functools import partial
from threading import RLock
from time import time
from types import TracebackType
from typing import Any, Protocol

from wirebook.failure import Failure
from wirebook.logger.interfaces import ILogObserver, LogEvent
from wirebook.logger.levels import InvalidLogLevelError, LogLevel
from wirebook.logger.standard import first_time, hand_over


class Logger:
    """Emits events under a namespace: ``log = Logger()`` in a module, or as an attribute of a class.

    `namespace` is by default the name of the module that makes it. As a class attribute it is named after the
    class (``module.Class``) and its `source` is the object it is asked of. `observer` gets the events; by
    default ``globalLogPublisher``, which also hands them to the standard ``logging``.

    Every method may be called from any thread. Formats are those of ``str.format`` with names only, and
    ``{name()}`` calls; they are filled in when somebody reads the event.
    """

    def __init__(
        self, namespace: str | None = None, source: object = None, observer: ILogObserver | None = None
    ) -> None:
        if namespace is None:
            namespace = str(sys._getframe(1).f_globals.get("__name__", "<unknown>"))
        self.namespace = namespace
        self.source = source
        self.observer: ILogObserver = globalLogPublisher if observer is None else observer

    def __get__(self, instance: object, owner: type | None = None) -> Logger:
        owner = type(instance) if owner is None else owner
        source = owner if instance is None else instance
        return self.__class__(f"{owner.__module__}.{owner.__name__}", source, observer=self.observer)

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.namespace!r}>"

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event at `level` with the text `format` and the fields `kwargs`.

        Something else than a `LogLevel` is reported as a failure event, `InvalidLogLevelError`.
        """
        if not isinstance(level, LogLevel):
            message = "{logger}.emit() was given {invalidLevel!r}, which is no log level"
            self.failure(message, Failure(InvalidLogLevelError(level)), invalidLevel=level, logger=self)
            return
        kwargs.update(
            log_logger=self,
            log_level=level,
            log_namespace=self.namespace,
            log_source=self.source,
            log_format=format,
            log_time=time(),
        )
        if "log_trace" in kwargs:
            kwargs["log_trace"].append((self, self.observer))
        self.observer(kwargs)

    def debug(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit what matters only to who is looking for a fault."""
        self.emit(LogLevel.debug, format, **kwargs)

    def info(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit what is good to know."""
        self.emit(LogLevel.info, format, **kwargs)

    def warn(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit what somebody may have to look at."""
        self.emit(LogLevel.warn, format, **kwargs)

    def error(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit what went wrong, in a way that the program knew of."""
        self.emit(LogLevel.error, format, **kwargs)

    def critical(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit what went wrong badly."""
        self.emit(LogLevel.critical, format, **kwargs)

    def failure(
        self, format: str, failure: Failure | None = None, level: LogLevel = LogLevel.critical, **kwargs: Any
    ) -> None:
        """Emit an error that nobody expected, with its traceback: `failure`, or the exception being handled.

        It can be an errback: ``d.addErrback(lambda f: log.failure("while frobbing {knob}", f, knob=knob))``.
        """
        self.emit(level, format, log_failure=Failure() if failure is None else failure, **kwargs)

    def failuresHandled(self, format: str, level: LogLevel = LogLevel.critical, **kwargs: Any) -> Handling:
        """A context manager that emits the error of its block, if it has one, and goes on behind it.

        ``with log.failuresHandled("while frobbing {knob}", knob=knob) as op:`` and then ``op.succeeded``,
        ``op.failed`` and ``op.failure`` tell the outcome. Like a Deferred's callback it takes any exception,
        also KeyboardInterrupt and asyncio's CancelledError.
        """
        return Handling(self, format, level, kwargs)

    def failureHandler(self, staticMessage: str, level: LogLevel = LogLevel.critical) -> FailureHandler:
        """As `failuresHandled`, but to be made once and used many times, by any number of threads."""
        return FailureHandler(self, staticMessage, level, {})


class Operation(Protocol):
    """How a block in `Logger.failuresHandled` went."""

    @property
    def succeeded(self) -> bool:
        """Whether it ended without an error; False while it runs."""

    @property
    def failed(self) -> bool:
        """Whether it ended with one; False while it runs."""

    @property
    def failure(self) -> Failure | None:
        """The error."""


class FailureHandler:
    """Emits the errors of its blocks and lets the program go on behind them. See `Logger.failureHandler`."""

    def __init__(self, logger: Logger, format: str, level: LogLevel, fields: dict[str, Any]) -> None:
        self._logger, self._format, self._level, self._fields = logger, format, level, fields

    def __enter__(self) -> object:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._emit(Failure(error, kind, trace))
        return True

    def _emit(self, failure: Failure) -> None:
        self._logger.failure(self._format, failure, self._level, **self._fields)


class Handling(FailureHandler):
    """The same for one block, with its outcome: an `Operation`. See `Logger.failuresHandled`."""

    succeeded = False
    failure: Failure | None = None

    @property
    def failed(self) -> bool:
        """Whether the block ended with an error."""
        return self.failure is not None

    def __enter__(self) -> Handling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.succeeded = error is None
        return super().__exit__(kind, error, trace)

    def _emit(self, failure: Failure) -> None:
        self.failure = failure
        super()._emit(failure)


class LogPublisher:
    """An observer that passes every event on to others, in the order they were added. Any thread.

    One that raises keeps no event from the others: they then get a second one, which tells what it raised.
    """

    # Reports of forgotten errors come from the garbage collector, which may strike in here: so re-entrant.
    _lock = RLock()

    def __init__(self, *observers: ILogObserver) -> None:
        self._observers: tuple[ILogObserver, ...] = observers

    def addObserver(self, observer: ILogObserver) -> None:
        """Pass events on to `observer` too; harmless when it is there already. `TypeError` if not callable."""
        if not callable(observer):
            raise TypeError(f"an observer is called with events, and {observer!r} is not callable")
        with self._lock:
            if observer not in self._observers:
                self._observers = (*self._observers, observer)

    def removeObserver(self, observer: ILogObserver) -> None:
        """Pass nothing on to `observer` any more; harmless when it is not there."""
        with self._lock:
            self._observers = tuple(other for other in self._observers if other != observer)

    def __contains__(self, observer: ILogObserver) -> bool:
        return observer in self._observers

    def __call__(self, event: LogEvent) -> None:
        """Pass `event` on."""
        self._pass_on((), event)

    def _pass_on(self, without: tuple[ILogObserver, ...], event: LogEvent) -> None:
        trace, record = event.get("log_trace"), event.get("log_record")
        broken: list[tuple[ILogObserver, Failure]] = []
        for observer in self._observers:
            if observer in without or (record is not None and not first_time(record, observer)):
                continue
            if trace is not None:
                trace.append((self, observer))
            try:
                observer(event)
            except Exception as error:
                broken.append((observer, Failure(error)))
        for observer, failure in broken:
            log = Logger("wirebook", observer=partial(self._pass_on, (*without, observer)))
            log.failure("The observer {observer} raised; this event did not reach it.", failure, observer=observer)


class Bus(LogPublisher):
    """The publisher whose events are also records of the standard ``logging``, on the loggers they are named for."""

    def _pass_on(self, without: tuple[ILogObserver, ...], event: LogEvent) -> None:
        super()._pass_on(without, event)
        name = event.get("log_namespace")
        logger = logging.getLogger(name if isinstance(name, str) else None)
        hand_over(event, logger, told=(self, *self._observers))


globalLogPublisher: LogPublisher = Bus()
