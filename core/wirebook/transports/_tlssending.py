"""The sending half of a TLS layer, and its state: plaintext in, records out.

A record that the carrier takes in part was encrypted once and for all. Its plaintext stays in the stream's queue,
as with any socket that takes nothing, and the layer remembers how much of the queue's beginning it owes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from wirebook.failure import Failure
from wirebook.ssl.errors import in_words, reasons
from wirebook.ssl.options import HANDSHAKE_TIMEOUT

if TYPE_CHECKING:
    from wirebook.reactor.timers import DelayedCall
    from wirebook.transports._securing import Securing

# The most plaintext that a record has (RFC 8446, section 5.1).
RECORD = 16384
# Four full records: what a socket's buffer takes at once.
CHUNK = 4 * RECORD
# What a record adds at most: header, explicit nonce, content type, padding, tag (RFC 5246, section 6.2.3).
_OVERHEAD = 512


class Wrapping:
    """What a connection creator of Twisted's style finds as its protocol's ``factory``."""

    def __init__(self, wrappedFactory: Any) -> None:
        self.wrappedFactory = wrappedFactory


class TLSSending:
    """The ground floor of `TLSLayer`, which documents the attributes."""

    __slots__ = (
        "__weakref__",
        "_aligned",
        "_ended",
        "_flooded",
        "_goodbye_said",
        "_head",
        "_is_client",
        "_owed",
        "_parting",
        "_peer_said_goodbye",
        "_raw",
        "_refusal",
        "_shut_down_later",
        "_skip",
        "_started",
        "_stream",
        "_timer",
        "_unread",
        "below",
        "connection",
        "established",
        "factory",
        "farewell",
        "note",
        "timeout",
    )

    connection: SSL.Connection

    def __init__(self, stream: Securing, is_client: bool, wrapped_factory: Any = None) -> None:
        self._stream: Any = stream
        self.below = stream._channel
        self._is_client = is_client
        self.factory: Any = Wrapping(wrapped_factory)
        self.established = False
        self.timeout: float | None = HANDSHAKE_TIMEOUT
        self.note = ""
        self.farewell: Callable[[SSL.Connection], object] | None = None
        self._raw: Any = b""
        self._owed = 0
        self._head = b""
        self._skip = 0
        self._aligned = self._flooded = False
        self._ended = self._goodbye_said = self._peer_said_goodbye = False
        self._started = self._shut_down_later = self._parting = self._unread = False
        self._refusal: Failure | None = None
        self._timer: DelayedCall | None = None

    def send(self, data: Any) -> int:
        """As a socket's: how many bytes of `data` are on their way. Raises BlockingIOError, and OSError."""
        if not data:
            return 0
        owed = self._owed
        if self._raw or owed or not self.established:
            if not self.flush() or not self.established:
                self._stream._update_interest()
                raise BlockingIOError
            self._owed = 0
            if owed == len(data):
                return owed
            data = memoryview(data)[owed : owed + CHUNK]
        elif len(data) > CHUNK:
            data = memoryview(data)[:CHUNK]
        encrypted = self._encrypt(data)
        try:
            sent = self.below.send(encrypted)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent == len(encrypted):
            return owed + len(data)
        self._raw = memoryview(encrypted)[sent:]
        self._owed = len(data)
        return owed

    def _encrypt(self, data: Any) -> bytes:
        connection = self.connection
        size = len(data)
        try:
            taken = connection.send(data)
            if taken == size:
                room = size + _OVERHEAD
            else:
                while taken < size:
                    taken += connection.send(memoryview(data)[taken:])
                room = size + _OVERHEAD * (2 + (size >> 14))
        except SSL.Error as error:
            raise BrokenPipeError(errno.EPIPE, f"TLS cannot encrypt: {in_words(reasons(error))}") from None
        encrypted: bytes = connection.bio_read(room)
        return encrypted if len(encrypted) < room else encrypted + self._pending()

    def _pending(self) -> bytes:
        """All that OpenSSL wants to be sent."""
        pieces = []
        try:
            while True:
                pieces.append(self.connection.bio_read(RECORD))
        except SSL.WantReadError:
            return b"".join(pieces)

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        """As `send`, for several pieces."""
        pieces, size = [], 0
        for piece in buffers:
            pieces.append(piece)
            size += len(piece)
            if size >= CHUNK:
                break
        return self.send(b"".join(pieces) if len(pieces) > 1 else pieces[0])

    def send_from(self, source: int, offset: int, count: int) -> int:
        """As `send`, for a part of the file with the descriptor `source`. 0: the file has ended."""
        data = os.pread(source, min(count, CHUNK), offset)
        if not data:
            return 0
        if not (sent := self.send(data)):
            raise BlockingIOError
        return sent

    def flush(self) -> bool:
        """Send what is encrypted already; whether all of it went. Raises OSError."""
        if self._raw:
            try:
                self._raw = memoryview(self._raw)[self.below.send(self._raw) :]
            except (BlockingIOError, InterruptedError):
                return False
        return not self._raw

    def _send_or_break(self) -> None:
        """Send what OpenSSL has to say: handshake messages, alerts."""
        if pending := self._pending():
            self._raw = bytes(self._raw) + pending
        if not self._raw:
            return
        try:
            if not self.flush():
                self._stream._update_interest()
        except OSError as error:
            self._raw = b""
            # The peer is gone; what it has sent before may say why, so reading finds the end.
            self._stream._write_broke(error)

    def wants_write(self, queued: object) -> bool:
        """Whether the stream is to wait for room, when it has `queued` this."""
        return bool(self._raw) or (self.established and bool(queued))
