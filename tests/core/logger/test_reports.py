"""Reports go to the standard logger, in the context of what they are about."""

from __future__ import annotations

import contextvars
import logging

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import cell, in_cell
from wirebook.failure import Failure
from wirebook.logger import log, report_event, report_failure


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
