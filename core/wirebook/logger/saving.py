"""Events as JSON, one a line, and back.

A `LogLevel` and a `Failure` come back as such: each is an object marked with a ``__class_uuid__``, the same that
Twisted writes, so either can read the other's files. Other objects that JSON has no word for are lost, but not
what the event's text said of them: an event is flattened before it is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from wirebook.failure import Failure
from wirebook.logger.emitting import Logger
from wirebook.logger.fields import flattenEvent
from wirebook.logger.interfaces import LogEvent
from wirebook.logger.keeping import FileLogObserver
from wirebook.logger.levels import LogLevel
from wirebook.logger.text import safe_repr

_log = Logger("wirebook")
_LEVEL = "02e59486-f24d-46ad-8224-3acdf2a5732a"
_FAILURE = "e76887e2-20ed-49bf-a8f8-ba25cc586f2d"

# RFC 7464: each record of a JSON text sequence begins with this and ends with a line feed.
RECORD_SEPARATOR = "\x1e"


def eventAsJSON(event: LogEvent) -> str:
    """The event as JSON on one line."""
    import json

    saved = dict(event)
    try:
        flattenEvent(saved)
    except Exception:
        # Its fields and its format do not fit. Whoever reads it will be told so.
        saved.pop("log_flattened", None)
    return json.dumps(saved, default=_save, skipkeys=True)


def eventFromJSON(eventText: str) -> LogEvent:
    """The event that `eventAsJSON` saved. `ValueError` when it is no JSON."""
    import json

    event: LogEvent = json.loads(eventText, object_hook=_load)
    return event


def _save(value: object) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, LogLevel):
        return {"name": value.name, "__class_uuid__": _LEVEL}
    if isinstance(value, Failure):
        return {**failure_as_dict(value), "__class_uuid__": _FAILURE}
    return {"unpersistable": True}


def _load(saved: dict[str, Any]) -> Any:
    loader = _LOADERS.get(str(saved.get("__class_uuid__", "")).lower())
    return saved if loader is None else loader(saved)


def failure_as_dict(failure: Failure) -> dict[str, Any]:
    """What is known of a failure, without the live exception and its frames."""
    return {
        "type": {"__module__": failure.type.__module__, "__name__": failure.type.__name__},
        "message": failure.getErrorMessage(),
        "parents": failure.parents,
        "frames": [(*at[:3], _as_text(at[3]), _as_text(at[4])) for at in failure.frames],
        "captureVars": failure.captureVars,
    }


def _as_text(variables: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, found if isinstance(found, str) else safe_repr(found)) for name, found in variables]


def failure_from_dict(saved: dict[str, Any]) -> Failure:
    """A failure that says what the saved one said; `Failure.check` knows its classes by their names."""
    names, message = saved.get("type", {}), saved.get("message", "its message was not saved")
    body = {"__module__": names.get("__module__", "builtins")}
    failure = Failure(type(names.get("__name__", "Exception"), (Exception,), body)(message))
    failure.frames = [
        (name, file, line, _pairs(found), _pairs(others)) for name, file, line, found, others in saved.get("frames", ())
    ]
    failure.parents = saved.get("parents", failure.parents)
    failure.captureVars = saved.get("captureVars", False)
    failure.pickled = 1
    return failure


def _pairs(found: list[list[str]]) -> list[tuple[str, Any]]:
    return [(name, text) for name, text in found]


_LOADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    _LEVEL: lambda saved: LogLevel.__members__.get(saved["name"]),
    _FAILURE: failure_from_dict,
}


def jsonFileLogObserver(outFile: IO[Any], recordSeparator: str = RECORD_SEPARATOR) -> FileLogObserver:
    """An observer that writes events to `outFile` as JSON lines, each behind `recordSeparator` (RFC 7464)."""
    return FileLogObserver(outFile, lambda event: f"{recordSeparator}{eventAsJSON(event)}\n")


def eventsFromJSONLogFile(
    inFile: IO[Any], recordSeparator: str | None = None, bufferSize: int = 4096
) -> Iterator[LogEvent]:
    """The events in a file that `jsonFileLogObserver` wrote, text or bytes.

    Without `recordSeparator` the file's first character tells whether there is one. `bufferSize` is how much
    is read at a time. A record that is cut off or cannot be read is reported to the log and left out.
    """
    data = _bytes(inFile.read(1))
    separator = recordSeparator.encode() if recordSeparator is not None else _separator(data)
    for record in _split(inFile, data, separator or b"\n", bufferSize):
        if separator and not record.endswith(b"\n"):
            _log.error("a record of the log was cut off: {record!r}", record=record)
        elif record.strip():
            event = _event(record)
            if event is not None:
                yield event


def _separator(first: bytes) -> bytes:
    return first if first == RECORD_SEPARATOR.encode() else b""


def _split(file: IO[Any], data: bytes, separator: bytes, size: int) -> Iterator[bytes]:
    """The records in `file`, of which `data` was read already; empty ones are left out."""
    more = True
    while more:
        piece = _bytes(file.read(size))
        more = bool(piece)
        *records, data = (data + piece).split(separator)
        yield from filter(None, records)
    if data:
        yield data


def _bytes(data: str | bytes) -> bytes:
    return data.encode("utf-8") if isinstance(data, str) else data


def _event(record: bytes) -> LogEvent | None:
    try:
        return eventFromJSON(record.decode("utf-8"))
    except UnicodeDecodeError:
        _log.error("a record of the log is no UTF-8: {record!r}", record=record)
    except ValueError:
        _log.error("a record of the log is no JSON: {record!r}", record=record)
    return None
