"""What every stream transport shares: reading, the write buffer, producers, half-close, and the end.

The rules that hold for all of them:

- A write goes to the operating system at once; only what it does not take is queued. So an echo costs one
  call per direction, and a queue exists only while the peer is slower than the program.
- One event reads at most `READ_SIZE` bytes (TLS up to twice as many) and one event writes at most one vector:
  level-triggered polling brings the rest in the next batch, so a fast peer cannot starve the others.
- ``connectionLost`` is never called from inside a method that the protocol called. Ends that the program
  asks for, and broken writes, are delivered at the end of the iteration.
- When a write breaks, what the peer had sent before is still read: the read side reports the end.
"""

from __future__ import annotations

import socket
from typing import Any

from wirebook.error import ConnectionDone, ConnectionLost, NotListeningError, describe
from wirebook.failure import Failure
from wirebook.transports._securing import Securing
from wirebook.transports._state import UNWATCHED, lives_half_closed
from wirebook.turn import in_turn

# One read's buffer. Larger ones make bulk transfers a little faster and every small message slower, because
# the memory is obtained before it is known how much arrived.
READ_SIZE = 65536


class StreamTransport(Securing):
    """A stream over `channel`: anything with ``fileno``, ``recv``, ``send``, ``sendmsg`` and ``close``.

    Attributes: ``protocol``, the one in charge, which may be exchanged; ``disconnecting``, whether an end was
    asked for; ``bufferSize``, how many queued bytes pause a registered push producer. As a handle its state
    is "connecting", "open", "half-closed", "closing" or "closed". Methods may be called from any thread.
    """

    __slots__ = ()

    def begin(self, protocol: Any) -> None:
        """Join the two: the transport is open and `protocol` takes it. In the turn."""
        self.protocol = protocol
        self.connected = 1
        self._direct = not self._write_closed
        self._start_reading()
        if self.tap is not None:
            self.tap.event("opened")
        self._tell("makeConnection", self)
        if self._layer is not None:
            self._layer.start()

    def doRead(self) -> None:
        """Read once and hand it to the protocol; called by the reactor."""
        if not self._reading:
            # Paused since the poller reported it, by another callback of this batch or another thread.
            if self._layer is not None and self._layer.wants_read:
                self._layer.proceed()
            return
        try:
            data = self._channel.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(Failure(ConnectionLost(f"the connection was lost: {describe(error)}")))
            return
        except Exception:
            # A layer's: its reason to end the connection.
            self._end(Failure())
            return
        if not data:
            self._read_ended()
            return
        self.bytesReceived += len(data)
        if self.tap is not None:
            self.tap.data("received", data)
        try:
            self.context.copy().run(self.protocol.dataReceived, data)
        except SystemExit:
            raise
        except BaseException:
            self._protocol_raised("dataReceived")

    def _read_ended(self) -> None:
        """The peer has closed its direction."""
        self._read_closed = True
        self._reading = False
        half_closed = not self.disconnecting and self._reason is None and lives_half_closed(self.protocol)
        if self._reason is not None or (self._write_closed and not self._out):
            if half_closed:
                self._tell("readConnectionLost")
            self._end(self._reason or Failure(ConnectionDone()))
            return
        if not half_closed and not (self._out and self._producer is None):
            self._end(Failure(ConnectionDone()))
            return
        self._update_interest()
        if half_closed:
            if self.tap is not None:
                self.tap.event("half-closed")
            self._tell("readConnectionLost")
        else:
            # A peer that has only shut down its sending side still reads: it gets the rest.
            self.disconnecting = True

    def hungUp(self) -> None:
        """The peer is gone while reading was paused: look again when it is resumed; called by the reactor."""
        if self._read_closed:
            self._end(self._reason or Failure(ConnectionLost()))
        elif not self._mask:
            # epoll reports a hang-up without being asked, again and again. If something has been asked for since then,
            # by another thread, the peer's end will come as that.
            self.reactor.unwatch(self._fd)
            self._mask = UNWATCHED

    def pauseProducing(self) -> None:
        """Stop calling ``dataReceived`` until `resumeProducing`."""
        self.stopReading()

    @in_turn
    def resumeProducing(self) -> None:
        """Go on calling ``dataReceived``."""
        if self.connected and not self.disconnecting:
            self.startReading()

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()


class SocketTransport(StreamTransport):
    """A stream over a socket."""

    __slots__ = ()

    def getHandle(self) -> Any:
        """The socket itself; with TLS, OpenSSL's connection."""
        return self._require_socket() if self._layer is None else self._layer.connection

    def _require_socket(self) -> socket.socket:
        if self.disconnected or self._channel is None:
            raise NotListeningError(f"{self.describe()} has no socket (any more)")
        sock: socket.socket = self._below
        return sock

    def _half_close(self) -> None:
        self._channel.shutdown(socket.SHUT_WR)
