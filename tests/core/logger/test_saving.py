"""Events go to JSON and come back with all that JSON has words for."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.logger.log_kit import boom
from wirebook.failure import Failure
from wirebook.logger import (
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    capturedLogs,
    eventAsJSON,
    eventFromJSON,
    eventsFromJSONLogFile,
    extractField,
    formatEvent,
    jsonFileLogObserver,
)


def saved_and_loaded(event: LogEvent) -> LogEvent:
    """The event after a trip through JSON."""
    text = eventAsJSON(event)
    assert isinstance(text, str)
    assert "\n" not in text
    return eventFromJSON(text)


@pytest.mark.parametrize("event", [{}, {"n": [1, 2.5, None, True], "deep": {"text": "ü\n"}}])
def test_what_json_knows_comes_back_as_it_was(event: LogEvent) -> None:
    assert saved_and_loaded(event) == event


def test_other_objects_are_lost_but_not_their_text() -> None:
    event: LogEvent = {"log_format": "{thing!r} {thing.real}", "thing": 3 + 0j, "other": object(), (1, 2): 3}  # type: ignore[dict-item]
    loaded = saved_and_loaded(event)
    assert loaded["thing"] == loaded["other"] == {"unpersistable": True}
    assert formatEvent(loaded) == "(3+0j) 3.0"
    assert extractField("thing.real", loaded) == 3.0
    assert "log_flattened" not in event


def test_bytes_come_back_as_text() -> None:
    assert saved_and_loaded({"data": bytes(range(256))})["data"] == bytes(range(256)).decode("latin-1")


@pytest.mark.parametrize("level", LogLevel)
def test_a_level_comes_back(level: LogLevel) -> None:
    assert saved_and_loaded({"log_level": level})["log_level"] is level


def test_a_level_that_there_is_not_comes_back_as_none() -> None:
    text = eventAsJSON({"log_level": LogLevel.info}).replace('"info"', '"other"')
    assert eventFromJSON(text)["log_level"] is None


class CustomError(Exception):
    """Needs two arguments and shows none."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)

    def __str__(self) -> str:
        return f"{self.args[0]} and {self.args[1]}"


@pytest.mark.parametrize(
    "error", [ValueError("boom"), KeyError("k"), CustomError(1, 2), ExceptionGroup("many", [ValueError("one")])]
)
def test_a_failure_comes_back_with_its_class_its_message_and_its_places(error: Exception) -> None:
    def fail() -> None:
        raise error

    try:
        fail()
    except Exception:
        failure = Failure()
    loaded = saved_and_loaded({"log_failure": failure})["log_failure"]
    assert isinstance(loaded, Failure)
    assert loaded.getErrorMessage() == str(error)
    assert loaded.type.__name__ == type(error).__name__
    assert loaded.check(type(error))
    assert loaded.check(Exception)
    assert [frame[:3] for frame in loaded.frames] == [frame[:3] for frame in failure.frames]
    assert "in fail" in loaded.getTraceback()


def test_reading_a_failure_imports_nothing_and_needs_nothing() -> None:
    marked = json.loads(eventAsJSON({"f": boom()}))["f"]["__class_uuid__"]
    saved = {"__class_uuid__": marked.upper(), "type": {"__module__": "no.such"}, "parents": ["no.such.Thing"]}
    loaded = eventFromJSON(json.dumps({"f": saved, "g": {"__class_uuid__": marked}}))
    assert loaded["f"].check("no.such.Thing")
    assert loaded["g"].check(Exception)


def test_an_event_whose_format_does_not_fit_is_saved_all_the_same() -> None:
    loaded = saved_and_loaded({"log_format": "{missing}", "n": 1})
    assert loaded["n"] == 1
    assert formatEvent(loaded).startswith("the event cannot be formatted")


# Files


def test_a_file_has_a_line_for_each_event() -> None:
    for separator, text in (("\x1e", '\x1e{"x": 1}\n\x1e{"y": 2}\n'), ("", '{"x": 1}\n{"y": 2}\n')):
        file = io.StringIO()
        observer = jsonFileLogObserver(file, separator)
        observer({"x": 1})
        observer({"y": 2})
        assert file.getvalue() == text


TEXTS: dict[str, tuple[str, str | None]] = {
    "found separator": ('\x1e{"x": 1}\n\x1e{"y": "ö"}\n', None),
    "found none": ('{"x": 1}\n{"y": "ö"}\n', None),
    "given separator": ('\x08{"x": 1}\n\x08{"y": "ö"}\n', "\x08"),
    "given none": ('{"x": 1}\n{"y": "ö"}\n', ""),
    "with empty lines": ('{"x": 1}\n\n \n{"y": "ö"}', None),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 7, 4096])
@pytest.mark.parametrize("binary", [False, True], ids=["text", "bytes"])
def test_a_file_is_read_whatever_its_shape(name: str, size: int, binary: bool) -> None:
    text, separator = TEXTS[name]
    file: Any = io.BytesIO(text.encode()) if binary else io.StringIO(text)
    assert list(eventsFromJSONLogFile(file, separator, size)) == [{"x": 1}, {"y": "ö"}]


BAD: dict[str, tuple[bytes, str]] = {
    "cut off": (b'\x1e{"x": 1}\n\x1e{"y": 2}\x1e{"z": 3}\n', "a record of the log was cut off"),
    "no utf-8": (b'\x1e{"x": 1}\n\x1e{"y": "\xff"}\n\x1e{"z": 3}\n', "a record of the log is no UTF-8"),
    "no json": (b'\x1e{"x": 1}\n\x1e{"y": }\n\x1e{"z": 3}\n', "a record of the log is no JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_cannot_be_read_is_reported_and_left_out(name: str, reported: Reports) -> None:
    data, message = BAD[name]
    with capturedLogs() as events:
        assert list(eventsFromJSONLogFile(io.BytesIO(data))) == [{"x": 1}, {"z": 3}]
    (event,) = events
    assert formatEvent(event).startswith(message)
    assert event["log_level"] is LogLevel.error
    assert len(reported()) == 1


def test_a_log_survives_the_trip_through_a_file() -> None:
    file = io.StringIO()
    events: list[LogEvent] = []
    log = Logger("app", observer=LogPublisher(jsonFileLogObserver(file), events.append))
    log.info("{n} of {what}", n=1, what=object)
    log.failure("oh", boom())
    file.seek(0)
    loaded = list(eventsFromJSONLogFile(file))
    assert [formatEvent(event) for event in loaded] == [formatEvent(event) for event in events]
    assert loaded[1]["log_failure"].check(ValueError)
