"""Writing to a stream: at once, from the queue, from a producer, and no more (half-close)."""

from __future__ import annotations

import logging
import os
from _thread import get_ident
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import IO, Any

from wirebook.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NotConnectedError,
    WriteBacklogError,
    describe,
)
from wirebook.failure import Failure
from wirebook.logger import report_event
from wirebook.transports._ending import Ending
from wirebook.transports._pieces import SHARE, FilePiece, Piece
from wirebook.transports._state import lives_half_closed
from wirebook.turn import in_turn, turn

# How many queued pieces go into one vectored write; the systems' limit (IOV_MAX) is 1024.
_VECTOR = 64


class Writing(Ending):
    """The part of `StreamTransport` that sends."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Send `data` (bytes or another buffer) after all that was written before.

        Returns at once; what the operating system does not take now is queued. Raises `TypeError` for str.
        On a connection that has ended the data is dropped: a cell that calls it gets `NotConnectedError`, a
        callback, which races with the peer by nature, a report once per connection.
        """
        if turn.owner != get_ident():
            with turn:
                if not self.connected:
                    raise NotConnectedError(self._late_write(data))
                self.write(data)
            return
        if type(data) is not bytes:
            data = _as_bytes(data)
        if not self._direct:
            self._queue_write(data)
            return
        try:
            sent = self._channel.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._write_broke(error)
            return
        self.bytesSent += sent
        if self.tap is not None:
            self.tap.data("sent", data)
        if sent != len(data):
            self._enqueue(memoryview(data)[sent:])

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as one. Raises `TypeError` when one of them is no bytes."""
        try:
            whole = b"".join(data)
        except TypeError as error:
            raise TypeError(f"writeSequence() takes pieces of bytes: {error}; encode text with .encode()") from None
        self.write(whole)

    @in_turn
    def writeFile(self, file: IO[bytes], offset: int, count: int, whole: bool = True) -> None:
        """Send `count` bytes of `file` (which has a descriptor) from `offset` on, after all that was written before.

        The system reads them when the peer is ready for them (sendfile), so they take no memory and are not part
        of the backlog. Keep the file open until then. A file that turns out to be shorter ends the connection,
        unless it need not be sent `whole`: then what it has is sent.
        """
        piece = FilePiece(file, offset, count, whole, self._file_sent)
        if count and self.connected and not self._write_closed:
            if self._out is None:
                self._out = deque()
            self._out.append(piece)
            self._direct = False
            self._update_interest()

    def _file_sent(self, file: IO[bytes], offset: int, count: int) -> None:
        if self.tap is not None:
            self.tap.data("sent", os.pread(file.fileno(), count, offset))

    def _queue_write(self, data: bytes) -> None:
        if self._out and not self._write_closed:
            if self.tap is not None:
                self.tap.data("sent", data)
            self._enqueue(data)
        elif self.disconnected and not self._told_of_late_write:
            self._told_of_late_write = True
            report_event(self._late_write(data), self.context)

    def _late_write(self, data: bytes) -> str:
        return (
            f"cannot write {len(data)} bytes to {self.describe()}: the connection has ended; "
            "stop writing in connectionLost(), or connect again"
        )

    def _enqueue(self, data: Any) -> None:
        if not data:
            return
        if self._out is None:
            self._out = deque()
        self._out.append(data)
        waiting = self._out_size
        self._out_size = waiting + len(data)
        self._direct = False
        self._update_interest()
        if self._streaming and not self._producer_paused and self._out_size > self.bufferSize:
            self._producer_paused = True
            self._producer.pauseProducing()
        # What this write adds does not count: one large piece exists already, and is not a peer that reads too slowly.
        if waiting > self.writeLimits.report:
            self._backlog_grew(waiting)

    def _backlog_grew(self, waiting: int) -> None:
        """Say once that the peer reads too slowly, and give up when that has become too much."""
        if waiting > self.writeLimits.abort:
            reason = WriteBacklogError(
                f"{waiting} bytes waited to be sent, and writeLimits.abort is {self.writeLimits.abort}"
            )
            report_event(f"{self.describe()} is aborted: {reason}", self.context, logging.ERROR)
            self._told_of_late_write = True
            self._abort(Failure(reason))
        elif not self._told_of_backlog:
            self._told_of_backlog = True
            if self.tap is not None:
                self.tap.event("backlog")
            report_event(
                f"{self.describe()}: {waiting} bytes wait to be sent, because the peer reads slower than this "
                f"program writes; the connection is aborted at {self.writeLimits.abort}. Write in reply to the peer, "
                "or register a producer, which is paused in time",
                self.context,
            )

    def doWrite(self) -> None:
        """Send from the queue; called by the reactor."""
        out = self._out
        try:
            if not out:
                if self._layer is not None:
                    self._layer.flush()
                self._update_interest()
                return
            if isinstance(out[0], Piece):
                self._send_piece(out)
            else:
                self._send_pieces(out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._write_broke(error)
            return
        if not out:
            self._drained()

    def _send_pieces(self, out: deque[Any]) -> None:
        pieces, room = [], SHARE
        for piece in islice(out, _VECTOR):
            if isinstance(piece, Piece) or room <= 0:
                break
            pieces.append(piece if len(piece) <= room else memoryview(piece)[:room])
            room -= len(piece)
        sent = self._channel.sendmsg(pieces)
        self.bytesSent += sent
        self._out_size -= sent
        while sent:
            size = len(out[0])
            if sent < size:
                out[0] = memoryview(out[0])[sent:]
                break
            sent -= size
            out.popleft()

    def _send_piece(self, out: deque[Any]) -> None:
        piece: Piece = out[0]
        try:
            sent = piece.send(self._channel)
        except EOFError as error:
            # The peer cannot be told, so it must not take this for the end.
            report_event(f"{self.describe()} is aborted: {error}", self.context, logging.ERROR)
            self._abort(Failure(ConnectionAborted(f"cannot send the rest: {error}")))
            return
        self.bytesSent += sent
        if piece.in_memory:
            self._out_size -= sent
        if piece.rest is None:
            out.popleft()
        else:
            out[0] = piece.rest

    def _drained(self) -> None:
        """The queue is empty: go on with whatever waited for that."""
        self._out = None
        self._direct = not self._write_closed
        self._update_interest()
        producer = self._producer
        if producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            self._ask_producer()
        elif self.disconnecting:
            # A producer that has not finished yet ends the connection when it unregisters.
            if producer is None:
                self._end_in_order()
        elif self._write_closed:
            self._shut_down_writing()

    def _write_broke(self, error: OSError) -> None:
        """Nothing more can be sent. What was received before is still read, where somebody reads."""
        reason = Failure(ConnectionLost(f"the connection was lost: {describe(error)}"))
        self._drop_queue()
        self._write_closed = True
        if self._reading and not self.disconnecting:
            self._reason = reason
            self.reactor.call_soon(Writing._read_the_rest, self)
        else:
            self._end_soon(reason)

    def _read_the_rest(self) -> None:
        """Read as long as there is something, then end; the system itself may see nothing wrong."""
        before = self.bytesReceived
        self.doRead()
        if self.disconnected:
            return
        if self.bytesReceived == before:
            self._end(self._reason)
        else:
            self.reactor.call_soon(Writing._read_the_rest, self)

    # --- producers -----------------------------------------------------------------------------------

    @in_turn
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` fill this transport: pushing until it is paused, or pulling, one piece at a time."""
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register producer {producer!r}: {self._producer!r} is registered and was not unregistered"
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            self._ask_producer()

    def _ask_producer(self) -> None:
        try:
            self.context.copy().run(self._producer.resumeProducing)
        except SystemExit:
            raise
        except BaseException:
            self._protocol_raised("resumeProducing")
            return
        # A pull producer that wrote little is asked again when the socket has room.
        if self._producer is not None and not self._streaming and not self._out:
            self.reactor.call_soon(Writing._pull, self)

    def _pull(self) -> None:
        if self._producer is not None and not self._streaming and not self._out and self.connected:
            self._ask_producer()

    @in_turn
    def unregisterProducer(self) -> None:
        """The producer has finished; a `loseConnection` or `loseWriteConnection` that waited for it goes on."""
        self._producer = None
        self._streaming = False
        if self._half_closing:
            self.loseWriteConnection()
        if self.connected and self.disconnecting and not self._out:
            self._end_soon(Failure(ConnectionDone()))

    # --- half-close ----------------------------------------------------------------------------------

    @in_turn
    def loseWriteConnection(self) -> None:
        """Close the sending direction after what is queued was sent and a registered producer has finished.

        Receiving goes on. Without a producer, what is written after this is dropped.
        """
        if self.disconnected or self._write_closed:
            return
        self._half_closing = self._producer is not None
        if self._half_closing:
            return
        self._write_closed = True
        self._direct = False
        if not self._out:
            self.reactor.call_soon(Writing._shut_down_writing, self)

    def _shut_down_writing(self) -> None:
        if self.disconnected:
            return
        try:
            if self._layer is not None:
                self._layer.shut_down()
            else:
                self._half_close()
        except OSError as error:
            self._end(Failure(ConnectionLost(f"half-close failed: {describe(error)}")))
            return
        if lives_half_closed(self.protocol):
            self._tell("writeConnectionLost")
        if self._read_closed:
            self._end(Failure(ConnectionDone()))

    def _half_close(self) -> None:
        """Close the sending direction of the channel; transports that can override it."""
        raise NotImplementedError(f"{type(self).__name__} cannot close one direction")


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, str):
        raise TypeError(f"write() takes bytes, not the str {data[:40]!r}: encode it first, for example with .encode()")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"write() takes bytes, not {type(data).__name__}")
    # A copy: the caller may change a bytearray after this returns.
    return bytes(data)
