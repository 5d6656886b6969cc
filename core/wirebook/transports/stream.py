"""What every stream transport shares: reading, the write buffer, producers, half-close, and the end.

The rules that hold for all of them:

- A write goes to the operating system at once; only what it does not take is queued. So an echo costs one
  call per direction, and a queue exists only while the peer is slower than the program.
- One event reads at most `READ_SIZE` bytes and one event writes at most one vector: level-triggered polling
  brings the rest in the next batch, so a fast peer cannot starve the others.
- ``connectionLost`` is never called from inside a method that the protocol called. Ends that the program
  asks for, and broken writes, are delivered at the end of the iteration.
- When a write breaks, what the peer had sent before is still read: the read side reports the end.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from itertools import islice
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost, NotConnectedError, describe
from wirebook.failure import Failure
from wirebook.interfaces import IHalfCloseableProtocol, IWiretap
from wirebook.logger import report_event, report_failure
from wirebook.protocol import Protocol
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ, WRITE
from wirebook.turn import in_turn, turn

# One read's buffer. Larger ones make bulk transfers a little faster and every small message slower, because
# the memory is obtained before it is known how much arrived.
READ_SIZE = 65536
# How many queued pieces go into one vectored write; the systems' limit (IOV_MAX) is 1024.
_VECTOR = 64
_UNWATCHED = -1


class _Nobody(Protocol):
    """Stands where the protocol was, once the connection has ended."""


_NOBODY: Any = _Nobody()


class StreamTransport:
    """A stream over `channel`: anything with ``fileno``, ``recv``, ``send``, ``sendmsg`` and ``close``.

    Attributes: ``protocol``, the one in charge, which may be exchanged; ``disconnecting``, whether an end was
    asked for; ``bufferSize``, how many queued bytes pause a registered push producer. As a handle its state
    is "connecting", "open", "half-closed", "closing" or "closed". Methods may be called from any thread.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_close_waiters",
        "_direct",
        "_fd",
        "_label",
        "_mask",
        "_out",
        "_out_size",
        "_producer",
        "_producer_paused",
        "_read_closed",
        "_reading",
        "_reason",
        "_streaming",
        "_told_of_late_write",
        "_write_closed",
        "born",
        "bytesReceived",
        "bytesSent",
        "connected",
        "context",
        "disconnected",
        "disconnecting",
        "handleId",
        "protocol",
        "reactor",
        "tap",
    )
    kind = "connection"
    transportName = ""
    role = ""
    bufferSize = 65536

    def __init__(self, reactor: ReactorBase, channel: Any, context: Context | None = None) -> None:
        self.reactor = reactor
        self.context = copy_context() if context is None else context
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.bytesReceived = 0
        self.bytesSent = 0
        self.tap: IWiretap | None = None
        self.protocol: Any = _NOBODY
        self.connected = 0
        self.disconnected = False
        self.disconnecting = False
        self._channel = channel
        self._fd = -1 if channel is None else channel.fileno()
        self._label: str | None = None
        self._mask = _UNWATCHED
        self._reading = False
        self._read_closed = False
        self._direct = False
        self._write_closed = False
        self._out: deque[Any] | None = None
        self._out_size = 0
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._reason: Failure | None = None
        self._close_waiters: list[Deferred[None]] | None = None
        self._told_of_late_write = False

    # --- the beginning -------------------------------------------------------------------------------

    def begin(self, protocol: Any) -> None:
        """Join the two: the transport is open and `protocol` takes it. In the turn."""
        self.protocol = protocol
        self.connected = 1
        self._direct = True
        self.startReading()
        if self.tap is not None:
            self.tap.event("opened")
        self._tell("makeConnection", self)

    def _tell(self, method: str, *args: Any) -> None:
        """Call a method of the protocol in this connection's context; if it raises, the connection ends."""
        try:
            self.context.copy().run(getattr(self.protocol, method), *args)
        except (Exception, KeyboardInterrupt):
            self._protocol_raised(method)

    def _protocol_raised(self, method: str) -> None:
        failure = Failure()
        report_failure(
            failure,
            f"{self.label}.{method}() raised; its connection {self.describe()} is closed",
            self.context,
        )
        self._end(failure)

    # --- reading -------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor's number, -1 when there is none."""
        return self._fd

    def doRead(self) -> None:
        """Read once and hand it to the protocol; called by the reactor."""
        if not self._reading:
            # Paused since the poller reported it, by another callback of this batch or another thread.
            return
        try:
            data = self._channel.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(Failure(ConnectionLost(f"the connection was lost: {describe(error)}")))
            return
        if not data:
            self._read_ended()
            return
        self.bytesReceived += len(data)
        if self.tap is not None:
            self.tap.data("received", data)
        try:
            self.context.copy().run(self.protocol.dataReceived, data)
        except (Exception, KeyboardInterrupt):
            self._protocol_raised("dataReceived")

    def _read_ended(self) -> None:
        """The peer has closed its direction."""
        self._read_closed = True
        self.stopReading()
        if self._reason is not None or (self._write_closed and not self._out):
            self._end(self._reason or Failure(ConnectionDone()))
        elif not self.disconnecting and isinstance(self.protocol, IHalfCloseableProtocol):
            if self.tap is not None:
                self.tap.event("half-closed")
            self._tell("readConnectionLost")
        elif self._out and self._producer is None:
            # A peer that has only shut down its sending side still reads: it gets the rest.
            self.disconnecting = True
        else:
            self._end(Failure(ConnectionDone()))

    def hungUp(self) -> None:
        """The peer is gone while reading was paused: look again when it is resumed; called by the reactor."""
        if self._read_closed:
            self._end(self._reason or Failure(ConnectionLost()))
        else:
            # epoll reports a hang-up without being asked, again and again.
            self.reactor.unwatch(self._fd)
            self._mask = _UNWATCHED

    @in_turn
    def startReading(self) -> None:
        """Let the reactor read; harmless when it does."""
        if not (self._reading or self._read_closed or self.disconnected):
            self._reading = True
            self._update_interest()

    @in_turn
    def stopReading(self) -> None:
        """Do not read until `startReading`; TCP then slows the peer down."""
        if self._reading:
            self._reading = False
            self._update_interest()

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

    def _update_interest(self) -> None:
        mask = (READ if self._reading else 0) | (WRITE if self._out else 0)
        if mask == self._mask or self.disconnected:
            return
        if self._mask == _UNWATCHED:
            if not mask:
                return
            self.reactor.watch(self._fd, self, mask)
        else:
            self.reactor.rewatch(self._fd, mask)
        self._mask = mask

    # --- writing -------------------------------------------------------------------------------------

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
        """Send several pieces as one."""
        self.write(b"".join(data))

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
        self._out_size += len(data)
        self._direct = False
        self._update_interest()
        if self._streaming and not self._producer_paused and self._out_size > self.bufferSize:
            self._producer_paused = True
            self._producer.pauseProducing()

    def doWrite(self) -> None:
        """Send from the queue; called by the reactor."""
        out = self._out
        if not out:
            self._update_interest()
            return
        try:
            sent = self._channel.sendmsg(list(islice(out, _VECTOR)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._write_broke(error)
            return
        self.bytesSent += sent
        self._out_size -= sent
        while sent:
            size = len(out[0])
            if sent < size:
                out[0] = memoryview(out[0])[sent:]
                break
            sent -= size
            out.popleft()
        if not out:
            self._drained()

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
                self._end(self._reason or Failure(ConnectionDone()))
        elif self._write_closed:
            self._shut_down_writing()

    def _write_broke(self, error: OSError) -> None:
        """Nothing more can be sent. What was received before is still read, where somebody reads."""
        reason = Failure(ConnectionLost(f"the connection was lost: {describe(error)}"))
        self._drop_queue()
        self._write_closed = True
        if self._reading and not self.disconnecting:
            self._reason = reason
        else:
            self._end_soon(reason)

    def _drop_queue(self) -> None:
        self._out = None
        self._out_size = 0
        self._direct = False
        if not self.disconnected:
            self._update_interest()

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
        except (Exception, KeyboardInterrupt):
            self._protocol_raised("resumeProducing")
            return
        # A pull producer that wrote little is asked again when the socket has room.
        if self._producer is not None and not self._streaming and not self._out:
            self.reactor.call_soon(StreamTransport._pull, self)

    def _pull(self) -> None:
        if self._producer is not None and not self._streaming and not self._out and self.connected:
            self._ask_producer()

    @in_turn
    def unregisterProducer(self) -> None:
        """The producer has finished; a `loseConnection` that waited for it goes on."""
        self._producer = None
        self._streaming = False
        if self.connected and self.disconnecting and not self._out:
            self._end_soon(Failure(ConnectionDone()))

    # --- the end -------------------------------------------------------------------------------------

    @in_turn
    def loseConnection(self) -> None:
        """Close after what is queued was sent, and after a registered producer has finished."""
        if self.disconnected or self.disconnecting:
            return
        self.disconnecting = True
        if not self._out and self._producer is None:
            self._end_soon(self._reason or Failure(ConnectionDone()))

    @in_turn
    def abortConnection(self) -> None:
        """Close without sending what is queued; the peer sees a reset. The reason is `ConnectionAborted`."""
        if self.disconnected:
            return
        self.disconnecting = True
        self._drop_queue()
        self.stopReading()
        self._prepare_abort()
        self._end_soon(Failure(ConnectionAborted()))

    @in_turn
    def loseWriteConnection(self) -> None:
        """Close the sending direction after what is queued was sent; receiving goes on."""
        if self.disconnected or self._write_closed:
            return
        self._write_closed = True
        self._direct = False
        if not self._out:
            self.reactor.call_soon(StreamTransport._shut_down_writing, self)

    def _shut_down_writing(self) -> None:
        if self.disconnected:
            return
        try:
            self._half_close()
        except OSError as error:
            self._end(Failure(ConnectionLost(f"half-close failed: {describe(error)}")))
            return
        if self._read_closed:
            self._end(Failure(ConnectionDone()))
        elif isinstance(self.protocol, IHalfCloseableProtocol):
            self._tell("writeConnectionLost")

    def _half_close(self) -> None:
        """Close the sending direction of the channel; transports that can override it."""
        raise NotImplementedError(f"{type(self).__name__} cannot close one direction")

    def _prepare_abort(self) -> None:
        """Make the coming close a hard one; transports that can override it."""

    def _end_soon(self, reason: Failure) -> None:
        self._reason = reason
        self.reactor.call_soon(StreamTransport._end_if_flushed, self)

    def _end_if_flushed(self) -> None:
        # The protocol may have written, or registered a producer, after it asked for the end.
        if not self._out and self._producer is None:
            self._end(self._reason or Failure(ConnectionDone()))
        elif not self.connected or (self._reason is not None and self._reason.check(ConnectionLost)):
            self._end(self._reason)

    def _end(self, reason: Failure | None) -> None:
        """Close the channel and tell the protocol; the only way to the end."""
        if self.disconnected:
            return
        if self._mask != _UNWATCHED:
            self.reactor.unwatch(self._fd)
            self._mask = _UNWATCHED
        self._label = self.label
        self._remember_addresses()
        self.disconnected = True
        self._reading = False
        self._drop_queue()
        if self._channel is not None:
            self._channel.close()
        self._fd = -1
        self.reactor.handles.closed(self)
        was_connected, self.connected = self.connected, 0
        if self.tap is not None:
            self.tap.event("closed")
        self._tell_the_end(reason or Failure(ConnectionDone()), bool(was_connected))
        self._fire_close_waiters()

    def _tell_the_end(self, reason: Failure, was_connected: bool) -> None:
        producer, self._producer = self._producer, None
        protocol, self.protocol = self.protocol, _NOBODY
        if was_connected:
            if producer is not None:
                self._call(producer.stopProducing)
            self._call(protocol.connectionLost, reason)

    def _call(self, func: Callable[..., Any], *args: Any) -> None:
        """Call something of the program's at the end, where raising can end nothing any more."""
        try:
            self.context.copy().run(func, *args)
        except (Exception, KeyboardInterrupt):
            report_failure(Failure(), f"{func!r} raised", self.context)

    def _fire_close_waiters(self) -> None:
        waiters, self._close_waiters = self._close_waiters, None
        for waiter in waiters or ():
            waiter.callback(None)

    # --- as a handle ---------------------------------------------------------------------------------

    def _remember_addresses(self) -> None:
        """Keep what `getHost` and `getPeer` need once the channel is closed."""

    def getHost(self) -> Any:
        """The address of this end."""
        return None

    def getPeer(self) -> Any:
        """The address of the other end."""
        return None

    @property
    def localAddress(self) -> Any:
        """The address of this end, None while there is none."""
        return self.getHost()

    @property
    def peerAddress(self) -> Any:
        """The address of the other end, None while there is none."""
        return self.getPeer()

    @property
    def state(self) -> str:
        """ "connecting", "open", "half-closed", "closing" or "closed"."""
        if self.disconnected:
            return "closed"
        if not self.connected:
            return "connecting"
        if self.disconnecting:
            return "closing"
        return "half-closed" if self._read_closed or self._write_closed else "open"

    @property
    def label(self) -> str:
        """The name of the protocol's class."""
        return self._label or type(self.protocol).__name__

    def describe(self) -> str:
        """Where it goes, in words: ``TCP 127.0.0.1:8007 -> 127.0.0.1:50112``."""
        return f"{self.transportName} {self.localAddress} -> {self.peerAddress}"

    @in_turn
    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """`loseConnection`, or `abortConnection` with `abort`. Fires when the connection has ended."""
        if self.disconnected:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._close_waiters = [*(self._close_waiters or ()), closed]
        if abort or not self.connected:
            self.abortConnection()
        else:
            self.loseConnection()
        return closed

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label}: {self.describe()}, {self.state}>"


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, str):
        raise TypeError(f"write() takes bytes, not the str {data[:40]!r}: encode it first, for example with .encode()")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"write() takes bytes, not {type(data).__name__}")
    # A copy: the caller may change a bytearray after this returns.
    return bytes(data)
