"""What the tests of reactors and transports share: protocols that remember, and plain sockets to talk to."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from tests.conftest import eventually
from wirebook.failure import Failure
from wirebook.protocol import ClientFactory, Protocol, connectionDone
from wirebook.transports.listening import Port
from wirebook.transports.reactor import Reactor

T = TypeVar("T")
P = TypeVar("P", bound="Recorder")
# How long a peer on the same machine may take.
PATIENCE = 5.0


class Recorder(Protocol):
    """Remembers what happened to it."""

    transport: Any
    reason: Failure

    def __init__(self) -> None:
        self.made = threading.Event()
        self.lost = threading.Event()
        self.data = bytearray()

    def connectionMade(self) -> None:
        self.made.set()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert not self.lost.is_set(), "connectionLost is called once"
        self.reason = reason
        self.lost.set()

    def end(self) -> BaseException:
        """Wait for the end of the connection; the reason."""
        assert self.lost.wait(PATIENCE), f"{self!r} was not told that its connection ended"
        return self.reason.value


class Echo(Recorder):
    """Sends everything back."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


class Recorders(ClientFactory, Generic[P]):
    """Builds recorders of one kind, keeps them, and remembers how attempts to connect went."""

    def __init__(self, kind: Callable[[], P]) -> None:
        self.protocol = kind
        self.protocols: list[P] = []
        self.events: list[str] = []
        self.reason: Failure | None = None

    def buildProtocol(self, addr: Any) -> P:
        protocol: P = super().buildProtocol(addr)
        self.protocols.append(protocol)
        return protocol

    def number(self, index: int) -> P:
        """Wait for the connection with this number; its protocol."""
        assert eventually(lambda: len(self.protocols) > index, PATIENCE)
        assert self.protocols[index].made.wait(PATIENCE)
        return self.protocols[index]

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")

    def startedConnecting(self, connector: Any) -> None:
        self.events.append("connecting")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.reason = reason
        self.events.append("failed")

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.reason = reason
        self.events.append("lost")

    def error(self) -> BaseException:
        """Wait until an attempt failed or a connection ended; why."""
        assert eventually(lambda: self.reason is not None and self.events[-1] == "stop", PATIENCE), self.events
        assert self.reason is not None
        return self.reason.value


@contextmanager
def serving(reactor: Reactor, factory: Any, **how: Any) -> Iterator[Port]:
    """A port that is closed, and its connections aborted, at the end of the block."""
    port = reactor.listenTCP(0, factory, **how)
    try:
        yield port
    finally:
        port.stopListening()
        for connection in reactor.handles.of("connection"):
            if getattr(connection, "port", None) is port:
                connection.closeHandle(abort=True)


def dial(port: Port) -> socket.socket:
    """A plain blocking socket, connected to `port`."""
    return socket.create_connection(("127.0.0.1", port.getHost().port), timeout=PATIENCE)


@contextmanager
def pair(reactor: Reactor, kind: Callable[[], P]) -> Iterator[tuple[P, socket.socket]]:
    """A served protocol of this kind, and the plain socket at the other end."""
    factory = Recorders(kind)
    with serving(reactor, factory) as port, dial(port) as sock:
        yield factory.number(0), sock


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the peer closes its direction."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """The next `size` bytes."""
    got = bytearray()
    while len(got) < size:
        piece = sock.recv(size - len(got))
        assert piece, f"the peer closed after {len(got)} of {size} bytes"
        got += piece
    return bytes(got)


def send_reset(sock: socket.socket) -> None:
    """Close with a reset instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number: int = sock.getsockname()[1]
        return number


@contextmanager
def short_of_descriptors(room: int = 0) -> Iterator[None]:
    """In the block this process may open `room` descriptors, and no more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while fillers[-1] <= highest + room:
            fillers.append(os.dup(fillers[0]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1, limits[1]))
        for _ in range(room):
            os.close(fillers.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for filler in fillers:
            os.close(filler)


def on_reactor(reactor: Reactor, function: Callable[..., T], *args: Any) -> T:
    """Call on the reactor's thread; what it returns or raises."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    reactor.callFromThread(call)
    return future.result(PATIENCE)


def drive(reactor: Reactor, condition: Callable[[], object]) -> None:
    """Iterate in this thread until `condition` is true."""
    for _ in range(1000):
        if condition():
            return
        reactor.iterate(0.005)
    raise AssertionError("it did not happen within 1000 iterations")
