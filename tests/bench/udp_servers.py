"""The UDP echo servers: ``python -m tests.bench.udp_servers NAME`` prints its port and serves until it is killed.

Each is what its framework's documentation would have you write; ``bare`` is a loop of two system calls.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

from tests.bench.servers import HOST, LIFETIME_SECONDS, announce


class AsyncioEcho(asyncio.DatagramProtocol):
    """For asyncio and uvloop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is none by inheritance

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


async def serve_asyncio() -> None:
    """Serve `AsyncioEcho` on the running loop, whichever it is."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(AsyncioEcho, local_addr=(HOST, 0))
    announce(transport.get_extra_info("sockname")[1])
    await loop.create_future()


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
    from twisted.internet import epollreactor, protocol

    install: Callable[[], None] = epollreactor.install
    install()
    from twisted.internet import reactor as installed

    reactor: Any = installed  # to Twisted's annotations it is a module

    class Echo(protocol.DatagramProtocol):
        transport: Any

        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.transport.write(datagram, addr)

    announce(reactor.listenUDP(0, Echo(), interface=HOST).getHost().port)
    reactor.run()


def run_wirebook() -> None:
    """Ours."""
    from wirebook import reactor
    from wirebook.protocol import DatagramProtocol

    class Echo(DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.transport.write(datagram, addr)

    announce(reactor.listenUDP(0, Echo(), interface=HOST).getHost().port)
    reactor.run()


def run_bare() -> None:
    """No framework at all: what Python's socket module gives."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    announce(sock.getsockname()[1])
    receive, send = sock.recvfrom, sock.sendto
    while True:
        data, sender = receive(8192)
        send(data, sender)


SERVERS = {
    "wirebook": run_wirebook,
    "asyncio": run_asyncio,
    "uvloop": run_uvloop,
    "twisted": run_twisted,
    "bare": run_bare,
}
CONTESTANTS = tuple(SERVERS)


def main() -> None:
    """Run one server. It ends by itself after `LIFETIME_SECONDS`, whatever becomes of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.udp_servers")
    parser.add_argument("name", choices=CONTESTANTS)
    options = parser.parse_args()
    signal.alarm(LIFETIME_SECONDS)
    SERVERS[options.name]()


if __name__ == "__main__":
    main()
