"""A program's signals stop its reactor in order; a reactor elsewhere touches none."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from wirebook.reactor.signals import stopping_signals
from wirebook.transports.reactor import Reactor

PROGRAM = """
import os, signal, threading
from wirebook import Deferred
from wirebook.transports import Reactor
from wirebook.reactor.select_ import SelectPoller

reactor = Reactor(POLLER)
seen = []

def before():
    seen.append("before")
    waited = Deferred()
    reactor.callLater(0.01, waited.callback, None)
    return waited

reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
reactor.addSystemEventTrigger("before", "shutdown", before)
reactor.callWhenRunning(seen.append, "running")
FROM = lambda: (os.kill(os.getpid(), signal.SIGNAL), os.kill(os.getpid(), signal.SIGNAL))
HOW
original = signal.getsignal(signal.SIGINT)
reactor.run()
assert seen == ["running", "before", "after"], seen
assert signal.getsignal(signal.SIGINT) is original
print("stopped in order")
"""

# While the reactor sleeps in the poller, from inside a callback, and from another thread.
HOW = {
    "asleep": "threading.Timer(0.05, FROM).start()",
    "in a callback": "reactor.callWhenRunning(FROM)",
}


@pytest.mark.parametrize("poller", ["None", "SelectPoller()"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_program_in_order(poller: str, how: str, number: str) -> None:
    code = PROGRAM.replace("POLLER", poller).replace("HOW", HOW[how]).replace("signal.SIGNAL", f"signal.{number}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("stopped in order\n", "")


def test_without_installing_no_handler_changes() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    reactor = Reactor()
    with stopping_signals(reactor, False):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    reactor.close()


def test_on_another_thread_no_handler_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    during: list[object] = []
    reactor = Reactor()

    def work() -> None:
        with stopping_signals(reactor, True):
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]
    reactor.close()


def test_a_handler_of_the_programs_own_stays(idle_signal: list[int]) -> None:
    reactor = Reactor()
    try:
        with stopping_signals(reactor, True):
            signal.raise_signal(signal.SIGINT)
    finally:
        reactor.close()
    assert idle_signal == [signal.SIGINT]


@pytest.fixture
def idle_signal() -> Iterator[list[int]]:
    """A handler for SIGINT that remembers."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGINT, before)
