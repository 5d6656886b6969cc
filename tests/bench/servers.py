"""The echo servers: ``python -m tests.bench.servers NAME`` prints its port and serves until it is killed.

With ``--unix PATH`` it serves a UNIX-domain socket there, and prints that.

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


def announce(where: int | str) -> None:
    """Tell the benchmark where the server listens: the port's number, or a path."""
    print(where, flush=True)


class AsyncioEcho(asyncio.Protocol):
    """For asyncio and uvloop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve_asyncio(path: str | None) -> None:
    """Serve `AsyncioEcho` on the running loop, whichever it is."""
    loop = asyncio.get_running_loop()
    if path:
        server = await loop.create_unix_server(AsyncioEcho, path, backlog=BACKLOG)
    else:
        server = await loop.create_server(AsyncioEcho, HOST, 0, backlog=BACKLOG)
    announce(path or server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_asyncio(path: str | None) -> None:
    """asyncio's own loop."""
    asyncio.run(serve_asyncio(path))


def run_uvloop(path: str | None) -> None:
    """The same protocol on libuv."""
    import uvloop

    run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    run(serve_asyncio(path))


def serve_on(reactor: Any, factory: Any, path: str | None) -> None:
    """Serve on a reactor of Twisted's kind, and run it."""
    if path:
        reactor.listenUNIX(path, factory, backlog=BACKLOG)
        announce(path)
    else:
        port = reactor.listenTCP(0, factory, backlog=BACKLOG, interface=HOST)
        announce(port.getHost().port)
    reactor.run()


def run_twisted(path: str | None) -> None:
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

    serve_on(reactor, protocol.Factory.forProtocol(Echo), path)


def run_wirebook(path: str | None) -> None:
    """Ours."""
    from wirebook import Factory, Protocol, reactor

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    serve_on(reactor, Factory.forProtocol(Echo), path)


SERVERS = {"wirebook": run_wirebook, "asyncio": run_asyncio, "uvloop": run_uvloop, "twisted": run_twisted}
CONTESTANTS = tuple(SERVERS)


def main() -> None:
    """Run one server. It ends by itself after `LIFETIME_SECONDS`, whatever becomes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.servers")
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--unix", metavar="PATH", help="listen on a UNIX-domain socket")
    parser.add_argument("--descriptors", type=int, help="how many descriptors the process may have")
    options = parser.parse_args()
    signal.alarm(LIFETIME_SECONDS)
    logging.basicConfig(level=logging.INFO)
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    SERVERS[options.name](options.unix)


if __name__ == "__main__":
    main()
