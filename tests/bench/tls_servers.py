"""The TLS servers: ``python -m tests.bench.tls_servers NAME TASK PEM`` prints its port and serves until it is killed.

TASK is what each connection gets: "echo" its bytes back, "sink" nothing, "source" bytes without end after its first
ones, as fast as it takes them. PEM has the certificate and its key. All have the same versions and ciphers: those
that the two sides' OpenSSL prefers.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, cast

from tests.bench.servers import BACKLOG, HOST, LIFETIME_SECONDS, announce

PIECE = bytes(65536)
TASKS = ("echo", "sink", "source")


class AsyncioServer(asyncio.Protocol):
    """For asyncio and uvloop."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.writing = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance
        self.writing.set()
        self.filler: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.task == "echo":
            self.transport.write(data)
        elif self.task == "source" and self.filler is None:
            self.filler = asyncio.get_running_loop().create_task(self.fill())

    async def fill(self) -> None:
        """Write whenever there is room."""
        while not self.transport.is_closing():
            await self.writing.wait()
            self.transport.write(PIECE)
            await asyncio.sleep(0)

    def pause_writing(self) -> None:
        self.writing.clear()

    def resume_writing(self) -> None:
        self.writing.set()


async def serve_asyncio(task: str, pem: str) -> None:
    """Serve on the running loop, whichever it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: AsyncioServer(task), HOST, 0, backlog=BACKLOG, ssl=context)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_asyncio(task: str, pem: str) -> None:
    """asyncio's own loop."""
    asyncio.run(serve_asyncio(task, pem))


def run_uvloop(task: str, pem: str) -> None:
    """The same protocol on libuv."""
    import uvloop

    run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    run(serve_asyncio(task, pem))


def make_protocol(base: Any, task: str) -> Any:
    """The protocol for Twisted and for us, whose APIs are the same here."""

    class Server(base):  # type: ignore[misc]
        transport: Any
        filling = False
        paused = False

        def dataReceived(self, data: bytes) -> None:
            if task == "echo":
                self.transport.write(data)
            elif task == "source" and not self.filling:
                self.filling = True
                self.transport.registerProducer(self, False)

        def resumeProducing(self) -> None:
            self.transport.write(PIECE)

        def stopProducing(self) -> None:
            self.paused = True

    return Server


def run_twisted(task: str, pem: str) -> None:
    """Twisted on its epoll reactor."""
    from twisted.internet import epollreactor, protocol

    install: Callable[[], None] = epollreactor.install
    install()
    from twisted.internet import reactor as installed
    from twisted.internet import ssl as tls

    reactor: Any = installed  # to Twisted's annotations it is a module
    certificate: Any = tls.PrivateCertificate
    with open(pem, "rb") as file:
        options = certificate.loadPEM(file.read()).options()
    factory = protocol.Factory.forProtocol(make_protocol(protocol.Protocol, task))
    port = reactor.listenSSL(0, factory, options, backlog=BACKLOG, interface=HOST)
    announce(port.getHost().port)
    reactor.run()


def run_wirebook(task: str, pem: str) -> None:
    """Ours."""
    from wirebook import Factory, Protocol, reactor
    from wirebook.ssl import PrivateCertificate

    with open(pem, "rb") as file:
        options = PrivateCertificate.loadPEM(file.read()).options()
    factory = Factory.forProtocol(make_protocol(Protocol, task))
    port = reactor.listenSSL(0, factory, options, backlog=BACKLOG, interface=HOST)
    announce(port.getHost().port)
    reactor.run()


SERVERS = {"wirebook": run_wirebook, "asyncio": run_asyncio, "uvloop": run_uvloop, "twisted": run_twisted}
CONTESTANTS = tuple(SERVERS)
PEERS = CONTESTANTS[1:]


def main() -> None:
    """Run one server. It ends by itself after `LIFETIME_SECONDS`, whatever becomes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tls_servers")
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("pem")
    options = parser.parse_args()
    signal.alarm(LIFETIME_SECONDS)
    SERVERS[options.name](options.task, options.pem)


if __name__ == "__main__":
    main()
