"""The receiving half of a TLS layer: records in, plaintext out."""

from __future__ import annotations

from OpenSSL import SSL

from wirebook.error import ConnectionLost
from wirebook.ssl.errors import TLSError, in_words, reasons
from wirebook.transports._tlssending import RECORD, TLSSending

_HEADER = 5


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
            data: bytes = self._below.recv(size)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError:
            # Whoever waits for the end does not mind how the peer goes.
            if self._parting:
                return b""
            raise
        if not data:
            return self._cut()
        self.connection.bio_write(data)
        if self._aligned and len(data) > _HEADER and (data[3] << 8 | data[4]) == len(data) - _HEADER:
            # Exactly one record, as nearly always: to ask whether there is more would cost an exception.
            try:
                return self.connection.recv(len(data))  # type: ignore[no-any-return]
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                return self._ended_with(error)
        else:
            self._follow(data)
        if not self.established:
            self._handshake()
        return self._read_records()

    def _follow(self, data: bytes) -> None:
        """Go from record to record, to know whether OpenSSL holds a part of one when it has read `data`."""
        if self._head:
            data = self._head + data
        at, size = self._skip, len(data)
        while at + _HEADER <= size:
            at += _HEADER + (data[at + 3] << 8 | data[at + 4])
        self._head = data[at:]
        self._skip = max(at - size, 0)
        self._aligned = self.established and at == size

    def _read_records(self) -> bytes:
        """Deliver all that OpenSSL has; BlockingIOError after that, or what `recv` returns or raises at the end."""
        stream, recv = self._stream, self.connection.recv
        self._unread = False
        try:
            # Each at once: to collect them, or even put them together, takes longer than the calls.
            while stream._reading:
                stream._deliver(recv(RECORD))
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
