"""However a kernel ends, its connections are closed in order and in time, also while a cell blocks."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from tests.kernel.conftest import NAMES
from tests.kernel.kit import Notebook
from wirebook_kernel.ending import guard_end, terminate, unguard_end

# The promise.
SECONDS = 2.0
SERVER = f"""{NAMES}
from wirebook.ssl import LabAuthority
class Pour(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"x" * int(data))
options = LabAuthority().server("localhost").options()
port = reactor.listenSSL(0, Factory.forProtocol(Pour), options)
reactor.callLater(3600, print)
"""
BLOCKS = {
    "computes": "while True: pass",
    "sleeps": "time.sleep(60)",
    "awaits": "await Deferred()",
    "refuses": "while True:\n    try: time.sleep(60)\n    except KeyboardInterrupt: print('no')",
}


def connect_to(port: int) -> ssl.SSLSocket:
    """A client of the TLS server at `port`, which takes an end without a goodbye for an error."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), suppress_ragged_eofs=False)
    client.sendall(b"1")
    assert client.recv(10) == b"x"
    return client


@contextmanager
def serving() -> Iterator[tuple[Notebook, ssl.SSLSocket]]:
    """A kernel with a TLS server, and a client of it."""
    with Notebook() as notebook:
        assert notebook.run(SERVER).error == ""
        with connect_to(notebook.value("port.getHost().port")) as client:
            yield notebook, client


def block(notebook: Notebook, how: str) -> None:
    """Have a cell block the main thread."""
    notebook.start(f"print('here', flush=True)\n{BLOCKS[how]}").wait(lambda run: "here" in run.stdout)


def ask(notebook: Notebook) -> None:
    """Ask for the end, as a front end does."""
    notebook.control("shutdown_request", {"restart": False})


def kernel_process(notebook: Notebook) -> Popen[bytes]:
    """The kernel's process."""
    provisioner = notebook.manager.provisioner
    assert provisioner is not None
    process: Popen[bytes] = provisioner.process  # type: ignore[attr-defined]
    return process


def send_sigterm(notebook: Notebook) -> None:
    """End it as a service is ended."""
    os.kill(kernel_process(notebook).pid, signal.SIGTERM)


def seconds_until_goodbye(client: ssl.SSLSocket, end: Callable[[], object]) -> float:
    """How long it takes until the server says goodbye, from the moment it is told to `end`."""
    goodbyes: list[float] = []

    def read() -> None:
        if client.recv(1) == b"":
            goodbyes.append(time.monotonic())

    reading = threading.Thread(target=read)
    reading.start()
    began = time.monotonic()
    end()
    reading.join(10)
    assert goodbyes, "TLS has a goodbye (close_notify)"
    return goodbyes[0] - began


@pytest.mark.parametrize("how", [*BLOCKS])
def test_a_tls_client_is_told_goodbye_in_time_while_a_cell_blocks(how: str) -> None:
    with serving() as (notebook, client):
        block(notebook, how)
        assert seconds_until_goodbye(client, lambda: ask(notebook)) < SECONDS


@pytest.mark.parametrize("how", ["computes", "refuses"])
def test_sigterm_ends_the_process_in_time_and_in_order(how: str) -> None:
    with serving() as (notebook, client):
        block(notebook, how)
        began = time.monotonic()
        seconds_until_goodbye(client, lambda: send_sigterm(notebook))
        assert kernel_process(notebook).wait(SECONDS) == 128 + signal.SIGTERM
        assert time.monotonic() - began < SECONDS


def test_a_restart_closes_everything_first_and_the_new_kernel_gets_the_same_port() -> None:
    with serving() as (notebook, client):
        number = notebook.value("port.getHost().port")
        block(notebook, "refuses")
        assert seconds_until_goodbye(client, notebook.restart) < SECONDS
        run = notebook.run(NAMES + f"port = reactor.listenTCP({number}, Factory.forProtocol(Protocol))")
        assert run.error == ""


def test_a_peer_that_never_reads_does_not_hold_up_the_end() -> None:
    with serving() as (notebook, client):
        client.sendall(b"30000000")
        assert client.recv(1) == b"x"
        block(notebook, "computes")
        began = time.monotonic()
        ask(notebook)
        assert time.monotonic() - began < SECONDS


def test_a_callback_that_keeps_the_reactor_does_not_hold_up_the_end() -> None:
    with serving() as (notebook, _):
        stuck = notebook.run(
            "def stuck():\n    print('here', flush=True)\n    time.sleep(60)\nreactor.callLater(0, stuck)"
        )
        stuck.wait(lambda run: "here" in run.stdout)
        began = time.monotonic()
        ask(notebook)
        assert time.monotonic() - began < SECONDS


def test_a_handler_of_somebody_else_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        guard_end()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        guard_end()
        assert signal.getsignal(signal.SIGTERM) is terminate
        unguard_end()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
