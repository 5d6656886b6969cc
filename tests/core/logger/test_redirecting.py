"""Lines written to a LoggingFile are events."""

from __future__ import annotations

import io
from typing import Any

import pytest

from wirebook.logger import LogEvent, Logger, LoggingFile, LogLevel, formatEvent


@pytest.fixture
def events() -> list[LogEvent]:
    """What the file emitted."""
    return []


@pytest.fixture
def file(events: list[LogEvent]) -> LoggingFile:
    """A file whose lines are events."""
    return LoggingFile(Logger("out", observer=events.append), LogLevel.warn, "utf-8")


def texts(events: list[LogEvent]) -> list[str]:
    """Their texts."""
    return [formatEvent(event) for event in events]


def test_each_complete_line_is_an_event(file: LoggingFile, events: list[LogEvent]) -> None:
    for piece in ("one\ntw", "o\n\nthr", "ee"):
        assert file.write(piece) == len(piece)
    assert texts(events) == ["one", "two", ""]
    file.write("\n")
    assert events[-1]["log_io"] == "three"
    assert (events[-1]["log_level"], events[-1]["log_namespace"]) == (LogLevel.warn, "out")


def test_a_line_with_braces_is_that_line(file: LoggingFile, events: list[LogEvent]) -> None:
    print("{x} {}", file=file)
    assert texts(events) == ["{x} {}"]


def test_bytes_are_decoded(file: LoggingFile, events: list[LogEvent]) -> None:
    file.writelines(["schön\n".encode(), "schöner\n"])
    assert texts(events) == ["schön", "schöner"]


def test_it_is_a_file_for_writing_only(file: LoggingFile) -> None:
    assert (file.mode, file.newlines, file.encoding, file.closed) == ("w", None, "utf-8", False)
    assert file.name == "<LoggingFile out#warn>"
    assert (file.isatty(), file.readable(), file.seekable(), file.writable()) == (False, False, False, True)
    file.flush()
    calls: list[Any] = [file.fileno, file.read, file.readline, file.readlines, file.tell, file.truncate]
    for call in calls:
        with pytest.raises(io.UnsupportedOperation):
            call()
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)


@pytest.mark.parametrize("name", ["closed", "mode", "newlines", "encoding", "name"])
def test_what_it_is_cannot_be_changed(file: LoggingFile, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(file, name, "other")


def test_a_closed_file_takes_nothing(file: LoggingFile, events: list[LogEvent]) -> None:
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="is closed"):
        file.write("late\n")
    assert events == []


def test_the_level_and_the_encoding_have_defaults() -> None:
    file = LoggingFile(Logger("out", observer=print))
    assert (file.level, file.encoding) == (LogLevel.info, "utf-8")


def test_an_observer_that_prints_does_not_go_round_in_circles(events: list[LogEvent]) -> None:
    def observer(event: LogEvent) -> None:
        events.append(event)
        circle.write("seen\n")

    circle = LoggingFile(Logger("out", observer=observer))
    circle.write("one\ntwo\n")
    assert texts(events) == ["one", "two"]
