"""Where the event log meets the standard ``logging``, both ways.

An event goes out as one record on the logger named after its namespace; the record carries the event. A record
that somebody else logged comes in as an event that carries the record. Each side so knows what came from the
other and hands nothing back, and a record keeps who has had it, so that no observer gets anything twice.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from os.path import dirname, join
from types import FrameType

from wirebook.failure import Failure
from wirebook.logger.interfaces import ILogObserver, LogEvent
from wirebook.logger.levels import LogLevel, nearest_level
from wirebook.logger.text import formatEvent

_HERE = join(dirname(__file__), "")
_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def hand_over(
    event: LogEvent, logger: logging.Logger, told: Sequence[ILogObserver] = (), depth: int | None = None
) -> None:
    """Give `event` to `logger` as one record, unless its level is off or it came from there.

    The record has the event as ``wirebook_event``, its failure as ``wirebook_failure`` and `told` as those
    who need not hear of it again. It names the place `depth` calls up, or the first one outside this package.
    """
    given = event.get("log_level")
    level = given.value if isinstance(given, LogLevel) else logging.INFO
    if "log_record" in event or not logger.isEnabledFor(level):
        return
    failure, frame = event.get("log_failure"), _caller(depth)
    extra = {"wirebook_event": event, "wirebook_told": list(told)}
    if failure is not None:
        extra["wirebook_failure"] = failure
    record = logger.makeRecord(
        logger.name,
        level,
        frame.f_code.co_filename,
        frame.f_lineno,
        formatEvent(event),
        (),
        (failure.type, failure.value, failure.getTracebackObject()) if failure is not None else None,
        frame.f_code.co_name,
        extra,
    )
    logger.handle(record)


def _caller(depth: int | None) -> FrameType:
    if depth is not None:
        return sys._getframe(depth)
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_HERE) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def event_of_record(record: logging.LogRecord) -> LogEvent:
    """The event for a record: that which it carries, or one made of it, with its ``extra`` fields."""
    attributes = vars(record)
    if "wirebook_event" in attributes:
        return {**attributes["wirebook_event"], "log_record": record}
    event: LogEvent = {
        name: attributes[name] for name in attributes.keys() - _PLAIN_ATTRIBUTES if name != "wirebook_told"
    }
    event.update(
        log_level=nearest_level(record.levelno),
        log_namespace=record.name,
        log_source=None,
        log_format="{log_text}",
        log_text=_message(record),
        log_time=record.created,
        log_record=record,
    )
    if record.exc_info and record.exc_info[1] is not None:
        kind, error, trace = record.exc_info
        event["log_failure"] = Failure(error, kind, trace)
    return event


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg!r} with {record.args!r} (which do not fit: {error})"


def first_time(record: logging.LogRecord, observer: ILogObserver) -> bool:
    """Whether `observer` has not had `record` yet; from now on it has."""
    told: list[ILogObserver] = vars(record).setdefault("wirebook_told", [])
    if observer in told:
        return False
    told.append(observer)
    return True


class ObserverHandler(logging.Handler):
    """Lets an observer watch a standard logger: ``logging.getLogger("asyncio").addHandler(ObserverHandler(o))``.

    Every record that reaches the handler becomes an event: its text, level, logger's name, time, exception,
    and what was logged as ``extra``. `observer` may be ``globalLogPublisher``, or be registered there too: it
    gets each event once. `level` is a number of ``logging``.
    """

    def __init__(self, observer: ILogObserver, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.observer = observer

    def createLock(self) -> None:
        """There is none: observers are called by several threads at once, and may wait for each other's locks."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand one record to the observer if the handler's filters let it."""
        passed: object = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record to the observer; an error of the observer goes to `logging.Handler.handleError`."""
        try:
            if first_time(record, self.observer):
                self.observer(event_of_record(record))
        except Exception:
            self.handleError(record)


class STDLibLogObserver:
    """Writes events to the standard logger `name`.

    ``globalLogPublisher`` hands its events to ``logging`` already; this is for publishers of your own.
    `stackDepth` tells which call the record names: `defaultStackDepth` the one that calls this observer, one
    more its caller and so on; None: the first one outside the event log.
    """

    defaultStackDepth = 4

    def __init__(self, name: str = "wirebook", stackDepth: int | None = None) -> None:
        self.logger = logging.getLogger(name)
        self.stackDepth = stackDepth

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        hand_over(event, self.logger, depth=None if self.stackDepth is None else self.stackDepth - 1)
