"""Our datagram ports against socat, nc, and the standard library's asyncio."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE
from tests.core.transports.datagram_kit import Answerer, ConnectedListener, Listener, closing, plain_socket
from wirebook.transports.reactor import Reactor

GROUP = "225.0.0.252"
TEXT = b"hello, datagram\n"


@contextmanager
def running(command: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A peer that is killed at the end of the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[bytes], data: bytes = TEXT) -> None:
    """Write to its standard input; what it reads at once it sends as one datagram."""
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def hear(process: subprocess.Popen[bytes], size: int = len(TEXT)) -> bytes:
    """The next `size` bytes of its standard output."""
    assert process.stdout is not None
    got, deadline = b"", time.monotonic() + PATIENCE
    while len(got) < size and select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), size - len(got))
        if not piece:
            break
        got += piece
    return got


def ask(command: list[str]) -> bytes:
    """What a peer prints after it has sent `TEXT`."""
    with running(command) as process:
        say(process)
        return hear(process)


@pytest.mark.parametrize(("interface", "to"), [("127.0.0.1", "UDP4:127.0.0.1"), ("::1", "UDP6:[::1]")])
def test_socat_is_answered(any_reactor: Reactor, peer: Callable[[str], str], interface: str, to: str) -> None:
    with closing(any_reactor.listenUDP(0, Answerer(), interface)) as port:
        assert ask([peer("socat"), "-", f"{to}:{port.port}"]) == TEXT


@pytest.mark.parametrize("interface", ["127.0.0.1", "::1"])
def test_nc_is_answered(any_reactor: Reactor, peer: Callable[[str], str], interface: str) -> None:
    with closing(any_reactor.listenUDP(0, Answerer(), interface)) as port:
        assert ask([peer("nc"), "-u", interface, str(port.port)]) == TEXT


def test_many_nc_are_answered_at_the_same_time(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    answerer = Answerer()
    with closing(any_reactor.listenUDP(0, answerer)) as port:
        answers: list[bytes] = []
        command = [peer("nc"), "-u", "127.0.0.1", str(port.port)]
        threads = [threading.Thread(target=lambda: answers.append(ask(command))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [TEXT] * 8
        assert len({sender for _, sender in answerer.datagrams}) == 8


@pytest.mark.parametrize(("interface", "listen"), [("127.0.0.1", "UDP4-RECVFROM"), ("::1", "UDP6-RECVFROM")])
def test_our_client_is_answered_by_socat(
    any_reactor: Reactor, peer: Callable[[str], str], interface: str, listen: str
) -> None:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    with plain_socket(family, interface) as sock:
        number = sock.getsockname()[1]
    listener = Listener()
    host = f"[{interface}]" if family == socket.AF_INET6 else interface
    with (
        running([peer("socat"), f"{listen}:{number},bind={host}", "PIPE"]),
        closing(any_reactor.listenUDP(0, listener, interface)) as port,
    ):
        port.connect(interface, number)

        def answered() -> bool:
            # Until socat is there, this is refused.
            port.write(TEXT)
            return bool(listener.datagrams)

        assert eventually(answered, PATIENCE)
        assert listener.datagrams[0] == (TEXT, (interface, number))


def test_socat_sends_to_our_group(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener)) as port:
        port.joinGroup(GROUP).wait(PATIENCE)
        with running([peer("socat"), "-u", "-", f"UDP4-DATAGRAM:{GROUP}:{port.port},ip-multicast-if=127.0.0.1"]) as it:
            say(it)
            assert listener.wait(1) == [TEXT]


def test_socat_hears_our_group(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    with plain_socket() as sock:
        number = sock.getsockname()[1]
    heard: list[bytes] = []
    command = [peer("socat"), "-u", f"UDP4-RECV:{number},ip-add-membership={GROUP}:127.0.0.1,reuseaddr", "-"]
    with running(command) as it, closing(any_reactor.listenMulticast(0, Listener())) as port:
        output: Any = it.stdout

        def arrived() -> bool:
            port.write(TEXT, (GROUP, number))
            return bool(select.select([output], [], [], 0)[0])

        assert eventually(arrived, PATIENCE)
        heard.append(hear(it))
    assert heard == [TEXT]


def test_socat_sends_to_our_unix_socket_and_is_answered(
    any_reactor: Reactor, peer: Callable[[str], str], tmp_path: Path
) -> None:
    ours, its = tmp_path / "ours", tmp_path / "its"
    answerer = Answerer()
    with closing(any_reactor.listenUNIXDatagram(ours, answerer)):
        assert ask([peer("socat"), "-", f"UNIX-SENDTO:{ours},bind={its}"]) == TEXT
        assert answerer.datagrams == [(TEXT, str(its))]


def test_our_unix_client_is_answered_by_socat(any_reactor: Reactor, peer: Callable[[str], str], tmp_path: Path) -> None:
    ours, its = tmp_path / "ours", tmp_path / "its"
    listener = ConnectedListener()
    with running([peer("socat"), f"UNIX-RECVFROM:{its}", "PIPE"]):
        assert eventually(its.exists, PATIENCE)
        with closing(any_reactor.connectUNIXDatagram(its, listener, bindAddress=ours)) as port:
            port.write(TEXT)
            assert eventually(lambda: listener.datagrams == [TEXT], PATIENCE)


# --- asyncio


class AsyncioEcho(asyncio.DatagramProtocol):
    """asyncio's own echo server."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class AsyncioClient(asyncio.DatagramProtocol):
    """Waits for so many answers."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set_result(None)


def test_asyncio_s_client_is_answered(any_reactor: Reactor) -> None:
    async def talk(port: Any) -> int:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(
            lambda: AsyncioClient(100), remote_addr=("127.0.0.1", port.port)
        )
        for number in range(100):
            transport.sendto(b"%d" % number)
        await asyncio.wait_for(client.done, PATIENCE)
        transport.close()
        return client.left

    with closing(any_reactor.listenUDP(0, Answerer())) as port:
        assert asyncio.run(talk(port)) == 0


def test_asyncio_s_server_answers_us(any_reactor: Reactor) -> None:
    listener = Listener()

    async def serve(port: Any) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(AsyncioEcho, local_addr=("127.0.0.1", 0))
        where = transport.get_extra_info("sockname")
        for number in range(100):
            port.write(b"%d" % number, where)
        await asyncio.to_thread(listener.wait, 100)
        transport.close()

    with closing(any_reactor.listenUDP(0, listener)) as port:
        asyncio.run(serve(port))
    assert [datagram for datagram, _ in listener.datagrams] == [b"%d" % number for number in range(100)]
