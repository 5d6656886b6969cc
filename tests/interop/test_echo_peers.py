"""Our servers and clients against what people use: nc, socat, curl, and Python's own asyncio."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from tests.interop.peers import DATA, Hashing, Summing, Web, asyncio_echo, asyncio_reverse, exchange, talk
from wirebook.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from wirebook.error import ConnectionDone
from wirebook.transports.reactor import Reactor


def test_nc_gets_its_bytes_back_after_it_has_sent_all(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port:
        assert talk([peer("nc"), "-N", "127.0.0.1", str(port.port)], b"hello, nc\n") == b"hello, nc\n"
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_nc_gets_much_back_after_it_has_sent_all(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        assert talk([peer("nc"), "-N", "127.0.0.1", str(port.port)], DATA) == DATA


def test_socat_gets_its_bytes_back(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        assert talk([peer("socat"), "-t5", "-", f"TCP4:127.0.0.1:{port.port}"], DATA) == DATA


def test_socat_gets_its_bytes_back_over_ipv6(reactor: Reactor, peer: Callable[[str], str]) -> None:
    with serving(reactor, Recorders(Echo), interface="::1") as port:
        assert talk([peer("socat"), "-t5", "-", f"TCP6:[::1]:{port.port}"], DATA) == DATA


def test_socat_hears_an_answer_that_is_given_after_its_own_end(reactor: Reactor, peer: Callable[[str], str]) -> None:
    factory = Recorders(Summing)
    with serving(reactor, factory) as port:
        answer = talk([peer("socat"), "-t5", "-", f"TCP4:127.0.0.1:{port.port}"], DATA)
        assert answer == hashlib.sha256(DATA).digest()
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_fifty_megabytes_arrive_whole_both_ways_at_once(reactor: Reactor, peer: Callable[[str], str]) -> None:
    factory: Recorders[Hashing] = Recorders(Hashing)
    with serving(reactor, factory) as port:
        exchange([peer("socat"), "-t20", "-b65536", "-", f"TCP4:127.0.0.1:{port.port}"], factory)


def test_curl_gets_an_answer(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    factory = Recorders(Web)
    with serving(any_reactor, factory) as port:
        assert talk([peer("curl"), "-sS", f"http://127.0.0.1:{port.port}/path"]) == Web.body
        assert factory.number(0).data.startswith(b"GET /path HTTP/1.1\r\n")


def test_curl_gets_several_answers_at_once(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    with serving(any_reactor, Recorders(Web)) as port:
        urls = f"http://127.0.0.1:{port.port}/[1-20]"
        assert talk([peer("curl"), "-sS", "--parallel", urls]) == Web.body * 20


def test_curl_gets_a_large_answer_at_its_own_pace(any_reactor: Reactor, peer: Callable[[str], str]) -> None:
    class Large(Web):
        body = DATA

    with serving(any_reactor, Recorders(Large)) as port:
        slowly = ["-sS", "--limit-rate", "4M", f"http://127.0.0.1:{port.port}/"]
        assert talk([peer("curl"), *slowly]) == DATA


def test_asyncio_clients_are_served(reactor: Reactor) -> None:
    async def client(port: int, number: int) -> bytes:
        return await asyncio_echo(*await asyncio.open_connection("127.0.0.1", port), b"%d " % number * 1000)

    async def clients(port: int) -> list[bytes]:
        return await asyncio.wait_for(asyncio.gather(*(client(port, number) for number in range(20))), PATIENCE)

    with serving(reactor, Recorders(Echo)) as port:
        assert asyncio.run(clients(port.port)) == [b"%d " % number * 1000 for number in range(20)]


def test_our_client_talks_to_an_asyncio_server(reactor: Reactor) -> None:
    async def serve_one() -> bytes:
        async with await asyncio.start_server(asyncio_reverse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.wait_for(asyncio.to_thread(ask, port), 2 * PATIENCE)

    def ask(port: int) -> bytes:
        client = connect(reactor, port)
        client.transport.write(DATA)
        client.end()
        return bytes(client.data)

    assert asyncio.run(serve_one()) == DATA[::-1]


def connect(reactor: Reactor, port: int, host: str = "127.0.0.1") -> Recorder:
    """A client's protocol, connected to a port of this machine."""
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    client: Recorder = connectProtocol(kind(reactor, host, port), Recorder()).wait(PATIENCE)
    return client


@pytest.mark.parametrize(("host", "how"), [("127.0.0.1", "TCP4-LISTEN"), ("::1", "TCP6-LISTEN")])
def test_our_client_talks_to_socat(
    any_reactor: Reactor, peer: Callable[[str], str], tmp_path: Path, host: str, how: str
) -> None:
    number = free_port()
    listen = f"{how}:{number},bind={f'[{host}]' if ':' in host else host},reuseaddr"
    log = tmp_path / "log"
    with log.open("wb") as lines:
        server = subprocess.Popen([peer("socat"), "-d", "-d", listen, "PIPE"], stderr=lines)
    try:
        assert eventually(lambda: b"listening on" in log.read_bytes(), PATIENCE)
        client = connect(any_reactor, number, host)
        client.transport.write(b"hello, socat")
        assert eventually(lambda: client.data == b"hello, socat", PATIENCE)
        client.transport.loseConnection()
        client.end()
        assert server.wait(PATIENCE) == 0
    finally:
        server.kill()
        server.wait()
