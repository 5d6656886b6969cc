"""What the framework's objects look like as a cell's value, in text and in HTML."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import Reports, eventually
from tests.kernel.test_html import NASTY
from wirebook import Deferred, Factory, Failure, Protocol, fail, reactor, succeed
from wirebook_kernel import reprs
from wirebook_kernel.reprs import MOST_TEXT


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell in this process that shows the framework's objects."""
    shell = InteractiveShell.instance(history_manager=None)
    reprs.install(shell)
    yield shell
    reprs.uninstall(shell)
    assert "text/html" not in bundle_of(shell, Deferred())
    InteractiveShell.clear_instance()


@pytest.fixture
def _hosted() -> Iterator[None]:
    """The process's reactor, running beside the test as in a kernel."""
    reactor.runInThread()
    yield
    reactor.shutDown()


def bundle_of(shell: InteractiveShell, value: object) -> dict[str, str]:
    """What a cell with this value shows."""
    formatter = shell.display_formatter
    assert formatter is not None
    data, _ = formatter.format(value)
    return dict(data)


def text_of(shell: InteractiveShell, value: object) -> str:
    """The text; the same words are in the HTML."""
    bundle = bundle_of(shell, value)
    assert bundle["text/html"].startswith("<div")
    return bundle["text/plain"]


def paused() -> Deferred[Any]:
    """A fired Deferred that is paused."""
    deferred = succeed(1)
    deferred.pause()
    return deferred


DEFERREDS: dict[str, tuple[Any, str]] = {
    "waiting": (Deferred, "<Deferred: waiting>"),
    "with callbacks": (lambda: Deferred().addCallback(print).addBoth(print), "<Deferred: waiting, next 2 callbacks>"),
    "fired": (lambda: succeed([1, 2]), "<Deferred: fired>\n[1, 2]"),
    "fired with nothing": (lambda: succeed(None), "<Deferred: fired>\nNone"),
    "paused": (paused, "<Deferred: paused>\n1"),
    "in a chain": (lambda: succeed(1).addCallback(lambda _: Deferred()), "<Deferred: waiting>\nfor <Deferred at "),
}


@pytest.mark.parametrize("state", DEFERREDS)
def test_a_deferred_says_where_it_stands(state: str, shell: InteractiveShell) -> None:
    make, text = DEFERREDS[state]
    assert text_of(shell, make()).startswith(text)


def test_looking_at_a_failed_deferred_does_not_handle_its_error(shell: InteractiveShell, reported: Reports) -> None:
    deferred: Deferred[Any] | None = fail(ValueError("nobody looks"))
    assert text_of(shell, deferred) == "<Deferred: failed>\nValueError: nobody looks"
    deferred = None
    assert len(reported.wait()) == 1


def test_a_long_result_is_cut_and_a_huge_one_is_never_written_out(shell: InteractiveShell) -> None:
    for result in ("x" * 10_000, b"x" * 10_000_000, list(range(10_000))):
        text = text_of(shell, succeed(result))
        assert text.endswith("…")
        assert len(text) <= MOST_TEXT + 30


def test_results_are_escaped(shell: InteractiveShell) -> None:
    assert "<img" not in bundle_of(shell, succeed(NASTY))["text/html"]


@pytest.mark.usefixtures("_hosted")
def test_a_port_shows_its_address_and_its_connections(shell: InteractiveShell) -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
    address = str(port.getHost())
    with socket.create_connection((port.getHost().host, port.getHost().port), 10):
        assert eventually(lambda: port.connectionCount == 1)
        assert text_of(shell, port) == (
            f"<TCP port {address}: listening, serves Protocol, connections 1 open, 1 accepted>"
        )
        (connection,) = reactor.handles.of("connection")
        assert text_of(shell, connection).startswith(f"<TCP {address} → 127.0.0.1:")
        assert "open, protocol Protocol, in 0 B, out 0 B" in text_of(shell, connection)
        connection.closeHandle().wait(5)
        assert ": closed," in text_of(shell, connection)
    port.closeHandle().wait(5)
    assert text_of(shell, port).startswith(f"<TCP port {address}: closed,")


def test_a_delayed_call_says_what_and_when(shell: InteractiveShell) -> None:
    call = reactor.callLater(5, print)
    assert text_of(shell, call) == "<Delayed call of print: pending, after 5.0 s>"
    call.cancel()
    assert ": cancelled" in text_of(shell, call)


def test_a_failure_says_what_and_where(shell: InteractiveShell) -> None:
    try:
        raise ValueError("this is wrong")
    except ValueError:
        failure = Failure()
    first, second, third = text_of(shell, failure).splitlines()
    assert (first, second) == ("<Failure: ValueError: failed>", "this is wrong")
    assert third.startswith("in test_a_failure_says_what_and_where(), ")
    assert text_of(shell, Failure(ValueError("never raised"))).splitlines()[-1] == "never raised"
