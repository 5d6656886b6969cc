"""What waits for a reactor can be counted while something keeps it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.core.net_kit import PATIENCE, Echo, Recorders, dial
from wirebook.reactor.backlog import Backlog, backlog
from wirebook.transports.reactor import Reactor


@pytest.fixture
def kept(any_reactor: Reactor) -> Iterator[Reactor]:
    """A reactor that a callback keeps until the test is over."""
    stuck, go_on = threading.Event(), threading.Event()

    def hog() -> None:
        stuck.set()
        go_on.wait(PATIENCE)

    any_reactor.callFromThread(hog)
    assert stuck.wait(PATIENCE)
    yield any_reactor
    go_on.set()


def test_nothing_waits_for_an_idle_reactor(kept: Reactor) -> None:
    assert backlog(kept) == Backlog(0, 0, 0)


def test_calls_and_timers_that_are_due_are_counted_and_later_and_cancelled_ones_are_not(kept: Reactor) -> None:
    for _ in range(3):
        kept.callFromThread(str)
    for _ in range(4):
        kept.callLater(0, str)
    kept.callLater(0, str).cancel()
    later = kept.callLater(60, str)
    assert backlog(kept) == Backlog(0, 4, 3)
    later.cancel()


def test_ready_descriptors_are_counted(any_reactor: Reactor) -> None:
    port = any_reactor.listenTCP(0, Recorders(Echo))
    with any_reactor.turn(), dial(port), socket.create_connection(("127.0.0.1", port.port)):
        # Both wait to be accepted on one descriptor.
        assert backlog(any_reactor).descriptors == 1
    port.stopListening()
