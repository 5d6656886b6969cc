"""react: a script from its main function to its exit code, its signals and its traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom
from wirebook.deferred import Deferred, fail, succeed
from wirebook.task import deferLater, react
from wirebook.transports.reactor import Reactor
from wirebook.turn import TurnHeldError


@pytest.fixture
def idle() -> Iterator[Reactor]:
    """A reactor that nobody runs yet."""
    reactor = Reactor()
    yield reactor
    reactor.close()


def code_of(main: Callable[..., Any], argv: Any = (), *, on: Reactor) -> Any:
    """The exit code with which react ends."""
    with pytest.raises(SystemExit) as caught:
        react(main, argv, on)
    assert not on.running
    return caught.value.code


async def soon(reactor: Reactor) -> None:
    await deferLater(reactor, 0.001)


async def soon_wrong(reactor: Reactor) -> None:
    await soon(reactor)
    boom()


async def soon_over(reactor: Reactor) -> None:
    await soon(reactor)
    raise SystemExit(23)


def stopped(reactor: Reactor) -> Deferred[None]:
    reactor.callLater(0, reactor.stop)
    return Deferred()


def stopped_and_done(reactor: Reactor) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callWhenRunning(reactor.stop)
    reactor.callWhenRunning(done.callback, None)
    return done


def done_at_shutdown(reactor: Reactor) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callWhenRunning(reactor.stop)
    reactor.addSystemEventTrigger("during", "shutdown", done.callback, None)
    return done


@pytest.mark.parametrize(
    ("main", "code"),
    [
        (lambda _: succeed("a result is no exit code"), 0),
        (soon, 0),
        (soon_over, 23),
        (lambda _: fail(SystemExit()), None),
        (lambda _: fail(SystemExit("out of paper")), "out of paper"),
        (stopped, 0),
        (stopped_and_done, 0),
        (done_at_shutdown, 0),
    ],
)
def test_it_exits_with_the_code_that_main_comes_to(idle: Reactor, main: Callable[..., Any], code: object) -> None:
    assert code_of(main, on=idle) == code


@pytest.mark.parametrize("main", [soon_wrong, lambda _: fail(ValueError())])
def test_a_failing_main_is_reported_once_and_exits_with_one(
    idle: Reactor, main: Callable[..., Any], reported: Reports
) -> None:
    assert code_of(main, on=idle) == 1
    (record,) = reported()
    assert record.getMessage() == "the main function of react() failed"
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_a_failure_during_the_shutdown_counts(idle: Reactor, reported: Reports) -> None:
    def main(reactor: Reactor) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reactor.callWhenRunning(reactor.stop)
        reactor.addSystemEventTrigger("during", "shutdown", done.errback, ValueError())
        return done

    assert code_of(main, on=idle) == 1
    assert len(reported()) == 1


def test_main_gets_the_reactor_and_its_arguments(idle: Reactor) -> None:
    seen: list[Any] = []

    async def main(*args: Any) -> None:
        seen.extend(args)

    assert code_of(main, iter("ab"), on=idle) == 0
    assert seen == [idle, "a", "b"]


def test_the_shutdown_event_is_fired(idle: Reactor) -> None:
    seen: list[str] = []
    idle.addSystemEventTrigger("before", "shutdown", seen.append, "before")
    idle.addSystemEventTrigger("after", "shutdown", seen.append, "after")
    assert code_of(soon, on=idle) == 0
    assert seen == ["before", "after"]


def test_what_main_raises_at_once_is_raised(idle: Reactor) -> None:
    with pytest.raises(ValueError, match="boom"):
        react(boom, (), idle)  # type: ignore[arg-type]


def test_a_main_that_returns_neither_deferred_nor_coroutine_is_refused(idle: Reactor) -> None:
    with pytest.raises(TypeError, match="3 is no coroutine"):
        react(lambda _: 3, (), idle)  # type: ignore[arg-type, return-value]


def test_in_the_turn_it_is_refused_before_main_is_called(idle: Reactor) -> None:
    with idle.turn(), pytest.raises(TurnHeldError, match="react"):
        react(boom, (), idle)  # type: ignore[arg-type]


# --- beside a hosted reactor -------------------------------------------------------------------------


@pytest.mark.parametrize("main", [lambda _: succeed(None), soon])
def test_beside_a_hosted_reactor_it_waits_for_main_and_returns(reactor: Reactor, main: Callable[..., Any]) -> None:
    ended = threading.Event()
    reactor.addSystemEventTrigger("during", "shutdown", ended.set)
    react(main, (), reactor)
    assert ended.is_set()
    assert reactor.running


def test_beside_a_hosted_reactor_main_may_exit_with_a_code_of_its_own(reactor: Reactor) -> None:
    with pytest.raises(SystemExit) as caught:
        react(soon_over, (), reactor)
    assert caught.value.code == 23
    assert reactor.running


def test_beside_a_hosted_reactor_a_failing_main_is_reported_once(reactor: Reactor, reported: Reports) -> None:
    with pytest.raises(SystemExit) as caught:
        react(soon_wrong, (), reactor)
    assert caught.value.code == 1
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_interrupting_it_beside_a_hosted_reactor_cancels_main(reactor: Reactor) -> None:
    seen: list[str] = []
    ended = threading.Event()
    waiting = threading.get_ident()

    async def main(reactor: Reactor) -> None:
        reactor.callLater(0.05, signal.pthread_kill, waiting, signal.SIGINT)
        try:
            await Deferred()
        finally:
            seen.append("cleaned up")
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        react(main, (), reactor)
    assert ended.wait(5)
    assert seen == ["cleaned up"]


def test_beside_a_hosted_reactor_stop_ends_it_and_cancels_a_main_that_has_not_ended(reactor: Reactor) -> None:
    seen: list[str] = []

    async def main(reactor: Reactor) -> None:
        reactor.callLater(0, reactor.stop)
        try:
            await Deferred()
        finally:
            seen.append("cleaned up")

    reactor.hosting.begin_program()
    react(main, (), reactor)
    reactor.hosting.end_program()
    assert seen == ["cleaned up"]
    assert reactor.running


# --- real scripts ------------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys
from wirebook import Deferred
from wirebook.task import deferLater, react

async def main(reactor, *argv):
    reactor.addSystemEventTrigger("before", "shutdown", print, "before")
    reactor.addSystemEventTrigger("after", "shutdown", print, "after")
    await deferLater(reactor, 0.01)
    BODY

react(main, sys.argv[1:])
print("not reached")
"""


def run(body: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a script whose main function ends with `body`."""
    command = [sys.executable, "-c", SCRIPT.replace("BODY", body), *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_script_exits_with_zero_and_gets_its_arguments() -> None:
    done = run("print(*argv)", "x", "y")
    assert (done.returncode, done.stdout, done.stderr) == (0, "x y\nbefore\nafter\n", "")


def test_a_script_that_fails_exits_with_one_and_a_traceback() -> None:
    done = run("raise ValueError('wrong')")
    assert (done.returncode, done.stdout) == (1, "before\nafter\n")
    assert done.stderr.count("ValueError: wrong") == 1
    assert "the main function of react() failed" in done.stderr
    assert "in main" in done.stderr


@pytest.mark.parametrize(
    ("body", "code", "said"), [("sys.exit(7)", 7, ""), ("sys.exit('no paper')", 1, "no paper\n"), ("sys.exit()", 0, "")]
)
def test_a_script_may_choose_its_exit_code(body: str, code: int, said: str) -> None:
    done = run(body)
    assert (done.returncode, done.stdout, done.stderr) == (code, "before\nafter\n", said)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_script_in_order(number: str) -> None:
    body = f"""try:
        os.kill(os.getpid(), signal.{number})
        await Deferred()
    finally:
        print("cleaned up")"""
    done = run(body)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "before\nafter\ncleaned up\n"
