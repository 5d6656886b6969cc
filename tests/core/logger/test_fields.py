"""Format strings: fields, calls, and events that keep what their fields were."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from wirebook.logger import LogEvent, extractField, flattenEvent, formatEvent
from wirebook.logger.fields import format_fields

VALUES: dict[str, Any] = {
    "n": 7,
    "text": "hello",
    "rows": [["a", "b"], {"key": "deep"}],
    "peer": SimpleNamespace(host="::1", name=lambda: "pia", tags=lambda: SimpleNamespace(first=lambda: "one")),
    "now": lambda: "noon",
    "width": 5,
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("{{n}}", "{n}"),
        ("{n} {text!r} {text!s} {text!a}", "7 'hello' hello 'hello'"),
        ("{n:03d}|{text:>{width}}|{n:{width}}", "007|hello|    7"),
        ("{rows[0][1]} {rows[1][key]}", "b deep"),
        ("{peer.host}", "::1"),
        ("{now()}", "noon"),
        ("{peer.name()!r:>6}", " 'pia'"),
        ("{peer.tags().first()}", "one"),
    ],
)
def test_a_format_string_is_that_of_str_format_with_calls(text: str, shown: str) -> None:
    assert format_fields(text, VALUES) == shown
    event = {**VALUES, "log_format": text}
    assert formatEvent(event) == shown
    flattenEvent(event)
    assert formatEvent(event) == shown


@pytest.mark.parametrize("text", ["{missing}", "{0}", "{}", "{n.nothing}", "{rows[5]}", "{rows[0}", "{n!x}", "{n"])
def test_a_format_that_does_not_fit_is_shown_as_such(text: str) -> None:
    assert formatEvent({**VALUES, "log_format": text}).startswith("the event cannot be formatted: ")


def test_a_flattened_event_outlives_its_objects() -> None:
    counts = iter(range(10))
    event: LogEvent = {"log_format": "{peer.host} {next()} {text!r}", "next": lambda: next(counts), "text": "hi"}
    event["peer"] = SimpleNamespace(host="before")
    flattenEvent(event)
    event["peer"].host = "after"
    assert formatEvent(event) == formatEvent(event) == "before 0 'hi'"
    saved = json.loads(json.dumps({name: event[name] for name in ("log_format", "log_flattened")}))
    assert formatEvent(saved) == "before 0 'hi'"


def test_the_same_field_twice_is_kept_twice() -> None:
    counts = iter(range(10))
    event: LogEvent = {"log_format": "{next()} {next()}", "next": lambda: next(counts)}
    flattenEvent(event)
    flattenEvent(event)
    assert formatEvent(event) == "0 1"
    assert event["log_flattened"]["next()!:"] == 0
    assert event["log_flattened"]["next()!:/2"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("peer.host", "::1"), ("n", 7), ("n!r", "7"), ("now()", "noon"), ("rows[0][0]", "a"), ("n:03d", 7)],
)
def test_a_field_can_be_asked_for(field: str, value: object) -> None:
    event = {**VALUES, "log_format": f"before {{{field}}} after"}
    assert extractField(field, event) == value


def test_a_field_that_the_format_does_not_have_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        extractField("text", {**VALUES, "log_format": "{n}"})
    with pytest.raises(ValueError, match="is no field"):
        extractField("n} {n", {**VALUES, "log_format": "{n}"})


@pytest.mark.parametrize("event", [{}, {"log_format": None}, {"log_format": "no field"}])
def test_an_event_without_fields_stays_as_it_is(event: LogEvent) -> None:
    flattenEvent(event)
    assert "log_flattened" not in event


def test_a_conversion_that_there_is_not_is_left_to_who_shows_the_event() -> None:
    event: LogEvent = {"log_format": "{n!x}", "n": 1}
    flattenEvent(event)
    assert formatEvent(event).startswith("the event cannot be formatted: ")
