"""A line protocol for tests."""

from __future__ import annotations

from wirebook.failure import Failure
from wirebook.protocols.line import LineReceiver


class LineSendingProtocol(LineReceiver):
    """Sends `lines`: at once, or with `start` False as the answer to the first line. ``response`` is what it gets.

    ``lostConn`` says whether its connection has ended.
    """

    lostConn = False

    def __init__(self, lines: list[bytes], start: bool = True) -> None:
        self.lines = lines[:]
        self.response: list[bytes] = []
        self.start = start

    def connectionMade(self) -> None:
        """Send the lines, unless they wait for the peer."""
        if self.start:
            self._send_lines()

    def _send_lines(self) -> None:
        for line in self.lines:
            self.sendLine(line)

    def lineReceived(self, line: bytes) -> None:
        """Keep the line; called with each."""
        if not self.start:
            self._send_lines()
            self.lines = []
        self.response.append(line)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lostConn = True
