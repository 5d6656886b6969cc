"""``settle()`` waits until the network is quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import Context

import pytest

from tests.kernel.kit import Notebook
from wirebook import reactor
from wirebook.reactor.timers import DelayedCall
from wirebook.turn import TurnHeldError, turn
from wirebook_kernel import settle


@pytest.fixture(autouse=True)
def _hosted() -> Iterator[None]:
    """The process's reactor, running beside the test as in a kernel."""
    reactor.runInThread()
    yield
    reactor.shutDown()


def test_it_returns_when_nothing_has_run_for_a_while() -> None:
    started = time.monotonic()
    assert settle(timeout=10, quiet=0.02)
    assert 0.02 <= time.monotonic() - started < 5


def test_a_chain_of_callbacks_keeps_it_waiting() -> None:
    ran: list[None] = []

    def again() -> None:
        ran.append(None)
        if len(ran) < 10:
            reactor.callLater(0.01, again)

    reactor.callLater(0, again)
    assert settle(timeout=10, quiet=0.1)
    assert len(ran) == 10


def test_a_callback_that_takes_long_keeps_it_waiting() -> None:
    began, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def take_long() -> None:
        began.set()
        go_on.wait(5)
        done.set()

    reactor.callFromThread(take_long)
    began.wait(5)
    threading.Timer(0.05, go_on.set).start()
    assert settle(timeout=10, quiet=0.01)
    assert done.is_set()


def test_it_gives_up_after_the_timeout() -> None:
    calls: list[DelayedCall] = []

    def for_ever() -> None:
        calls.append(reactor.callLater(0.005, for_ever))

    for_ever()
    assert not settle(timeout=0.1, quiet=0.05)
    with turn:
        calls[-1].cancel()


def test_a_timer_that_is_due_later_does_not_keep_it_waiting() -> None:
    call = reactor.callLater(3600, print)
    assert settle(timeout=10, quiet=0.01)
    call.cancel()


class Trace:
    """A trace that counts."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    def begin(self, cause: str, subject: object, origin: Context | None = None) -> None:
        self.begun += 1

    def end(self) -> None:
        self.ended += 1


def test_a_trace_that_was_there_sees_everything_and_is_there_again() -> None:
    trace = reactor.trace = Trace()
    try:
        reactor.callFromThread(lambda: None)
        assert settle(timeout=10, quiet=0.02)
        assert trace.begun == trace.ended > 0
        assert reactor.trace is trace
    finally:
        reactor.trace = None


def test_waiting_in_the_turn_is_refused() -> None:
    with turn, pytest.raises(TurnHeldError, match=r"settle\(\) would wait for ever"):
        settle()


@pytest.mark.parametrize("bad", [{"timeout": -1}, {"quiet": -0.1}])
def test_a_negative_duration_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="durations of 0 seconds or more"):
        settle(**bad)


def test_late_output_is_kept_in_a_cell_that_settles() -> None:
    with Notebook() as notebook:
        run = notebook.run(
            "from wirebook_kernel import settle\nreactor.callLater(0.05, print, 'late')\nsettle(quiet=0.15)"
        )
        assert run.stdout == "late\n"
        assert run.messages[-1]["content"]["execution_state"] == "idle"
