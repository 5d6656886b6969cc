"""The load generator tells the truth: about wrong bytes, lost connections, silence and stalls."""

from __future__ import annotations

import itertools
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench import load
from tests.bench.children import ChildError
from tests.bench.load import SIZE, Held, Probe
from tests.core.net_kit import Echo, Recorders, serving
from tools.system_packages import nothing_may_be_left_out
from wirebook.transports.reactor import Reactor

STALL_SECONDS = 0.3


@pytest.fixture(autouse=True)
def load_program() -> None:
    """Leave these tests out where the load generator cannot be built."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the load generator is for Linux")
    if shutil.which("cc") is None and not nothing_may_be_left_out():
        pytest.skip("needs cc: apt-get install gcc libc6-dev")
    load.program()


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run `serve` on the first connection, in a thread; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=work)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def receive(connection: socket.socket) -> bytes:
    """One message, or what came before the end."""
    try:
        return connection.recv(SIZE, socket.MSG_WAITALL)
    except ConnectionResetError:
        return b""


def echo(connection: socket.socket) -> None:
    while data := receive(connection):
        connection.sendall(data)


def test_echoes_are_counted_and_timed() -> None:
    with server(echo) as port:
        seen = load.run("echo", port, 1, 0.2)
    assert seen.count > 100
    assert seen.rate == pytest.approx(seen.count / seen.seconds, rel=0.05)
    assert 0 < seen.p50_us <= seen.p99_us <= seen.max_us


def test_a_wrong_byte_is_an_error() -> None:
    def corrupt(connection: socket.socket) -> None:
        data = bytearray(receive(connection))
        data[-1] ^= 1
        connection.sendall(data)
        receive(connection)

    with server(corrupt) as port, pytest.raises(ChildError, match="differs from what was sent"):
        load.run("echo", port, 1, 1.0)


def test_an_older_echo_is_not_taken_for_the_answer() -> None:
    def repeat(connection: socket.socket) -> None:
        data = receive(connection)
        connection.sendall(data)
        receive(connection)
        connection.sendall(data)
        receive(connection)

    with server(repeat) as port, pytest.raises(ChildError, match="differs from what was sent"):
        load.run("echo", port, 1, 1.0)


def test_a_closed_connection_is_an_error() -> None:
    def leave(connection: socket.socket) -> None:
        receive(connection)

    with server(leave) as port, pytest.raises(ChildError, match="the server closed a connection"):
        load.run("echo", port, 1, 1.0)


def test_a_stall_is_in_the_percentiles_for_every_message_it_delayed() -> None:
    def stall_once(connection: socket.socket) -> None:
        timer = threading.Event()
        for count in range(1_000):
            data = receive(connection)
            if not data:
                return
            if count == 50:
                timer.wait(STALL_SECONDS)
            connection.sendall(data)

    with server(stall_once) as port, Probe(port, 1.0, 100.0) as probe:
        probe.start()
        seen = probe.finish()
    assert seen.count == pytest.approx(100, abs=3)
    assert seen.p90_us > STALL_SECONDS * 1e6 / 2
    assert seen.p50_us < STALL_SECONDS * 1e6 / 10


def test_what_is_never_answered_counts_with_its_age() -> None:
    def say_nothing(connection: socket.socket) -> None:
        while receive(connection):
            pass

    with server(say_nothing) as port, Probe(port, 0.5, 100.0) as probe:
        probe.start()
        seen = probe.finish()
    assert seen.unanswered == seen.count > 40
    assert seen.max_us > 400_000


# --- datagrams


@contextmanager
def datagram_server(answer: Callable[[int, bytes], bytes | None]) -> Iterator[int]:
    """Give back what `answer(number, datagram)` returns, until a datagram is empty, in a thread; the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def work() -> None:
            for number in itertools.count():
                data, sender = sock.recvfrom(2048)
                if not data:
                    return
                reply = answer(number, data)
                if reply is not None:
                    sock.sendto(reply, sender)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


def test_datagrams_are_counted_and_timed() -> None:
    with datagram_server(lambda number, data: data) as port:
        seen = load.run("udp", port, 32, 0.2, 64)
    assert seen.count > 100
    assert seen.unanswered == 0
    assert 0 < seen.p50_us <= seen.p99_us <= seen.max_us


def test_datagrams_may_come_in_another_order() -> None:
    kept: list[bytes] = []

    def swap(number: int, data: bytes) -> bytes | None:
        # The first one is held back, and from then on every answer is the datagram before.
        kept.append(data)
        return kept.pop(0) if len(kept) > 1 else None

    with datagram_server(swap) as port:
        seen = load.run("udp", port, 4, 0.2, 64)
    assert seen.count > 100


def test_a_wrong_byte_in_a_datagram_is_an_error() -> None:
    with (
        datagram_server(lambda number, data: data[:-1] + b"!") as port,
        pytest.raises(ChildError, match="differs from what was sent"),
    ):
        load.run("udp", port, 4, 0.2, 64)


def test_a_datagram_that_comes_twice_is_an_error() -> None:
    kept: list[bytes] = []

    def repeat(number: int, data: bytes) -> bytes:
        kept.append(data)
        return kept[0] if number == 1 else data

    with datagram_server(repeat) as port, pytest.raises(ChildError, match=r"more than it was given|differs"):
        load.run("udp", port, 4, 0.2, 64)


def test_a_datagram_that_is_lost_is_unanswered() -> None:
    with datagram_server(lambda number, data: None if number == 5 else data) as port:
        seen = load.run("udp", port, 4, 0.3, 64)
    assert seen.unanswered == 1
    assert seen.count > 100


def test_each_held_connection_is_asked_in_the_end(reactor: Reactor) -> None:
    servers = Recorders(Echo)
    with serving(reactor, servers) as port, Held(port.port, 500) as held:
        assert port.connectionCount == 500
        held.start()
        assert held.finish().count == 500


def test_a_held_connection_that_has_ended_is_an_error(reactor: Reactor) -> None:
    servers = Recorders(Echo)
    with serving(reactor, servers) as port, Held(port.port, 500) as held:
        servers.number(321).transport.loseConnection()
        servers.number(321).end()
        held.start()
        with pytest.raises(ChildError, match="the server closed a connection"):
            held.finish()


def test_a_path_is_a_unix_socket(reactor: Reactor, tmp_path: Path) -> None:
    port = reactor.listenUNIX(tmp_path / "sock", Recorders(Echo))
    assert load.run("echo", str(tmp_path / "sock"), 5, 0.2).count > 100
    with Probe(str(tmp_path / "sock"), 0.2, 100.0) as probe:
        probe.start()
        assert probe.finish().unanswered == 0
    port.stopListening()


def test_a_path_where_nobody_listens_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"connect to .*/nobody: No such file"):
        load.run("echo", str(tmp_path / "nobody"), 1, 0.2)


def test_connections_of_one_byte_are_counted_one_by_one(reactor: Reactor) -> None:
    servers = Recorders(Echo)
    with serving(reactor, servers) as port:
        seen = load.run("connect", port.port, 5, 0.2, size=1)
        assert 100 < seen.count <= port.acceptedCount
