"""What ``%reactor`` shows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.kernel.test_html import NASTY
from wirebook import Factory, Protocol, reactor
from wirebook_kernel.status import MOST_ROWS, Status, since


@pytest.fixture(autouse=True)
def _hosted() -> Iterator[None]:
    """The process's reactor, running beside the test as in a kernel."""
    reactor.runInThread()
    yield
    reactor.shutDown()


def test_nothing_open_is_one_sentence() -> None:
    assert repr(Status()) == "The reactor is running. Nothing is open."
    assert Status()._repr_html_() == "<div>The reactor is running. Nothing is open.</div>"


def test_every_handle_is_a_row() -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
    reactor.callLater(3600, print)
    lines = repr(Status()).splitlines()
    assert lines[0] == "The reactor is running. 1 port, 1 timer are open."
    row = re.sub(r"\d\d:\d\d:\d\d", "TIME", lines[3]).split()
    assert row == ["port", str(port.getHost()), "listening", "Protocol", "TIME,", "0.0", "s", "0", "B", "0", "B"]
    assert lines[4].split()[:3] == ["timer", "pending", "print"]


def test_names_are_escaped() -> None:
    nasty = type(NASTY, (Protocol,), {})
    reactor.listenTCP(0, Factory.forProtocol(nasty))
    assert "<img" not in Status()._repr_html_()


def test_many_handles_are_counted_and_the_first_are_shown() -> None:
    for _ in range(MOST_ROWS + 5):
        reactor.callLater(3600, print)
    status = Status()
    assert len(status.rows) == MOST_ROWS
    assert repr(status).endswith("... and 5 more; watch() shows them all")
    assert "and 5 more" in status._repr_html_()


def test_since_when_is_a_time_of_day_and_a_duration() -> None:
    hour_ago = time.strftime("%H:%M", time.localtime(time.time() - 3600))
    assert since(3600).startswith(hour_ago)
    assert since(3600).endswith(", 60 min")
