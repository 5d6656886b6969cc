"""From the first event to the moment a program says where its log goes."""

from __future__ import annotations

import io
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.deferred_kit import run_python
from tests.core.logger.log_kit import boom, namespace
from wirebook.logger import (
    LogBeginner,
    LogEvent,
    Logger,
    LoggingFile,
    LogLevel,
    LogPublisher,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
)


class Program:
    """A process in small: a log, standard streams, the part of ``warnings`` that is needed."""

    def __init__(self, size: int | None = None) -> None:
        self.publisher = LogPublisher()
        self.log = Logger("app", observer=self.publisher)
        self.errors = io.StringIO()
        self.stdio = SimpleNamespace(stdout=io.StringIO(), stderr=io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
        self.shown: list[Any] = []
        self.warnings = SimpleNamespace(showwarning=lambda *args: self.shown.append(args))
        self.beginner = LogBeginner(self.publisher, self.errors, self.stdio, self.warnings, size)


def begun(program: Program, **options: Any) -> list[LogEvent]:
    """Begin with one observer; its events."""
    events: list[LogEvent] = []
    program.beginner.beginLoggingTo([events.append], **options)
    return events


def texts(events: list[LogEvent]) -> list[str]:
    """Their texts."""
    return [formatEvent(event) for event in events]


def test_the_first_events_are_kept_for_the_observers_to_come() -> None:
    program = Program()
    program.log.debug("early")
    events = begun(program)
    program.log.debug("late")
    assert texts(events) == ["early", "late"]


@pytest.mark.parametrize(("size", "kept"), [(None, 200), (3, 3)])
def test_only_the_last_of_many_are_kept(size: int | None, kept: int) -> None:
    program = Program(size)
    for n in range(300):
        program.log.info("{n}", n=n)
    assert texts(begun(program)) == [str(n) for n in range(300 - kept, 300)]


def test_what_was_kept_can_be_thrown_away() -> None:
    program = Program()
    program.log.info("early")
    assert begun(program, discardBuffer=True) == []


def test_an_observer_that_was_there_before_does_not_get_it_twice() -> None:
    program = Program()
    events: list[LogEvent] = []
    program.publisher.addObserver(events.append)
    program.log.info("early")
    program.beginner.beginLoggingTo([events.append])
    assert texts(events) == ["early"]


def test_until_then_critical_events_are_written_with_their_traceback() -> None:
    program = Program()
    program.log.error("not so bad")
    program.log.failure("bad", boom())
    begun(program)
    program.log.critical("too late")
    assert program.errors.getvalue().startswith("bad\nTraceback (most recent call last):\n")
    assert program.errors.getvalue().rstrip().endswith("ValueError: boom")


def test_a_kept_failure_keeps_no_frames() -> None:
    program, failure = Program(), boom()
    program.log.failure("bad", failure)
    (event,) = begun(program)
    assert event["log_failure"] is not failure
    assert event["log_failure"].tb is None
    assert event["log_failure"].check(ValueError)
    assert "in boom" in event["log_failure"].getTraceback()


def test_standard_output_and_error_become_events() -> None:
    program = Program()
    events = begun(program)
    assert isinstance(program.stdio.stdout, LoggingFile)
    program.stdio.stdout.write("out\n")
    program.stdio.stderr.write("schön\n".encode("latin-1"))
    assert texts(events) == ["out", "schön"]
    assert [event["log_level"] for event in events] == [LogLevel.info, LogLevel.error]
    assert [event["log_namespace"] for event in events] == ["stdout", "stderr"]


def test_standard_output_may_stay_as_it_is() -> None:
    program = Program()
    begun(program, redirectStandardIO=False)
    assert isinstance(program.stdio.stdout, io.StringIO)


def test_warnings_become_events() -> None:
    program = Program()
    events = begun(program)
    show = program.warnings.showwarning
    show(UserWarning("careful"), UserWarning, "demo.py", 7)
    (event,) = events
    assert formatEvent(event) == "demo.py:7: builtins.UserWarning: careful"
    assert event["log_level"] is LogLevel.warn
    assert event["category"] == "builtins.UserWarning"


def test_a_warning_for_a_file_is_written_there() -> None:
    program = Program()
    events = begun(program)
    file = io.StringIO()
    program.warnings.showwarning("careful", UserWarning, "demo.py", 7, file)
    assert program.shown == [("careful", UserWarning, "demo.py", 7, file, None)]
    assert events == []


def test_a_second_beginning_works_and_is_warned_of() -> None:
    program = Program()
    program.log.info("early")
    first = begun(program)
    second = begun(program)
    assert texts(first)[0] == "early"
    (warning,) = second
    assert warning["log_level"] is LogLevel.warn
    assert formatEvent(warning).count(__file__) == 2


# The process's own


def test_captured_logs_are_those_of_the_block() -> None:
    log = Logger(namespace())
    log.info("before")
    with capturedLogs() as events:
        log.info("within")
    log.info("after")
    assert texts(events) == ["within"]


def test_capturing_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), capturedLogs() as events:
        raise KeyError
    assert events.append not in globalLogPublisher


def test_nothing_is_redirected_before_the_beginning() -> None:
    assert warnings.showwarning.__module__ != "wirebook.logger.beginning"


EARLY = """
import logging, sys
from wirebook.logger import Logger, globalLogBeginner, textFileLogObserver
log = Logger("app")
log.info("early")
"""


def test_before_a_program_begins_its_errors_are_on_standard_error() -> None:
    done = run_python(EARLY + "log.error('bad')\nlog.info('fine')")
    assert done.stderr == "bad\n"
    assert done.stdout == ""


def test_a_program_that_begins_has_everything_in_one_log() -> None:
    done = run_python(
        EARLY
        + """
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout, timeFormat=None)])
print("printed")
log.error("bad")
logging.getLogger("library").error("theirs")
import warnings; warnings.warn("careful", stacklevel=1)
print("broken", file=sys.stderr)
"""
    )
    assert [line for line in done.stdout.splitlines() if "careful" not in line] == [
        "- [app#info] early",
        "- [stdout#info] printed",
        "- [app#error] bad",
        "- [library#error] theirs",
        "- [stderr#error] broken",
    ]
    assert "UserWarning: careful" in done.stdout
    assert done.stderr == ""


def test_a_handler_that_writes_to_a_redirected_standard_error_does_not_go_round_in_circles() -> None:
    done = run_python(
        EARLY
        + """
class Writer(logging.Handler):
    def emit(self, record):
        sys.stderr.write(record.getMessage() + " again\\n")
logging.getLogger().addHandler(Writer())
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout, timeFormat=None)], discardBuffer=True)
log.error("bad")
"""
    )
    assert done.stdout.splitlines() == ["- [app#error] bad", "- [stderr#error] bad again"]


def test_a_stream_that_somebody_put_in_place_is_not_redirected_by_the_process_s_beginner() -> None:
    done = run_python(
        EARLY
        + """
import io
mine = sys.stdout = io.StringIO()
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.__stdout__, timeFormat=None)])
print("printed")
print("broken", file=sys.stderr)
assert sys.stdout is mine and mine.getvalue() == "printed\\n"
"""
    )
    assert done.stdout.splitlines() == ["- [app#info] early", "- [stderr#error] broken"]
