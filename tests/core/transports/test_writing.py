"""What waits to be sent: how much may, and files that are sent without passing through Python."""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import Recorder, pair, receive_all, receive_exactly
from wirebook.error import ConnectionDone, WriteBacklogError
from wirebook.reactor.sockets import Sockets
from wirebook.transports import WriteLimits
from wirebook.transports._pieces import SHARE
from wirebook.transports.reactor import Reactor

MEBIBYTE = b"x" * (1 << 20)
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(10 << 18))
SMALL = WriteLimits(report=12 << 20, abort=24 << 20)


class Tap:
    """Remembers the events, and what was sent."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.sent = bytearray()

    def data(self, direction: str, data: bytes) -> None:
        if direction == "sent":
            self.sent += data

    def event(self, name: str) -> None:
        self.events.append(name)


def test_a_backlog_over_the_mark_is_reported_once(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        transport = protocol.transport
        transport.writeLimits, transport.tap = SMALL, Tap()
        with reactor.turn():
            for _ in range(20):
                transport.write(MEBIBYTE)
        assert transport.tap.events == ["backlog"]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "bytes wait to be sent" in record.getMessage()
        assert "aborted at 25165824" in record.getMessage()
        assert transport.state == "open"


def test_a_backlog_over_the_limit_ends_that_connection_alone(any_reactor: Reactor, reported: Reports) -> None:
    with pair(any_reactor, Recorder) as (stalled, _), pair(any_reactor, Recorder) as (other, sock):
        stalled.transport.writeLimits = SMALL
        with any_reactor.turn():
            for _ in range(100):
                stalled.transport.write(MEBIBYTE)
        assert isinstance(stalled.end(), WriteBacklogError)
        assert [record.levelno for record in reported()] == [logging.ERROR]
        other.transport.write(b"still here")
        assert sock.recv(10) == b"still here"


def test_one_write_over_the_limit_arrives(reactor: Reactor) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        protocol.transport.writeLimits = SMALL
        protocol.transport.write(bytes(100 << 20))
        assert receive_exactly(sock, 100 << 20) == bytes(100 << 20)


def test_a_write_that_finds_too_much_waiting_ends_the_connection(reactor: Reactor, reported: Reports) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        protocol.transport.writeLimits = SMALL
        with reactor.turn():
            protocol.transport.write(bytes(100 << 20))
            protocol.transport.write(b"more")
        assert "writeLimits.abort is 25165824" in str(protocol.end())
        (record,) = reported()
        assert "is aborted" in record.getMessage()


def test_a_backlog_that_ends_the_connection_keeps_nothing_in_memory(reactor: Reactor, reported: Reports) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        transport = protocol.transport
        transport.writeLimits = SMALL
        with reactor.turn():
            transport.write(bytes(100 << 20))
            transport.write(b"more")
            assert transport._out is None
        protocol.end()
        reported()


def test_new_connections_take_the_default_limits(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WriteLimits, "default", SMALL)
    with pair(reactor, Recorder) as (protocol, sock):
        assert protocol.transport.writeLimits == SMALL
        sock.close()
        assert isinstance(protocol.end(), ConnectionDone)


@pytest.mark.parametrize("values", [{"report": -1}, {"report": 2, "abort": 1}])
def test_limits_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="both are numbers of bytes"):
        dataclasses.replace(SMALL, **values)


def test_one_call_sends_no_more_than_a_share_of_what_waits(reactor: Reactor) -> None:
    sizes = []

    class Measured(socket.socket):
        def sendmsg(self, buffers: Any, *args: Any) -> int:
            sizes.append(sum(len(piece) for piece in buffers))
            return super().sendmsg(buffers, *args)

    reactor.sockets = Sockets(Measured)
    with pair(reactor, Recorder) as (protocol, sock):
        with reactor.turn():
            protocol.transport.write(CONTENT)
            for _ in range(10):
                protocol.transport.write(MEBIBYTE[:-1])
        assert receive_exactly(sock, len(CONTENT)) == CONTENT
        assert receive_exactly(sock, 10 * (SHARE - 1)) == MEBIBYTE[:-1] * 10
    assert max(sizes) == SHARE


# --- files


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    """Ten mebibytes, no two of them alike."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        yield opened


def test_a_part_of_a_file_arrives_between_what_was_written_around_it(any_reactor: Reactor, file: IO[bytes]) -> None:
    with pair(any_reactor, Recorder) as (protocol, sock):
        transport = protocol.transport
        with any_reactor.turn():
            transport.write(b"before;")
            transport.writeFile(file, 5, len(CONTENT) - 10)
            transport.write(b";after")
            transport.loseConnection()
        assert receive_all(sock) == b"before;" + CONTENT[5:-5] + b";after"
        assert isinstance(protocol.end(), ConnectionDone)
        assert transport.bytesSent == len(CONTENT) - 10 + 13


def test_files_do_not_count_as_backlog(reactor: Reactor, file: IO[bytes]) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        protocol.transport.writeLimits = WriteLimits(report=1000, abort=2000)
        protocol.transport.writeFile(file, 0, len(CONTENT))
        assert receive_exactly(sock, len(CONTENT)) == CONTENT


def test_a_tap_sees_the_bytes_of_a_file(reactor: Reactor, file: IO[bytes]) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        tap = protocol.transport.tap = Tap()
        protocol.transport.writeFile(file, 1, 1000)
        assert receive_exactly(sock, 1000) == CONTENT[1:1001]
        assert eventually(lambda: bytes(tap.sent) == CONTENT[1:1001])


def test_a_file_that_is_too_short_aborts_the_connection(reactor: Reactor, file: IO[bytes], reported: Reports) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        protocol.transport.writeFile(file, len(CONTENT) - 3, 10)
        assert str(protocol.end()) == "cannot send the rest: the file is 7 bytes too short"
        (record,) = reported()
        assert "is aborted" in record.getMessage()


def test_a_file_that_was_closed_aborts_the_connection(reactor: Reactor, file: IO[bytes], reported: Reports) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        with reactor.turn():
            protocol.transport.writeFile(file, 0, 10)
            file.close()
        assert "closed file" in str(protocol.end())
        reported()


@pytest.mark.parametrize(("offset", "count"), [(-1, 10), (0, -1)])
def test_a_part_that_cannot_be_is_refused(reactor: Reactor, file: IO[bytes], offset: int, count: int) -> None:
    with pair(reactor, Recorder) as (protocol, _), pytest.raises(ValueError, match="from 0 up"):
        protocol.transport.writeFile(file, offset, count)
