"""A protocol that sends lines and keeps the answers."""

from __future__ import annotations

from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.testing import LineSendingProtocol, StringTransport


def test_lines_are_sent_at_once_and_answers_kept() -> None:
    protocol, transport = LineSendingProtocol([b"one", b"two"]), StringTransport()
    protocol.makeConnection(transport)
    assert transport.value() == b"one\r\ntwo\r\n"
    protocol.dataReceived(b"answer\r\nanother\r\n")
    assert protocol.response == [b"answer", b"another"]


def test_lines_can_wait_for_the_peer_s_first() -> None:
    lines = [b"one"]
    protocol, transport = LineSendingProtocol(lines, start=False), StringTransport()
    protocol.makeConnection(transport)
    assert transport.value() == b""
    protocol.dataReceived(b"hello\r\nagain\r\n")
    assert transport.value() == b"one\r\n"
    assert lines == [b"one"]


def test_the_end_is_remembered() -> None:
    protocol = LineSendingProtocol([])
    assert not protocol.lostConn
    protocol.connectionLost(Failure(ConnectionDone()))
    assert protocol.lostConn
