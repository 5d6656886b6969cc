"""Streams over real sockets, on every poller: writing, reading, producers, half-close, and every way to end."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
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
    on_reactor,
    pair,
    receive_all,
    receive_exactly,
    send_reset,
    serving,
)
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost, NotConnectedError
from wirebook.failure import Failure
from wirebook.protocol import Protocol, connectionDone
from wirebook.transports.reactor import Reactor

LARGE = bytes(range(256)) * 32768


class HalfCloseable(Recorder):
    """Lives on when one direction was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.read_lost = threading.Event()
        self.write_lost = threading.Event()

    def readConnectionLost(self) -> None:
        self.read_lost.set()

    def writeConnectionLost(self) -> None:
        self.write_lost.set()


# --- writing


def test_eight_mebibytes_to_a_slow_reader_arrive_whole_and_in_order(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.write(b"the end")
        # The peer has not read yet: most of it must be in our queue.
        assert protocol.transport.bytesSent < len(LARGE)
        assert receive_exactly(sock, len(LARGE) + 7) == LARGE + b"the end"
        assert eventually(lambda: protocol.transport.bytesSent == len(LARGE) + 7)


def test_many_small_writes_behind_a_full_queue_keep_their_order(any_reactor: Reactor) -> None:
    pieces = [b"%06d;" % number for number in range(5000)]
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.write(LARGE)
        for piece in pieces:
            protocol.transport.write(piece)
        assert receive_exactly(sock, len(LARGE) + 7 * 5000)[len(LARGE) :] == b"".join(pieces)


def test_a_sequence_is_sent_as_one(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.writeSequence(iter([b"one ", b"", b"two"]))
        assert receive_exactly(sock, 7) == b"one two"


def test_a_sequence_with_text_in_it_is_refused(reactor: Reactor) -> None:
    wrong: Any = [b"one ", "two"]
    with pair(reactor, Recorder) as (protocol, _):
        with pytest.raises(TypeError, match=r"item 1: expected a bytes-like object, str found; encode text with"):
            protocol.transport.writeSequence(wrong)
        assert protocol.transport.bytesSent == 0


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")], ids=["bytearray", "memoryview"])
def test_other_buffers_are_copied_when_they_are_written(reactor: Reactor, data: Any) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.write(data)
        if isinstance(data, bytearray):
            data[:] = b"xyz"
        assert receive_exactly(sock, len(LARGE) + 3).endswith(b"abc")


def test_writing_nothing_sends_nothing(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        protocol.transport.write(b"")
        protocol.transport.write(b"x")
        assert receive_exactly(sock, 1) == b"x"
        assert protocol.transport.bytesSent == 1


@pytest.mark.parametrize(
    ("data", "hint"), [("text", r"not the str 'text': encode it first.*\.encode\(\)"), (5, "takes bytes, not int")]
)
def test_writing_what_is_not_bytes_is_refused(reactor: Reactor, data: Any, hint: str) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        with pytest.raises(TypeError, match=hint):
            protocol.transport.write(data)
        protocol.transport.write(b"fine")
        assert receive_exactly(sock, 4) == b"fine"


def test_many_threads_write_whole_pieces(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):

        def write(letter: bytes) -> None:
            for _ in range(50):
                protocol.transport.write(letter * 1000)

        threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
        for thread in threads:
            thread.start()
        got = receive_exactly(sock, 4 * 50 * 1000)
        for thread in threads:
            thread.join(PATIENCE)
        assert {len(set(got[start : start + 1000])) for start in range(0, len(got), 1000)} == {1}


def test_a_write_from_a_cell_after_the_end_raises(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        transport = protocol.transport
        sock.close()
        protocol.end()
        with pytest.raises(NotConnectedError, match=r"cannot write 3 bytes to TCP 127.*connect again"):
            transport.write(b"abc")


def test_writes_from_callbacks_after_the_end_are_reported_once(
    reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    class Late(Recorder):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            transport = self.transport
            transport.write(b"late")
            transport.write(b"later")
            super().connectionLost(reason)

    with pair(reactor, Late) as (protocol, sock):
        sock.close()
        protocol.end()
    assert ["stop writing in connectionLost()" in record.getMessage() for record in caplog.records] == [True]


# --- reading


def test_what_arrives_is_counted_and_delivered_in_order(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        sock.sendall(LARGE)
        assert eventually(lambda: len(protocol.data) == len(LARGE), PATIENCE)
        assert protocol.data == LARGE
        assert protocol.transport.bytesReceived == len(LARGE)


def test_a_paused_connection_reads_nothing_until_it_is_resumed(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.pauseProducing()
        protocol.transport.pauseProducing()
        sock.sendall(b"waiting")
        for _ in range(3):
            on_reactor(any_reactor, int)
        assert not protocol.data
        protocol.transport.resumeProducing()
        assert eventually(lambda: protocol.data == b"waiting")


def test_a_reset_while_paused_neither_spins_nor_gets_lost(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        polls = count_polls(any_reactor)
        protocol.transport.pauseProducing()
        send_reset(sock)
        # Long enough for thousands of iterations of a loop that spins.
        threading.Event().wait(0.1)
        assert len(polls) < 10
        assert not protocol.lost.is_set()
        protocol.transport.resumeProducing()
        assert isinstance(protocol.end(), ConnectionLost)


def count_polls(reactor: Reactor) -> list[float]:
    """A list that grows with every iteration."""
    polls: list[float] = []
    poll = reactor.poller.poll

    def counted(timeout: float) -> list[tuple[int, int]]:
        polls.append(timeout)
        return poll(timeout)

    reactor.poller.poll = counted  # type: ignore[method-assign]
    return polls


def test_a_connection_that_was_reset_while_paused_can_still_be_closed(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.pauseProducing()
        send_reset(sock)
        on_reactor(any_reactor, int)
        protocol.transport.loseConnection()
        assert protocol.end()


def test_reading_goes_on_after_a_write_broke(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        transport = protocol.transport
        with any_reactor.turn():
            sock.sendall(b"last words")
            transport.getHandle().shutdown(socket.SHUT_WR)
            transport.write(b"into the void")
            transport.write(b"and again")
            assert not protocol.lost.is_set()
        sock.close()
        assert isinstance(protocol.end(), ConnectionLost)
        assert protocol.data == b"last words"


def test_one_fast_peer_does_not_starve_another(any_reactor: Reactor) -> None:
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port, dial(port) as fast, dial(port) as slow:
        fast.settimeout(None)
        factory.number(1)
        flood = threading.Thread(target=send_until_closed, args=(fast,))
        drain = threading.Thread(target=read_until_closed, args=(fast,))
        flood.start()
        drain.start()
        for _ in range(50):
            slow.sendall(b"ping")
            assert receive_exactly(slow, 4) == b"ping"
        fast.shutdown(socket.SHUT_RDWR)
        flood.join(PATIENCE)
        drain.join(PATIENCE)


def send_until_closed(sock: socket.socket) -> None:
    """Send as fast as the peer reads."""
    try:
        while True:
            sock.sendall(bytes(65536))
    except OSError:
        return


def read_until_closed(sock: socket.socket) -> None:
    """Read as fast as the peer sends."""
    try:
        while sock.recv(65536):
            """Thrown away."""
    except OSError:
        return


# --- producers


class Producer:
    """Writes what it is told, and remembers what it was asked."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.asked: list[str] = []
        self.pieces = [b"piece %d;" % number for number in range(20)]

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.asked.append("stop")


def test_a_push_producer_is_paused_above_the_buffer_size_and_resumed_when_it_is_sent(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        producer = Producer(protocol.transport)
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(b"little")
        assert producer.asked == []
        protocol.transport.write(LARGE)
        protocol.transport.write(LARGE)
        assert producer.asked == ["pause"]
        receive_exactly(sock, 6 + 2 * len(LARGE))
        assert eventually(lambda: producer.asked == ["pause", "resume"])
        protocol.transport.unregisterProducer()


def test_how_many_bytes_pause_a_producer_is_set_for_each_connection(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        producer = Producer(protocol.transport)
        protocol.transport.bufferSize = 2 * len(LARGE)
        protocol.transport.registerProducer(producer, True)
        with reactor.turn():
            protocol.transport.write(LARGE)
            protocol.transport.write(LARGE)
            assert producer.asked == []
            protocol.transport.bufferSize = 10
            protocol.transport.write(b"x")
            assert producer.asked == ["pause"]


def test_a_pull_producer_is_asked_until_it_has_finished(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        producer = Producer(protocol.transport)
        expected = b"".join(producer.pieces)
        protocol.transport.registerProducer(producer, False)
        protocol.transport.loseConnection()
        assert receive_all(sock) == expected
        assert isinstance(protocol.end(), ConnectionDone)
        assert producer.asked == ["resume"] * 21


def test_losing_the_connection_waits_for_the_producer_to_finish(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        producer = Producer(protocol.transport)
        transport = protocol.transport
        transport.registerProducer(producer, True)
        transport.write(LARGE[:500_000])
        transport.loseConnection()
        receive_exactly(sock, 500_000)
        on_reactor(any_reactor, int)
        assert not protocol.lost.is_set()
        transport.write(b"the rest")
        transport.unregisterProducer()
        assert receive_all(sock).endswith(b"the rest")
        assert isinstance(protocol.end(), ConnectionDone)


def test_a_producer_is_stopped_when_the_connection_ends(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        producer = Producer(protocol.transport)
        protocol.transport.registerProducer(producer, True)
        send_reset(sock)
        protocol.end()
        assert producer.asked == ["stop"]


def test_only_one_producer_at_a_time(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        protocol.transport.registerProducer(Producer(protocol.transport), True)
        with pytest.raises(RuntimeError, match="is registered and was not unregistered"):
            protocol.transport.registerProducer(Producer(protocol.transport), True)


def test_a_producer_that_comes_too_late_is_stopped(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        transport = protocol.transport
        sock.close()
        protocol.end()
        producer = Producer(transport)
        transport.registerProducer(producer, True)
        assert producer.asked == ["stop"]


def test_a_producer_that_raises_ends_its_connection(reactor: Reactor, reported: Reports) -> None:
    class Raising(Producer):
        def resumeProducing(self) -> None:
            raise ValueError("boom")

    with pair(reactor, Recorder) as (protocol, _):
        protocol.transport.registerProducer(Raising(protocol.transport), False)
        assert isinstance(protocol.end(), ValueError)
    (record,) = reported()
    assert "resumeProducing() raised" in record.getMessage()


# --- half-close


def test_a_peer_that_only_closed_its_sending_side_gets_the_rest(any_reactor: Reactor) -> None:
    class Answer(Recorder):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(LARGE)

    with pair(any_reactor, Answer) as (protocol, sock):
        sock.sendall(b"?")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == LARGE
        assert isinstance(protocol.end(), ConnectionDone)


def test_a_protocol_without_half_close_ends_with_the_peer_s_fin(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b""
        assert isinstance(protocol.end(), ConnectionDone)


def test_a_half_closeable_protocol_writes_on_after_the_peer_s_fin(any_reactor: Reactor) -> None:
    with pair(any_reactor, HalfCloseable) as (protocol, sock):
        sock.shutdown(socket.SHUT_WR)
        assert protocol.read_lost.wait(PATIENCE)
        assert protocol.transport.state == "half-closed"
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        assert receive_all(sock) == LARGE
        assert isinstance(protocol.end(), ConnectionDone)


def test_closing_one_direction_keeps_the_other(any_reactor: Reactor) -> None:
    with pair(any_reactor, HalfCloseable) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.loseWriteConnection()
        protocol.transport.loseWriteConnection()
        assert receive_all(sock) == LARGE
        assert protocol.write_lost.wait(PATIENCE)
        sock.sendall(b"still read")
        assert eventually(lambda: protocol.data == b"still read")
        sock.shutdown(socket.SHUT_WR)
        assert isinstance(protocol.end(), ConnectionDone)


@pytest.mark.parametrize("streaming", [False, True])
def test_closing_one_direction_waits_for_the_producer_to_finish(any_reactor: Reactor, streaming: bool) -> None:
    with pair(any_reactor, HalfCloseable) as (protocol, sock):
        producer = Producer(protocol.transport)
        expected = b"".join(producer.pieces)
        protocol.transport.registerProducer(producer, streaming)
        protocol.transport.loseWriteConnection()
        while streaming and producer.pieces:
            on_reactor(any_reactor, producer.resumeProducing)
        if streaming:
            assert not protocol.write_lost.is_set()
            producer.resumeProducing()
        assert receive_all(sock) == expected
        assert protocol.write_lost.wait(PATIENCE)
        sock.sendall(b"still read")
        assert eventually(lambda: protocol.data == b"still read")


def test_closing_the_second_direction_is_told_before_the_end(any_reactor: Reactor) -> None:
    with pair(any_reactor, HalfCloseable) as (protocol, sock):
        sock.shutdown(socket.SHUT_WR)
        assert protocol.read_lost.wait(PATIENCE)
        protocol.transport.loseWriteConnection()
        assert isinstance(protocol.end(), ConnectionDone)
        assert protocol.write_lost.is_set()


@pytest.mark.parametrize("kind", [Recorder, HalfCloseable])
def test_what_is_queued_is_sent_when_both_sides_half_close(any_reactor: Reactor, kind: type[Recorder]) -> None:
    with pair(any_reactor, kind) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.loseWriteConnection()
        sock.shutdown(socket.SHUT_WR)
        on_reactor(any_reactor, int)
        assert receive_all(sock) == LARGE
        assert isinstance(protocol.end(), ConnectionDone)


# --- the end


def test_losing_the_connection_sends_what_is_queued(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        protocol.transport.loseConnection()
        assert protocol.transport.state == "closing"
        assert receive_all(sock) == LARGE
        assert isinstance(protocol.end(), ConnectionDone)
        assert protocol.transport.state == "closed"


def test_aborting_resets_the_peer_and_drops_what_is_queued(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.abortConnection()
        protocol.transport.abortConnection()
        assert isinstance(protocol.end(), ConnectionAborted)
        with pytest.raises(ConnectionResetError):
            receive_all(sock)


def test_a_peer_s_reset_is_a_lost_connection(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        send_reset(sock)
        error = protocol.end()
        assert isinstance(error, ConnectionLost)
        assert "ECONNRESET" in str(error)


@pytest.mark.parametrize("verb", ["loseConnection", "abortConnection", "loseWriteConnection"])
def test_the_end_never_comes_from_inside_the_call_that_asks_for_it(any_reactor: Reactor, verb: str) -> None:
    with pair(any_reactor, HalfCloseable) as (protocol, sock), any_reactor.turn():
        getattr(protocol.transport, verb)()
        assert not protocol.lost.is_set()
        assert not protocol.write_lost.is_set()
        assert sock.fileno() > 0


def test_the_end_never_comes_from_inside_a_write(any_reactor: Reactor) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        transport = protocol.transport
        transport.pauseProducing()
        send_reset(sock)
        threading.Event().wait(0.01)
        with any_reactor.turn():
            for _ in range(3):
                transport.write(b"x")
            assert not protocol.lost.is_set()
        assert isinstance(protocol.end(), ConnectionLost)


@pytest.mark.parametrize("verb", ["loseConnection", "abortConnection", "loseWriteConnection", "stopProducing"])
def test_ending_what_has_ended_is_harmless(reactor: Reactor, verb: str) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        sock.close()
        protocol.end()
        getattr(protocol.transport, verb)()
        protocol.transport.unregisterProducer()
        protocol.transport.resumeProducing()


@pytest.mark.parametrize("abort", [False, True])
def test_closing_a_handle_fires_when_it_is_closed(any_reactor: Reactor, abort: bool) -> None:
    with pair(any_reactor, Recorder) as (protocol, _):
        protocol.transport.closeHandle(abort).wait(PATIENCE)
        assert protocol.lost.is_set()
        assert protocol.transport.closeHandle().called


def test_data_written_just_after_losing_the_connection_is_sent(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        with reactor.turn():
            protocol.transport.loseConnection()
            protocol.transport.write(b"P.S.")
        assert receive_all(sock) == b"P.S."


# --- protocols that raise


class Raising(Recorder):
    """Raises where it is told to."""

    where = ""

    def check(self, method: str) -> None:
        if self.where == method:
            raise ValueError(f"boom in {method}")

    def connectionMade(self) -> None:
        super().connectionMade()
        self.check("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        self.check("dataReceived")
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.check("connectionLost")


class RaisingHalfClosed(Raising):
    """The same, and half-closeable."""

    def readConnectionLost(self) -> None:
        self.check("readConnectionLost")

    def writeConnectionLost(self) -> None:
        """Only there to be half-closeable."""


@pytest.mark.parametrize("where", ["connectionMade", "dataReceived", "readConnectionLost"])
def test_a_protocol_that_raises_ends_its_connection_alone(
    any_reactor: Reactor, reported: Reports, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    factory: Recorders[Raising] = Recorders(RaisingHalfClosed)
    with serving(any_reactor, factory) as port, dial(port) as lives:
        factory.number(0)
        monkeypatch.setattr(Raising, "where", where)
        with dial(port) as sock:
            raiser = factory.number(1)
            # The connection may have ended already.
            with suppress(OSError):
                sock.sendall(b"x")
                sock.shutdown(socket.SHUT_WR)
            assert str(raiser.end()) == f"boom in {where}"
        monkeypatch.setattr(Raising, "where", "")
        lives.sendall(b"alive")
        assert receive_exactly(lives, 5) == b"alive"
    (record,) = reported()
    assert "its connection TCP 127.0.0.1:" in record.getMessage()
    assert vars(record)["wirebook_failure"].value is raiser.reason.value


def test_a_protocol_that_raises_at_the_end_is_reported(any_reactor: Reactor, reported: Reports) -> None:
    class AtTheEnd(Raising):
        where = "connectionLost"

    with pair(any_reactor, AtTheEnd) as (protocol, sock):
        sock.close()
        protocol.end()
    (record,) = reported.wait()
    assert str(vars(record)["wirebook_failure"].value) == "boom in connectionLost"
    assert not any_reactor.handles.of("connection")


# --- contexts


def test_callbacks_run_in_a_copy_of_the_context_of_the_port_s_birth(any_reactor: Reactor) -> None:
    cells: list[str] = []

    class Noting(Echo):
        def connectionMade(self) -> None:
            cells.append(cell.get())
            cell.set("changed by a callback")
            super().connectionMade()

        def dataReceived(self, data: bytes) -> None:
            cells.append(cell.get())
            super().dataReceived(data)

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            cells.append(cell.get())
            super().connectionLost(reason)

    factory = Recorders(Noting)
    port = in_cell("five", any_reactor.listenTCP, 0, factory)
    with dial(port) as sock:
        sock.sendall(b"x")
        receive_exactly(sock, 1)
    factory.number(0).end()
    port.stopListening()
    assert cells == ["five"] * 3


def test_a_failure_is_reported_in_the_cell_of_the_connection(reactor: Reactor, reported: Reports) -> None:
    cells: list[str] = []

    def note_cell(record: logging.LogRecord) -> bool:
        cells.append(cell.get())
        return True

    reported.addFilter(note_cell)

    class AtOnce(Raising):
        where = "connectionMade"

    port = in_cell("six", reactor.listenTCP, 0, Recorders(AtOnce))
    with dial(port) as sock:
        assert receive_all(sock) == b""
    port.stopListening()
    reported.wait()
    assert cells == ["six"]


# --- the seams


class Tap:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes] | str] = []

    def data(self, direction: str, data: bytes) -> None:
        self.heard.append((direction, bytes(data)))

    def event(self, name: str) -> None:
        self.heard.append(name)


def test_a_tap_hears_what_passes_and_how_it_ends(any_reactor: Reactor) -> None:
    with pair(any_reactor, Echo) as (protocol, sock):
        protocol.transport.tap = tap = Tap()
        sock.sendall(b"hello")
        assert receive_exactly(sock, 5) == b"hello"
        sock.close()
        protocol.end()
    assert tap.heard == [("received", b"hello"), ("sent", b"hello"), "closed"]


def test_a_connection_says_what_it_is(reactor: Reactor) -> None:
    with pair(reactor, Echo) as (protocol, sock):
        transport = protocol.transport
        assert (transport.kind, transport.transportName, transport.role) == ("connection", "TCP", "server")
        assert (transport.label, transport.state) == ("Echo", "open")
        assert transport.born <= reactor.seconds()
        here, there = sock.getpeername()[1], sock.getsockname()[1]
        assert repr(transport) == f"<Server of Echo: TCP 127.0.0.1:{here} -> 127.0.0.1:{there}, open>"
        sock.close()
        protocol.end()
        assert repr(transport) == f"<Server of Echo: TCP 127.0.0.1:{here} -> 127.0.0.1:{there}, closed>"


def test_the_protocol_in_charge_can_be_exchanged(any_reactor: Reactor) -> None:
    class Second(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"second: " + data)

    with pair(any_reactor, Echo) as (protocol, sock):
        second = Second()
        with any_reactor.turn():
            protocol.transport.protocol = second
            second.makeConnection(protocol.transport)
        sock.sendall(b"x")
        assert receive_exactly(sock, 9) == b"second: x"
