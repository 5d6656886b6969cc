"""Reports are IPython tracebacks, written once, without the framework's frames."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import TracebackType

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import Reports
from wirebook import Deferred, Failure, reactor
from wirebook.logger import log, report_event, report_failure
from wirebook_kernel.reports import CellReporter, fold


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell in this process."""
    yield InteractiveShell.instance(colors="nocolor", history_manager=None)
    InteractiveShell.clear_instance()


@pytest.fixture
def reporter(shell: InteractiveShell) -> Iterator[CellReporter]:
    """The reporter, at work."""
    reporter = CellReporter(shell)
    reporter.install()
    yield reporter
    reporter.uninstall()


def step_that_fails(value: object) -> None:
    """A callback of a user."""
    raise ValueError("this is wrong")


def failure() -> Failure:
    """What a callback ends with that failed inside the framework's machinery."""
    caught: list[Failure] = []
    Deferred().addCallback(step_that_fails).addErrback(caught.append).callback(None)
    return caught[0]


def names(trace: TracebackType | None) -> list[str]:
    """The functions of a traceback, outermost first."""
    found = []
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return found


@pytest.mark.usefixtures("reporter")
def test_an_error_is_written_once_with_the_users_lines(reported: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    further_up = Reports()
    logging.getLogger().addHandler(further_up)
    report_failure(failure(), "the step failed")
    logging.getLogger().removeHandler(further_up)
    written = capsys.readouterr().err
    assert written.startswith("the step failed\n")
    assert written.count("Traceback (most recent call last)") == 1
    assert "step_that_fails" in written
    assert "wirebook/deferred.py" not in written
    assert further_up.records == [], "nobody hears of it a second time"
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_a_record_without_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report_event("look at this")
    assert capsys.readouterr().err == "warning: look at this\n"


@pytest.mark.usefixtures("reporter")
def test_a_report_about_an_error_that_was_never_raised_has_no_lines(
    reported: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    report_failure(Failure(KeyError("missing")), "it failed")
    assert "KeyError" in capsys.readouterr().err
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_a_report_never_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing waits for the thread that publishes, and this may be the reactor's."""

    class Stream:
        written = ""

        def write(self, text: str) -> None:
            self.written += text

        def flush(self) -> None:
            raise AssertionError("flushed")

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    report_event("look at this")
    assert stream.written


def test_uninstalling_gives_the_logger_back(shell: InteractiveShell) -> None:
    before = (log.propagate, list(log.handlers))
    reporter = CellReporter(shell)
    reporter.install()
    assert log.propagate is False
    reporter.uninstall()
    assert (log.propagate, log.handlers) == before
    assert isinstance(reporter, logging.Handler)


def test_folding_leaves_the_users_frames() -> None:
    trace = failure().getTracebackObject()
    assert "step_that_fails" in names(trace)
    assert names(fold(trace)) == [name for name in names(trace) if name == "step_that_fails"]


def test_an_error_of_the_frameworks_own_is_not_folded_away() -> None:
    try:
        reactor.callLater(-1, print)
    except ValueError as error:
        trace = error.__traceback__
        assert trace is not None
        inner = trace.tb_next
    assert names(fold(inner)) == names(inner)
