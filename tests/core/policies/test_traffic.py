"""Traffic written down."""

from __future__ import annotations

import gc
import logging
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pytest

from tests.core.policies.policy_kit import Server, connect
from wirebook.failure import Failure
from wirebook.policies import SpewingFactory, TrafficLoggingFactory


class Kept(TrafficLoggingFactory):
    """Writes into memory."""

    file: StringIO

    def open(self, name: str) -> IO[str]:
        self.file = StringIO()
        self.file.name = name
        return self.file

    def lines(self) -> list[str]:
        """What was written."""
        return self.file.getvalue().splitlines()


def test_every_event_is_a_line() -> None:
    factory = Kept(Server(), "log")
    wrapper, transport = connect(factory)
    wrapper.dataReceived(b"hello\xff")
    wrapper.write(b"answer")
    wrapper.writeSequence(iter([b"more", b" and"]))
    wrapper.loseConnection()
    assert factory.lines()[:-1] == [
        "*",
        "C 1: b'hello\\xff'",
        "S 1: b'answer'",
        "SV 1: [b'more', b' and']",
        "S 1: *",
    ]
    assert "ConnectionDone" in factory.lines()[-1]
    assert transport.value() == b"answermore and"


@pytest.mark.parametrize(("limit", "line"), [(20, "C 1: b'01234567<... elided>'"), (5, "C 1: b'<... elided>'")])
def test_long_pieces_are_cut(limit: int, line: str) -> None:
    factory = Kept(Server(), "log", limit)
    wrapper, _ = connect(factory)
    wrapper.dataReceived(b"0123456789" * 10)
    assert factory.lines()[-1] == line
    assert len(wrapper.wrappedProtocol.data) == 100


def test_a_piece_of_the_limit_s_length_is_not_cut() -> None:
    factory = Kept(Server(), "log", 20)
    wrapper, _ = connect(factory)
    wrapper.dataReceived(b"0123456789" * 2)
    assert factory.lines()[-1] == "C 1: b'01234567890123456789'"


def test_the_reason_of_the_end_is_written_in_ascii() -> None:
    factory = Kept(Server(), "log")
    wrapper, _ = connect(factory)
    wrapper.connectionLost(Failure(ValueError("caf\u00e9")))
    assert factory.file.getvalue().isascii()


def test_connections_are_numbered_and_have_files_of_their_own(tmp_path: Path) -> None:
    factory = TrafficLoggingFactory(Server(), str(tmp_path / "log"))
    ends = [connect(factory)[1] for _ in range(2)]
    factory.resetCounter()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log-1", "log-2"]
    for transport in ends:
        transport.loseConnection()
    assert "C 2: " in (tmp_path / "log-2").read_text()
    again, transport = connect(factory)
    assert again.logfile.name.endswith("log-1")
    transport.loseConnection()


def test_a_file_is_closed_with_its_connection(tmp_path: Path) -> None:
    wrapper, transport = connect(TrafficLoggingFactory(Server(), str(tmp_path / "log")))
    transport.loseConnection()
    assert wrapper.logfile.closed
    del wrapper
    gc.collect()


def test_a_file_that_the_program_opened_stays_open() -> None:
    factory = Kept(Server(), "log")
    _, transport = connect(factory)
    transport.loseConnection()
    assert not factory.file.closed


def test_a_log_that_cannot_be_written_does_not_hide_the_end(tmp_path: Path) -> None:
    wrapper, transport = connect(TrafficLoggingFactory(Server(), str(tmp_path / "log")))
    wrapped: Any = wrapper.wrappedProtocol
    wrapper.logfile.close()
    with pytest.raises(ValueError, match="closed file"):
        transport.loseConnection()
    assert len(wrapped.lost) == 1


def test_spewing_logs_both_directions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    wrapper, transport = connect(SpewingFactory(Server()))
    wrapper.dataReceived(b"in")
    wrapper.write(b"out")
    wrapper.writeSequence([b"a", b"b"])
    assert [record.getMessage() for record in caplog.records] == [
        "Received: b'in'",
        "Sending: b'out'",
        "Sending: b'ab'",
    ]
    assert (bytes(wrapper.wrappedProtocol.data), transport.value()) == (b"in", b"outab")
