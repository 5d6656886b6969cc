"""Foreign readers and writers: told when their descriptor is ready, ended when they raise, on every poller."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, ClassVar

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, Recorder, Recorders, dial, on_reactor, serving
from wirebook.error import ConnectionDone, ConnectionLost
from wirebook.failure import Failure
from wirebook.transports.reactor import Reactor

mark: ContextVar[str] = ContextVar("mark", default="none")


class Party:
    """Reads or writes a pipe's end, as an IReadDescriptor and IWriteDescriptor."""

    def __init__(self, fd: int, outcome: Any = None) -> None:
        self.fd = fd
        self.outcome = outcome
        self.data = b""
        self.read = threading.Event()
        self.wrote = threading.Event()
        self.lost = threading.Event()
        self.reason: Failure | None = None

    def fileno(self) -> int:
        return self.fd

    def doRead(self) -> Any:
        self.data += os.read(self.fd, 100)
        self.read.set()
        return self.finish()

    def doWrite(self) -> Any:
        os.write(self.fd, b"w")
        self.wrote.set()
        return self.finish()

    def finish(self) -> Any:
        if isinstance(self.outcome, type):
            raise self.outcome("boom")
        return self.outcome

    def connectionLost(self, reason: Failure) -> None:
        self.reason = reason
        self.lost.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_reader_is_told_of_data_until_it_is_removed(any_reactor: Reactor, pipe: tuple[int, int]) -> None:
    reader = Party(pipe[0])
    any_reactor.addReader(reader)
    assert any_reactor.getReaders() == [reader]
    os.write(pipe[1], b"x")
    assert reader.read.wait(PATIENCE)
    any_reactor.removeReader(reader)
    assert any_reactor.getReaders() == []
    os.write(pipe[1], b"y")
    on_reactor(any_reactor, int)
    assert reader.data == b"x"


def test_a_writer_is_told_of_room(any_reactor: Reactor, pipe: tuple[int, int]) -> None:
    writer = Party(pipe[1])
    any_reactor.addWriter(writer)
    assert any_reactor.getWriters() == [writer]
    assert writer.wrote.wait(PATIENCE)
    any_reactor.removeWriter(writer)
    any_reactor.removeWriter(writer)
    assert any_reactor.getWriters() == []


def test_reader_and_writer_of_one_descriptor_may_be_two_objects(any_reactor: Reactor) -> None:
    here, there = socket.socketpair()
    with here, there:
        reader, writer = Party(here.fileno()), Party(here.fileno())
        any_reactor.addReader(reader)
        any_reactor.addWriter(writer)
        there.send(b"x")
        assert reader.read.wait(PATIENCE)
        assert writer.wrote.wait(PATIENCE)
        any_reactor.removeWriter(writer)
        assert any_reactor.getReaders() == [reader]
        reader.read.clear()
        there.send(b"y")
        assert reader.read.wait(PATIENCE)
        assert any_reactor.removeAll() == [reader]
        assert any_reactor.getReaders() == []


def test_a_reader_is_called_in_the_context_in_which_it_was_added(
    any_reactor: Reactor, pipe: tuple[int, int], reported: Reports
) -> None:
    class Noting(Party):
        seen: ClassVar[list[str]] = []

        def doRead(self) -> Any:
            self.seen.append(mark.get())
            mark.set("its own")
            return super().doRead()

        def connectionLost(self, reason: Failure) -> None:
            self.seen.append(mark.get())
            super().connectionLost(reason)

    token = mark.set("where it was added")
    reader = Noting(pipe[0], ValueError)
    any_reactor.addReader(reader)
    mark.reset(token)
    os.write(pipe[1], b"x")
    assert reader.lost.wait(PATIENCE)
    assert reader.seen == ["where it was added"] * 2
    reported.wait()


@pytest.mark.parametrize("outcome", [ValueError, ConnectionLost("gone")])
def test_a_reader_that_raises_or_returns_an_error_is_removed_and_told(
    any_reactor: Reactor, pipe: tuple[int, int], reported: Reports, outcome: Any
) -> None:
    reader = Party(pipe[0], outcome)
    any_reactor.addReader(reader)
    os.write(pipe[1], b"x")
    assert reader.lost.wait(PATIENCE)
    assert reader.reason is not None
    assert reader.reason.check(ValueError, ConnectionLost)
    assert any_reactor.getReaders() == []
    assert len(reported()) == (1 if outcome is ValueError else 0)


def test_a_writer_that_raises_is_removed_and_told(
    any_reactor: Reactor, pipe: tuple[int, int], reported: Reports
) -> None:
    writer = Party(pipe[1], ValueError)
    any_reactor.addWriter(writer)
    assert writer.lost.wait(PATIENCE)
    assert any_reactor.getWriters() == []
    (record,) = reported.wait()
    assert "doWrite() of" in record.getMessage()


def test_a_reader_that_removes_itself_is_not_asked_for_its_descriptor_again(
    any_reactor: Reactor, pipe: tuple[int, int]
) -> None:
    class Leaving(Party):
        def doRead(self) -> None:
            any_reactor.removeReader(self)
            self.fd = None  # type: ignore[assignment]
            self.read.set()

    any_reactor.addReader(Leaving(pipe[0]))
    os.write(pipe[1], b"x")
    on_reactor(any_reactor, int)
    assert eventually(lambda: not any_reactor.getReaders())


class HalfCloseable(Party):
    """Lives on when its peer has closed one direction."""

    def readConnectionLost(self, reason: Failure) -> None:
        self.reason = reason
        self.read.set()

    def writeConnectionLost(self, reason: Failure) -> None: ...


def test_a_half_closeable_reader_whose_peer_has_closed_remains_a_writer(any_reactor: Reactor) -> None:
    here, there = socket.socketpair()
    with here, there:
        party = HalfCloseable(here.fileno(), ConnectionDone())
        party.doWrite = lambda: None  # type: ignore[method-assign]
        any_reactor.addReader(party)
        any_reactor.addWriter(party)
        there.send(b"x")
        assert eventually(lambda: party.reason is not None)
        assert party.reason is not None
        assert party.reason.check(ConnectionDone)
        assert (any_reactor.getReaders(), any_reactor.getWriters()) == ([], [party])
        assert not party.lost.is_set()
        any_reactor.removeAll()


def test_a_half_closeable_reader_that_fails_is_told_that_it_is_over(any_reactor: Reactor) -> None:
    here, there = socket.socketpair()
    with here, there:
        party = HalfCloseable(here.fileno(), ConnectionLost())
        any_reactor.addReader(party)
        there.send(b"x")
        assert party.lost.wait(PATIENCE)


def test_ports_and_connections_are_readers_while_they_read_and_writers_while_they_wait(any_reactor: Reactor) -> None:
    factory = Recorders(Recorder)
    with serving(any_reactor, factory) as port, dial(port):
        transport = factory.number(0).transport
        assert set(any_reactor.getReaders()) == {port, transport}
        assert any_reactor.getWriters() == []
        transport.pauseProducing()
        transport.write(bytes(20 << 20))
        assert any_reactor.getReaders() == [port]
        assert any_reactor.getWriters() == [transport]
        assert any_reactor.removeAll() == []
        assert any_reactor.getReaders() == [port]
        transport.abortConnection()


def test_a_descriptor_closed_without_a_word_does_not_stop_the_reactor(any_reactor: Reactor) -> None:
    reading, writing = os.pipe()
    reader = Party(reading)
    with any_reactor.turn():
        any_reactor.addReader(reader)
        os.close(reading)
    os.close(writing)
    assert on_reactor(any_reactor, str, 5) == "5"
    any_reactor.removeReader(reader)
    assert any_reactor.getReaders() == []


def test_a_closed_descriptor_is_refused(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match=r"has no open descriptor: its fileno\(\) returned -1"):
        reactor.addReader(Party(-1))


def test_a_descriptor_of_a_transport_is_refused(reactor: Reactor) -> None:
    with (
        serving(reactor, Recorders(Any)) as port,
        pytest.raises(ValueError, match=r"belongs to <Port .* already"),
    ):
        reactor.addReader(Party(port.fileno()))
