"""From the program's start to the moment it says where its log goes."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from wirebook.logger.emitting import Logger, LogPublisher, globalLogPublisher
from wirebook.logger.filtering import FilteringLogObserver, LogLevelFilterPredicate
from wirebook.logger.interfaces import ILogObserver, LogEvent
from wirebook.logger.keeping import FileLogObserver, LimitedHistoryLogObserver
from wirebook.logger.levels import LogLevel
from wirebook.logger.redirecting import LoggingFile
from wirebook.logger.saving import failure_as_dict, failure_from_dict
from wirebook.logger.standard import ObserverHandler
from wirebook.logger.text import eventAsText


class LogBeginner:
    """Keeps the first events until `beginLoggingTo` says who is to have them.

    Until then critical ones are written to `errorStream` (None: not at all), and the last `initialBufferSize`
    are kept, a failure without its frames and live objects. `stdio` has the ``stdout`` and ``stderr`` that may
    be redirected, `warningsModule` the ``showwarning``: ``sys`` and ``warnings``, or stand-ins for them.
    """

    def __init__(
        self,
        publisher: LogPublisher,
        errorStream: IO[Any] | None,
        stdio: Any,
        warningsModule: Any,
        initialBufferSize: int | None = None,
    ) -> None:
        self._publisher = publisher
        self._log = Logger("wirebook", observer=publisher)
        self._stdio, self._warnings = stdio, warningsModule
        self._show_warning = warningsModule.showwarning
        self._buffer = LimitedHistoryLogObserver(200 if initialBufferSize is None else initialBufferSize)
        early = [self._keep] if errorStream is None else [self._keep, _critical_to(errorStream)]
        self._early = LogPublisher(*early)
        self._begun = False
        self._begun_at = ("", 0)
        publisher.addObserver(self._early)

    def beginLoggingTo(
        self, observers: Iterable[ILogObserver], discardBuffer: bool = False, redirectStandardIO: bool = True
    ) -> None:
        """Have `observers` watch, beginning with the events kept so far (unless `discardBuffer`).

        From now on warnings are events, and with `redirectStandardIO` so are the lines written to standard
        output (info) and standard error (error), which `globalLogBeginner` leaves to a notebook's kernel. To be
        called once: a second call works, with a warning.
        """
        caller = sys._getframe(1)
        (before, line), self._begun_at = self._begun_at, (caller.f_code.co_filename, caller.f_lineno)
        newcomers = [observer for observer in observers if observer not in self._publisher]
        for observer in newcomers:
            self._publisher.addObserver(observer)
        if not self._begun:
            self._begin([] if discardBuffer else newcomers)
        else:
            self._log.warn(
                "beginLoggingTo was called at <{fileNow}:{lineNow}> after <{fileThen}:{lineThen}>: call it once.",
                fileNow=caller.f_code.co_filename,
                lineNow=caller.f_lineno,
                fileThen=before,
                lineThen=line,
            )
        if redirectStandardIO:
            self._redirect("stdout", LogLevel.info)
            self._redirect("stderr", LogLevel.error)

    def _begin(self, newcomers: Iterable[ILogObserver]) -> None:
        self._begun = True
        self._publisher.removeObserver(self._early)
        self._buffer.replayTo(LogPublisher(*newcomers))
        self._warnings.showwarning = self.showwarning

    def showwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: IO[Any] | None = None,
        line: str | None = None,
    ) -> None:
        """Take the place of `warnings.showwarning`: emit an event, unless `file` says where to write it."""
        if file is not None:
            self._show_warning(message, category, filename, lineno, file, line)
            return
        self._log.warn(
            "{filename}:{lineno}: {category}: {warning}",
            warning=message,
            category=f"{category.__module__}.{category.__qualname__}",
            filename=filename,
            lineno=lineno,
        )

    def _redirect(self, stream: str, level: LogLevel) -> None:
        encoding = getattr(getattr(self._stdio, stream), "encoding", None)
        setattr(self._stdio, stream, LoggingFile(Logger(stream, observer=self._publisher), level, encoding))

    def _keep(self, event: LogEvent) -> None:
        if "log_failure" in event:
            # A program that never begins, a notebook say, must not keep the frames of its errors alive.
            event = {**event, "log_failure": failure_from_dict(failure_as_dict(event["log_failure"]))}
        self._buffer(event)


def _critical_to(stream: IO[Any]) -> ILogObserver:
    def text(event: LogEvent) -> str:
        return eventAsText(event, includeTimestamp=False, includeSystem=False) + "\n"

    return FilteringLogObserver(FileLogObserver(stream, text), [LogLevelFilterPredicate(LogLevel.critical)])


class GlobalBeginner(LogBeginner):
    """The one of the process. Before it begins, the standard ``logging`` tells of errors, as it is set up to.

    From the beginning on, the records that reach its root logger are events too, so the observers have the
    whole log of the process, and nothing is written to standard error beside them.

    A stream that somebody has put in the place of the process's own is not redirected. In a notebook that is the
    kernel: what a cell prints belongs to that cell, and not to the one that began to log.
    """

    def _redirect(self, stream: str, level: LogLevel) -> None:
        if getattr(sys, stream) is getattr(sys, f"__{stream}__"):
            super()._redirect(stream, level)

    def _begin(self, newcomers: Iterable[ILogObserver]) -> None:
        super()._begin(newcomers)
        logging.getLogger().addHandler(ObserverHandler(self._publisher))


globalLogBeginner: LogBeginner = GlobalBeginner(globalLogPublisher, None, sys, warnings)


@contextmanager
def capturedLogs() -> Iterator[list[LogEvent]]:
    """``with capturedLogs() as events:`` gathers, in a list, all events that are emitted in the block."""
    events: list[LogEvent] = []
    observer = events.append
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)
