"""IPython's tracebacks with the framework's frames folded."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import eventually
from wirebook import Deferred, Factory, Failure, Protocol, reactor, succeed
from wirebook.error import CannotListenError
from wirebook_kernel import tracebacks
from wirebook_kernel.tracebacks import line_of, report_of, steps_of, text_of, without_framework


@pytest.fixture(autouse=True)
def _folding(shell: InteractiveShell) -> Iterator[None]:
    """The shell folds."""
    tracebacks.install(shell)
    yield
    shell.InteractiveTB.set_mode("Context")
    tracebacks.uninstall(shell)


def step_that_fails(value: object) -> None:
    """A callback of a user."""
    raise ValueError("this is wrong")


def failure_of(callback: Any) -> Failure:
    """What a chain ends with that begins with `callback`."""
    caught: list[Failure] = []
    Deferred().addCallback(callback).addErrback(caught.append).callback(None)
    return caught[0]


def error_of(call: Any) -> BaseException:
    """What `call` raises."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError(f"{call} raised nothing")


def shown(shell: InteractiveShell, error: BaseException) -> str:
    """As the shell shows it."""
    return text_of(shell, error, error.__traceback__)


def test_a_run_of_the_frameworks_frames_is_one_line(shell: InteractiveShell) -> None:
    def call() -> None:
        reactor.callLater(-1, print)

    text = shown(shell, error_of(call))
    assert "in test_a_run_of_the_frameworks_frames_is_one_line.<locals>.call()" in text
    assert "    … 2 frames of wirebook\n" in text
    assert "timers.py" not in text


def test_each_run_between_the_users_frames_is_folded_by_itself(shell: InteractiveShell) -> None:
    def inner(_: object) -> None:
        Deferred().addCallback(7)  # type: ignore[call-overload]

    def outer() -> None:
        succeed(1).addCallback(inner).wait()

    lines = [line for line in shown(shell, error_of(outer)).splitlines() if " frame" in line or ", in " in line]
    assert ["outer()" in line or "inner(_)" in line or "of wirebook" in line for line in lines[1:]] == [True] * 4
    assert "outer" in lines[1]
    assert "of wirebook" in lines[2]
    assert "inner" in lines[3]
    assert "of wirebook" in lines[4]


def test_the_standard_library_as_a_callback_is_shown(shell: InteractiveShell) -> None:
    text = shown(shell, error_of(lambda: succeed("{").addCallback(lambda text: json.loads(text)).wait()))
    assert "of wirebook" in text
    assert "json/decoder.py" in text


def test_who_called_the_callback_is_left_out(shell: InteractiveShell) -> None:
    text = shown(shell, failure_of(step_that_fails).value)
    assert "step_that_fails" in text
    assert "of wirebook" not in text


def test_an_error_with_no_frame_of_the_users_shows_where_it_was_raised(shell: InteractiveShell) -> None:
    trace = error_of(lambda: reactor.callLater(-1, print)).__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    inner = trace.tb_next.tb_next
    text = text_of(shell, ValueError("x"), inner)
    assert "timers.py" in text
    assert text.count("File ") == 1


def test_what_the_framework_raised_and_caught_itself_is_not_told(shell: InteractiveShell) -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
    error = error_of(lambda: reactor.listenTCP(port.port, Factory.forProtocol(Protocol)))
    port.stopListening()
    assert isinstance(error, CannotListenError)
    assert isinstance(error.__cause__, OSError)
    assert "direct cause" not in shown(shell, error)


def on_no_line(value: object) -> None:
    """Like `step_that_fails`, but its instructions belong to no line, as a few of any program's do."""


# Each of these bytes says so of eight of them (CPython, "Location entries" of code objects: code 15, length 8).
on_no_line.__code__ = step_that_fails.__code__.replace(co_linetable=b"\xff" * len(step_that_fails.__code__.co_code))


@pytest.mark.parametrize("mode", ["Context", "Verbose", "Plain", "Minimal"])
def test_a_traceback_with_a_frame_on_no_line_is_shown_like_any_other(mode: str, shell: InteractiveShell) -> None:
    error = error_of(lambda: on_no_line(1))
    shell.InteractiveTB.set_mode(mode)
    text = shown(shell, error)
    assert text.rstrip().endswith("ValueError: this is wrong")
    assert mode == "Minimal" or "in step_that_fails" in text


def test_what_belongs_to_no_line_is_shown_at_the_last_one_before() -> None:
    code = step_that_fails.__code__
    first, last = code.co_firstlineno, code.co_firstlineno + 2
    assert [line_of(on_line_none(code, offset)) for offset in (0, len(code.co_code))] == [first, last]
    assert line_of(on_line_none(on_no_line.__code__, 0)) == first


def on_line_none(code: CodeType, offset: int) -> Any:
    """A step of a traceback that stands at this instruction of `code`, which belongs to no line."""
    return SimpleNamespace(tb_lineno=None, tb_lasti=offset, tb_frame=SimpleNamespace(f_code=code))


def test_the_users_own_causes_are_told(shell: InteractiveShell) -> None:
    def outer() -> None:
        try:
            step_that_fails(1)
        except ValueError as error:
            raise KeyError("outer") from error

    text = shown(shell, error_of(outer))
    assert "direct cause" in text
    assert "step_that_fails" in text


def test_an_error_during_one_that_was_reported_is_told_alone(shell: InteractiveShell) -> None:
    def outer() -> None:
        try:
            step_that_fails(1)
        except ValueError as error:
            tracebacks.note_report(error, 3, "here")
            raise KeyError("outer")  # noqa: B904

    error = error_of(outer)
    assert "this is wrong" not in shown(shell, error)
    assert report_of(error) is None
    assert error.__context__ is not None
    assert report_of(error.__context__) == (3, "here")


def test_an_error_that_was_never_raised_is_one_line(shell: InteractiveShell) -> None:
    assert text_of(shell, KeyError("missing"), None) == "KeyError: 'missing'\n"


def test_a_group_is_shown_with_its_members(shell: InteractiveShell) -> None:
    group = error_of(lambda: raise_it(ExceptionGroup("both", [ValueError("one"), KeyError("two")])))
    text = shown(shell, group)
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text


def raise_it(error: BaseException) -> None:
    """Raise it."""
    raise error


RECURSIONS = {
    "a function that calls itself": "def deeper(value):\n    return deeper(value)",
    "functions that call each other": "def deeper(value):\n    return other(value)\ndef other(value):\n"
    "    return deeper(value)",
    "a cause that says so": "def deeper(value, depth=200):\n    if not depth: raise RecursionError\n"
    "    deeper(value, depth - 1)",
}


@pytest.mark.parametrize("code", RECURSIONS.values(), ids=RECURSIONS)
def test_of_a_recursion_in_a_cell_only_the_first_frames_and_the_last_are_shown(
    code: str, shell: InteractiveShell
) -> None:
    shell.run_cell(code)
    text = shown(shell, failure_of(shell.user_ns["deeper"]).value)
    assert re.search(r"\n    … \d+ frames like these\n", text)
    assert len(text.splitlines()) < 50
    assert text.count("in deeper(") >= 3
    assert "RecursionError" in text.splitlines()[-1]


def test_a_deep_traceback_that_is_no_recursion_is_shown_in_full(shell: InteractiveShell) -> None:
    code = "\n".join(f"def step_{number}():\n    step_{number + 1}()" for number in range(60))
    shell.run_cell(f"{code}\ndef step_60():\n    1 / 0")
    text = shown(shell, error_of(shell.user_ns["step_0"]))
    assert "frames like these" not in text
    assert all(f"in step_{number}(" in text for number in range(61))


@pytest.mark.parametrize(("mode", "told"), [("Verbose", True), ("Plain", False), ("Minimal", False)])
def test_the_shells_mode_counts(mode: str, told: bool, shell: InteractiveShell) -> None:
    shell.InteractiveTB.set_mode(mode)
    text = shown(shell, error_of(lambda: reactor.callLater(-1, print)))
    assert ("timers.py" in text) is told
    assert text.rstrip().endswith("ValueError: a delay is a number of seconds, 0 or more, not -1")


def test_the_mode_and_the_colours_stay_when_folding_comes_and_goes(shell: InteractiveShell) -> None:
    shell.run_line_magic("xmode", "Minimal")
    tracebacks.uninstall(shell)
    assert type(shell.InteractiveTB).__name__ == "AutoFormattedTB"
    assert shell.InteractiveTB.mode == "Minimal"
    tracebacks.install(shell)
    assert shell.InteractiveTB.mode == "Minimal"


def test_a_shell_that_does_not_fold_is_left_as_it_is(shell: InteractiveShell) -> None:
    tracebacks.uninstall(shell)
    before = shell.InteractiveTB
    assert "of wirebook" in shown(shell, error_of(lambda: reactor.callLater(-1, print)))
    assert shell.InteractiveTB is before


def test_the_shell_shows_a_cells_error_folded(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.push({"reactor": reactor})
    shell.run_cell("reactor.callLater(-1, print)", store_history=False)
    text = capsys.readouterr().out
    assert "… 2 frames of wirebook" in text
    assert "timers.py" not in text


def test_two_threads_may_format_at_once(shell: InteractiveShell) -> None:
    error = failure_of(step_that_fails).value
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(shown(shell, error))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(texts) == 4, 20)
    assert len(set(texts)) == 1


def test_folding_a_traceback_leaves_the_users_frames() -> None:
    trace = failure_of(step_that_fails).getTracebackObject()
    assert trace is not None
    assert [step.tb_frame.f_code.co_name for step in steps_of(without_framework(trace))] == ["step_that_fails"]


def test_a_traceback_of_the_framework_alone_is_not_folded_away() -> None:
    trace = error_of(lambda: reactor.callLater(-1, print)).__traceback__
    inner = steps_of(trace)[2]
    assert without_framework(inner) is inner
