"""The receiving half of a TLS layer: records in, plaintext out."""

from __future__ import annotations

from OpenSSL import SSL

from wirebook.error import ConnectionLost
from wirebook.ssl.errors import TLSError, in_words, reasons
from wirebook.transports._tlssending import RECORD, TLSSending

_HEADER = 5
# How much is read at once while it comes that fast: 7 full records, just below the size at which the C library maps
# each piece of memory anew.
_BULK = 7 * (RECORD + 22)


class TLSReceiving(TLSSending):
    """The part of `TLSLayer` that reads."""

    __slots__ = ()

    def recv(self, size: int) -> bytes:
        """As a socket's: plaintext, b"" at the peer's goodbye. `TLSError` and `ConnectionLost` say what broke.

        When one read brings several records, they are delivered from here, one by one.
        """
        if self._unread:
            return self._read_records()
        try:
            data: bytes = self.below.recv(_BULK if self._flooded else size)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError:
            # Whoever waits for the end does not mind how the peer goes.
            if self._parting:
                return b""
            raise
        if not data:
            return self._cut()
        self._flooded = len(data) >= size
        self.connection.bio_write(data)
        if self._aligned and len(data) > _HEADER and (data[3] << 8 | data[4]) == len(data) - _HEADER:
            # Exactly one record, as nearly always where messages are short.
            complete = 1
        else:
            complete = self._follow(data)
        if not self.established:
            self._handshake()
            complete = 0
        return self._read_records(complete)

    def _follow(self, data: bytes) -> int:
        """Go from record to record; how many are complete with `data`, and where the one after them ends."""
        if self._head:
            data = self._head + data
        at, size = self._skip, len(data)
        complete = int(0 < at <= size)
        while at + _HEADER <= size:
            at += _HEADER + (data[at + 3] << 8 | data[at + 4])
            complete += at <= size
        self._head = data[at:]
        self._skip = max(at - size, 0)
        self._aligned = self.established and at == size
        return complete

    def _read_records(self, complete: int = 0) -> bytes:
        """Deliver what OpenSSL has: `complete` records, or what there is; returns the last of them, or as `recv`.

        To know how many there are saves two exceptions: OpenSSL need not be asked whether there is more, and when
        each has brought data, none was a message that it has to answer.
        """
        stream, recv = self._stream, self.connection.recv
        self._unread = False
        try:
            # Each at once: to collect them, or even put them together, takes longer than the calls.
            while stream._reading:
                data: bytes = recv(RECORD)
                if complete == 1:
                    return data
                complete -= 1
                stream._deliver(data)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            return self._ended_with(error)
        else:
            # Paused, by handshakeCompleted() perhaps: the rest stays where it is until it is resumed.
            self._unread = not stream.disconnected
        # Some of it may have been messages to answer.
        if not stream.disconnected:
            self._send_or_break()
        raise BlockingIOError

    def _ended_with(self, error: SSL.Error) -> bytes:
        if isinstance(error, SSL.ZeroReturnError):
            self._peer_said_goodbye = True
            return b""
        self._send_or_break()
        if self._parting:
            return b""
        queue = reasons(error)
        raise TLSError(f"TLS broke: {in_words(queue)}", queue) from None

    @property
    def unread(self) -> bool:
        """Whether OpenSSL may have plaintext that the paused stream has not taken."""
        return self._unread

    def resume(self) -> None:
        """See to it that what is unread is read, although the socket may have nothing more to report."""
        if self._unread:
            self._stream.reactor.call_soon(TLSReceiving._read_on, self)

    def _read_on(self) -> None:
        if self._unread and self._stream is not None:
            self._stream.doRead()

    def _cut(self) -> bytes:
        """The carrier has ended. That is an end only if the peer, or this side, has said goodbye."""
        if self._peer_said_goodbye or self._parting:
            return b""
        if not self.established:
            raise ConnectionLost("the peer closed the connection during the TLS handshake")
        raise ConnectionLost(
            "the peer closed the connection without a TLS goodbye (close_notify), so what it sent may be cut short"
        )

    def _handshake(self) -> None:
        """One step of the handshake. Raises BlockingIOError until it is done."""
        raise NotImplementedError
