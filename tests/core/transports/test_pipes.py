"""Pipes, files, devices and terminals as streams, with one descriptor or two, our own or borrowed."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, drive, short_of_descriptors
from tests.core.tls_kit import Secured, SecuredEcho, authority, server_options
from tests.core.transports.faults import Fault, descriptors, faulty_reactor, run_with_every_fault
from wirebook.error import ConnectionDone, ConnectionLost
from wirebook.protocol import Protocol
from wirebook.testing._harness import Producer
from wirebook.transports.pipes import BorrowedChannel, DescriptorChannel, PipeAddress, PipeTransport, pipe_pair
from wirebook.transports.reactor import Reactor

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
LARGE = bytes(range(256)) * 20_000


class Half(Recorder):
    """Lives on when one direction is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def readConnectionLost(self) -> None:
        """Nothing more comes."""
        self.events.append("read")

    def writeConnectionLost(self) -> None:
        """Nothing more goes."""
        self.events.append("write")


def stream(reactor: Reactor, source: int, sink: int, protocol: Any) -> Any:
    """`protocol` on two descriptors, which must not block; -1 for none."""
    with reactor.turn():
        transport = PipeTransport(reactor, DescriptorChannel(source, sink), PipeAddress("here"), PipeAddress("there"))
        transport.begin(protocol)
    return protocol


def pipe() -> tuple[int, int]:
    """The two ends of a pipe, which do not block."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


@contextmanager
def between(reactor: Reactor, protocol: Any) -> Iterator[tuple[Any, int, int]]:
    """`protocol` on two pipes, and what the test writes to and reads from; those it may close itself."""
    source, feed = pipe()
    drain, sink = pipe()
    yield stream(reactor, source, sink, protocol), feed, drain
    for end in (feed, drain):
        try:
            os.close(end)
        except OSError:
            continue
    assert eventually(lambda: len(reactor.handles) == 0, PATIENCE)


# --- pipes


def test_two_protocols_talk_over_two_pipes(any_reactor: Reactor) -> None:
    one, other = Recorder(), Echo()
    ends = pipe_pair(any_reactor, one, other)
    one.transport.write(LARGE)
    assert eventually(lambda: len(one.data) == len(LARGE), PATIENCE)
    assert one.data == LARGE
    assert ends[0].getHost() == ends[1].getPeer()
    assert ends[0].getPeer() == ends[1].getHost()
    assert str(ends[0].getHost()).startswith("pipe ")
    assert repr(ends[0]).startswith("<PipeTransport of Recorder: pipe pipe ")
    one.transport.loseConnection()
    assert isinstance(one.end(), ConnectionDone)
    assert isinstance(other.end(), ConnectionDone)


def test_a_reader_that_has_gone_is_noticed_without_a_write(any_reactor: Reactor) -> None:
    with between(any_reactor, Recorder()) as (protocol, _, drain):
        os.close(drain)
        reason = protocol.end()
    assert isinstance(reason, ConnectionLost)
    assert "EPIPE" in str(reason)


def test_what_was_sent_before_the_reader_went_is_still_received(reactor: Reactor) -> None:
    with between(reactor, Recorder()) as (protocol, feed, drain):
        with reactor.turn():
            os.write(feed, b"the last words")
            os.close(drain)
        protocol.end()
    assert protocol.data == b"the last words"


def test_a_half_closeable_protocol_goes_on_reading_when_its_reader_has_gone(any_reactor: Reactor) -> None:
    with between(any_reactor, Half()) as (protocol, feed, drain):
        producer = Producer(protocol.transport, [])
        protocol.transport.registerProducer(producer, True)
        os.close(drain)
        assert eventually(lambda: protocol.events == ["write"])
        assert producer.asked == ["stop"]
        assert protocol.transport.state == "half-closed"
        os.write(feed, b"still here")
        assert eventually(lambda: protocol.data == b"still here")
        os.close(feed)
        assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.events == ["write"]


def test_a_half_closeable_protocol_goes_on_writing_after_the_end_of_its_input(reactor: Reactor) -> None:
    with between(reactor, Half()) as (protocol, feed, drain):
        os.close(feed)
        assert eventually(lambda: protocol.events == ["read"])
        protocol.transport.write(b"still here")
        assert eventually(lambda: select.select([drain], [], [], 0)[0])
        assert os.read(drain, 100) == b"still here"
        protocol.transport.loseWriteConnection()
        assert isinstance(protocol.end(), ConnectionDone)
        assert os.read(drain, 100) == b""


def test_a_paused_stream_whose_writer_has_gone_does_not_keep_the_poller_busy(reactor: Reactor) -> None:
    with between(reactor, Recorder()) as (protocol, feed, _):
        protocol.transport.pauseProducing()
        os.write(feed, b"for later")
        os.close(feed)
        assert reactor.poller.poll(0) == []
        protocol.transport.resumeProducing()
        assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.data == b"for later"


def test_a_stream_without_an_input_or_output_has_the_other(any_reactor: Reactor) -> None:
    source, sink = pipe()
    reading, writing = Recorder(), Recorder()
    stream(any_reactor, source, -1, reading)
    stream(any_reactor, -1, sink, writing)
    reading.transport.write(b"goes nowhere")
    writing.transport.write(LARGE)
    writing.transport.loseConnection()
    assert isinstance(reading.end(), ConnectionDone)
    assert isinstance(writing.end(), ConnectionDone)
    assert reading.data == LARGE


def test_part_of_a_file_can_be_sent_into_a_pipe(reactor: Reactor, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(LARGE)
    one, other = Recorder(), Recorder()
    pipe_pair(reactor, one, other)
    with place.open("rb") as file:
        one.transport.writeFile(file, 100, 3_000_000)
        one.transport.write(b"the end")
        assert eventually(lambda: len(other.data) == 3_000_007, PATIENCE)
    assert other.data == LARGE[100:3_000_100] + b"the end"
    one.transport.loseConnection()
    other.end()


def test_tls_goes_through_pipes(any_reactor: Reactor) -> None:
    server, client = SecuredEcho(), Secured()
    pipe_pair(any_reactor, server, client)
    with any_reactor.turn():
        server.transport.startTLS(server_options())
        client.transport.startTLS(authority().clientOptions("localhost"), normal=False)
        client.transport.write(LARGE)
    assert eventually(lambda: len(client.data) == len(LARGE), PATIENCE)
    assert client.data == LARGE
    assert client.transport.describe().startswith("TLS ")
    client.transport.loseConnection()
    assert isinstance(client.end(), ConnectionDone)
    assert isinstance(server.end(), ConnectionDone)


# --- files and devices


def test_a_file_is_read_and_another_written(any_reactor: Reactor, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LARGE)
    source = os.open(tmp_path / "in", os.O_RDONLY)
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    protocol = stream(any_reactor, source, sink, Echo())
    assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.data == LARGE
    assert (tmp_path / "out").read_bytes() == LARGE


def test_a_large_file_lets_others_have_their_turn(reactor: Reactor, tmp_path: Path) -> None:
    class Patient(Recorder):
        """Wants something done between its pieces."""

        counted = 0

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            reactor.callFromThread(self.count)

        def count(self) -> None:
            self.counted += 1
            assert len(self.data) <= 65536 * (self.counted + 1)

    (tmp_path / "in").write_bytes(LARGE)
    protocol = stream(reactor, os.open(tmp_path / "in", os.O_RDONLY), -1, Patient())
    protocol.end()
    assert eventually(lambda: protocol.counted == -(-len(LARGE) // 65536))


def test_reading_a_file_can_be_paused(reactor: Reactor, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LARGE)
    source = os.open(tmp_path / "in", os.O_RDONLY)
    with reactor.turn():
        protocol = stream(reactor, source, -1, Recorder())
        protocol.transport.pauseProducing()
    one, other = Recorder(), Recorder()
    pipe_pair(reactor, one, other)
    one.transport.write(b"meanwhile")
    assert eventually(lambda: other.data == b"meanwhile")
    assert protocol.data == b""
    protocol.transport.resumeProducing()
    protocol.end()
    assert protocol.data == LARGE
    one.transport.loseConnection()
    other.end()


def test_a_push_producer_can_fill_a_file(reactor: Reactor, tmp_path: Path) -> None:
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    protocol = stream(reactor, -1, sink, Recorder())
    producer = Producer(protocol.transport, [LARGE, b"the end"])
    with reactor.turn():
        protocol.transport.registerProducer(producer, False)
        protocol.transport.loseConnection()
    protocol.end()
    assert (tmp_path / "out").read_bytes() == LARGE + b"the end"


def test_a_device_that_is_always_ready_can_be_read_and_written(any_reactor: Reactor) -> None:
    protocol = stream(any_reactor, os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY), Recorder())
    assert isinstance(protocol.end(), ConnectionDone)

    class Enough(Recorder):
        """Wants a megabyte."""

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if len(self.data) >= 1 << 20:
                self.transport.loseConnection()

    protocol = stream(any_reactor, os.open("/dev/zero", os.O_RDONLY), -1, Enough())
    protocol.end()
    assert set(protocol.data) == {0}


def test_serving_a_file_is_a_turn_of_its_stream(reactor: Reactor, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x")
    seen: list[tuple[str, Any]] = []

    class Trace:
        """Remembers what begins."""

        def begin(self, cause: str, subject: Any, *_: Any) -> None:
            """A callback begins."""
            seen.append((cause, getattr(subject, "label", None)))

        def end(self) -> None:
            """It has ended."""
            seen.append(("end", None))

    reactor.trace = Trace()
    stream(reactor, os.open(tmp_path / "in", os.O_RDONLY), -1, Recorder()).end()
    reactor.trace = None
    assert ("read", "Recorder") in seen


def test_a_full_disk_is_the_reason_of_the_end(reactor: Reactor) -> None:
    protocol = stream(reactor, -1, os.open("/dev/full", os.O_WRONLY), Recorder())
    protocol.transport.write(b"x")
    reason = protocol.end()
    assert isinstance(reason, ConnectionLost)
    assert "ENOSPC" in str(reason)


# --- terminals


def test_a_terminal_ends_when_nobody_has_its_other_side(any_reactor: Reactor) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    protocol = stream(any_reactor, master, os.dup(master), Recorder())
    protocol.transport.write(b"to it")
    assert os.read(slave, 100) == b"to it"
    os.write(slave, b"from it")
    os.close(slave)
    assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.data == b"from it"


# --- borrowed descriptors


def channel_facts(borrowed: BorrowedChannel, *given: int) -> tuple[list[bool], list[bool]]:
    """Whether the channel's descriptors block, and whether the given ones do."""
    return [os.get_blocking(fd) for fd in (borrowed.source, borrowed.sink)], [os.get_blocking(fd) for fd in given]


@LINUX
def test_a_borrowed_pipe_is_as_it_was_all_the_time() -> None:
    reading, writing = os.pipe()
    borrowed = BorrowedChannel(reading, writing)
    assert channel_facts(borrowed, reading, writing) == ([False, False], [True, True])
    borrowed.send(b"x")
    assert os.read(reading, 1) == b"x"
    borrowed.close()
    os.write(writing, b"y")
    assert os.read(reading, 1) == b"y"
    os.close(reading)
    os.close(writing)


@LINUX
def test_a_borrowed_terminal_is_as_it_was_all_the_time() -> None:
    master, slave = os.openpty()
    borrowed = BorrowedChannel(slave, slave)
    assert channel_facts(borrowed, slave) == ([False, False], [True])
    borrowed.close()
    os.close(master)
    os.close(slave)


def test_what_cannot_be_opened_again_is_as_it_was_afterwards() -> None:
    one, other = socket.socketpair()
    master, slave = os.openpty()
    os.set_blocking(other.fileno(), False)
    for given in (one.fileno(), other.fileno(), master):
        blocked = os.get_blocking(given)
        borrowed = BorrowedChannel(given, given)
        assert channel_facts(borrowed, given) == ([False, False], [False])
        borrowed.close_sink()
        borrowed.close()
        borrowed.close()
        assert os.get_blocking(given) is blocked
    one.close()
    other.close()
    os.close(master)
    os.close(slave)


def test_a_borrowed_file_is_written_where_it_stands(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"one ")
        borrowed = BorrowedChannel(file.fileno(), file.fileno())
        borrowed.send(b"two ")
        borrowed.close()
        file.write(b"three")
    assert (tmp_path / "file").read_bytes() == b"one two three"


def test_what_is_no_descriptor_cannot_be_borrowed() -> None:
    one, other = socket.socketpair()
    before = descriptors()
    with pytest.raises(OSError, match="cannot write to descriptor 9999: bad file descriptor"):
        BorrowedChannel(one.fileno(), 9999)
    assert os.get_blocking(one.fileno())
    assert descriptors() == before
    one.close()
    other.close()


# --- faults


def faulty_stream(reactor: Reactor, fault: Fault, protocol: Any, source: int, sink: int) -> None:
    class FaultyChannel(DescriptorChannel):
        """Meets `fault` in each of its calls."""

        __slots__ = ()

        def recv(self, size: int) -> bytes:
            fault.meet("recv")
            return super().recv(size)

        def send(self, data: Any) -> int:
            fault.meet("send")
            return super().send(data)

        def sendmsg(self, buffers: Any) -> int:
            fault.meet("sendmsg")
            return super().sendmsg(buffers)

    address = PipeAddress("faulty")
    PipeTransport(reactor, FaultyChannel(source, sink), address, address).begin(protocol)


class Answering(Recorder):
    """Answers at length, then closes."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(LARGE)
        self.transport.loseConnection()


def converse(fault: Fault) -> None:
    """A question, a long answer, the end, on streams that meet `fault`."""
    with faulty_reactor(fault) as reactor:
        one, other = pipe(), pipe()
        server, client = Answering(), Half()
        with reactor.turn():
            faulty_stream(reactor, fault, server, one[0], other[1])
            faulty_stream(reactor, fault, client, other[0], one[1])
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        drive(reactor, lambda: server.lost.is_set() and client.lost.is_set())


@LINUX
@pytest.mark.timeout(120)
def test_a_conversation_survives_any_error_in_any_call(reported: Reports) -> None:
    run_with_every_fault(converse, reported)


@LINUX
def test_a_pair_that_gets_no_descriptors_leaves_none(reactor: Reactor) -> None:
    gc.collect()
    before = descriptors()
    # Room for one pipe, not for two.
    with short_of_descriptors(room=3), pytest.raises(OSError, match="Too many open files") as raised:
        pipe_pair(reactor, Protocol(), Protocol())
    assert raised.value.errno == errno.EMFILE
    assert descriptors() == before
