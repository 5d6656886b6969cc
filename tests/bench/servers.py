"""The echo servers: ``python -m tests.bench.servers NAME`` prints its port and serves until it is killed.

Each is what its framework's documentation would have you write, on the framework's best event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import Any, cast

HOST = "127.0.0.1"
BACKLOG = 1024
LIFETIME_SECONDS = 600


def announce(port: int) -> None:
    """Tell the benchmark where the server listens."""
    print(port, flush=True)


class AsyncioEcho(asyncio.Protocol):
    """For asyncio and uvloop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve_asyncio() -> None:
    """Serve `AsyncioEcho` on the running loop, whichever it is."""
    server = await asyncio.get_running_loop().create_server(AsyncioEcho, HOST, 0, backlog=BACKLOG)
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


def run_twisted() -> None:
    """Twisted's protocol on its epoll reactor."""
    import sys

    from twisted.internet import epollreactor, protocol

    install: Callable[[], None] = epollreactor.install
    install()
    from twisted.internet import reactor as installed
    from twisted.python import log

    start_logging: Callable[..., object] = log.startLogging
    start_logging(sys.stderr, setStdout=False)
    reactor: Any = installed  # to Twisted's annotations it is a module

    class Echo(protocol.Protocol):
        transport: Any

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Echo), backlog=BACKLOG, interface=HOST)
    announce(port.getHost().port)
    reactor.run()


def run_wirebook() -> None:
    """Ours."""
    from wirebook import Factory, Protocol, reactor

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    port = reactor.listenTCP(0, Factory.forProtocol(Echo), backlog=BACKLOG, interface=HOST)
    announce(port.getHost().port)
    reactor.run()


SERVERS = {"wirebook": run_wirebook, "asyncio": run_asyncio, "uvloop": run_uvloop, "twisted": run_twisted}
CONTESTANTS = tuple(SERVERS)
PEERS = CONTESTANTS[1:]


def main() -> None:
    """Run one server. It ends by itself after `LIFETIME_SECONDS`, whatever becomes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.servers")
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--descriptors", type=int, help="how many descriptors the process may have")
    options = parser.parse_args()
    signal.alarm(LIFETIME_SECONDS)
    logging.basicConfig(level=logging.INFO)
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    SERVERS[options.name]()


if __name__ == "__main__":
    main()
