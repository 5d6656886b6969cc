"""TCP: ports, the connections they accept, connectors and the connections they make."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import cell, in_cell
from tests.core.net_kit import (
    PATIENCE,
    Echo,
    Recorder,
    Recorders,
    dial,
    drive,
    free_port,
    on_reactor,
    pair,
    receive_all,
    receive_exactly,
    send_reset,
    serving,
)
from wirebook import error
from wirebook.deferred import Deferred
from wirebook.transports.reactor import Reactor
from wirebook.turn import turn

# --- ports


def test_a_port_serves_many_clients_at_once(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port:
        socks = [dial(port) for _ in range(100)]
        for number, sock in enumerate(socks):
            sock.sendall(b"%03d" % number)
        assert [receive_exactly(sock, 3) for sock in socks] == [b"%03d" % number for number in range(100)]
        assert (port.acceptedCount, port.connectionCount) == (100, 100)
        assert (port.bytesReceived, port.bytesSent) == (300, 300)
        for sock in socks:
            sock.close()
        assert eventually(lambda: port.connectionCount == 0)
        assert (port.bytesReceived, port.bytesSent) == (300, 300)


def test_a_closed_port_refuses_and_its_connections_stay(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    port = any_reactor.listenTCP(0, factory)
    with dial(port) as sock:
        factory.number(0)
        assert port.stopListening().called
        assert port.state == "closed"
        with pytest.raises(ConnectionRefusedError):
            dial(port)
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
    assert factory.protocols[0].end()
    assert port.stopListening().called


def test_a_closed_port_can_listen_again_at_the_same_place(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port:
        number = port.getHost().port
        port.stopListening()
        again = any_reactor.listenTCP(number, factory)
        assert again.getHost().port == number
        again.stopListening()
    assert factory.events == ["start", "stop", "start", "stop"]


def test_a_port_that_listens_cannot_be_started_again(reactor: Reactor) -> None:
    with serving(reactor, Recorders(Echo)) as port, pytest.raises(RuntimeError, match="is listening already"):
        port.startListening()


def test_a_port_says_what_it_is(reactor: Reactor) -> None:
    with serving(reactor, Recorders(Echo)) as port:
        assert (port.kind, port.transportName, port.label, port.state) == ("port", "TCP", "Echo", "listening")
        assert port.localAddress == port.getHost()
        assert port.port == port.getHost().port
        assert repr(port) == f"<Port of Echo on TCP 127.0.0.1:{port.port}, listening>"
        assert port.fileno() > 0
    assert port.fileno() == -1


def test_a_factory_that_raises_in_start_leaves_no_port(reactor: Reactor) -> None:
    class Unstartable(Recorders[Echo]):
        def startFactory(self) -> None:
            raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        reactor.listenTCP(0, Unstartable(Echo))
    assert not list(reactor.handles)


def test_a_factory_that_gives_none_refuses_the_connection(any_reactor: Reactor) -> None:
    class Closed(Recorders[Echo]):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    with serving(any_reactor, Closed(Echo)) as port, dial(port) as sock:
        assert receive_all(sock) == b""
        assert port.connectionCount == 0


def test_a_factory_that_raises_is_reported_and_the_port_lives(any_reactor: Reactor, reported: Reports) -> None:
    class Moody(Recorders[Echo]):
        def buildProtocol(self, addr: Any) -> Echo:
            if not self.reason:
                self.reason = error  # type: ignore[assignment]
                raise ValueError("boom")
            return super().buildProtocol(addr)

    with serving(any_reactor, Moody(Echo)) as port:
        with dial(port) as sock:
            assert receive_all(sock) == b""
        with dial(port) as sock:
            sock.sendall(b"x")
            assert receive_exactly(sock, 1) == b"x"
    (record,) = reported()
    assert "Moody.buildProtocol() failed" in record.getMessage()


class Wrong(Recorders[Recorder]):
    """Builds what is no protocol, for everybody."""

    def __init__(self, built: Any) -> None:
        super().__init__(Recorder)
        self.built = built

    def buildProtocol(self, addr: Any) -> Any:
        return self.built


NO_PROTOCOLS = [
    (5, "Wrong.buildProtocol() returned 5, which is no protocol: return an instance of a Protocol, or None to refuse"),
    (Echo, "Wrong.buildProtocol() returned the class Echo: return an instance, Echo()"),
]


@pytest.mark.parametrize(("built", "why"), NO_PROTOCOLS)
def test_a_factory_that_builds_no_protocol_is_reported_once_in_its_context(
    any_reactor: Reactor, reported: Reports, built: Any, why: str
) -> None:
    cells: list[str] = []
    reported.addFilter(lambda _: cells.append(cell.get()) or True)  # type: ignore[func-returns-value]
    port = in_cell("four", any_reactor.listenTCP, 0, Wrong(built))
    with dial(port) as sock:
        assert receive_all(sock) == b""
    port.stopListening()
    (record,) = reported()
    assert record.getMessage() == f"Wrong.buildProtocol() failed; the connection to {port.getHost()} is closed"
    assert str(record.wirebook_failure.value) == why  # type: ignore[attr-defined]
    assert cells == ["four"]


@pytest.mark.parametrize("behaviour", ["reset", "garbage", "nothing", "reset before accept"])
def test_a_strange_client_harms_nobody(any_reactor: Reactor, behaviour: str) -> None:
    factory = Recorders(Recorder)
    with serving(any_reactor, factory) as port, dial(port) as other:
        strange = dial(port)
        if behaviour == "garbage":
            strange.sendall(random.Random(1).randbytes(100_000))
        if behaviour == "reset before accept":
            with any_reactor.turn():
                send_reset(dial(port))
        elif behaviour != "nothing":
            factory.number(1)
            send_reset(strange)
        other.sendall(b"x")
        assert eventually(lambda: factory.protocols and factory.protocols[0].data == b"x")
        strange.close()


def test_a_reset_is_noticed_when_reading_goes_on_before_the_hang_up_is_dispatched() -> None:
    factory, reactor = Recorders(Recorder), Reactor()
    with serving(reactor, factory) as port:
        peer = dial(port)
        drive(reactor, lambda: factory.protocols)
        served = factory.protocols[0]
        served.transport.pauseProducing()
        send_reset(peer)
        found = reactor.poller.poll(1)
        served.transport.resumeProducing()
        with turn:
            reactor._dispatch(found)
        drive(reactor, served.lost.is_set)
        assert isinstance(served.end(), error.ConnectionLost)
    drive(reactor, lambda: not list(reactor.handles))
    reactor.close()


def test_a_port_on_the_ipv6_loopback(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    try:
        port = any_reactor.listenTCP(0, factory, interface="::1")
    except error.CannotListenError as refused:
        pytest.skip(f"no IPv6 here: {refused}")
    connected = Recorders(Recorder)
    connector = any_reactor.connectTCP("::1", port.getHost().port, connected)
    client = connected.number(0)
    client.transport.write(b"six")
    assert eventually(lambda: client.data == b"six")
    assert str(port.getHost()) == f"[::1]:{port.port}"
    assert client.transport.getPeer() == port.getHost()
    assert factory.number(0).transport.getPeer().host == "::1"
    connector.disconnect()
    client.end()
    port.stopListening()


def test_a_name_as_interface_is_looked_up(reactor: Reactor) -> None:
    with serving(reactor, Recorders(Echo), interface="localhost") as port:
        assert port.getHost().host in ("127.0.0.1", "::1")


EXHAUSTED = """
import logging, resource, socket, threading, time
from wirebook import Factory, Protocol
from wirebook.transports import Reactor
from wirebook.reactor.select_ import SelectPoller

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

lines = []
logging.getLogger("wirebook").addHandler(type("H", (logging.Handler,), {"emit": lambda s, r: lines.append(r)})())
reactor = Reactor(POLLER)
reactor.runInThread()
port = reactor.listenTCP(0, Factory.forProtocol(Echo))
where = ("127.0.0.1", port.getHost().port)
first = socket.create_connection(where, timeout=5)
first.sendall(b"x"); first.recv(1)
waiting = [socket.socket() for _ in range(30)]
used = max(s.fileno() for s in waiting)
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 6, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for s in waiting:
    s.settimeout(5)
    s.connect(where)
    s.sendall(b"hello")
deadline = time.monotonic() + 5
while port.state != "paused" and time.monotonic() < deadline:
    time.sleep(0.005)
assert port.state == "paused", port
polls = []
poll = reactor.poller.poll
reactor.poller.poll = lambda timeout: (polls.append(timeout), poll(timeout))[1]
began = time.process_time()
time.sleep(0.6)
assert time.process_time() - began < 0.1
assert len(polls) < 30, len(polls)
first.sendall(b"alive"); assert first.recv(5) == b"alive"
served = 0
while waiting:
    for s in list(waiting):
        s.settimeout(0.05)
        try:
            assert s.recv(5) == b"hello"
        except TimeoutError:
            continue
        served += 1
        s.close()
        waiting.remove(s)
    assert time.monotonic() < deadline + 10
assert served == 30
assert len(lines) == 1, [line.getMessage() for line in lines]
assert "pauses accepting: too many open files (EMFILE)" in lines[0].getMessage()
deadline = time.monotonic() + 5
while port.state != "listening" and time.monotonic() < deadline:
    time.sleep(0.005)
assert port.state == "listening"
reactor.shutDown()
assert port.state == "closed"
"""


@pytest.mark.parametrize("poller", ["None", "SelectPoller()"])
def test_out_of_descriptors_the_port_pauses_and_serves_the_waiting_clients_later(poller: str) -> None:
    code = EXHAUSTED.replace("POLLER", poller)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


# --- options


def test_small_segments_are_sent_at_once_unless_switched_off(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        transport = protocol.transport
        assert transport.getTcpNoDelay() is True
        transport.setTcpNoDelay(False)
        assert transport.getTcpNoDelay() is False


def test_keep_alive_can_be_switched_on(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        transport = protocol.transport
        assert transport.getTcpKeepAlive() is False
        transport.setTcpKeepAlive(True)
        assert transport.getTcpKeepAlive() is True
        assert transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_options_of_an_ended_connection_are_refused(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        sock.close()
        protocol.end()
        with pytest.raises(error.NotListeningError, match=r"has no socket \(any more\)"):
            protocol.transport.setTcpNoDelay(True)


# --- connecting


def test_a_client_connects_talks_and_ends(any_reactor: Reactor) -> None:
    served, connected = Recorders(Echo), Recorders(Recorder)
    with serving(any_reactor, served) as port:
        connector = any_reactor.connectTCP("127.0.0.1", port.port, connected)
        client = connected.number(0)
        assert connector.state == "connected"
        assert connector.getDestination() == port.getHost() == client.transport.getPeer()
        assert client.transport.role == "client"
        client.transport.write(b"hello")
        assert eventually(lambda: client.data == b"hello")
        connector.disconnect()
        assert isinstance(connected.error(), error.ConnectionDone)
        assert connector.state == "disconnected"
    assert connected.events == ["start", "connecting", "lost", "stop"]
    assert isinstance(served.number(0).end(), error.ConnectionDone)


def test_a_host_name_is_looked_up(any_reactor: Reactor) -> None:
    connected = Recorders(Recorder)
    with serving(any_reactor, Recorders(Echo)) as port:
        connector = any_reactor.connectTCP("localhost", port.port, connected)
        assert connected.number(0).transport.getPeer() == port.getHost()
        connector.disconnect()
        connected.error()


def test_a_closed_port_refuses_the_client(any_reactor: Reactor) -> None:
    connected, number = Recorders(Recorder), free_port()
    any_reactor.connectTCP("127.0.0.1", number, connected)
    refused = connected.error()
    assert isinstance(refused, error.ConnectionRefusedError)
    assert f"cannot connect to 127.0.0.1:{number}: the connection was refused: nothing listens" in str(refused)
    assert connected.events == ["start", "connecting", "failed", "stop"]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".invalid", "nul\0.invalid", "..", "-"])
def test_a_host_that_does_not_resolve_fails(any_reactor: Reactor, host: str) -> None:
    connected = Recorders(Recorder)
    any_reactor.connectTCP(host, 80, connected)
    unknown = connected.error()
    assert isinstance(unknown, error.DNSLookupError)
    assert f"the host name {host!r} does not resolve" in str(unknown)
    assert "check its spelling" in str(unknown)


def test_a_local_address_can_be_chosen(any_reactor: Reactor) -> None:
    connected = Recorders(Recorder)
    with serving(any_reactor, Recorders(Echo)) as port:
        bound = free_port()
        connector = any_reactor.connectTCP("127.0.0.1", port.port, connected, bindAddress=("127.0.0.1", bound))
        assert connected.number(0).transport.getHost().port == bound
        connector.disconnect()
        connected.error()


def test_a_local_address_that_cannot_be_had_fails(any_reactor: Reactor) -> None:
    connected = Recorders(Recorder)
    with serving(any_reactor, Recorders(Echo)) as port:
        any_reactor.connectTCP("127.0.0.1", port.port, connected, bindAddress=("192.0.2.1", 0))
        failed = connected.error()
    assert isinstance(failed, error.ConnectBindError)
    assert "cannot connect from 192.0.2.1:0" in str(failed)


class Unanswered:
    """A listening socket whose queue is full, so that a further attempt gets no answer."""

    def __enter__(self) -> int:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.clients = [socket.socket() for _ in range(4)]
        for client in self.clients:
            client.setblocking(False)
            client.connect_ex(self.server.getsockname())
        number: int = self.server.getsockname()[1]
        return number

    def __exit__(self, *_: object) -> None:
        for sock in (*self.clients, self.server):
            sock.close()


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_attempt_that_gets_no_answer_times_out() -> None:
    clock, connected = Clock(), Recorders(Recorder)
    reactor = Reactor(now=clock)
    with Unanswered() as number:
        connector = reactor.connectTCP("127.0.0.1", number, connected, timeout=30)
        clock.now = 29.9
        reactor.iterate()
        assert connector.state == "connecting"
        clock.now = 30
        drive(reactor, lambda: connected.reason)
        failed = connected.error()
    assert isinstance(failed, error.TimeoutError)
    assert str(failed) == f"cannot connect to 127.0.0.1:{number}: no answer within 30 s"
    assert not list(reactor.handles)
    reactor.close()


def test_without_a_timeout_nothing_is_scheduled() -> None:
    reactor, connected = Reactor(), Recorders(Recorder)
    with Unanswered() as number:
        connector = reactor.connectTCP("127.0.0.1", number, connected, timeout=None)
        assert reactor.getDelayedCalls() == []
        connector.stopConnecting()
    assert isinstance(connected.error(), error.UserError)
    reactor.close()


def test_an_attempt_can_be_stopped(any_reactor: Reactor) -> None:
    connected = Recorders(Recorder)
    with Unanswered() as number:
        connector = any_reactor.connectTCP("127.0.0.1", number, connected)
        (handle,) = any_reactor.handles.of("connection")
        assert (handle.state, handle.label) == ("connecting", "Recorder")
        connector.stopConnecting()
        assert type(connected.error()) is error.UserError
        with pytest.raises(error.NotConnectingError, match="no attempt is under way"):
            connector.stopConnecting()


def test_an_attempt_can_be_stopped_from_started_connecting(any_reactor: Reactor) -> None:
    class Reluctant(Recorders[Recorder]):
        def startedConnecting(self, connector: Any) -> None:
            super().startedConnecting(connector)
            connector.stopConnecting()

    connected = Reluctant(Recorder)
    any_reactor.connectTCP("127.0.0.1", free_port(), connected)
    assert type(connected.error()) is error.UserError
    assert connected.events == ["start", "connecting", "failed", "stop"]


@pytest.mark.parametrize("abort", [False, True])
def test_an_attempt_can_be_closed_as_a_handle(any_reactor: Reactor, abort: bool) -> None:
    connected = Recorders(Recorder)
    with Unanswered() as number:
        any_reactor.connectTCP("127.0.0.1", number, connected)
        any_reactor.handles.of("connection")[0].closeHandle(abort).wait(PATIENCE)
    assert isinstance(connected.error(), error.ConnectionAborted)
    assert connected.events == ["start", "connecting", "failed", "stop"]


def test_an_attempt_can_be_closed_while_its_host_is_looked_up(any_reactor: Reactor) -> None:
    class Slow(Reactor):
        def lookUp(self, host: str, port: int) -> Deferred[Any]:
            return Deferred()

    reactor, connected = Slow(), Recorders(Recorder)
    reactor.connectTCP("somewhere", 80, connected)
    closed = reactor.handles.of("connection")[0].closeHandle()
    drive(reactor, lambda: closed.called)
    assert isinstance(connected.error(), error.ConnectionAborted)
    assert not list(reactor.handles)
    reactor.close()


def test_a_factory_may_connect_again_when_it_lost_its_connection(any_reactor: Reactor) -> None:
    class Persistent(Recorders[Recorder]):
        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            if len(self.protocols) < 3:
                connector.connect()
            else:
                super().clientConnectionLost(connector, reason)

    class Goodbye(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.loseConnection()

    connected = Persistent(Recorder)
    with serving(any_reactor, Recorders(Goodbye)) as port:
        any_reactor.connectTCP("127.0.0.1", port.port, connected)
        assert isinstance(connected.error(), error.ConnectionDone)
    assert connected.events == ["start", "connecting", "connecting", "connecting", "lost", "stop"]


def test_connecting_what_is_connected_is_refused(reactor: Reactor) -> None:
    connected = Recorders(Recorder)
    with serving(reactor, Recorders(Echo)) as port:
        connector = reactor.connectTCP("127.0.0.1", port.port, connected)
        connected.number(0)
        with pytest.raises(RuntimeError, match="is connected"):
            connector.connect()
        connector.disconnect()
        connected.error()


def test_a_client_factory_that_gives_none_ends_the_attempt(reactor: Reactor) -> None:
    class Closed(Recorders[Recorder]):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    connected = Closed(Recorder)
    with serving(reactor, Recorders(Echo)) as port:
        reactor.connectTCP("127.0.0.1", port.port, connected)
        assert isinstance(connected.error(), error.ConnectionDone)
    assert connected.events == ["start", "connecting", "lost", "stop"]


def test_a_client_factory_that_raises_is_reported_and_told(reactor: Reactor, reported: Reports) -> None:
    class Raising(Recorders[Recorder]):
        def buildProtocol(self, addr: Any) -> Any:
            raise ValueError("boom")

    connected = Raising(Recorder)
    with serving(reactor, Recorders(Echo)) as port:
        reactor.connectTCP("127.0.0.1", port.port, connected)
        assert isinstance(connected.error(), ValueError)
    (record,) = reported()
    assert "Raising.buildProtocol() failed" in record.getMessage()


@pytest.mark.parametrize(("built", "why"), NO_PROTOCOLS)
def test_a_client_factory_that_builds_no_protocol_is_reported_and_told(
    any_reactor: Reactor, reported: Reports, built: Any, why: str
) -> None:
    connected = Wrong(built)
    with serving(any_reactor, Recorders(Echo)) as port:
        any_reactor.connectTCP("127.0.0.1", port.port, connected)
        assert str(connected.error()) == why
    assert connected.events == ["start", "connecting", "failed", "stop"]
    (record,) = reported()
    assert record.getMessage() == "Wrong.buildProtocol() failed"


def test_a_client_s_callbacks_run_in_the_context_of_its_birth(any_reactor: Reactor) -> None:
    cells: list[str] = []

    class Noting(Recorders[Recorder]):
        def buildProtocol(self, addr: Any) -> Recorder:
            cells.append(cell.get())
            return super().buildProtocol(addr)

        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            cells.append(cell.get())
            super().clientConnectionLost(connector, reason)

    connected = Noting(Recorder)
    with serving(any_reactor, Recorders(Echo)) as port:
        connector = in_cell("nine", any_reactor.connectTCP, "127.0.0.1", port.port, connected)
        connected.number(0)
        connector.disconnect()
        connected.error()
    assert cells == ["nine", "nine"]


def test_a_client_and_a_server_on_one_reactor_move_much_both_ways(any_reactor: Reactor) -> None:
    data = bytes(range(256)) * 8192
    done = threading.Event()

    class Sender(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(data)

        def dataReceived(self, piece: bytes) -> None:
            super().dataReceived(piece)
            if len(self.data) == len(data):
                done.set()

    connected = Recorders(Sender)
    with serving(any_reactor, Recorders(Echo)) as port:
        connector = any_reactor.connectTCP("127.0.0.1", port.port, connected)
        assert done.wait(PATIENCE)
        assert connected.protocols[0].data == data
        connector.disconnect()
        connected.error()


def test_the_connector_says_what_it_is(reactor: Reactor) -> None:
    connected, number = Recorders(Recorder), free_port()
    connector = reactor.connectTCP("127.0.0.1", number, connected)
    connected.error()
    assert repr(connector) == f"<Connector to 127.0.0.1:{number}, disconnected>"
    connector.disconnect()
    on_reactor(reactor, int)
