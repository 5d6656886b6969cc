"""The load generator tells the truth: about wrong bytes, lost connections, silence and stalls."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bench import load
from tests.bench.children import ChildError
from tests.bench.load import SIZE, Probe
from tools.system_packages import nothing_may_be_left_out

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
