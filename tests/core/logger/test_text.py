"""Events as text, whatever is in them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.logger.log_kit import boom
from wirebook.failure import Failure
from wirebook.logger import LogEvent, LogLevel, eventAsText, formatEvent, formatEventAsClassicLogText, formatTime


@pytest.fixture
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone with a history of its own."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_new_york")
def test_time_is_local_with_its_offset_from_utc() -> None:
    assert formatTime(0) == "1969-12-31T19:00:00-0500"
    assert formatTime(1_180_000_000) == "2007-05-24T05:46:40-0400"
    assert formatTime(0, timeFormat="%Y/%W") == "1969/52"


def test_no_time_and_no_format_give_the_default() -> None:
    assert formatTime(None) == "-"
    assert formatTime(None, default="never") == "never"
    assert formatTime(1.0, timeFormat=None) == "-"


EVENT: LogEvent = {"log_format": "{who} said hi", "who": "pia", "log_namespace": "app", "log_level": LogLevel.info}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (EVENT, "- [app#info] pia said hi"),
        ({"log_format": "hi"}, "- [-#-] hi"),
        ({**EVENT, "log_system": "HTTP,1"}, "- [HTTP,1] pia said hi"),
        ({**EVENT, "log_format": b"\xc3\xb6"}, "- [app#info] ö"),
        ({**EVENT, "log_format": None}, ""),
        ({}, ""),
    ],
)
def test_an_event_is_its_time_its_system_and_its_text(event: LogEvent, text: str) -> None:
    assert eventAsText(event) == text
    assert formatEventAsClassicLogText(event) == (f"{text}\n" if text else None)
    assert formatEvent(event) == text.partition("] ")[2]


def test_a_failure_adds_its_traceback() -> None:
    event = {**EVENT, "log_failure": boom()}
    text = eventAsText(event, formatTime=lambda when: "now")
    assert text.startswith("now [app#info] pia said hi\nTraceback (most recent call last):\n")
    assert text.rstrip().endswith("ValueError: boom")
    assert eventAsText(event, includeTraceback=False, includeTimestamp=False) == "[app#info] pia said hi"


def test_a_failure_is_shown_even_without_text() -> None:
    text = eventAsText({"log_failure": boom()}, includeTimestamp=False, includeSystem=False)
    assert text.startswith("\nTraceback")


def test_lines_after_the_first_are_indented_in_a_log_file() -> None:
    assert formatEventAsClassicLogText({"log_format": "one\ntwo"}) == "- [-#-] one\n\ttwo\n"


class Unprintable:
    """Cannot be shown in any way."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


@pytest.mark.parametrize("field", [Unprintable(), Failure(ValueError("x"))], ids=["unprintable", "failure"])
def test_nothing_in_an_event_makes_the_log_raise(field: Any) -> None:
    assert "cannot be formatted" in formatEvent({"log_format": 7, "fine": field}) or isinstance(field, Unprintable)
    text = formatEvent({"log_format": "{bad.thing}", "bad": field, "fine": "kept"})
    assert "'kept'" in text
    assert "thing" in text or "an event cannot be formatted" in text


def test_an_event_that_cannot_be_shown_at_all_keeps_what_can() -> None:
    text = formatEvent({"log_format": "{bad}", "bad": Unprintable(), "log_namespace": "app.web"})
    assert text.startswith("an event cannot be formatted (")
    assert "'log_namespace' = 'app.web'" in text


def test_a_system_that_cannot_be_shown_is_called_so() -> None:
    assert eventAsText({"log_format": "hi", "log_system": Unprintable()}) == "- [UNFORMATTABLE] hi"


def test_a_traceback_that_cannot_be_had_is_said_so() -> None:
    text = eventAsText({"log_format": "hi", "log_failure": object()})
    assert "the traceback cannot be shown" in text
