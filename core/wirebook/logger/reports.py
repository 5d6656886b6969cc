"""How the framework says what went wrong: events under the namespace ``wirebook``.

Each is emitted in the context of what it is about (the Deferred's, the connection's), so an observer or a
handler that asks a context variable learns which cell the trouble belongs to. Core knows nothing of cells.
"""

from __future__ import annotations

import logging
from contextvars import Context
from typing import Any

from wirebook.failure import Failure
from wirebook.logger.emitting import Logger, globalLogPublisher
from wirebook.logger.levels import LogLevel, nearest_level
from wirebook.logger.standard import event_of_record, first_time

log = logging.getLogger("wirebook")
_events = Logger("wirebook")


def report_failure(failure: Failure, message: str, context: Context | None = None) -> None:
    """Emit `failure`, with `message`, as an error; any thread.

    The record in ``logging`` has its traceback, and the `Failure` itself as ``wirebook_failure``. `context`
    is where observers and handlers run.
    """
    _emit(context, LogLevel.error, message, log_failure=failure)


def report_event(message: str, context: Context | None = None, level: int = logging.WARNING) -> None:
    """Emit a message that is not about an exception, in `context`; any thread. `level` is one of ``logging``."""
    _emit(context, nearest_level(level), message)


def _emit(context: Context | None, level: LogLevel, message: str, **fields: Any) -> None:
    # As a field, not as the format: a message may show a dict, and its braces mean nothing.
    if context is None:
        _events.emit(level, "{log_text}", log_text=message, **fields)
    else:
        context.copy().run(_events.emit, level, "{log_text}", log_text=message, **fields)


def _publish(record: logging.LogRecord) -> bool:
    """Let the observers have what is logged on ``wirebook`` directly.

    It is a filter and no handler: while there is no handler at all, ``logging`` writes errors to standard error.
    """
    if first_time(record, globalLogPublisher):
        globalLogPublisher(event_of_record(record))
    return True


log.addFilter(_publish)
