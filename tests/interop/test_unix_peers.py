"""UNIX sockets, ours against other programs': socat, nc, curl, and Python's own sockets and asyncio."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders
from tests.interop.peers import DATA, Hashing, Summing, Web, asyncio_echo, asyncio_reverse, exchange, running, talk
from wirebook.error import ConnectionDone
from wirebook.protocol import Factory
from wirebook.transports.reactor import Reactor

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a socket may be."""
    return tmp_path / "sock"


@contextmanager
def serving(reactor: Reactor, factory: Any, address: Any) -> Iterator[None]:
    """Listen while the block runs; then abort what is connected still."""
    port = reactor.listenUNIX(address, factory)
    try:
        yield
    finally:
        port.stopListening()
        for connection in reactor.handles.of("connection"):
            connection.closeHandle(abort=True)


@contextmanager
def connected(reactor: Reactor, address: Any, kind: Callable[[], Any] = Recorder) -> Iterator[Any]:
    """A client's protocol, connected to `address`."""
    clients = Recorders(kind)
    connector = reactor.connectUNIX(address, clients)
    try:
        yield clients.number(0)
    finally:
        connector.disconnect()
        clients.error()


@contextmanager
def socat_listening(peer: Callable[[str], str], path: Path, *address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let socat listen at `path` and join whoever connects to `address`."""
    with running([peer("socat"), "-t5", f"UNIX-LISTEN:{path}", *address]) as process:
        assert eventually(path.exists, PATIENCE)
        yield process


# --- their clients


def test_nc_gets_its_bytes_back_after_it_has_sent_all(
    any_reactor: Reactor, peer: Callable[[str], str], path: Path
) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory, path):
        assert talk([peer("nc"), "-N", "-U", str(path)], DATA) == DATA
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_socat_gets_its_bytes_back(any_reactor: Reactor, peer: Callable[[str], str], path: Path) -> None:
    with serving(any_reactor, Recorders(Echo), path):
        assert talk([peer("socat"), "-t5", "-", f"UNIX-CONNECT:{path}"], DATA) == DATA


@LINUX
def test_socat_finds_an_abstract_name(reactor: Reactor, peer: Callable[[str], str]) -> None:
    name = f"wirebook-peers-{os.getpid()}"
    with serving(reactor, Recorders(Echo), f"\0{name}"):
        assert talk([peer("socat"), "-t5", "-", f"ABSTRACT-CONNECT:{name}"], b"hello") == b"hello"


def test_socat_hears_an_answer_that_is_given_after_its_own_end(
    reactor: Reactor, peer: Callable[[str], str], path: Path
) -> None:
    factory = Recorders(Summing)
    with serving(reactor, factory, path):
        answer = talk([peer("socat"), "-t5", "-", f"UNIX-CONNECT:{path}"], DATA)
        assert answer == hashlib.sha256(DATA).digest()
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_curl_gets_answers(any_reactor: Reactor, peer: Callable[[str], str], path: Path) -> None:
    with serving(any_reactor, Recorders(Web), path):
        command = [peer("curl"), "-sS", "--unix-socket", str(path)]
        assert talk([*command, "http://localhost/"]) == Web.body
        assert talk([*command, "--parallel", "http://localhost/[1-20]"]) == Web.body * 20


def test_asyncio_clients_are_served(reactor: Reactor, path: Path) -> None:
    async def client(number: int) -> bytes:
        return await asyncio_echo(*await asyncio.open_unix_connection(path), b"%d " % number * 1000)

    async def clients() -> list[bytes]:
        return await asyncio.wait_for(asyncio.gather(*map(client, range(20))), PATIENCE)

    with serving(reactor, Recorders(Echo), path):
        assert asyncio.run(clients()) == [b"%d " % number * 1000 for number in range(20)]


# --- their servers


def test_our_client_talks_to_socat(any_reactor: Reactor, peer: Callable[[str], str], path: Path) -> None:
    with socat_listening(peer, path, "PIPE") as socat:
        with connected(any_reactor, path) as client:
            client.transport.write(b"hello, socat")
            assert eventually(lambda: client.data == b"hello, socat", PATIENCE)
        assert socat.wait(PATIENCE) == 0


@LINUX
def test_our_client_finds_an_abstract_name(reactor: Reactor, peer: Callable[[str], str]) -> None:
    name = f"wirebook-socat-{os.getpid()}"
    with running([peer("socat"), f"ABSTRACT-LISTEN:{name}", "PIPE"]):
        assert eventually(lambda: f"@{name}" in Path("/proc/net/unix").read_text(), PATIENCE)
        with connected(reactor, f"\0{name}") as client:
            client.transport.write(b"hello")
            assert eventually(lambda: client.data == b"hello", PATIENCE)


def test_our_end_of_sending_reaches_a_filter_behind_socat(
    reactor: Reactor, peer: Callable[[str], str], path: Path
) -> None:
    with socat_listening(peer, path, "EXEC:sha256sum"), connected(reactor, path) as client:
        client.transport.write(DATA)
        client.transport.loseWriteConnection()
        assert isinstance(client.end(), ConnectionDone)
        assert client.data.split()[0].decode() == hashlib.sha256(DATA).hexdigest()


def test_our_client_talks_to_an_asyncio_server(reactor: Reactor, path: Path) -> None:
    async def serve_one() -> bytes:
        async with await asyncio.start_unix_server(asyncio_reverse, path):
            return await asyncio.wait_for(asyncio.to_thread(ask), 2 * PATIENCE)

    def ask() -> bytes:
        with connected(reactor, path) as client:
            client.transport.write(DATA)
            client.end()
            return bytes(client.data)

    assert asyncio.run(serve_one()) == DATA[::-1]


# --- much


def test_fifty_megabytes_arrive_whole_both_ways_at_once(
    reactor: Reactor, peer: Callable[[str], str], path: Path
) -> None:
    servers: Recorders[Hashing] = Recorders(Hashing)
    with serving(reactor, servers, path):
        exchange([peer("socat"), "-t20", "-b65536", "-", f"UNIX-CONNECT:{path}"], servers)


# --- descriptors


SENDER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as sock, open(sys.argv[2], "rb") as file:
    sock.connect(sys.argv[1])
    socket.send_fds(sock, [b"this file"], [file.fileno()])
    sock.recv(1)
"""
RECEIVER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    data, descriptors, _, _ = socket.recv_fds(sock, 100, 5)
    for descriptor in descriptors:
        sys.stdout.write(os.read(descriptor, 100).decode())
    print(data.decode())
"""


def test_a_descriptor_comes_from_another_process(reactor: Reactor, path: Path, tmp_path: Path) -> None:
    class Receiver(Recorder):
        content = b""

        def fileDescriptorReceived(self, descriptor: int) -> None:
            with open(descriptor, "rb") as file:
                self.content = file.read()

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(b"!")

    file = tmp_path / "file"
    file.write_text("what is in it")
    factory = Recorders(Receiver)
    with serving(reactor, factory, path):
        talk([sys.executable, "-c", SENDER, str(path), str(file)])
        factory.number(0).end()
        assert (factory.protocols[0].content, bytes(factory.protocols[0].data)) == (b"what is in it", b"this file")


def test_a_descriptor_goes_to_another_process(reactor: Reactor, path: Path, tmp_path: Path) -> None:
    class Sender(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            with file.open() as opened:
                self.transport.sendFileDescriptor(opened.fileno())
            self.transport.write(b" (this file)")

    file = tmp_path / "file"
    file.write_text("what is in it")
    with serving(reactor, Recorders(Sender), path):
        assert talk([sys.executable, "-c", RECEIVER, str(path)]) == b"what is in it (this file)\n"


# --- from outside


@LINUX
def test_ss_sees_our_socket_and_how_many_may_wait(reactor: Reactor, peer: Callable[[str], str], path: Path) -> None:
    port = reactor.listenUNIX(path, Factory.forProtocol(Echo), backlog=17)
    lines = [line.split() for line in talk([peer("ss"), "-xl"]).decode().splitlines() if str(path) in line]
    port.stopListening()
    ((kind, state, waiting, backlog, *_),) = lines
    assert (kind, state, waiting, backlog) == ("u_str", "LISTEN", "0", "17")
    assert str(path) not in talk([peer("ss"), "-xl"]).decode()
