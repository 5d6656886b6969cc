"""Our servers and clients against the command-line tools that people use: nc, socat and curl."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, free_port, serving
from wirebook.endpoints import TCP4ClientEndpoint, connectProtocol
from wirebook.error import ConnectionDone
from wirebook.transports.reactor import Reactor

# Enough to fill every buffer on the way.
DATA = random.Random(5).randbytes(1 << 20)


class Web(Recorder):
    """As little HTTP as curl is content with (RFC 9112, sections 2 and 6)."""

    body = b"hello, curl\n"

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if b"\r\n\r\n" in self.data:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.body) + self.body)
            self.transport.loseConnection()


def talk(command: list[str], data: bytes = b"") -> bytes:
    """Run a peer with `data` as its standard input; its standard output."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


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


def test_our_client_talks_to_socat(any_reactor: Reactor, peer: Callable[[str], str], tmp_path: Path) -> None:
    number = free_port()
    listen = f"TCP4-LISTEN:{number},bind=127.0.0.1,reuseaddr"
    log = tmp_path / "log"
    with log.open("wb") as lines:
        server = subprocess.Popen([peer("socat"), "-d", "-d", listen, "PIPE"], stderr=lines)
    try:
        assert eventually(lambda: b"listening on" in log.read_bytes(), PATIENCE)
        client = connectProtocol(TCP4ClientEndpoint(any_reactor, "127.0.0.1", number), Recorder()).wait(PATIENCE)
        client.transport.write(b"hello, socat")
        assert eventually(lambda: client.data == b"hello, socat", PATIENCE)
        client.transport.loseConnection()
        client.end()
        assert server.wait(PATIENCE) == 0
    finally:
        server.kill()
        server.wait()
