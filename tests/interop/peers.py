"""What the tests against other programs share: running them, and protocols for them to talk to."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.core.net_kit import Recorder, Recorders
from wirebook.turn import turn

# Enough to fill every buffer on the way.
DATA = random.Random(5).randbytes(1 << 20)
LARGE = 50
SECONDS = 20


class Web(Recorder):
    """As little HTTP as curl is content with (RFC 9112, sections 2 and 6)."""

    body = b"hello, curl\n"

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if b"\r\n\r\n" in self.data:
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % len(self.body) + self.body)
            self.transport.loseConnection()


class Summing(Recorder):
    """When the peer has sent all, answers with the SHA-256 sum of it, and ends."""

    def readConnectionLost(self) -> None:
        """The peer has sent all."""
        self.transport.write(hashlib.sha256(self.data).digest())
        self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """Both directions are closed now."""


class Hashing(Recorder):
    """Takes much without keeping it, and sends much at the peer's pace, as a push producer."""

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()
        self._paused = False
        self._left = 0
        self._piece = b""

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        """The SHA-256 sum of what it has received; of all, when the connection has ended."""
        self.end()
        return self._hash.digest()

    def send(self, piece: bytes, times: int) -> None:
        """Send `piece` so often, then close this direction. Any thread."""
        with turn:
            self._piece, self._left = piece, times
            self.transport.registerProducer(self, True)
            self.resumeProducing()

    def resumeProducing(self) -> None:
        """There is room."""
        self._paused = False
        while self._left and not self._paused:
            self._left -= 1
            self.transport.write(self._piece)
        if not self._left:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def pauseProducing(self) -> None:
        """There is no room."""
        self._paused = True

    def stopProducing(self) -> None:
        """The connection has ended."""
        self._left = 0


def talk(command: list[str], data: bytes = b"") -> bytes:
    """Run a peer with `data` as its standard input; its standard output."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A peer that is killed at the end of the block."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def exchange(command: list[str], server: Recorders[Hashing]) -> None:
    """Let a peer and the server's first connection send each other 50 MiB at once; both must get them whole."""
    total = DATA * LARGE
    expected = hashlib.sha256(total).digest()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        server.number(0).send(DATA, LARGE)
        received, _ = process.communicate(total, timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
    assert hashlib.sha256(received).digest() == expected
    assert server.number(0).digest() == expected


async def asyncio_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """Send `data` over asyncio's streams, end, and return the answer."""
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def asyncio_reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection: as many bytes as `DATA` has, backwards."""
    writer.write((await reader.readexactly(len(DATA)))[::-1])
    writer.close()
    await writer.wait_closed()
