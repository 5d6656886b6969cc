"""A program's output, its exit code, or both, as a Deferred, and its end when that is cancelled; warnings."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE
from tests.core.process_kit import alive
from wirebook.deferred import CancelledError, Deferred, TimeoutError
from wirebook.error import ProcessDone, ProcessTerminated
from wirebook.failure import Failure
from wirebook.transports.reactor import Reactor
from wirebook.utils import (
    ErrorOutput,
    OutputUntilSignal,
    getProcessOutput,
    getProcessOutputAndValue,
    getProcessValue,
    runWithWarningsSuppressed,
    suppressWarnings,
)


def script(text: str) -> tuple[str, list[str]]:
    """A script of the shell as a program and its arguments."""
    return "/bin/sh", ["-c", text]


# --- output


def test_the_output_is_the_result_whatever_the_exit_code(reactor: Reactor) -> None:
    output = getProcessOutput(*script("echo yes; exit 3"), reactor=reactor)
    assert output.wait(PATIENCE) == b"yes\n"


def test_error_output_is_an_error_that_tells_of_the_end(reactor: Reactor) -> None:
    output = getProcessOutput(*script("echo no >&2; exit 3"), reactor=reactor)
    with pytest.raises(OSError, match=r"got stderr: b'no\\n'") as raised:
        output.wait(PATIENCE)
    assert isinstance(raised.value, ErrorOutput)
    assert raised.value.output == b"no\n"
    for _ in range(2):
        with pytest.raises(ProcessTerminated) as ended:
            raised.value.processEnded.wait(PATIENCE)
        assert ended.value.exitCode == 3


def test_the_end_after_error_output_may_be_a_good_one(reactor: Reactor) -> None:
    ends: list[Failure] = []

    def refused(failure: Failure) -> None:
        assert isinstance(failure.value, ErrorOutput)
        failure.value.processEnded.addErrback(ends.append)

    with reactor.turn():
        output = getProcessOutput(*script("echo no >&2; exec >&- 2>&-; read x; exit 0"), reactor=reactor)
        output.addErrback(refused)
    assert eventually(lambda: ends, PATIENCE)
    assert ends[0].check(ProcessDone)


def test_error_output_can_be_among_the_output(reactor: Reactor) -> None:
    output = getProcessOutput(*script("echo yes; echo no >&2"), reactor=reactor, errortoo=True).wait(PATIENCE)
    assert sorted(output.split()) == [b"no", b"yes"]


def test_the_environment_and_the_folder_are_passed_on(reactor: Reactor, tmp_path: Path) -> None:
    output = getProcessOutput(*script("echo $A; pwd"), {"A": "b"}, str(tmp_path), reactor)
    assert output.wait(PATIENCE) == f"b\n{tmp_path}\n".encode()
    assert getProcessOutput("env", reactor=reactor).wait(PATIENCE) == b""
    assert getProcessOutput("pwd", reactor=reactor).wait(PATIENCE) == f"{os.getcwd()}\n".encode()


def test_the_reactor_is_the_process_s_unless_given() -> None:
    from wirebook import reactor

    reactor.runInThread()
    try:
        assert getProcessOutput("/bin/echo", ["x"]).wait(PATIENCE) == b"x\n"
    finally:
        reactor.shutDown()


def test_a_program_that_waits_for_input_finds_none(reactor: Reactor) -> None:
    assert getProcessOutput("cat", reactor=reactor).wait(PATIENCE) == b""
    assert getProcessValue("cat", reactor=reactor).wait(PATIENCE) == 0


# --- values


@pytest.mark.parametrize("code", [0, 1, 255])
def test_the_exit_code_is_the_result(reactor: Reactor, code: int) -> None:
    assert getProcessValue(*script(f"echo x; echo y >&2; exit {code}"), reactor=reactor).wait(PATIENCE) == code


def test_the_exit_code_of_what_a_signal_ended_is_none(reactor: Reactor) -> None:
    assert getProcessValue(*script("kill -9 $$"), reactor=reactor).wait(PATIENCE) is None


def test_output_errors_and_exit_code_together(reactor: Reactor) -> None:
    everything = getProcessOutputAndValue(*script("echo yes; echo no >&2; exit 5"), reactor=reactor)
    assert everything.wait(PATIENCE) == (b"yes\n", b"no\n", 5)


def test_bytes_can_be_given_as_input(reactor: Reactor) -> None:
    large = b"abc" * 1_000_000
    everything = getProcessOutputAndValue("cat", reactor=reactor, stdinBytes=large)
    assert everything.wait(PATIENCE) == (large, b"", 0)


def test_a_signal_is_a_failure_that_can_be_taken_apart(reactor: Reactor) -> None:
    everything = getProcessOutputAndValue(*script("echo yes; echo no >&2; kill -9 $$"), reactor=reactor)
    with pytest.raises(OutputUntilSignal) as raised:
        everything.wait(PATIENCE)
    output, errors, number = raised.value
    assert (output, errors, number) == (b"yes\n", b"no\n", signal.SIGKILL)
    assert raised.value == (b"yes\n", b"no\n", signal.SIGKILL)
    assert (len(raised.value), raised.value[2]) == (3, signal.SIGKILL)
    assert isinstance(raised.value, ProcessTerminated)
    assert raised.value.signal == signal.SIGKILL
    assert {raised.value}


def test_that_failure_passes_for_a_tuple(reactor: Reactor) -> None:
    failures: list[Failure] = []
    with reactor.turn():
        getProcessOutputAndValue(*script("kill -9 $$"), reactor=reactor).addErrback(failures.append)
    assert eventually(lambda: failures, PATIENCE)
    kind: Any = tuple
    assert failures[0].check(kind)
    assert failures[0].check(ValueError, ProcessTerminated) is ProcessTerminated


# --- errors and cancelling


@pytest.mark.parametrize("run", [getProcessOutput, getProcessValue, getProcessOutputAndValue])
def test_what_cannot_be_run_is_the_error(reactor: Reactor, run: Any) -> None:
    with pytest.raises(FileNotFoundError, match="cannot run '/no/such': there is no file /no/such"):
        run("/no/such", reactor=reactor).wait(PATIENCE)


@pytest.mark.parametrize("run", [getProcessOutput, getProcessValue, getProcessOutputAndValue])
def test_cancelling_ends_the_program(reactor: Reactor, run: Any) -> None:
    result = run("sleep", ["60"], reactor=reactor)
    (process,) = reactor.handles.of("process")
    pid = process.pid  # type: ignore[attr-defined]
    result.cancel()
    with pytest.raises(CancelledError):
        result.wait(PATIENCE)
    assert eventually(lambda: not alive(pid), PATIENCE)
    assert eventually(lambda: not reactor.handles.of("process"), PATIENCE)


def test_a_timeout_ends_a_program_that_does_not_want_to(reactor: Reactor) -> None:
    result = getProcessOutput(*script("trap '' TERM; while :; do sleep 0.01; done"), reactor=reactor)
    (process,) = reactor.handles.of("process")
    process.killAfter = 0.1  # type: ignore[attr-defined]
    result.addTimeout(0.05, reactor)
    with pytest.raises(TimeoutError):
        result.wait(PATIENCE)
    assert eventually(lambda: not reactor.handles.of("process"), PATIENCE)


def test_cancelling_works_with_any_reactor_s_processes() -> None:
    signals: list[str] = []

    class Plain:
        """A process transport without handles."""

        def closeStdin(self) -> None:
            """Nothing to close."""

        def signalProcess(self, name: str) -> None:
            """Remember."""
            signals.append(name)

    class Other:
        """A reactor that starts nothing."""

        def spawnProcess(self, protocol: Any, *_: Any) -> None:
            """Only connect."""
            protocol.makeConnection(Plain())

    reactor: Any = Other()
    result = getProcessOutput("x", reactor=reactor)
    result.cancel()
    with pytest.raises(CancelledError):
        result.wait(PATIENCE)
    assert signals == ["KILL"]


# --- warnings

QUIET = (("ignore", "quiet"), {"category": UserWarning})


def test_warnings_are_suppressed_while_the_function_runs() -> None:
    def function(text: str, more: int) -> tuple[str, int]:
        warnings.warn(text, UserWarning, stacklevel=1)
        return text, more

    assert runWithWarningsSuppressed([QUIET], function, "quiet", more=1) == ("quiet", 1)
    with pytest.raises(UserWarning, match="loud"):
        runWithWarningsSuppressed([QUIET], function, "loud", 1)
    with pytest.raises(UserWarning, match="quiet"):
        function("quiet", 1)


def test_warnings_are_suppressed_until_the_function_s_deferred_has_fired() -> None:
    before = list(warnings.filters)
    result: Deferred[int] = Deferred()
    assert runWithWarningsSuppressed([QUIET], lambda: result) is result
    warnings.warn("quiet", UserWarning, stacklevel=1)
    result.callback(1)
    assert result.result == 1
    assert list(warnings.filters) == before


def test_a_filter_that_was_there_before_stays() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "quiet", UserWarning)
        runWithWarningsSuppressed([QUIET, QUIET], int)
        warnings.warn("quiet", UserWarning, stacklevel=1)


def test_filters_that_the_function_took_away_are_not_missed() -> None:
    with warnings.catch_warnings():
        assert runWithWarningsSuppressed([QUIET], warnings.resetwarnings) is None


def test_a_function_can_be_made_one_that_suppresses_warnings() -> None:
    def function(number: int) -> int:
        """Warn."""
        warnings.warn("quiet", UserWarning, stacklevel=1)
        return number

    quiet = suppressWarnings(function, QUIET)
    assert quiet(5) == 5
    assert (quiet.__name__, quiet.__doc__) == ("function", "Warn.")
