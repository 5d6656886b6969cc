"""The two ends of a connection, over whatever channel: the one that a port accepted, and the one that connects."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from wirebook.error import ConnectionDone, connect_error
from wirebook.failure import Failure
from wirebook.reactor.poller import WRITE
from wirebook.transports._state import factory_label
from wirebook.transports.stream import StreamTransport

if TYPE_CHECKING:
    from wirebook.transports.accepting import AcceptingPort
    from wirebook.transports.connecting import Connector


class End(StreamTransport):
    """An end whose protocol a factory builds."""

    __slots__ = ()

    @property
    def factory(self) -> Any:
        """The factory of the protocol."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name of the protocol's class, or of what its factory will build."""
        return super().label if self.connected or self._label else factory_label(self.factory)


class AcceptedEnd(End):
    """The server's; a subclass has the slot ``port`` for the port that accepted it."""

    __slots__ = ()
    role = "server"
    port: AcceptingPort

    @property
    def factory(self) -> Any:
        """The factory that built the protocol."""
        return self.port.factory

    def _end(self, reason: Failure | None) -> None:
        if not self.disconnected:
            self.port.connection_ended(self)
        super()._end(reason)


class ConnectingEnd(End):
    """The client's, which is made in two steps: begin to connect, then hear how it went.

    A subclass has the slot ``connector``.
    """

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
