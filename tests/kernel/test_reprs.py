"""What the framework's objects look like as a cell's value, in text and in HTML."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import Reports, eventually
from tests.kernel.test_html import NASTY
from wirebook import Deferred, Factory, Failure, Protocol, ensureDeferred, fail, reactor, succeed
from wirebook.trace import tracing
from wirebook_kernel import reprs
from wirebook_kernel.reprs import MOST_STEPS, MOST_TEXT, span


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


async def waiting(deferred: Deferred[Any]) -> None:
    """A coroutine that waits."""
    await deferred


DEFERREDS: dict[str, tuple[Any, str]] = {
    "waiting": (Deferred, "<Deferred: waiting>"),
    "with callbacks": (
        lambda: Deferred().addCallback(print).addBoth(type).addErrback(repr).addCallbacks(str, id),
        "<Deferred: waiting, next 4 callbacks>\n"
        "○ print\n○ type, also after a failure\n○ after a failure repr\n○ str, after a failure id",
    ),
    "fired": (lambda: succeed([1, 2]), "<Deferred: fired>\n[1, 2]"),
    "fired with nothing": (lambda: succeed(None), "<Deferred: fired>\nNone"),
    "paused": (paused, "<Deferred: paused>\n1"),
    "in a chain": (lambda: succeed(1).addCallback(lambda _: Deferred()), "<Deferred: waiting>\nfor <Deferred at "),
    "of a coroutine": (lambda: ensureDeferred(waiting(Deferred())), "<Deferred: waiting>\nfor <Deferred at "),
}


@pytest.mark.parametrize("state", DEFERREDS)
def test_a_deferred_says_where_it_stands(state: str, shell: InteractiveShell) -> None:
    make, text = DEFERREDS[state]
    assert text_of(shell, make()).startswith(text)


def double(value: int) -> int:
    """Twice the value."""
    return value * 2


def divide(value: int) -> float:
    """A step that fails."""
    return value / 0


def without_times(text: str) -> list[str]:
    """The lines of `text`, durations taken out."""
    return re.sub(r"\([\d.]+ (µs|ms|s)", "(TIME", text).splitlines()


def test_a_traced_deferred_shows_its_chain_and_the_step_that_failed(shell: InteractiveShell) -> None:
    with tracing(reactor):
        deferred = succeed(1).addCallback(double).addCallback(divide).addErrback(lambda _: 7).addCallback(round)
    lines = without_times(text_of(shell, deferred))
    assert lines[:4] == ["<Deferred: fired>", "7", "▸ 1", "✔ double → 2 (TIME)"]
    assert lines[4].startswith("✘ divide → ZeroDivisionError: division by zero (TIME, ")
    assert lines[4].endswith(" in divide)")
    assert lines[5].endswith(" → 7 (TIME)")
    assert lines[6:] == ["✔ round → 7 (TIME)"]


def test_a_traced_deferred_shows_what_it_waits_for_and_what_is_to_come(shell: InteractiveShell) -> None:
    inner: Deferred[int] = Deferred()
    with tracing(reactor):
        deferred = succeed(1).addCallback(double).addCallback(lambda _: inner).addCallback(double)
    lines = without_times(text_of(shell, deferred))
    assert lines[0] == "<Deferred: waiting, next 1 callback>"
    assert lines[1] == f"for {inner!r}"
    assert lines[2:4] == ["▸ 1", "✔ double → 2 (TIME)"]
    assert lines[4].endswith("<lambda> → another Deferred")
    assert lines[5:] == ["○ double"]


def test_a_long_chain_is_cut(shell: InteractiveShell) -> None:
    with tracing(reactor):
        deferred: Deferred[int] = Deferred()
        for _ in range(100):
            deferred.addCallback(lambda value: value + 1)
        assert text_of(shell, deferred).endswith(f"\n⋮ {100 - MOST_STEPS} more")
        deferred.callback(0)
    lines = without_times(text_of(shell, deferred))
    assert lines[1:4] == ["100", f"⋮ {100 - MOST_STEPS} earlier steps", f"▸ {100 - MOST_STEPS}"]
    assert len(lines) == 4 + MOST_STEPS


@pytest.mark.parametrize(("seconds", "text"), [(12e-6, "12 µs"), (3.4e-3, "3.4 ms"), (1.25, "1.2 s")])
def test_the_time_of_a_step_is_written_with_a_fitting_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_looking_at_a_failed_deferred_does_not_handle_its_error(shell: InteractiveShell, reported: Reports) -> None:
    deferred: Deferred[Any] | None = fail(ValueError("nobody looks"))
    assert text_of(shell, deferred) == "<Deferred: failed>\nValueError: nobody looks"
    deferred = None
    assert len(reported.wait()) == 1


def test_a_failed_deferred_says_where_it_failed(shell: InteractiveShell) -> None:
    deferred = succeed(1).addCallback(divide)
    second, third = text_of(shell, deferred).splitlines()[1:]
    assert second == "ZeroDivisionError: division by zero"
    assert third.startswith("in divide(), ")
    deferred.addErrback(lambda _: None)


def test_a_long_result_is_cut_and_a_huge_one_is_never_written_out(shell: InteractiveShell) -> None:
    for result in ("x" * 10_000, b"x" * 10_000_000, list(range(10_000))):
        text = text_of(shell, succeed(result))
        assert text.endswith("…")
        assert len(text) <= MOST_TEXT + 30


def test_results_are_escaped(shell: InteractiveShell) -> None:
    assert "<img" not in bundle_of(shell, succeed(NASTY))["text/html"]
    with tracing(reactor):
        traced = succeed(NASTY).addCallback(str.strip)
    assert "<img" not in bundle_of(shell, traced)["text/html"]


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
