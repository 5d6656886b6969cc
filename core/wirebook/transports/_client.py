"""The client's end of a connection that is made in two steps: begin to connect, then hear how it went."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from wirebook.error import ConnectionDone, connect_error
from wirebook.failure import Failure
from wirebook.reactor.poller import WRITE
from wirebook.transports.stream import StreamTransport

if TYPE_CHECKING:
    from wirebook.transports.connecting import Connector


class ConnectingEnd(StreamTransport):
    """What clients of TCP and UNIX share; a subclass has the slot ``connector``."""

    __slots__ = ()
    role = "client"
    port = None
    connector: Connector

    def await_connection(self) -> None:
        """The channel is connecting: wait for what comes of it."""
        self.reactor.watch(self._fd, self, WRITE)
        self._mask = WRITE

    def doWrite(self) -> None:
        """Writable: connected, or refused, the first time; afterwards as for every stream."""
        if self.connected:
            super().doWrite()
            return
        try:
            code = self._channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            code = error.errno or errno.EIO
        if code:
            self.connector.attempt_failed(Failure(connect_error(code, self.getPeer())))
        else:
            self.connector.attempt_succeeded()

    def hungUp(self) -> None:
        """As for every stream; an attempt that is refused may come up here too."""
        if self.connected:
            super().hungUp()
        else:
            self.doWrite()

    @property
    def factory(self) -> Any:
        """The factory that builds the protocol."""
        return self.connector.factory

    def _end(self, reason: Failure | None) -> None:
        was_connected = bool(self.connected)
        ended = not self.disconnected
        super()._end(reason)
        if ended:
            self.connector.client_ended(reason or Failure(ConnectionDone()), was_connected)
