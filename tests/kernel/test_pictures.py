"""What the framework's objects look like, in the same words as text and as HTML."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import Reports, eventually
from tests.kernel.test_html import NASTY
from tests.kernel.test_reprs import bundle_of, text_of
from wirebook import Deferred, Factory, Failure, Protocol, ensureDeferred, fail, reactor, succeed
from wirebook.adbapi import ConnectionPool
from wirebook.deferred import DeferredList, DeferredLock, DeferredQueue, DeferredSemaphore
from wirebook.endpoints import (
    HostnameEndpoint,
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    UNIXServerEndpoint,
    serverFromString,
    wrapClientTLS,
)
from wirebook.protocol import DatagramProtocol, ProcessProtocol
from wirebook.reactor import ThreadPool
from wirebook.ssl import LabAuthority, optionsForClientTLS
from wirebook.task import Clock, LoopingCall, cooperate
from wirebook.trace import tracing
from wirebook_kernel import reprs
from wirebook_kernel.pictures import MOST_STEPS, MOST_TEXT, span


@pytest.fixture(autouse=True)
def _shown(shell: InteractiveShell) -> Iterator[None]:
    """The shell shows the framework's objects."""
    reprs.install(shell)
    yield
    reprs.uninstall(shell)


@pytest.fixture
def _hosted() -> Iterator[None]:
    """The process's reactor, running beside the test as in a kernel."""
    reactor.runInThread()
    yield
    reactor.shutDown()


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
    with tracing(reactor) as trace:
        deferred = succeed(1).addCallback(double).addCallback(divide).addErrback(lambda _: 7).addCallback(round)
    lines = without_times(text_of(shell, deferred))
    assert lines[:4] == ["<Deferred: fired>", "7", "▸ 1", "✔ double → 2 (TIME)"]
    assert lines[4].startswith("✘ divide → ZeroDivisionError: division by zero (TIME, ")
    assert lines[4].endswith(" in divide)")
    assert lines[5].endswith(" → 7 (TIME)")
    assert lines[6:] == ["✔ round → 7 (TIME)"]
    assert len(trace.steps_of(deferred)) == 4


def test_a_traced_deferred_shows_what_it_waits_for_and_what_is_to_come(shell: InteractiveShell) -> None:
    inner: Deferred[int] = Deferred()
    with tracing(reactor) as trace:
        deferred = succeed(1).addCallback(double).addCallback(lambda _: inner).addCallback(double)
    lines = without_times(text_of(shell, deferred))
    assert lines[0] == "<Deferred: waiting, next 1 callback>"
    assert lines[1] == f"for {inner!r}"
    assert lines[2:4] == ["▸ 1", "✔ double → 2 (TIME)"]
    assert lines[4].endswith("<lambda> → another Deferred")
    assert lines[5:] == ["○ double"]
    assert len(trace.steps_of(deferred)) == 2


def test_a_long_chain_is_cut(shell: InteractiveShell) -> None:
    with tracing(reactor) as trace:
        deferred: Deferred[int] = Deferred()
        for _ in range(100):
            deferred.addCallback(lambda value: value + 1)
        assert text_of(shell, deferred).endswith(f"\n⋮ {100 - MOST_STEPS} more")
        deferred.callback(0)
    lines = without_times(text_of(shell, deferred))
    assert lines[1:4] == ["100", f"⋮ {100 - MOST_STEPS} earlier steps", f"▸ {100 - MOST_STEPS}"]
    assert len(lines) == 4 + MOST_STEPS
    assert len(trace.steps_of(deferred)) == 100


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
    for result in ("x" * 10_000, b"x" * 10_000_000, list(range(10_000_000))):
        text = text_of(shell, succeed(result))
        assert "…" in text or "..." in text
        assert len(text) <= MOST_TEXT + 30


def test_results_are_escaped(shell: InteractiveShell) -> None:
    assert "<img" not in bundle_of(shell, succeed(NASTY))["text/html"]
    with tracing(reactor) as trace:
        traced = succeed(NASTY).addCallback(str.strip)
    assert "<img" not in bundle_of(shell, traced)["text/html"]
    assert len(trace.steps) == 1


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


def raised() -> Failure:
    """A failure of a callback."""
    caught: list[Failure] = []
    succeed(1).addCallback(divide).addErrback(caught.append)
    return caught[0]


def test_a_failure_shows_its_traceback_without_the_frameworks_frames(shell: InteractiveShell) -> None:
    lines = text_of(shell, raised()).splitlines()
    assert lines[0] == "<Failure: ZeroDivisionError: failed>"
    assert sum("Traceback (most recent call last)" in line for line in lines) == 1
    assert any("in divide(value)" in line for line in lines)
    assert not any("wirebook/" in line for line in lines)
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_failure_shows_it_also_when_its_frames_are_gone(shell: InteractiveShell) -> None:
    failure = raised()
    failure.cleanFailure()
    assert "divide" in text_of(shell, failure)


def test_a_failure_that_was_never_raised_has_no_traceback(shell: InteractiveShell) -> None:
    assert text_of(shell, Failure(ValueError("never"))) == "<Failure: ValueError: failed>\nnever"


def test_a_traceback_has_the_shells_colours(shell: InteractiveShell) -> None:
    usual = shell.colors
    shell.colors = "linux"
    try:
        bundle = bundle_of(shell, raised())
    finally:
        shell.colors = usual
    assert "\x1b[" in bundle["text/plain"]
    assert "\x1b[" not in bundle["text/html"]
    assert "var(--jp-error-color1" in bundle["text/html"]


# --- datagrams, TLS, processes ---------------------------------------------------------------------------


@pytest.mark.usefixtures("_hosted")
def test_a_udp_port_shows_what_passed(shell: InteractiveShell) -> None:
    port = reactor.listenUDP(0, DatagramProtocol())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", ("127.0.0.1", port.port))
        assert eventually(lambda: port.datagramsReceived == 1)
    assert text_of(shell, port) == (
        f"<UDP port {port.getHost()}: listening, protocol DatagramProtocol, in 1 datagram of 5 B, "
        "out 0 datagrams of 0 B>"
    )
    port.closeHandle().wait(5)


@pytest.mark.usefixtures("_hosted")
def test_a_unix_port_shows_its_path(shell: InteractiveShell, tmp_path: Path) -> None:
    port = reactor.listenUNIX(tmp_path / "socket", Factory.forProtocol(Protocol))
    assert text_of(shell, port).startswith(f"<UNIX port {tmp_path / 'socket'}: listening, serves Protocol,")
    port.closeHandle().wait(5)


class Greeter(Protocol):
    """Says hello, so that the other side knows when the handshake is done."""

    def connectionMade(self) -> None:
        self.transport.write(b"hello")


class Listener(Protocol):
    """Keeps what it is told."""

    heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


@pytest.mark.usefixtures("_hosted")
def test_a_tls_connection_shows_version_cipher_and_the_peers_certificate(shell: InteractiveShell) -> None:
    authority = LabAuthority()
    port = reactor.listenSSL(0, Factory.forProtocol(Greeter), authority.server("localhost").options())
    endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", port.port, authority.clientOptions("localhost"))
    client = endpoint.connect(Factory.forProtocol(Listener)).wait(10)
    assert eventually(lambda: client.heard, 10)
    shown = text_of(shell, client.transport)
    assert shown.startswith("<TLS 127.0.0.1:")
    assert re.search(r"TLS TLSv1\.\d, TLS_\w+, peer CN=localhost", shown)
    (served,) = [handle for handle in reactor.handles.of("connection") if handle.label == "Greeter"]
    assert "peer no certificate" in text_of(shell, served)
    client.transport.abortConnection()
    port.closeHandle().wait(5)
    assert eventually(lambda: ": closed," in text_of(shell, client.transport))


def test_a_certificate_shows_whose_it_is_and_until_when(shell: InteractiveShell) -> None:
    authority = LabAuthority("the lab")
    server = authority.server("localhost", "127.0.0.1")
    assert re.fullmatch(
        r"<Certificate CN=localhost: issuer CN=the lab, for localhost, 127\.0\.0\.1, valid 20[\d-]+ to 20[\d-]+, "
        r"private key yes, SHA-256 ([\dA-F]{2}:){31}[\dA-F]{2}>",
        text_of(shell, server),
    )
    assert "private key" not in text_of(shell, authority.certificate)
    assert ", for " not in text_of(shell, authority.certificate)


@pytest.mark.usefixtures("_hosted")
def test_a_process_shows_its_program_and_its_end(shell: InteractiveShell) -> None:
    process = reactor.spawnProcess(ProcessProtocol(), "cat")
    assert text_of(shell, process).startswith(f"<Process cat: running, pid {process.pid}, protocol ProcessProtocol,")
    process.closeStdin()
    assert eventually(lambda: process.pid is None, 10)
    assert text_of(shell, process).startswith("<Process cat: exited, status 0,")


# --- what waits for its time, pools, locks ---------------------------------------------------------------


def test_a_looping_call_shows_its_interval_and_when_it_is_next(shell: InteractiveShell) -> None:
    loop, clock = LoopingCall(print), Clock()
    loop.clock = clock
    assert text_of(shell, loop) == "<Looping call of print: stopped>"
    loop.start(10, now=False)
    clock.advance(4)
    assert text_of(shell, loop) == "<Looping call of print: running, every 10 s, next in 6.0 s>"
    loop.stop()


@pytest.mark.usefixtures("_hosted")
def test_a_cooperative_task_says_what_it_waits_for(shell: InteractiveShell) -> None:
    gate: Deferred[None] = Deferred()

    def work() -> Iterator[Deferred[None]]:
        yield gate

    task = cooperate(work())
    assert eventually(lambda: ": waiting" in text_of(shell, task))
    assert text_of(shell, task).endswith(f"work: waiting>\nfor {gate!r}")
    gate.callback(None)
    task.whenDone().wait(5)
    assert text_of(shell, task).endswith("work: done>")


TOOLS: dict[str, tuple[Callable[[], object], str]] = {
    "lock": (DeferredLock, "<DeferredLock: free>"),
    "semaphore": (lambda: DeferredSemaphore(3), "<DeferredSemaphore: free, free 3 of 3 tokens>"),
    "queue": (lambda: DeferredQueue(5), "<DeferredQueue: objects 0 of 5, waiting 0>"),
    "list": (
        lambda: DeferredList([succeed(1), Deferred()]),
        "<DeferredList: waiting, has 1 of 2 results>\n✔ 0: 1\n… 1",
    ),
    "pool": (
        lambda: ThreadPool(1, 4, "mine"),
        "<Thread pool mine: stopped, threads 0 of 1 to 4, busy 0, jobs waiting 0>",
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_says_how_it_stands(tool: str, shell: InteractiveShell) -> None:
    make, text = TOOLS[tool]
    assert text_of(shell, make()) == text


def test_a_lock_that_is_taken_says_who_waits(shell: InteractiveShell) -> None:
    lock = DeferredLock()
    lock.acquire()
    waiting = lock.acquire()
    assert text_of(shell, lock) == "<DeferredLock: locked, waiting 1>"
    waiting.addErrback(lambda _: None).cancel()


def test_a_list_shows_the_member_that_failed(shell: InteractiveShell) -> None:
    gathered = DeferredList([succeed(1), fail(ValueError("this one"))], consumeErrors=True)
    assert text_of(shell, gathered) == ("<DeferredList: fired, has 2 of 2 results>\n✔ 0: 1\n✘ 1: ValueError: this one")


def test_a_connection_pool_does_not_show_how_it_connects(shell: InteractiveShell) -> None:
    pool = ConnectionPool("sqlite3", "secret.db", cp_noisy=False)
    bundle = bundle_of(shell, pool)
    assert bundle["text/plain"] == "<Connection pool of sqlite3: stopped, connections 0 of 3 to 5>"
    assert "secret" not in bundle["text/html"]
    pool.close()


ENDPOINTS: dict[str, tuple[Callable[[], object], str]] = {
    "client": (
        lambda: TCP4ClientEndpoint(reactor, "example.org", 80, timeout=5),
        "<TCP4ClientEndpoint: host example.org, port 80, timeout 5>",
    ),
    "server": (
        lambda: serverFromString(reactor, "tcp:8080:interface=0.0.0.0"),
        "<TCP4ServerEndpoint: port 8080, interface 0.0.0.0>",
    ),
    "name": (
        lambda: HostnameEndpoint(reactor, "example.org", 80),
        "<HostnameEndpoint: name example.org, port 80, timeout 30>",
    ),
    "unix": (lambda: UNIXServerEndpoint(reactor, "/tmp/x"), "<UNIXServerEndpoint: address /tmp/x>"),
    "wrapped": (
        lambda: wrapClientTLS(optionsForClientTLS("example.org"), TCP4ClientEndpoint(reactor, "example.org", 443)),
        "<WrapperClientEndpoint>\naround <TCP4ClientEndpoint: host example.org, port 443, timeout 30>",
    ),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_says_where_it_leads(endpoint: str, shell: InteractiveShell) -> None:
    make, text = ENDPOINTS[endpoint]
    assert text_of(shell, make()) == text


@pytest.mark.usefixtures("_hosted")
def test_a_connector_says_where_it_connects(shell: InteractiveShell) -> None:
    class Once(Factory):
        protocol = Protocol
        done: Deferred[None] = Deferred()

        def startedConnecting(self, connector: object) -> None:
            """It begins."""

        def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
            self.done.callback(None)

        clientConnectionLost = clientConnectionFailed

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
        connector = reactor.connectTCP("127.0.0.1", number, Once())
        Once.done.wait(5)
    assert text_of(shell, connector) == f"<Connector to 127.0.0.1:{number}: disconnected>"


@pytest.mark.usefixtures("_hosted")
def test_the_reactor_shows_what_is_open(shell: InteractiveShell) -> None:
    call = reactor.callLater(3600, print)
    bundle = bundle_of(shell, reactor)
    assert "1 timer is open" in bundle["text/plain"]
    assert "<table" in bundle["text/html"]
    call.cancel()


def test_a_place_in_a_cell_is_named_by_the_cell(shell: InteractiveShell) -> None:
    shell.push({"succeed": succeed, "tracing": tracing, "reactor": reactor})
    shell.run_cell(
        "def fails(value):\n    raise ValueError('no')\n"
        "with tracing(reactor) as trace:\n    failed = succeed(1).addCallback(fails)",
        store_history=True,
    )
    number = shell.execution_count - 1
    lines = without_times(text_of(shell, shell.user_ns["failed"]))
    assert lines[1:3] == ["ValueError: no", f"in fails(), cell [{number}], line 2"]
    assert lines[4] == f"✘ fails → ValueError: no (TIME, cell [{number}]:2 in fails)"
    shell.user_ns["failed"].addErrback(lambda _: None)
