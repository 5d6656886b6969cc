"""In-memory streams: the queues, the pair, ports and connectors by name, virtual time, endpoints."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders
from wirebook.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
    WriteBacklogError,
)
from wirebook.protocol import Factory
from wirebook.task import Clock
from wirebook.transports._channel import channel_pair
from wirebook.transports._state import WriteLimits
from wirebook.transports.memory import (
    MemoryAddress,
    MemoryClientEndpoint,
    MemoryNetwork,
    MemoryServerEndpoint,
    memory_pair,
)
from wirebook.transports.reactor import Reactor

# --- the queues


def test_a_channel_takes_what_it_has_room_for() -> None:
    one, other = channel_pair(8)
    assert one.send(b"12345") == 5
    assert one.sendmsg([b"67", b"8910", b"11"]) == 3
    assert not one.writable
    with pytest.raises(BlockingIOError):
        one.send(b"x")
    with pytest.raises(BlockingIOError):
        one.sendmsg([b"x"])
    assert (other.recv(3), other.recv(100)) == (b"123", b"45678")
    assert one.writable


def test_a_channel_says_when_something_has_changed_at_its_other_end() -> None:
    one, other = channel_pair(8)
    heard: list[str] = []
    one.changed = lambda: heard.append("one")
    other.changed = lambda: heard.append("other")
    one.send(b"x")
    other.recv(1)
    one.finish()
    one.finish()
    other.close()
    assert heard == ["other", "one", "other", "one"]


def test_an_empty_channel_blocks_until_its_peer_has_finished() -> None:
    one, other = channel_pair()
    assert not other.readable
    with pytest.raises(BlockingIOError):
        other.recv(1)
    one.send(b"last")
    one.finish()
    assert (other.recv(10), other.recv(10), other.recv(10)) == (b"last", b"", b"")
    assert other.send(b"still open") == 10


def test_a_reset_comes_behind_the_bytes_that_were_sent_before() -> None:
    one, other = channel_pair()
    one.send(b"last")
    one.resets = True
    one.close()
    assert other.recv(10) == b"last"
    with pytest.raises(ConnectionResetError):
        other.recv(10)
    with pytest.raises(BrokenPipeError):
        other.send(b"x")


def test_the_first_bytes_for_a_closed_peer_vanish_and_the_next_ones_fail() -> None:
    one, other = channel_pair()
    other.close()
    assert one.send(b"vanish") == 6
    with pytest.raises(BrokenPipeError):
        one.send(b"x")


def test_a_channel_gives_no_more_at_once_than_it_is_told_to() -> None:
    one, other = channel_pair()
    other.largest = 2
    one.send(b"12345")
    assert [other.recv(100) for _ in range(3)] == [b"12", b"34", b"5"]


# --- a pair


def test_both_protocols_of_a_pair_are_connected_at_once_and_hear_later(reactor: Reactor) -> None:
    one, other = Recorder(), Recorder()
    with reactor.turn():
        transports = memory_pair(reactor, one, other)
        assert (one.transport, other.transport) == transports
        one.transport.write(b"hello")
        assert not other.data
    assert eventually(lambda: other.data == b"hello")
    one.transport.loseConnection()
    assert isinstance(other.end(), ConnectionDone)


def test_what_is_written_in_connectionMade_waits_for_the_other_one(reactor: Reactor) -> None:
    class Greeting(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"hello")

    one, other = Greeting(), Greeting()
    memory_pair(reactor, one, other)
    assert eventually(lambda: one.data == other.data == b"hello")
    one.transport.abortConnection()
    other.end()


def test_a_small_capacity_makes_the_writer_wait() -> None:
    clock, one, other = Clock(), Recorder(), Recorder()
    memory_pair(clock, one, other, capacity=10)
    one.transport.write(b"x" * 25)
    assert one.transport.bytesSent == 10
    clock.advance(0)
    assert len(other.data) == 25
    one.transport.loseConnection()
    clock.advance(0)
    assert isinstance(other.end(), ConnectionDone)


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "many"])
def test_a_capacity_that_is_none_is_refused(capacity: Any) -> None:
    with pytest.raises(ValueError, match=f"1 or more, not {capacity!r}"):
        memory_pair(Clock(), Recorder(), Recorder(), capacity)


def test_nothing_happens_on_a_clock_that_stands_still() -> None:
    clock, one, other = Clock(), Recorder(), Recorder()
    memory_pair(clock, one, other)
    one.transport.write(b"x")
    one.transport.loseConnection()
    assert not other.data
    assert not one.lost.is_set()
    clock.advance(0)
    assert other.data == b"x"
    assert one.lost.is_set()
    assert other.lost.is_set()
    assert clock.getDelayedCalls() == []


def test_a_backlog_over_the_limit_ends_the_connection(reported: Reports) -> None:
    clock, one, other = Clock(), Recorder(), Recorder()
    memory_pair(clock, one, other)
    one.transport.writeLimits = WriteLimits(report=100_000, abort=200_000)
    other.transport.pauseProducing()
    for _ in range(2):
        one.transport.write(bytes(300_000))
    clock.advance(0)
    assert isinstance(one.end(), WriteBacklogError)
    (record,) = reported()
    assert "memory pair-" in record.getMessage()
    other.transport.resumeProducing()
    clock.advance(0)
    assert isinstance(other.end(), ConnectionLost)


def test_a_reset_after_the_read_side_ended_is_noticed() -> None:
    class HalfCloseable(Recorder):
        def readConnectionLost(self) -> None:
            """Lives on."""

        def writeConnectionLost(self) -> None:
            """Lives on."""

    clock, one, other = Clock(), HalfCloseable(), HalfCloseable()
    memory_pair(clock, one, other)
    one.transport.loseWriteConnection()
    clock.advance(0)
    assert other.transport.state == "half-closed"
    one.transport.abortConnection()
    clock.advance(0)
    assert isinstance(other.end(), ConnectionLost)


def test_a_tap_that_raises_stops_nobody_else(reactor: Reactor, reported: Reports) -> None:
    class Broken:
        def data(self, direction: str, data: bytes) -> None:
            raise ValueError("boom")

        def event(self, name: str) -> None:
            """Fine."""

    one, other = Recorder(), Recorder()
    memory_pair(reactor, one, other)
    other.transport.tap = Broken()
    one.transport.write(b"x")
    (record,) = reported.wait()
    assert "dispatching to <MemoryTransport of Recorder" in record.getMessage()
    one.transport.write(b"y")
    reported.wait()
    one.transport.abortConnection()
    other.end()


def test_deliveries_are_turns_for_a_trace(reactor: Reactor) -> None:
    class Trace:
        seen: list[tuple[str, object]]

        def begin(self, cause: str, subject: object, origin: object = None) -> None:
            self.seen.append((cause, subject))

        def end(self) -> None:
            """Not looked at."""

    one, other = Recorder(), Recorder()
    memory_pair(reactor, one, other)
    trace = Trace()
    trace.seen = []
    reactor.trace = trace
    one.transport.write(b"x")
    assert eventually(lambda: other.data)
    reactor.trace = None
    assert ("read", other.transport) in trace.seen
    one.transport.abortConnection()
    other.end()


def test_addresses_tell_the_two_ends_apart() -> None:
    clock, one, other = Clock(), Recorder(), Recorder()
    memory_pair(clock, one, other)
    assert one.transport.getHost() == other.transport.getPeer() != other.transport.getHost()
    assert str(one.transport.getHost()).endswith("/a")


# --- ports and connectors


def test_a_port_serves_by_name_and_counts(reactor: Reactor) -> None:
    server, client = Recorders(Echo), Recorders(Recorder)
    port = reactor.listenMemory("chat", server)
    connector = reactor.connectMemory("chat", client)
    protocol = client.number(0)
    protocol.transport.write(b"hello")
    assert eventually(lambda: protocol.data == b"hello")
    assert (connector.state, port.connectionCount, port.acceptedCount) == ("connected", 1, 1)
    assert (port.bytesReceived, port.bytesSent) == (5, 5)
    served = server.number(0)
    assert served.transport.port is port
    assert protocol.transport.getPeer() == port.getHost() == MemoryAddress("chat")
    assert served.transport.getPeer() == protocol.transport.getHost() != MemoryAddress("chat")
    assert repr(port) == "<MemoryPort of Echo on memory chat, listening>"
    connector.disconnect()
    assert isinstance(served.end(), ConnectionDone)
    assert isinstance(client.error(), ConnectionDone)
    assert (connector.state, port.connectionCount, port.bytesSent) == ("disconnected", 0, 5)
    port.stopListening()
    assert server.events == ["start", "stop"]
    assert client.events == ["start", "connecting", "lost", "stop"]


def test_a_connector_connects_again_when_asked(reactor: Reactor) -> None:
    client = Recorders(Recorder)
    port = reactor.listenMemory("chat", Recorders(Echo))
    connector = reactor.connectMemory("chat", client)
    client.number(0).transport.loseConnection()
    client.error()
    connector.connect()
    client.number(1).transport.loseConnection()
    client.number(1).end()
    port.stopListening()


def test_a_name_that_nobody_serves_is_refused(reactor: Reactor) -> None:
    client = Recorders(Recorder)
    reactor.connectMemory("nobody", client)
    error = client.error()
    assert isinstance(error, ConnectionRefusedError)
    assert "cannot connect to nobody: the connection was refused" in str(error)


def test_an_attempt_can_be_stopped_and_begun_again() -> None:
    clock = Clock()
    network, client = MemoryNetwork(clock), Recorders(Recorder)
    port = network.listenMemory("chat", Recorders(Echo))
    connector = network.connectMemory("chat", client)
    connector.stopConnecting()
    assert isinstance(client.reason and client.reason.value, UserError)
    connector.connect()
    clock.advance(0)
    assert (len(client.protocols), port.acceptedCount) == (1, 1)
    connector.disconnect()
    clock.advance(0)
    port.stopListening()
    assert len(network.handles) == 0
    assert clock.getDelayedCalls() == []


def test_an_attempt_has_a_timeout_where_virtual_time_jumps() -> None:
    clock = Clock()
    network, client = MemoryNetwork(clock), Recorders(Recorder)
    # Its timer comes before the attempt, which is due now and so at the same time as a timer of 0.
    network.connectMemory("chat", client, timeout=0)
    clock.advance(0)
    assert isinstance(client.reason and client.reason.value, TimeoutError)


def test_a_taken_name_cannot_be_listened_on_and_is_free_again_afterwards(reactor: Reactor) -> None:
    factory = Recorders(Echo)
    port = reactor.listenMemory("chat", factory)
    with pytest.raises(CannotListenError, match="cannot listen on memory:chat: address already in use"):
        reactor.listenMemory("chat", Factory())
    port.stopListening()
    port.stopListening()
    port.startListening()
    assert reactor.handles.of("port") == [port]
    port.closeHandle()
    assert factory.events == ["start", "stop", "start", "stop"]


def test_two_reactors_know_nothing_of_each_other_s_names(reactor: Reactor) -> None:
    network = MemoryNetwork(Clock())
    ports = [network.listenMemory("chat", Factory()), reactor.listenMemory("chat", Factory())]
    for port in ports:
        port.stopListening()


@pytest.mark.parametrize("name", ["", 7, None, b"chat"])
def test_what_is_no_name_is_refused(reactor: Reactor, name: Any) -> None:
    with pytest.raises(TypeError, match='a str like "chat"'):
        reactor.listenMemory(name, Factory())
    with pytest.raises(TypeError, match='a str like "chat"'):
        reactor.connectMemory(name, Recorders(Echo))


def test_what_is_no_factory_is_refused(reactor: Reactor) -> None:
    wrong: Any = Echo
    with pytest.raises(TypeError, match="takes a factory"):
        reactor.listenMemory("chat", wrong)
    with pytest.raises(TypeError, match="takes a factory"):
        reactor.connectMemory("chat", wrong)


def test_a_connection_that_the_server_s_factory_refuses_ends_at_once(reactor: Reactor) -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    client = Recorders(Recorder)
    port = reactor.listenMemory("chat", Refusing())
    reactor.connectMemory("chat", client)
    assert isinstance(client.error(), ConnectionDone)
    assert port.acceptedCount == 0
    port.stopListening()


def test_a_connection_lives_in_the_context_of_its_port(reactor: Reactor) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    class Noting(Recorder):
        def connectionMade(self) -> None:
            seen.append(variable.get())
            super().connectionMade()

    context = contextvars.copy_context()
    context.run(variable.set, "port")
    port = context.run(reactor.listenMemory, "chat", Recorders(Noting))
    client = Recorders(Recorder)
    reactor.connectMemory("chat", client)
    client.number(0).transport.loseConnection()
    client.error()
    port.stopListening()
    assert seen == ["port"]


# --- endpoints


def test_endpoints_listen_and_connect_by_name(reactor: Reactor) -> None:
    port = outcome(MemoryServerEndpoint(reactor, "chat").listen(Recorders(Echo)))
    connected = MemoryClientEndpoint(reactor, "chat").connect(Recorders(Recorder))
    protocol = connected.wait(PATIENCE)
    protocol.transport.write(b"x")
    assert eventually(lambda: protocol.data == b"x")
    protocol.transport.loseConnection()
    protocol.end()
    port.stopListening()


def test_endpoints_fail_with_the_error(reactor: Reactor) -> None:
    wrong: Any = 7
    assert error_of(MemoryServerEndpoint(reactor, wrong).listen(Factory()), TypeError)
    assert error_of(MemoryClientEndpoint(reactor, wrong).connect(Factory()), TypeError)
    with pytest.raises(ConnectionRefusedError):
        MemoryClientEndpoint(reactor, "nobody").connect(Factory()).wait(PATIENCE)


def test_cancelling_a_connect_ends_the_attempt() -> None:
    network = MemoryNetwork(Clock())
    connected = MemoryClientEndpoint(network, "chat").connect(Factory())
    connected.cancel()
    assert error_of(connected, ConnectingCancelledError)
    assert len(network.handles) == 0
