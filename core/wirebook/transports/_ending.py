"""How a stream ends: in order, by force, or because something broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost
from wirebook.failure import Failure
from wirebook.logger import report_failure
from wirebook.trace import name_and_place
from wirebook.transports._state import NOBODY, UNWATCHED, StreamState, protocol_label
from wirebook.turn import in_turn


class Ending(StreamState):
    """The part of `StreamTransport` that closes, and calls the protocol so that its errors close too."""

    __slots__ = ()

    def _tell(self, method: str, *args: Any) -> None:
        """Call a method of the protocol in this connection's context; if it raises, the connection ends."""
        try:
            self.context.copy().run(getattr(self.protocol, method), *args)
        except SystemExit:
            raise
        except BaseException:
            self._protocol_raised(method)

    def _protocol_raised(self, method: str) -> None:
        failure = Failure()
        report_failure(
            failure,
            f"{self.label}.{method}() raised; its connection {self.describe()} is closed",
            self.context,
        )
        self._end(failure)

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
        if not self.disconnected:
            self._abort(Failure(ConnectionAborted()))

    def _abort(self, reason: Failure) -> None:
        self.disconnecting = True
        self._drop_queue()
        self.stopReading()
        self._take_layer_out(in_order=False)
        self._prepare_abort()
        self._end_soon(reason)

    def _prepare_abort(self) -> None:
        """Make the coming close a hard one; transports that can override it."""

    def _end_soon(self, reason: Failure) -> None:
        self._reason = reason
        self.reactor.call_soon(Ending._end_if_flushed, self)

    def _end_if_flushed(self) -> None:
        # The protocol may have written, or registered a producer, after it asked for the end.
        if not self._out and self._producer is None:
            self._end_in_order()
        elif not self.connected or (self._reason is not None and self._reason.check(ConnectionLost)):
            self._end(self._reason)

    def _end_in_order(self) -> None:
        """End, unless a layer has a goodbye to exchange with the peer first."""
        if self.disconnected:
            return
        reason = self._reason or Failure(ConnectionDone())
        if self._layer is None or not reason.check(ConnectionDone) or not self._layer.part():
            self._end(reason)

    def _take_layer_out(self, in_order: bool) -> None:
        if self._layer is not None:
            self._channel = self._layer.end(in_order)

    def _end(self, reason: Failure | None) -> None:
        """Close the channel and tell the protocol; the only way to the end."""
        if self.disconnected:
            return
        if self._mask != UNWATCHED:
            self.reactor.unwatch(self._fd)
            self._mask = UNWATCHED
        reason = reason or Failure(ConnectionDone())
        self._label = protocol_label(self.protocol) if self.connected else self.label
        self._remember_addresses()
        self.disconnected = True
        self._reading = False
        self._drop_queue()
        if self._layer is not None:
            self._take_layer_out(in_order=reason.check(ConnectionDone) is not None)
        if self._channel is not None:
            self._channel.close()
        self._fd = -1
        self._unregister()
        was_connected, self.connected = self.connected, 0
        if self.tap is not None:
            self.tap.event("closed")
        self._tell_the_end(reason, bool(was_connected))
        if self._close_waiters is not None:
            self._fire_close_waiters()

    def _unregister(self) -> None:
        """Leave the list of what is open; a transport that is a part of something else was never on it."""
        self.reactor.handles.closed(self)

    def _tell_the_end(self, reason: Failure, was_connected: bool) -> None:
        producer, self._producer = self._producer, None
        protocol, self.protocol = self.protocol, NOBODY
        if was_connected:
            if producer is not None:
                self._call(producer.stopProducing)
            self._call(protocol.connectionLost, reason)

    def _call(self, func: Callable[..., Any], *args: Any) -> None:
        """Call something of the program's at the end, where raising can end nothing any more."""
        try:
            self.context.copy().run(func, *args)
        except SystemExit:
            raise
        except BaseException:
            report_failure(Failure(), f"{name_and_place(func)[0]}() raised", self.context)

    def _fire_close_waiters(self) -> None:
        waiters, self._close_waiters = self._close_waiters, None
        for waiter in waiters or ():
            waiter.callback(None)

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
