"""Reports go to the standard logger, in the context of what they are about."""

from __future__ import annotations

import contextvars
import gc
import logging

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import cell, in_cell, run_python
from wirebook.deferred import fail
from wirebook.failure import Failure
from wirebook.logger import (
    LogEvent,
    LogLevel,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
    log,
    report_event,
    report_failure,
)


class CellHandler(logging.Handler):
    """Remembers which cell each record came from."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.cells.append(cell.get())


@pytest.fixture
def handler() -> object:
    found = CellHandler()
    log.addHandler(found)
    yield found
    log.removeHandler(found)


def failure() -> Failure:
    """A Failure with a traceback."""
    try:
        raise ValueError("boom")
    except ValueError:
        return Failure()


def test_a_reported_failure_carries_the_failure_and_its_traceback(reported: Reports) -> None:
    made = failure()
    report_failure(made, "it went wrong")
    (record,) = reported()
    assert record.name == "wirebook"
    assert record.getMessage() == "it went wrong"
    assert vars(record)["wirebook_failure"] is made
    assert record.exc_info is not None
    assert record.exc_info[1] is made.value
    assert record.exc_info[2] is not None


def test_a_failure_is_reported_in_the_context_it_is_about(handler: CellHandler, reported: Reports) -> None:
    report_failure(failure(), "here", in_cell("seven", contextvars.copy_context))
    report_failure(failure(), "there")
    assert handler.cells == ["seven", "none"]
    reported()


def test_an_event_is_a_warning_in_the_context_it_is_about(
    handler: CellHandler, caplog: pytest.LogCaptureFixture
) -> None:
    report_event("out of luck", in_cell("eight", contextvars.copy_context))
    report_event("as planned", level=logging.INFO)
    assert handler.cells[0] == "eight"
    assert caplog.record_tuples[0] == ("wirebook", logging.WARNING, "out of luck")


def test_reporting_inside_the_context_itself_works(handler: CellHandler) -> None:
    context = contextvars.copy_context()
    context.run(report_event, "from within", context)
    assert handler.cells == ["none"]


def test_a_report_is_an_event_for_observers(reported: Reports) -> None:
    made = failure()
    with capturedLogs() as events:
        report_failure(made, "it {went} wrong")
        report_event("careful", level=logging.INFO)
    assert [formatEvent(event) for event in events] == ["it {went} wrong", "careful"]
    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.info]
    assert events[0]["log_failure"] is made
    assert {event["log_namespace"] for event in events} == {"wirebook"}
    assert len(reported()) == 1


def test_observers_run_in_the_context_a_report_is_about() -> None:
    cells: list[str] = []

    def observer(event: LogEvent) -> None:
        cells.append(cell.get())

    globalLogPublisher.addObserver(observer)
    try:
        report_event("out of luck", in_cell("nine", contextvars.copy_context))
    finally:
        globalLogPublisher.removeObserver(observer)
    assert cells == ["nine"]


def test_an_unhandled_error_in_a_deferred_is_an_event_with_its_failure(reported: Reports) -> None:
    with capturedLogs() as events:
        fail(ValueError("nobody looks"))
        gc.collect()
    (event,) = events
    assert event["log_failure"].check(ValueError)
    assert len(reported()) == 1


def test_without_any_handler_an_observer_does_not_silence_standard_error() -> None:
    done = run_python(
        "from wirebook.logger import globalLogPublisher, report_event\n"
        "globalLogPublisher.addObserver(lambda event: None)\n"
        "report_event('look at this')\n"
        "import logging; logging.getLogger('wirebook').warning('and at this')"
    )
    assert done.stderr == "look at this\nand at this\n"


def test_the_log_is_not_lost_when_the_interpreter_ends() -> None:
    done = run_python("from wirebook import fail\nkept = fail(ValueError('at the end'))")
    assert "ValueError: at the end" in done.stderr
