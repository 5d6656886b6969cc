"""What ``%reactor`` shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.test_html import NASTY
from wirebook import Factory, Protocol, reactor
from wirebook_kernel.status import MOST_ROWS, Status


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
    assert lines[3].split() == ["port", str(port.getHost()), "listening", "Protocol", "0.0", "s", "0", "B", "0", "B"]
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
