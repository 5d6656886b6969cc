"""Ready-made steps: passthru, logError, timeout."""

from __future__ import annotations

from logging import LogRecord

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import cell, error_of, in_cell, outcome
from wirebook.deferred import Deferred, TimeoutError, fail, logError, passthru, succeed, timeout


def test_passthru_changes_nothing() -> None:
    assert outcome(succeed(1).addCallback(passthru)) == 1
    error_of(fail(ValueError()).addErrback(passthru), ValueError)


def test_log_error_reports_the_error_and_passes_it_on(reported: Reports) -> None:
    error = ValueError("seen")
    deferred = fail(error).addErrback(logError)
    (report,) = reported()
    assert report.exc_info is not None
    assert report.exc_info[1] is error
    assert error_of(deferred, ValueError) is error


def test_log_error_reports_in_the_context_in_which_it_was_attached(reported: Reports) -> None:
    contexts: list[str] = []

    def note_context(_: LogRecord) -> bool:
        contexts.append(cell.get())
        return True

    reported.addFilter(note_context)
    deferred: Deferred[int] = Deferred()
    in_cell("mine", deferred.addErrback, logError)
    deferred.errback(ValueError())
    assert contexts == ["mine"]
    error_of(deferred, ValueError)
    reported()


def test_an_error_that_was_logged_and_not_handled_is_reported_as_unhandled_too(reported: Reports) -> None:
    fail(ValueError()).addErrback(logError)
    assert len(reported()) == 2


def test_timeout_fails_a_deferred_and_says_what_to_use_instead() -> None:
    deferred: Deferred[int] = Deferred()
    with pytest.warns(DeprecationWarning, match="addTimeout"):
        timeout(deferred)
    assert str(error_of(deferred, TimeoutError)) == "Callback timed out"
