"""The words of the event log: what an event is, and who may watch."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from wirebook.logger.levels import Names

LogEvent: TypeAlias = dict[str, Any]
LogTrace: TypeAlias = list[tuple[Any, Any]]


@runtime_checkable
class ILogObserver(Protocol):
    """Anything that can be called with an event. It may be called from any thread, also from several at once."""

    def __call__(self, event: LogEvent, /) -> None:
        """Take an event: a dict of the emitter's fields and these, each of which may be missing.

        ``log_format`` the text with its fields in braces; ``log_level`` a `LogLevel`; ``log_namespace`` who
        speaks, in dots; ``log_source`` the object it is about; ``log_logger`` the `Logger`; ``log_time``
        seconds since the epoch; ``log_failure`` a `Failure`; ``log_system`` what a text shows in place of
        namespace and level; ``log_trace`` a list to which everybody on the event's way adds a pair (who, to
        whom); ``log_flattened`` the fields as they were when the event was flattened; ``log_record`` the
        record of the standard ``logging`` that it was made of.
        """


@runtime_checkable
class ILogFilterPredicate(Protocol):
    """Decides about an event for a `FilteringLogObserver`."""

    def __call__(self, event: LogEvent, /) -> PredicateResult:
        """Whether to let it pass."""


class PredicateResult(Names):
    """What a predicate says of an event: ``yes`` and ``no`` decide, ``maybe`` leaves it to the next one."""

    yes = "yes"
    no = "no"
    maybe = "maybe"
