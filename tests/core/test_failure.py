"""Failure: what it tells of an error, how it raises it again, and what it keeps alive."""

from __future__ import annotations

import copy
import gc
import io
import linecache
import pickle
import traceback
import weakref
from collections.abc import Generator

import pytest

from wirebook.deferred import fail
from wirebook.failure import Failure, NoCurrentExceptionError, PickledError, format_frames, startDebugMode


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class BadlyMade(LookupError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}{second}")


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


def test_repr_names_class_and_message() -> None:
    assert repr(Failure(ValueError("x"))) == "<wirebook.failure.Failure builtins.ValueError: x>"


def test_str_tells_the_places_too() -> None:
    failure = exploded()
    assert str(failure) == f"[Failure instance: {failure.getBriefTraceback()}]"


def test_an_error_that_cannot_be_printed_is_still_reported() -> None:
    failure = Failure(Broken())
    assert failure.getErrorMessage() == "Broken()"
    assert "Broken" in failure.getTraceback()


def test_the_default_report_reads_as_pythons_with_the_dotted_name_of_the_error() -> None:
    failure = exploded()
    places = [
        f'  File "{__file__}", line {line}, in {name}\n    {linecache.getline(__file__, line).strip()}\n'
        for name, _, line, *_ in failure.frames
    ]
    assert [frame[0] for frame in failure.frames] == ["exploded", "explode"]
    heading, end = "Traceback (most recent call last):\n", "builtins.ValueError: ('bang', 4)\n"
    assert failure.getTraceback() == heading + "".join(places) + end


def test_the_report_of_an_error_never_raised_says_so_by_its_shape() -> None:
    failure = Failure(KeyError("k"))
    assert failure.getTraceback() == "Traceback (most recent call last):\nFailure: builtins.KeyError: 'k'\n"
    assert failure.getBriefTraceback() == "Traceback (failure with no frames): <class 'KeyError'>: 'k'\n"


def test_a_deep_recursion_is_reported_in_few_lines() -> None:
    def dig(depth: int) -> None:
        if depth == 0:
            raise ValueError("the bottom")
        dig(depth - 1)

    try:
        dig(100)
    except ValueError:
        report = Failure().getTraceback()
    assert "Previous line repeated" in report
    assert len(report.splitlines()) < 20


def test_notes_and_the_members_of_a_group_are_reported() -> None:
    error = BaseExceptionGroup("several", [exploded("one").value, KeyError("two")])
    error.add_note("seen at noon")
    report = Failure(error).getTraceback()
    assert "builtins.ExceptionGroup: several (2 sub-exceptions)\nseen at noon\n" in report
    assert "  | ValueError: ('one', 3)" in report
    assert "  | KeyError: 'two'" in report


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
    assert lines[0] == "Traceback: <class 'ValueError'>: ('bang', 4)"
    assert [line.rsplit(":", 1)[1] for line in lines[1:]] == ["exploded", "explode"]


def test_the_verbose_report_shows_captured_variables() -> None:
    failure = exploded(captureVars=True)
    report = failure.getTraceback(detail="verbose")
    assert report.startswith(f"*--- Failure #{failure.count} ---\n")
    assert report.endswith(f"builtins.ValueError: ('bang', 4)\n*--- End of Failure #{failure.count} ---\n")
    assert ": explode(...)\n [ Locals ]\n  message : 'bang'\n  secret : 4\n ( Globals )\n" in report


def test_the_verbose_report_says_when_there_are_no_variables() -> None:
    report = exploded().getTraceback(detail="verbose")
    assert ": explode(...)\n [no variables: make the Failure with captureVars=True to have them]\n" in report


def test_frames_are_formatted_for_any_writer_and_an_unknown_detail_is_refused() -> None:
    lines: list[str] = []
    format_frames([("there", "far.py", 7, (), ())], lines.append, "brief")
    assert lines == ["far.py:7:there\n"]
    with pytest.raises(ValueError, match="'loud'"):
        format_frames([], lines.append, "loud")


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


def test_it_can_be_raised_itself_and_then_goes_on() -> None:
    failure = exploded()
    try:
        raise failure
    except Failure:
        assert Failure().value is failure.value
    deferred = fail(KeyError("first")).addErrback(lambda _: reraise(failure))
    seen: list[Failure] = []
    deferred.addErrback(seen.append)
    assert seen == [failure]


def reraise(failure: Failure) -> None:
    raise failure


def test_cleaning_keeps_the_text_and_drops_the_frames() -> None:
    failure = exploded()
    before, places = failure.getTraceback(), traceback.extract_tb(failure.tb)
    failure.cleanFailure()
    assert failure.tb is None
    assert failure.value.__traceback__ is None
    assert failure.pickled
    assert failure.getTraceback() == before
    assert traceback.extract_tb(failure.getTracebackObject()) == places


def test_cleaning_drops_the_frames_of_what_the_error_came_from_but_not_their_text() -> None:
    try:
        try:
            explode("first")
        except ValueError as error:
            raise RuntimeError("second") from error
    except RuntimeError:
        failure = Failure()
    before = failure.getTraceback()
    failure.cleanFailure()
    assert failure.value.__cause__ is not None
    assert failure.value.__cause__.__traceback__ is None
    assert failure.getTraceback() == before


@pytest.mark.usefixtures("no_gc")
def test_a_cleaned_failure_keeps_nothing_else_alive() -> None:
    class Thing:
        pass

    def use(thing: Thing) -> Failure:
        try:
            raise KeyError("k")
        except KeyError:
            return Failure()

    thing = Thing()
    gone = weakref.ref(thing)
    failure = use(thing)
    del thing
    assert gone() is not None
    failure.cleanFailure()
    assert gone() is None


def test_raising_a_cleaned_failure_still_shows_where_it_came_from() -> None:
    failure = exploded()
    failure.cleanFailure()
    with pytest.raises(ValueError, match="bang") as caught:
        failure.raiseException()
    frames = list(traceback.walk_tb(caught.value.__traceback__))
    assert [frame.f_code.co_name for frame, _ in frames][-2:] == ["exploded", "explode"]
    assert frames[-1][0].f_back is None


def test_it_can_be_pickled_with_its_text() -> None:
    failure = exploded()
    twin = pickle.loads(pickle.dumps(failure))
    assert twin.value.args == failure.value.args
    assert twin.type is ValueError
    assert twin.tb is None
    assert twin.pickled
    assert twin.frames == failure.frames
    assert twin.getTraceback() == failure.getTraceback()


def test_an_unpickled_failure_can_be_raised() -> None:
    twin = pickle.loads(pickle.dumps(exploded()))
    with pytest.raises(ValueError, match="bang"):
        twin.raiseException()


def test_what_cannot_be_pickled_is_replaced_and_still_known_by_name() -> None:
    class Local(LookupError):
        pass

    for error in (Local("here"), BadlyMade("a", "b")):
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        twin = pickle.loads(pickle.dumps(Failure(error)))
        assert twin.type is PickledError
        assert twin.check(KeyError, LookupError) is LookupError
        assert twin.check(name) == name
        assert str(error) in twin.getErrorMessage()


def test_a_copy_keeps_the_live_traceback() -> None:
    failure = exploded(captureVars=True)
    failure.label = "mine"  # type: ignore[attr-defined]
    twin = copy.copy(failure)
    assert twin is not failure
    assert (twin.value, twin.tb, twin.frames) == (failure.value, failure.tb, failure.frames)
    assert twin.label == "mine"  # type: ignore[attr-defined]


def test_captured_variables_are_those_of_the_moment() -> None:
    failure = exploded(captureVars=True)
    name, _, _, local, outer = failure.frames[-1]
    assert name == "explode"
    assert ("secret", 4) in local
    assert ("explode", explode) in outer
    assert exploded().frames[-1][3:] == ((), ())


def test_frames_and_parents_can_be_set() -> None:
    failure = exploded()
    failure.frames = failure.frames[1:]
    failure.parents = ["far.away.Error"]
    assert [frame[0] for frame in failure.frames] == ["explode"]
    assert failure.check("far.away.Error")
    assert pickle.loads(pickle.dumps(failure)).check("far.away.Error")


def test_there_is_no_stack() -> None:
    assert exploded().stack == []


def test_in_debug_mode_the_debugger_is_opened_on_an_error_that_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("pdb.post_mortem", opened.append)
    monkeypatch.setattr(Failure, "__init__", Failure.__init__)
    startDebugMode()
    failure = exploded()
    assert opened == [failure.tb]
    Failure(KeyError())
    assert len(opened) == 1


def test_an_error_class_that_was_defined_anew_still_fits() -> None:
    def define() -> type[Exception]:
        class Mine(Exception):
            pass

        return Mine

    assert Failure(define()()).check(KeyError, define())


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
