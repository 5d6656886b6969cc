"""Servers that send much to whoever asks: ``python -m tests.bench.backlog_servers NAME`` prints its port.

A connection that says "honour BYTES" or "ignore BYTES" is sent that many, in pieces of 64 KiB of which sixteen
are written in each turn of the loop; "honour" stops while the transport asks for it. One that says "report" is
told how far that is, and how much memory and how long a stall of the loop it has cost so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from tests.bench.servers import HOST, LIFETIME_SECONDS, announce

PIECE = 64 << 10
PIECES = 16
BEAT = 0.002
_BODY = bytes(PIECE - 8)

Later = Callable[[float, Callable[[], None]], Any]


class Heart:
    """Beats by the loop's timer; `longest` is the longest pause that was not asked for, in seconds.

    The time in which the system let others have the core does not count: no loop can help that.
    """

    def __init__(self, later: Later) -> None:
        self._later = later
        self._schedule = open("/proc/thread-self/schedstat", "rb", buffering=0)  # noqa: SIM115 - see close
        self.start()
        self.beat()

    def start(self) -> None:
        """Forget what was."""
        self.longest = 0.0
        self._last = self._own_time()

    def close(self) -> None:
        """Give the descriptor back."""
        self._schedule.close()

    def beat(self) -> None:
        """Look at the clock, and again in a moment."""
        now = self._own_time()
        self.longest = max(self.longest, now - self._last - BEAT)
        self._last = now
        self._later(BEAT, self.beat)

    def _own_time(self) -> float:
        waited = int(os.pread(self._schedule.fileno(), 100, 0).split()[1])
        return time.monotonic() - waited / 1e9


class Flood:
    """What one connection is to be sent. As a push producer it fits Twisted's transports and ours."""

    def __init__(self, size: int, heeds: bool, write: Callable[[bytes], object], later: Later) -> None:
        self.left = size
        self.heeds = heeds
        self.ended = ""
        self.paused = False
        self._planned = False
        self._write = write
        self._later = later

    def pauseProducing(self) -> None:
        """Write no more until `resumeProducing`."""
        self.paused = self.heeds

    def resumeProducing(self) -> None:
        """Go on."""
        self.paused = False
        if not self._planned and self.left and not self.ended:
            self._planned = True
            self._later(0, self._round)

    def stopProducing(self) -> None:
        """The connection has ended."""
        self.ended = self.ended or "stopped"

    def _round(self) -> None:
        self._planned = False
        for _ in range(PIECES):
            if self.paused or self.ended or not self.left:
                break
            # Every piece is one of its own: in a real program they would not be all the same.
            self._write(_BODY + self.left.to_bytes(8, "big"))
            self.left -= PIECE
        if not self.paused:
            self.resumeProducing()


class Talk:
    """What all servers do: flood, and report."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._heart = Heart(later)
        self._flood: Flood | None = None
        self._before = 0

    def close(self) -> None:
        """Give the heart's descriptor back."""
        self._heart.close()

    def received(self, data: bytes, write: Callable[[bytes], object]) -> Flood | None:
        """Do what a connection asks for; the flood it is to be sent, once that is resumed."""
        if data == b"report\n":
            write(self._report())
            return None
        command, size = data.split()
        self._flood = Flood(int(size), command == b"honour", write, self._later)
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak is what is resident now
        self._before = peak_bytes()
        self._heart.start()
        return self._flood

    def _report(self) -> bytes:
        flood = self._flood
        assert flood is not None
        report = {
            "left": flood.left,
            "paused": flood.paused,
            "ended": flood.ended,
            "grown": peak_bytes() - self._before,
            "stall": self._heart.longest,
        }
        return json.dumps(report).encode() + b"\n"


def peak_bytes() -> int:
    """The most memory that this process had in RAM since it was last reset."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


class AsyncioFlooded(asyncio.Protocol):
    """For asyncio and uvloop."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._flood: Flood | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        flood = self._talk.received(data, self._transport.write)
        if flood is not None:
            self._flood = flood
            flood.resumeProducing()

    def pause_writing(self) -> None:
        if self._flood is not None:
            self._flood.pauseProducing()

    def resume_writing(self) -> None:
        if self._flood is not None:
            self._flood.resumeProducing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._flood is not None:
            self._flood.ended = repr(exc)


async def serve_asyncio() -> None:
    """Serve on the running loop, whichever it is."""
    loop = asyncio.get_running_loop()
    talk = Talk(loop.call_later)
    server = await loop.create_server(lambda: AsyncioFlooded(talk), HOST, 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_asyncio() -> None:
    """asyncio's own loop."""
    asyncio.run(serve_asyncio())


def run_uvloop() -> None:
    """The same protocol on libuv."""
    import uvloop

    run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    run(serve_asyncio())


def serve_on(reactor: Any, factory: Any, protocol: Any) -> None:
    """Serve on a reactor of Twisted's kind, and run it."""
    talk = Talk(reactor.callLater)

    class Flooded(protocol):  # type: ignore[misc]  # whose it is, is known when it runs
        flood: Flood | None = None

        def dataReceived(self, data: bytes) -> None:
            flood = talk.received(data, self.transport.write)
            if flood is not None:
                self.flood = flood
                if flood.heeds:
                    self.transport.registerProducer(flood, True)
                flood.resumeProducing()

        def connectionLost(self, reason: Any) -> None:
            if self.flood is not None:
                self.flood.ended = repr(reason.value)

    port = reactor.listenTCP(0, factory.forProtocol(Flooded), interface=HOST)
    announce(port.getHost().port)
    reactor.run()


def run_twisted() -> None:
    """Twisted's epoll reactor."""
    from twisted.internet import epollreactor, protocol

    install: Callable[[], None] = epollreactor.install
    install()
    from twisted.internet import reactor

    serve_on(reactor, protocol.Factory, protocol.Protocol)


def run_wirebook() -> None:
    """Ours."""
    from wirebook import Factory, Protocol, reactor

    serve_on(reactor, Factory, Protocol)


SERVERS = {"wirebook": run_wirebook, "asyncio": run_asyncio, "uvloop": run_uvloop, "twisted": run_twisted}


def main() -> None:
    """Run one server. It ends by itself after `LIFETIME_SECONDS`, whatever becomes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backlog_servers")
    parser.add_argument("name", choices=SERVERS)
    options = parser.parse_args()
    signal.alarm(LIFETIME_SECONDS)
    SERVERS[options.name]()


if __name__ == "__main__":
    main()
