"""Ports that accept connections, also when descriptors run out: what TCP and UNIX share."""

from __future__ import annotations

import errno
import socket
from contextvars import copy_context
from typing import Any

from wirebook.deferred import Deferred, execute, succeed
from wirebook.error import describe
from wirebook.failure import Failure
from wirebook.interfaces import IProtocolFactory
from wirebook.logger import report_event, report_failure
from wirebook.protocol import build_protocol
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ
from wirebook.reactor.timers import DelayedCall
from wirebook.transports._state import factory_label
from wirebook.turn import in_turn

# How many connections one event accepts: enough for a burst, few enough that the others get their turn.
_ACCEPT_BATCH = 64
# How long a port waits before it looks for free descriptors again, in seconds.
_ACCEPT_PAUSE = 0.25
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class AcceptingPort:
    """A listening socket. As a handle its state is "listening", "paused" or "closed".

    Out of descriptors, it pauses: waiting clients stay in the system's queue and are accepted as soon as a
    connection ends, or descriptors are free again for another reason.
    """

    kind = "port"
    transportName = ""
    peerAddress = None

    def __init__(self, reactor: ReactorBase, factory: IProtocolFactory, backlog: int) -> None:
        if isinstance(backlog, bool) or not isinstance(backlog, int):
            raise TypeError(f"backlog is the number of connections that may wait, not {backlog!r}")
        self.reactor = reactor
        self.factory = factory
        self.backlog = backlog
        self.context = copy_context()
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.state = "closed"
        self.acceptedCount = 0
        self.connectionCount = 0
        self._socket: socket.socket | None = None
        self._host: Any = None
        self._past_received = 0
        self._past_sent = 0
        self._exhausted = False
        self._retry: DelayedCall | None = None

    @in_turn
    def startListening(self) -> None:
        """Open the socket. Raises `CannotListenError`."""
        if self._socket is not None:
            raise RuntimeError(f"{self!r} is listening already")
        self._socket, self._host = sock, _ = self.reactor.handles.open_port(self, self._open)
        self.state = "listening"
        try:
            self.factory.doStart()
        except BaseException:
            sock.close()
            self._socket, self.state = None, "closed"
            self._closed()
            raise
        self.reactor.handles.opened(self)
        self.reactor.watch(sock.fileno(), self, READ)

    def _open(self) -> tuple[socket.socket, Any]:
        """The bound and listening socket, and the address it has. Raises `CannotListenError`."""
        raise NotImplementedError

    def _peer_address(self, sockaddr: Any) -> Any:
        """The address object of a client."""
        raise NotImplementedError

    def _new_connection(self, sock: socket.socket, peer: Any) -> Any:
        """The transport for an accepted connection."""
        raise NotImplementedError

    def _closed(self) -> None:
        """The socket was closed: take away what it left."""

    @in_turn
    def stopListening(self) -> Deferred[None]:
        """Close the port; its open connections stay. It is closed on return.

        Returns a fired Deferred; it has failed when the factory's ``stopFactory`` raised.
        """
        if self._socket is None:
            return succeed(None)
        self._resume_accepting()
        self.reactor.unwatch(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self.state = "closed"
        self._closed()
        self.reactor.handles.closed(self)
        return execute(self.factory.doStop)

    loseConnection = stopListening

    def getHost(self) -> Any:
        """The address it listens on (the last one, when it is closed)."""
        return self._host

    # --- accepting -----------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor's number, -1 when it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def mask(self) -> int:
        """What the poller watches for; as long as it watches."""
        return READ if self.state == "listening" else 0

    def doRead(self) -> None:
        """Accept what waits; called by the reactor."""
        sockets = self.reactor.sockets
        for _ in range(_ACCEPT_BATCH):
            sock = self._socket
            if sock is None:
                return
            try:
                accepted, peer = sockets.accept(sock)
            except (BlockingIOError, InterruptedError):
                self._exhausted = False
                return
            except OSError as error:
                # Any other error is the coming connection's own: it is gone (accept(2), "Error handling").
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause_accepting(error)
                    return
                continue
            self._serve(accepted, peer)

    def doWrite(self) -> None:
        """Never asked for."""

    def hungUp(self) -> None:
        """Only while paused, when nothing is asked for."""

    def _serve(self, sock: socket.socket, peer: Any) -> None:
        address = self._peer_address(peer)
        try:
            protocol = self.context.copy().run(build_protocol, self.factory, address)
        except SystemExit:
            raise
        except BaseException:
            report_failure(
                Failure(),
                f"{type(self.factory).__name__}.buildProtocol() failed; the connection to {self._host} is closed",
                self.context,
            )
            protocol = None
        if protocol is None:
            sock.close()
            return
        self.acceptedCount += 1
        self.connectionCount += 1
        self._new_connection(sock, address).begin(protocol)

    def connection_ended(self, connection: Any) -> None:
        """Add an ended connection's counters to the totals; called by the connection."""
        self.connectionCount -= 1
        self._past_received += connection.bytesReceived
        self._past_sent += connection.bytesSent

    # --- out of descriptors --------------------------------------------------------------------------

    def _pause_accepting(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            report_event(
                f"{self!r} pauses accepting: {describe(error)}. Waiting clients are kept and served when "
                "descriptors are free again",
                self.context,
            )
        self.state = "paused"
        self.reactor.rewatch(self.fileno(), 0)
        self.reactor.handles.observe(self._something_closed)
        self._retry = self.reactor.callLater(_ACCEPT_PAUSE, self._resume_accepting)

    def _something_closed(self, event: str, handle: Any) -> None:
        # At the end of the iteration the descriptor is closed for sure.
        if event == "closed":
            self.reactor.call_soon(AcceptingPort._resume_accepting, self)

    def _resume_accepting(self) -> None:
        if self.state != "paused":
            return
        self.state = "listening"
        self.reactor.handles.unobserve(self._something_closed)
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        self.reactor.rewatch(self.fileno(), READ)

    # --- as a handle ---------------------------------------------------------------------------------

    @property
    def localAddress(self) -> Any:
        """The address it listens on."""
        return self._host

    @property
    def label(self) -> str:
        """The name of the protocol class, or of the factory's."""
        return factory_label(self.factory)

    def _total(self, name: str, past: int) -> int:
        mine = (handle for handle in self.reactor.handles.of("connection") if getattr(handle, "port", None) is self)
        return past + sum(int(getattr(handle, name)) for handle in mine)

    @property
    def bytesReceived(self) -> int:
        """How many bytes its connections have received, ended ones included."""
        return self._total("bytesReceived", self._past_received)

    @property
    def bytesSent(self) -> int:
        """How many bytes its connections have sent, ended ones included."""
        return self._total("bytesSent", self._past_sent)

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """`stopListening`."""
        return self.stopListening()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label} on {self.transportName} {self._host}, {self.state}>"
