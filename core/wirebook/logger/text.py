"""Events as text for people. None of this raises: a log that fails over an event would lose two."""

from __future__ import annotations

from collections.abc import Callable

from wirebook.failure import Failure
from wirebook.logger.fields import format_fields, format_flattened
from wirebook.logger.interfaces import LogEvent

timeFormatRFC3339 = "%Y-%m-%dT%H:%M:%S%z"


def formatTime(when: float | None, timeFormat: str | None = timeFormatRFC3339, default: str = "-") -> str:
    """A time (seconds since the epoch) in this machine's time zone; `default` without a time or a format."""
    if when is None or timeFormat is None:
        return default
    from datetime import datetime

    return datetime.fromtimestamp(when).astimezone().strftime(timeFormat)


def formatEvent(event: LogEvent) -> str:
    """The event's text: its ``log_format`` filled in; empty without one."""
    return eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)


def eventAsText(
    event: LogEvent,
    includeTraceback: bool = True,
    includeTimestamp: bool = True,
    includeSystem: bool = True,
    formatTime: Callable[[float | None], str] = formatTime,
) -> str:
    """``TIME [SYSTEM] TEXT``, then the traceback of ``log_failure`` if there is one.

    The system is ``log_system``, or namespace and level: ``wirebook#error``. An event with neither text nor
    failure gives an empty string.
    """
    text = _event_text(event)
    if includeTraceback and "log_failure" in event:
        text = f"{text}\n{_traceback(event['log_failure'])}"
    if not text:
        return ""
    time = f"{formatTime(event.get('log_time'))} " if includeTimestamp else ""
    system = f"[{_system(event)}] " if includeSystem else ""
    return f"{time}{system}{text}"


def formatEventAsClassicLogText(event: LogEvent, formatTime: Callable[[float | None], str] = formatTime) -> str | None:
    """A line for a log file, as `eventAsText` with a line end; further lines are indented by a tab.

    None when there is nothing to say.
    """
    text = eventAsText(event, formatTime=formatTime)
    return text.replace("\n", "\n\t") + "\n" if text else None


def _event_text(event: LogEvent) -> str:
    try:
        if "log_flattened" in event:
            return format_flattened(event)
        text = event.get("log_format")
        if text is None:
            return ""
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if not isinstance(text, str):
            raise TypeError(f"Log format must be str, or bytes of UTF-8, not {text!r}")
        return format_fields(text, event)
    except Exception as error:
        return _text_of_unformattable(event, error)


def _text_of_unformattable(event: LogEvent, error: Exception) -> str:
    try:
        return f"the event cannot be formatted: {event!r}: {error}"
    except Exception as second:
        fields = ", ".join(f"{safe_repr(key)} = {safe_repr(value)}" for key, value in event.items())
        return (
            f"an event cannot be formatted ({safe_repr(error)}), nor shown as it is ({safe_repr(second)});\n"
            f"what it holds: {fields}"
        )


def safe_repr(value: object) -> str:
    """The repr of `value`, or what Python says of any object when that raises."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def _traceback(failure: Failure) -> str:
    try:
        return failure.getTraceback()
    except Exception as error:
        return f"(the traceback cannot be shown: {safe_repr(error)})"


def _system(event: LogEvent) -> str:
    system = event.get("log_system")
    if system is None:
        level = event.get("log_level")
        return f"{event.get('log_namespace', '-')}#{'-' if level is None else getattr(level, 'name', level)}"
    try:
        return str(system)
    except Exception:
        return "UNFORMATTABLE"
