"""Everything that passes, written down: to the log, or to a file per connection. The wiretap is the richer tool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import IO, Any

from wirebook.failure import Failure
from wirebook.logger import report_event
from wirebook.policies.wrapping import ProtocolWrapper, WrappingFactory
from wirebook.protocol import connectionDone
from wirebook.turn import turn

_ELIDED = b"<... elided>"


class SpewingProtocol(ProtocolWrapper):
    """Logs what is received and what is sent."""

    def dataReceived(self, data: bytes) -> None:
        report_event(f"Received: {data!r}", level=logging.INFO)
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        report_event(f"Sending: {data!r}", level=logging.INFO)
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))


class SpewingFactory(WrappingFactory):
    """Logs what its connections receive and send, at the level INFO."""

    protocol: Callable[..., Any] = SpewingProtocol


class TrafficLoggingProtocol(ProtocolWrapper):
    """Writes what passes into `logfile`, a text file, a line for each piece.

    A line begins with C (from the peer), S (to the peer) or SV (to the peer, several pieces), and the `number` of
    the connection; ``*`` is the beginning, and in an S line the request to close. Pieces of more than `lengthLimit`
    bytes are cut to that length (None: never).
    """

    def __init__(
        self, factory: Any, wrappedProtocol: Any, logfile: IO[str], lengthLimit: int | None = None, number: int = 0
    ) -> None:
        super().__init__(factory, wrappedProtocol)
        self.logfile = logfile
        self.lengthLimit = lengthLimit
        self._number = number

    def _log(self, line: str) -> None:
        with turn:
            self.logfile.write(f"{line}\n")
            self.logfile.flush()

    def _cut(self, data: bytes) -> bytes:
        if self.lengthLimit and len(data) > self.lengthLimit:
            return data[: max(0, self.lengthLimit - len(_ELIDED))] + _ELIDED
        return data

    def connectionMade(self) -> None:
        self._log("*")
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._log(f"C {self._number}: {self._cut(data)!r}")
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        try:
            # In ASCII, for the file's encoding is the system's.
            self._log(f"C {self._number}: {reason!a}")
        finally:
            super().connectionLost(reason)

    def write(self, data: bytes) -> None:
        self._log(f"S {self._number}: {self._cut(data)!r}")
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        pieces = list(data)
        self._log(f"SV {self._number}: {[self._cut(piece) for piece in pieces]!r}")
        super().writeSequence(pieces)

    def loseConnection(self) -> None:
        self._log(f"S {self._number}: *")
        super().loseConnection()


class TrafficLoggingFactory(WrappingFactory):
    """Writes what passes on each connection into a file of its own: ``PREFIX-1``, ``PREFIX-2`` and so on.

    See `TrafficLoggingProtocol` for what the files look like.
    """

    protocol: Callable[..., Any] = TrafficLoggingProtocol
    _counter = 0

    def __init__(self, wrappedFactory: Any, logfilePrefix: str, lengthLimit: int | None = None) -> None:
        super().__init__(wrappedFactory)
        self.logfilePrefix = logfilePrefix
        self.lengthLimit = lengthLimit
        self._opened: set[IO[str]] = set()

    def open(self, name: str) -> IO[str]:
        """Open the file with this name; closed at the connection's end. Who overrides it closes its files itself."""
        file = open(name, "w")  # noqa: SIM115
        self._opened.add(file)
        return file

    def wrap(self, protocol: Any) -> Any:
        """The wrapper for `protocol`, with the next file."""
        self._counter += 1
        file = self.open(f"{self.logfilePrefix}-{self._counter}")
        return self.protocol(self, protocol, file, self.lengthLimit, self._counter)

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` has ended; called by it."""
        super().unregisterProtocol(p)
        if p.logfile in self._opened:
            self._opened.discard(p.logfile)
            p.logfile.close()

    def resetCounter(self) -> None:
        """Number the connections from 1 again."""
        self._counter = 0
