"""Whose a port is: of this process's reactor, of this process, of another one."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path

import pytest

from wirebook import Factory, Protocol, reactor
from wirebook.error import CannotListenError
from wirebook.protocol import DatagramProtocol
from wirebook_kernel import whose
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.whose import Holder, holder, in_the_way, is_loopback, kernel_ports, overlap

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
LISTENER = """
import socket, sys
kind, family, address = sys.argv[1:4]
sock = socket.socket(getattr(socket, family), getattr(socket, kind))
sock.bind(address if family == "AF_UNIX" else (address, 0))
if kind == "SOCK_STREAM":
    sock.listen()
print(0 if family == "AF_UNIX" else sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


def in_use(interface: str | None, port: int | str, transport: str = "TCP") -> CannotListenError:
    """The error of who wants to listen there."""
    error = CannotListenError(interface, port, OSError(errno.EADDRINUSE, "in use"))
    error.transportName = transport
    return error


@contextmanager
def other_process(kind: str, family: str, address: str, *more: str) -> Iterator[tuple[int, int]]:
    """A process that listens; its pid and port."""
    command = [sys.executable, "-c", LISTENER, kind, family, address, *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def test_a_port_of_the_reactor_belongs_to_its_cell() -> None:
    context = copy_context()
    context.run(current_cell.set, Cell("a", 3, 1))
    port = context.run(reactor.listenTCP, 0, Factory.forProtocol(Protocol))
    datagrams = reactor.listenUDP(0, DatagramProtocol())
    wanted = Holder("cell [3] of this kernel", "close it with %reactor close cell 3")
    assert holder(in_use("127.0.0.1", port.port)) == wanted
    assert holder(in_use("0.0.0.0", port.port)) == wanted
    assert holder(in_use("127.0.0.1", datagrams.port, "UDP")) == Holder("this kernel, outside its cells", "close it")
    assert holder(in_use("127.0.0.1", port.port, "UDP")) is None or port.port == datagrams.port
    assert kernel_ports("TCP", port.port) == [port]
    assert kernel_ports("UDP") == [datagrams]
    port.stopListening()
    datagrams.stopListening()


def test_a_unix_socket_of_the_reactor_belongs_to_its_cell(tmp_path: Path) -> None:
    port = reactor.listenUNIX(tmp_path / "socket", Factory.forProtocol(Protocol))
    assert holder(in_use(None, str(tmp_path / "socket"))) == Holder("this kernel, outside its cells", "close it")
    assert holder(in_use(None, str(tmp_path / "another"))) is None
    port.stopListening()


def test_a_port_that_was_opened_by_a_name_is_in_the_way_of_that_name() -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="localhost")
    assert in_the_way(in_use("localhost", port.port)) == [port]
    assert in_the_way(in_use("localhost", port.port, "UDP")) == []
    port.stopListening()


@on_linux
@pytest.mark.parametrize(
    ("kind", "family", "address", "asked"),
    [
        ("SOCK_STREAM", "AF_INET", "127.0.0.1", "127.0.0.1"),
        ("SOCK_STREAM", "AF_INET", "0.0.0.0", "127.0.0.1"),
        ("SOCK_STREAM", "AF_INET", "127.0.0.1", "0.0.0.0"),
        ("SOCK_STREAM", "AF_INET6", "::", "127.0.0.1"),
        ("SOCK_STREAM", "AF_INET6", "::1", "::1"),
        ("SOCK_DGRAM", "AF_INET", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_another_process_is_named(kind: str, family: str, address: str, asked: str) -> None:
    if family == "AF_INET6" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with other_process(kind, family, address) as (pid, port):
        found = holder(in_use(asked, port, "TCP" if kind == "SOCK_STREAM" else "UDP"))
    assert found is not None
    assert found.name.startswith("process python")
    assert found.name.endswith(f" (pid {pid})")
    assert found.remedy == "stop it"


@on_linux
def test_another_process_that_serves_a_unix_socket_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with other_process("SOCK_STREAM", "AF_UNIX", path) as (pid, _):
        found = holder(in_use(None, path))
    assert found is not None
    assert found.name.endswith(f" (pid {pid})")


@on_linux
def test_another_kernel_is_called_one() -> None:
    with other_process("SOCK_STREAM", "AF_INET", "127.0.0.1", "ipykernel_launcher") as (pid, port):
        found = holder(in_use("127.0.0.1", port))
    assert found == Holder(f"the kernel of another notebook (pid {pid})", "stop it")


@on_linux
def test_a_socket_of_this_process_beside_the_reactor_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = holder(in_use("127.0.0.1", server.getsockname()[1]))
    assert found == Holder("a socket of this kernel that was not opened with the reactor", "close it")


@on_linux
def test_of_a_process_that_cannot_be_seen_the_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "_process_with", lambda links: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert holder(in_use("127.0.0.1", port)) is None, "it is this user, which says nothing"
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        found = holder(in_use("127.0.0.1", port))
    assert found is not None
    assert found.name.startswith("a process of user ")


@on_linux
def test_the_look_around_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "PATIENCE", -1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert holder(in_use("127.0.0.1", server.getsockname()[1])) is None


def test_where_nothing_is_told_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "_rows", lambda table: iter(()))
    assert holder(in_use("127.0.0.1", 9)) is None
    assert holder(in_use(None, "/nowhere")) is None


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "::", True),
        ("0.0.0.0", "::", False),
    ],
)
def test_addresses_clash_when_they_are_the_same_or_one_is_all(one: str, other: str, clash: bool) -> None:
    assert overlap(one, other) is clash


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False), (None, False)],
)
def test_this_machine_is_known_by_its_names(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_while_a_callback_keeps_the_reactor_nobody_waits_long_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "PATIENCE", 0.01)
    held, done = threading.Event(), threading.Event()

    def keep() -> None:
        with reactor.turn():
            held.set()
            done.wait(10)

    keeper = threading.Thread(target=keep)
    keeper.start()
    held.wait(10)
    with pytest.raises(TimeoutError):
        kernel_ports("TCP")
    done.set()
    keeper.join()
