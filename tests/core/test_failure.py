"""Failure: what it tells of an error, how it raises it again, and what it keeps alive."""

from __future__ import annotations

import gc
import io
import pickle
import traceback
import weakref
from collections.abc import Generator

import pytest

from wirebook.failure import Failure, NoCurrentExceptionError


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def explode(message: str) -> None:
    secret = len(message)
    raise ValueError(message, secret)


def exploded(message: str = "bang", captureVars: bool = False) -> Failure:
    try:
        explode(message)
    except ValueError:
        return Failure(captureVars=captureVars)
    raise AssertionError("explode() did not raise")


def test_it_takes_the_exception_being_handled() -> None:
    failure = exploded()
    assert failure.type is ValueError
    assert failure.value.args == ("bang", 4)
    assert failure.getTracebackObject() is failure.value.__traceback__


def test_without_an_exception_it_says_what_to_do() -> None:
    with pytest.raises(NoCurrentExceptionError, match="except block"):
        Failure()


def test_it_refuses_what_is_no_exception() -> None:
    with pytest.raises(TypeError, match="not 'bang': pass an exception"):
        Failure("bang")  # type: ignore[arg-type]


def test_a_failure_of_a_failure_is_of_the_same_error() -> None:
    inner = exploded()
    outer = Failure(inner)
    assert outer.value is inner.value
    assert outer.tb is inner.tb


def test_class_and_traceback_can_be_given() -> None:
    error = KeyError("k")
    failure = Failure(error, LookupError, exploded().tb)
    assert failure.type is LookupError
    assert failure.frames[-1][0] == "explode"


def test_check_finds_the_first_class_that_fits() -> None:
    failure = exploded()
    assert failure.check(KeyError, ValueError, Exception) is ValueError
    assert failure.check(KeyError, Exception) is Exception
    assert failure.check(KeyError) is None


def test_check_takes_dotted_names() -> None:
    assert exploded().check("builtins.KeyError", "builtins.Exception") == "builtins.Exception"


def test_trap_returns_what_fits() -> None:
    assert exploded().trap(KeyError, ValueError) is ValueError


def test_trap_raises_the_error_when_nothing_fits() -> None:
    failure = exploded()
    with pytest.raises(ValueError, match="bang") as caught:
        failure.trap(KeyError)
    assert caught.value is failure.value


def test_parents_name_all_bases() -> None:
    assert exploded().parents == [
        "builtins.ValueError",
        "builtins.Exception",
        "builtins.BaseException",
        "builtins.object",
    ]


def test_repr_and_str_name_class_and_message() -> None:
    failure = Failure(ValueError("x"))
    assert repr(failure) == str(failure) == "<wirebook.failure.Failure builtins.ValueError: x>"


def test_an_error_that_cannot_be_printed_is_still_reported() -> None:
    failure = Failure(Broken())
    assert failure.getErrorMessage() == "Broken()"
    assert "Broken" in failure.getTraceback()


def test_the_default_report_reads_as_pythons() -> None:
    failure = exploded()
    wanted = "".join(traceback.format_exception(failure.value))
    assert failure.getTraceback() == wanted


def test_the_report_tells_what_the_error_came_from() -> None:
    try:
        try:
            explode("first")
        except ValueError as error:
            raise RuntimeError("second") from error
    except RuntimeError:
        failure = Failure()
    report = failure.getTraceback()
    assert report.index("first") < report.index("direct cause") < report.index("second")


def test_the_brief_report_has_a_line_for_each_frame() -> None:
    lines = exploded().getBriefTraceback().splitlines()
    assert lines[0] == "Traceback: builtins.ValueError: ('bang', 4)"
    assert [line.rsplit(":", 1)[1] for line in lines[1:]] == ["exploded", "explode"]


def test_the_verbose_report_shows_local_variables() -> None:
    assert "secret = 4" in exploded().getTraceback(detail="verbose")


def test_an_unknown_detail_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'loud'.*'brief'"):
        exploded().getTraceback(detail="loud")  # type: ignore[arg-type]


def test_reports_are_printed_to_the_file_given() -> None:
    failure = exploded()
    for write, wanted in [
        (failure.printTraceback, failure.getTraceback()),
        (failure.printBriefTraceback, failure.getBriefTraceback()),
        (failure.printDetailedTraceback, failure.getTraceback(detail="verbose")),
    ]:
        file = io.StringIO()
        write(file)
        assert file.getvalue() == wanted


def test_reports_go_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    exploded().printBriefTraceback()
    assert "ValueError" in capsys.readouterr().err


def test_framework_frames_can_be_left_out() -> None:
    first = exploded()
    try:
        first.raiseException()
    except ValueError:
        second = Failure()
    assert "in raiseException" in second.getTraceback()
    elided = second.getTraceback(elideFrameworkCode=1)
    assert "in raiseException" not in elided
    assert "explode" in elided


def test_raising_again_goes_on_from_the_first_place() -> None:
    failure = exploded()
    for _ in range(2):
        with pytest.raises(ValueError, match="bang") as caught:
            failure.raiseException()
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-2:] == ["exploded", "explode"]
        assert names.count("raiseException") == 1


def test_it_can_be_thrown_into_a_generator() -> None:
    def patient() -> Generator[str, None, None]:
        try:
            yield "waiting"
        except ValueError as error:
            yield f"caught {error.args[0]}"

    generator = patient()
    next(generator)
    assert exploded().throwExceptionIntoGenerator(generator) == "caught bang"


def test_cleaning_keeps_the_text_and_drops_the_frames() -> None:
    failure = exploded()
    before = failure.getTraceback()
    failure.cleanFailure()
    assert failure.tb is None
    assert failure.value.__traceback__ is None
    assert [frame[0] for frame in failure.frames] == ["exploded", "explode"]
    assert failure.getTraceback().splitlines()[-1] == before.splitlines()[-1]
    assert "in explode" in failure.getTraceback()


def test_it_can_be_pickled_with_its_text() -> None:
    failure = exploded()
    copy = pickle.loads(pickle.dumps(failure))
    assert copy.value.args == failure.value.args
    assert copy.type is ValueError
    assert copy.getTracebackObject() is None
    assert copy.getBriefTraceback() == failure.getBriefTraceback()
    assert "raise ValueError(message, secret)" in copy.getTraceback()


def test_an_unpickled_failure_can_be_raised() -> None:
    copy = pickle.loads(pickle.dumps(exploded()))
    with pytest.raises(ValueError, match="bang"):
        copy.raiseException()


def test_captured_variables_are_those_of_the_moment() -> None:
    failure = exploded(captureVars=True)
    name, _, _, local, _ = failure.frames[-1]
    assert name == "explode"
    assert ("secret", "4") in local
    assert not exploded().frames[-1][3]


def test_the_stack_names_the_callers() -> None:
    assert exploded().stack[-1][0] == "test_the_stack_names_the_callers"
    assert Failure(ValueError()).stack == []


def test_numbers_grow() -> None:
    first, second = Failure(ValueError()), Failure(ValueError())
    assert first.count < second.count
    assert first.count == first.count


def collected_at_once(reference: weakref.ref[Failure]) -> bool:
    return reference() is None


@pytest.fixture
def no_gc() -> Generator[None, None, None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
def test_it_makes_no_cycle() -> None:
    failure = exploded()
    reference = weakref.ref(failure)
    del failure
    assert collected_at_once(reference)


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("raising", [Failure.raiseException, Failure.trap])
def test_raising_again_makes_no_cycle(raising: object) -> None:
    failure = exploded()
    reference = weakref.ref(failure)
    with pytest.raises(ValueError, match="bang") as caught:
        raising(failure)  # type: ignore[operator]
    del failure
    assert caught.value.__traceback__ is not None
    assert collected_at_once(reference)
