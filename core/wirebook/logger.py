"""Where the framework says what went wrong: the standard ``logging`` logger ``wirebook``.

Every report is emitted in the context of what it is about (the Deferred's, the connection's), so a handler
that asks a context variable learns which cell the trouble belongs to. Core knows nothing of cells.
"""

from __future__ import annotations

import logging
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook.failure import Failure

log = logging.getLogger("wirebook")


def report_failure(failure: Failure, message: str, context: Context | None = None) -> None:
    """Log `failure` at ERROR level with its traceback; any thread.

    The record's ``wirebook_failure`` attribute is the `Failure` itself. `context` is where handlers run.
    """
    error = failure.value

    def emit() -> None:
        log.error(
            message,
            exc_info=(type(error), error, failure.getTracebackObject()),
            extra={"wirebook_failure": failure},
        )

    if context is None:
        emit()
    else:
        context.copy().run(emit)


def report_event(message: str, context: Context | None = None, level: int = logging.WARNING) -> None:
    """Log a message that is not about an exception, in `context`; any thread."""
    if context is None:
        log.log(level, message)
    else:
        context.copy().run(log.log, level, message)
