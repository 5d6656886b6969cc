"""Reports are IPython tracebacks, written once, without the framework's frames, and listed."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import Reports
from wirebook import Deferred, Failure, reactor
from wirebook.error import CannotListenError
from wirebook.logger import log, report_event, report_failure
from wirebook_kernel import reports
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.errors import ErrorList
from wirebook_kernel.reports import MOST_SHOWN, Alike, CellReporter, place_in
from wirebook_kernel.tracebacks import Folding


@pytest.fixture
def listed() -> ErrorList:
    """The list that the reporter fills."""
    return ErrorList()


@pytest.fixture
def reporter(shell: InteractiveShell, listed: ErrorList) -> Iterator[CellReporter]:
    """The reporter, at work."""
    reporter = CellReporter(shell, listed)
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
    assert "core/wirebook" not in written
    assert further_up.records == [], "nobody hears of it a second time"
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_a_record_without_an_error_is_one_line(capsys: pytest.CaptureFixture[str], listed: ErrorList) -> None:
    report_event("look at this")
    assert capsys.readouterr().err == "warning: look at this\n"
    assert listed.latest() == []


@pytest.mark.usefixtures("reporter")
def test_a_report_about_an_error_that_was_never_raised_has_no_lines(
    reported: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    report_failure(Failure(KeyError("missing")), "it failed")
    assert capsys.readouterr().err == "it failed\nKeyError: 'missing'\n"
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_an_error_whose_frames_are_gone_is_shown_with_its_places(
    reported: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = failure()
    cleaned.cleanFailure()
    report_failure(cleaned, "it failed")
    assert "step_that_fails" in capsys.readouterr().err
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_two_threads_that_report_do_not_wait_for_each_other(
    reported: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = threading.Event()

    class NeedsTheTurn(Exception):
        def __str__(self) -> str:
            reading.set()
            with reactor.turn():
                return "in the turn"

    other = threading.Thread(target=report_failure, args=(Failure(NeedsTheTurn()), "the other"))
    with reactor.turn():
        other.start()
        assert reading.wait(10)
        report_failure(failure(), "this one")
    other.join(10)
    written = capsys.readouterr().err
    assert "this one" in written
    assert "NeedsTheTurn: in the turn" in written
    assert len(reported()) == 2


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


@pytest.mark.usefixtures("reporter")
def test_where_nothing_can_be_written_the_reporter_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    report_event("look at this")


@pytest.mark.usefixtures("reporter")
def test_a_reported_error_is_listed_with_its_cell_and_place(
    reported: Reports, listed: ErrorList, capsys: pytest.CaptureFixture[str]
) -> None:
    context = copy_context()
    context.run(current_cell.set, Cell("a", 7, 1))
    report_failure(failure(), "the step failed", context)
    (kept,) = listed.latest()
    assert (kept.cell, kept.kind, kept.message, kept.what) == ("[7]", "ValueError", "this is wrong", "the step failed")
    assert kept.place.startswith(f"{__file__}:")
    assert kept.place.endswith(" in step_that_fails")
    assert capsys.readouterr().err == f"the step failed\n{kept.traceback}"
    assert len(reported()) == 1


@pytest.mark.usefixtures("reporter")
def test_an_error_that_comes_up_twice_is_shown_once(reported: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    same = failure()
    report_failure(same, "first")
    report_failure(same, "second")
    written = capsys.readouterr().err
    assert written.count("Traceback") == 1
    assert written.endswith("second: ValueError, which was reported already (%reactor errors 1)\n")
    assert len(reported()) == 2


@pytest.mark.usefixtures("reporter")
def test_one_error_object_raised_in_two_places_is_shown_for_each(
    reported: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("kept in a module")

    def here() -> None:
        raise error

    def there() -> None:
        raise error

    for place in (here, there):
        error.__traceback__ = None
        try:
            place()
        except ValueError:
            report_failure(Failure(), "again")
    assert capsys.readouterr().err.count("Traceback") == 2
    assert len(reported()) == 2


@pytest.mark.usefixtures("reporter")
def test_of_a_flood_the_first_are_shown_and_the_others_counted(
    reported: Reports, listed: ErrorList, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(reports, "time", clock)
    for _ in range(100):
        report_failure(failure(), "the step failed")
    written = capsys.readouterr().err
    assert written.count("Traceback") == MOST_SHOWN
    assert written.count("this and all that follow are only counted (%reactor errors)") == 1
    assert sum(each.times for each in listed.latest()) == 100
    clock.now += 1
    report_failure(failure(), "the step failed")
    assert capsys.readouterr().err.startswith(f"the step failed ({100 - MOST_SHOWN} more like it were not shown)\n")
    assert len(reported()) == 101


def test_a_quiet_second_gives_the_whole_back() -> None:
    alike = Alike()
    assert [alike.shows(0.5) for _ in range(MOST_SHOWN + 1)] == [True] * MOST_SHOWN + [False]
    assert alike.hidden == 1
    assert alike.shows(1.6)


def test_uninstalling_gives_everything_back(shell: InteractiveShell) -> None:
    before = (log.propagate, list(log.handlers), shell.InteractiveTB.mode)
    refusal = CannotListenError("127.0.0.1", 7, OSError(98, "in use"))
    text = str(refusal)
    reporter = CellReporter(shell)
    reporter.install()
    assert log.propagate is False
    assert isinstance(shell.InteractiveTB, Folding)
    reporter.uninstall()
    assert (log.propagate, log.handlers, shell.InteractiveTB.mode) == before
    assert not isinstance(shell.InteractiveTB, Folding)
    assert str(refusal) == text


def test_the_place_is_the_innermost_line_of_the_user() -> None:
    step = place_in(failure().getTracebackObject())
    assert step is not None
    assert step.tb_frame.f_code.co_name == "step_that_fails"
    try:
        reactor.callLater(-1, print)
    except ValueError as error:
        step = place_in(error.__traceback__)
        assert step is not None
        assert step.tb_frame.f_code.co_name == "test_the_place_is_the_innermost_line_of_the_user"
        inner = error.__traceback__ and error.__traceback__.tb_next
    step = place_in(inner)
    assert step is not None
    assert step.tb_next is None, "with no line of the user's, the innermost of all"
    assert place_in(None) is None
