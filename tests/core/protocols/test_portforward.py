"""Connections that are carried on to another port."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import (
    PATIENCE,
    Echo,
    Recorder,
    Recorders,
    dial,
    free_port,
    receive_all,
    receive_exactly,
    send_reset,
    serving,
)
from wirebook.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer
from wirebook.testing import MemoryReactor, StringTransport
from wirebook.transports.reactor import Reactor

BIG = bytes(range(256)) * (64 << 10)
# More than two sockets and two queues hold.
ENDLESS = 64 << 20


@contextmanager
def forwarding(reactor: Reactor, backend: Any) -> Iterator[Any]:
    """A port that is carried on to another one, served by `backend`."""
    with (
        serving(reactor, backend) as target,
        serving(reactor, ProxyFactory("127.0.0.1", target.getHost().port, reactor)) as port,
    ):
        yield port
        for connection in reactor.handles.of("connection"):
            connection.closeHandle(abort=True)


class Answering(Recorder):
    """Answers when its peer has finished."""

    def readConnectionLost(self) -> None:
        """The peer has sent everything."""
        self.transport.write(bytes(self.data[::-1]))
        self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """All is sent."""


# ------------------------------------------------------------------------------------ what is passed on


def test_bytes_pass_in_both_directions(reactor: Reactor) -> None:
    with forwarding(reactor, Recorders(Echo)) as port, dial(port) as sock:
        sock.sendall(b"hello")
        assert receive_exactly(sock, 5) == b"hello"


def test_much_passes_whole_in_both_directions_at_once(reactor: Reactor) -> None:
    with forwarding(reactor, Recorders(Answering)) as port, dial(port) as sock:
        sock.sendall(BIG)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == BIG[::-1]


def test_connections_are_kept_apart(reactor: Reactor) -> None:
    with forwarding(reactor, Recorders(Echo)) as port, dial(port) as one, dial(port) as two:
        one.sendall(b"one")
        two.sendall(b"two")
        assert (receive_exactly(two, 3), receive_exactly(one, 3)) == (b"two", b"one")


def test_a_greeting_of_the_server_comes_first(reactor: Reactor) -> None:
    class Greeting(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"220 ready")

    with forwarding(reactor, Recorders(Greeting)) as port, dial(port) as sock:
        assert receive_exactly(sock, 9) == b"220 ready"


# --------------------------------------------------------------------------------------- backpressure


def queued(reactor: Reactor) -> int:
    """How many bytes wait in the connections of `reactor`."""
    with reactor.turn():
        connections: Any = reactor.handles.of("connection")
        return sum(connection._out_size for connection in connections)


@pytest.mark.parametrize("stalled", ["server", "client"])
def test_a_side_that_does_not_read_stops_the_other_one(reactor: Reactor, stalled: str) -> None:
    backend = Recorders(Recorder)
    with forwarding(reactor, backend) as port, dial(port) as sock:
        server = backend.number(0).transport
        if stalled == "server":
            server.pauseProducing()
            sock.settimeout(0.3)
            sent = send_until_full(sock)
        else:
            sent = write_until_paused(reactor, server)
        assert sent < ENDLESS
        assert queued(reactor) < 2 << 20
        if stalled == "server":
            server.resumeProducing()
            assert eventually(lambda: len(backend.protocols[0].data) == sent, PATIENCE)
        else:
            assert len(receive_exactly(sock, sent)) == sent


def send_until_full(sock: socket.socket) -> int:
    """Send until nobody takes any more; how much that was."""
    sent = 0
    while sent < ENDLESS:
        try:
            sent += sock.send(bytes(1 << 16))
        except TimeoutError:
            break
    return sent


def write_until_paused(reactor: Reactor, transport: Any) -> int:
    """Write as a push producer that is paused; how much that was."""
    paused: list[None] = []

    class Producer:
        resumeProducing = stopProducing = staticmethod(lambda: None)
        pauseProducing = staticmethod(lambda: paused.append(None))

    transport.registerProducer(Producer(), True)
    sent = 0
    while sent < ENDLESS and not paused:
        transport.write(bytes(1 << 16))
        sent += 1 << 16
        # What the system has taken must have had its chance to move on.
        eventually(lambda: paused or not transport._out, 0.3)
    transport.unregisterProducer()
    return sent


# ------------------------------------------------------------------------------------------------ ends


def test_the_end_of_the_client_reaches_the_server(reactor: Reactor) -> None:
    backend = Recorders(Recorder)
    with forwarding(reactor, backend) as port:
        with dial(port) as sock:
            sock.sendall(b"bye")
        server = backend.number(0)
        server.end()
        assert server.data == b"bye"


def test_the_end_of_the_server_reaches_the_client_after_what_it_wrote(reactor: Reactor) -> None:
    class Leaving(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(BIG)
            self.transport.loseConnection()

    with forwarding(reactor, Recorders(Leaving)) as port, dial(port) as sock:
        assert receive_all(sock) == BIG


def test_a_reset_ends_the_other_side_too(reactor: Reactor) -> None:
    backend = Recorders(Recorder)
    with forwarding(reactor, backend) as port:
        sock = dial(port)
        sock.sendall(b"x")
        server = backend.number(0)
        assert eventually(lambda: server.data == b"x", PATIENCE)
        send_reset(sock)
        server.end()


def test_a_client_is_closed_when_the_target_cannot_be_reached(reactor: Reactor) -> None:
    with serving(reactor, ProxyFactory("127.0.0.1", free_port(), reactor)) as port, dial(port) as sock:
        assert receive_all(sock) == b""


def test_nothing_is_left_after_the_end(reactor: Reactor) -> None:
    with forwarding(reactor, Recorders(Echo)) as port:
        for _ in range(20):
            with dial(port) as sock:
                sock.sendall(b"x")
                assert receive_exactly(sock, 1) == b"x"
        assert eventually(lambda: not reactor.handles.of("connection"), PATIENCE)


# ------------------------------------------------------------------------------------ without a network


def proxied() -> tuple[Any, Any, Any]:
    """A served connection whose other one is not made yet: its protocol, the reactor, and the client's factory."""
    server, network = ProxyFactory("example", 80).buildProtocol(None), MemoryReactor()
    server.reactor = network
    server.makeConnection(StringTransport(lenient=True))
    return server, network, network.tcpClients[0][2]


def test_nothing_is_read_before_there_is_somewhere_to_send_it() -> None:
    server, network, factory = proxied()
    assert (type(server), type(factory)) == (ProxyServer, ProxyClientFactory)
    assert network.tcpClients[0][:2] == ("example", 80)
    assert server.transport.producerState == "paused"
    client = factory.buildProtocol(None)
    client.makeConnection(StringTransport())
    assert isinstance(client, ProxyClient)
    assert server.transport.producerState == "producing"


def test_each_side_is_the_other_one_s_producer() -> None:
    server, _, factory = proxied()
    client = factory.buildProtocol(None)
    client.makeConnection(StringTransport())
    assert (client.transport.producer, client.transport.streaming) == (server.transport, True)
    assert (server.transport.producer, server.transport.streaming) == (client.transport, True)


def test_a_failed_attempt_closes_the_client() -> None:
    server, network, factory = proxied()
    factory.clientConnectionFailed(network.connectors[0], None)
    assert server.transport.disconnecting


def test_a_client_that_leaves_early_ends_the_attempt() -> None:
    server, network, _ = proxied()
    server.connectionLost()
    assert network.connectors[0]._disconnected


def test_a_transport_that_cannot_half_close_is_closed() -> None:
    server, _, factory = proxied()
    client = factory.buildProtocol(None)
    client.makeConnection(StringTransport())
    server.readConnectionLost()
    assert client.transport.disconnecting


def test_the_ends_of_both_sides_meet_only_once() -> None:
    server, _, factory = proxied()
    client = factory.buildProtocol(None)
    client.makeConnection(StringTransport())
    server.connectionLost()
    assert client.transport.disconnecting
    assert client.transport.producer is None
    client.connectionLost()
    assert server.peer is None


# -------------------------------------------------------------------------------------------- real peers


def test_nc_gets_its_answer_after_it_has_sent_all(reactor: Reactor, peer: Callable[[str], str]) -> None:
    with forwarding(reactor, Recorders(Answering)) as port:
        command = [peer("nc"), "-N", "127.0.0.1", str(port.getHost().port)]
        done = subprocess.run(command, input=BIG[: 1 << 20], capture_output=True, timeout=20)
        assert done.stdout == BIG[: 1 << 20][::-1]


def test_curl_reaches_a_web_server_of_another_make(
    reactor: Reactor, peer: Callable[[str], str], tmp_path: Path
) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            """Into the bin."""

    (tmp_path / "page").write_bytes(BIG)
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            with serving(reactor, ProxyFactory("127.0.0.1", web.server_port, reactor)) as port:
                command = [peer("curl"), "-sS", f"http://127.0.0.1:{port.getHost().port}/page"]
                done = subprocess.run(command, capture_output=True, timeout=20)
                assert (done.stdout == BIG, done.stderr) == (True, b"")
                assert eventually(lambda: not reactor.handles.of("connection"), PATIENCE)
        finally:
            web.shutdown()
            thread.join()
