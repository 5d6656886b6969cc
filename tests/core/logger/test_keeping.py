"""Events are kept in memory up to a limit, and in files as lines."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.core.deferred_kit import run_threads
from wirebook.logger import FileLogObserver, LimitedHistoryLogObserver, LogEvent, LogLevel, textFileLogObserver


def test_a_history_keeps_the_last_events_in_order() -> None:
    history = LimitedHistoryLogObserver(3)
    for n in range(10):
        history({"n": n})
    for _ in range(2):
        events: list[LogEvent] = []
        history.replayTo(events.append)
        assert events == [{"n": 7}, {"n": 8}, {"n": 9}]


def test_a_history_without_limit_keeps_all() -> None:
    history = LimitedHistoryLogObserver(None)
    for n in range(100_000):
        history({"n": n})
    events: list[LogEvent] = []
    history.replayTo(events.append)
    assert len(events) == 100_000


def test_replaying_may_make_events() -> None:
    history = LimitedHistoryLogObserver()
    history({"n": 1})
    history.replayTo(history)
    events: list[LogEvent] = []
    history.replayTo(events.append)
    assert len(events) == 2


def test_a_file_gets_what_the_formatter_makes_of_an_event() -> None:
    file = io.StringIO()
    observer = FileLogObserver(file, lambda event: event.get("text"))
    for text in ("one\n", None, "", "two\n"):
        observer({"text": text})
    assert file.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_file_for_bytes_gets_utf_8(mode: str, tmp_path: Path) -> None:
    encoding = None if "b" in mode else "utf-8"
    with (tmp_path / "log").open(mode, encoding=encoding) as file:
        textFileLogObserver(file)({"log_format": "schön"})
        assert (tmp_path / "log").read_bytes() == "- [-#-] schön\n".encode(), "it must be flushed"


def test_a_temporary_file_for_bytes_gets_utf_8() -> None:
    with NamedTemporaryFile() as file:
        textFileLogObserver(file)({"log_format": "schön"})
        file.seek(0)
        assert file.read() == "- [-#-] schön\n".encode()


def test_a_text_log_has_a_line_for_each_event() -> None:
    file = io.StringIO()
    observer = textFileLogObserver(file, timeFormat=None)
    observer({"log_format": "hi", "log_time": 1.0, "log_namespace": "app", "log_level": LogLevel.info})
    observer({})
    assert file.getvalue() == "- [app#info] hi\n"


def test_a_text_log_takes_a_format_for_its_times() -> None:
    file = io.StringIO()
    textFileLogObserver(file, timeFormat="%f")({"log_format": "hi", "log_time": 1.5})
    assert file.getvalue() == "500000 [-#-] hi\n"


def test_threads_write_whole_lines() -> None:
    class Slow(io.StringIO):
        def write(self, text: str, /) -> int:
            return sum(super(Slow, self).write(letter) for letter in text)

    file = Slow()
    observer = FileLogObserver(file, lambda event: event["text"])

    def work(number: int) -> None:
        for _ in range(50):
            observer({"text": f"{number}" * 50 + "\n"})

    run_threads(4, work)
    assert {line[0] * 50 for line in file.getvalue().splitlines()} == set(file.getvalue().splitlines())
