"""UNIX-domain stream sockets (unix(7)): local connections that can say who the peer is and pass descriptors on."""

from __future__ import annotations

import errno
import os
import socket
import struct
from _thread import get_ident
from array import array
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple

from wirebook.address import UNIXAddress
from wirebook.deferred.filelock import FilesystemLock, isLocked
from wirebook.error import (
    BadFileError,
    CannotListenError,
    ConnectionLost,
    FileDescriptorOverrun,
    describe,
)
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.logger import report_event, report_failure
from wirebook.protocol import check_factory
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.timers import check_delay
from wirebook.transports._ends import AcceptedEnd, ConnectingEnd
from wirebook.transports._pieces import RightsPiece
from wirebook.transports._socketfile import Path, SocketFile, check_name, unix_connect_error
from wirebook.transports.accepting import AcceptingPort
from wirebook.transports.connecting import Connector
from wirebook.transports.stream import READ_SIZE, SocketTransport, StreamTransport
from wirebook.turn import in_turn, turn

# The most that one message may carry on Linux (SCM_MAX_FD).
_MAX_DESCRIPTORS = 253
# More than these that wait pause a producer.
_MANY_DESCRIPTORS = 64
_ROOM = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array("i").itemsize)
# While a server's queue is full, connect() says EAGAIN and nothing tells when there is room; seconds.
_RETRY = 0.01


class PeerCredentials(NamedTuple):
    """Who is at the other end: process, user and group identifier, as the kernel vouches for them."""

    pid: int
    uid: int
    gid: int


class UNIXConnection(SocketTransport):
    """A UNIX-domain connection; see `StreamTransport`.

    A protocol with a method ``fileDescriptorReceived(descriptor)`` gets descriptors that the peer sends, before
    the bytes they came with, and owns them. Without it they are closed on arrival.
    """

    __slots__ = ("_descriptors", "_host", "_peer")
    transportName = "UNIX"

    def __init__(
        self, reactor: ReactorBase, sock: socket.socket | None, host: Any, peer: Any, context: Context | None = None
    ) -> None:
        super().__init__(reactor, sock, context)
        self._descriptors: list[int] = []
        self._host = host
        self._peer = peer
        reactor.handles.opened(self)

    def getHost(self) -> UNIXAddress:
        """The address of this end; mostly only the server's end has a name."""
        host: UNIXAddress = self._host
        return host

    def getPeer(self) -> UNIXAddress:
        """The address of the other end."""
        peer: UNIXAddress = self._peer
        return peer

    @in_turn
    def getPeerCredentials(self) -> PeerCredentials:
        """Who connected (for a server), or who listens (for a client). `NotImplementedError` where unknown."""
        sock = self._require_socket()
        if not hasattr(socket, "SO_PEERCRED"):
            raise NotImplementedError("this system does not tell the credentials of a UNIX socket's peer")
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return PeerCredentials(*struct.unpack("3i", packed))

    # --- descriptors ---------------------------------------------------------------------------------

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send the peer a duplicate of `descriptor`, with the first byte of what is written next.

        This one may be closed at once. Each descriptor needs a byte of its own, written after it: in a callback, or
        in a block ``with reactor.turn():``, before that is over, or the connection ends with `FileDescriptorOverrun`.
        A cell has as long as it likes. While many descriptors wait a registered producer is paused. Raises OSError
        for what is no descriptor.
        """
        if turn.owner == get_ident():
            self._queue_descriptor(descriptor)
            self.reactor.call_soon(UNIXConnection._check_descriptors, self)
        else:
            with turn:
                self._queue_descriptor(descriptor)

    def _queue_descriptor(self, descriptor: int) -> None:
        if self._layer is not None:
            raise RuntimeError(f"{self.describe()} cannot pass a descriptor: it would not travel with a TLS record")
        if not self.connected or self._write_closed:
            return
        self._descriptors.append(os.dup(descriptor))
        self._direct = False
        # Counted only for a producer, which is then paused: so there are never many to count.
        if self._streaming and not self._producer_paused and self._waiting_descriptors() > _MANY_DESCRIPTORS:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _waiting_descriptors(self) -> int:
        queued = (len(piece.descriptors) for piece in self._out or () if isinstance(piece, RightsPiece))
        return len(self._descriptors) + sum(queued)

    def _check_descriptors(self) -> None:
        """None may wait for a byte any more."""
        if self._descriptors:
            self._abort(Failure(FileDescriptorOverrun()))

    def _queue_write(self, data: bytes) -> None:
        if not self._descriptors or not data or self._write_closed:
            super()._queue_write(data)
            return
        if self.tap is not None:
            self.tap.data("sent", data)
        rest = memoryview(data)
        while self._descriptors and rest:
            share = self._descriptors[: min(len(rest), _MAX_DESCRIPTORS)]
            del self._descriptors[: len(share)]
            # Those that wait need a byte each.
            size = len(share) if self._descriptors else len(rest)
            self._enqueue(RightsPiece(rest[:size], share))
            rest = rest[size:]

    def _drained(self) -> None:
        super()._drained()
        if self._descriptors:
            self._direct = False

    def _drop_queue(self) -> None:
        super()._drop_queue()
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)

    def doRead(self) -> None:
        """Read once, with descriptors where the protocol takes them; called by the reactor."""
        if hasattr(self.protocol, "fileDescriptorReceived"):
            self._read_with_descriptors()
        else:
            # By name, for super() would cost a twentieth of an echo.
            StreamTransport.doRead(self)

    def _read_with_descriptors(self) -> None:
        if not self._reading:
            return
        try:
            data, ancillary, flags, _ = self._channel.recvmsg(READ_SIZE, _ROOM, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(Failure(ConnectionLost(f"the connection was lost: {describe(error)}")))
            return
        if flags & socket.MSG_CTRUNC:
            report_event(f"{self.describe()}: more descriptors came than this process may have", self.context)
        self._give_descriptors(_rights(ancillary))
        if not data:
            self._read_ended()
        elif self.connected:
            self.bytesReceived += len(data)
            if self.tap is not None:
                self.tap.data("received", data)
            self._tell("dataReceived", data)

    def _give_descriptors(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            if self.connected:
                self._tell("fileDescriptorReceived", descriptor)
            else:
                os.close(descriptor)


def _rights(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors in what recvmsg() returned."""
    found = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


class UNIXServer(AcceptedEnd, UNIXConnection):
    """The server's end of a connection; ``port`` is the `UNIXPort` that accepted it."""

    __slots__ = ("port",)

    def __init__(self, port: UNIXPort, sock: socket.socket, peer: UNIXAddress) -> None:
        self.port = port
        super().__init__(port.reactor, sock, port.getHost(), peer, port.context)


class UNIXClient(ConnectingEnd, UNIXConnection):
    """The client's end of a connection, from the first attempt on."""

    __slots__ = ("connector",)

    def __init__(self, connector: UNIXConnector) -> None:
        self.connector = connector
        super().__init__(connector.reactor, None, UNIXAddress(None), connector.getDestination(), connector.context)

    def attempt(self, name: bytes) -> bool:
        """Begin to connect; the connector hears how it ends. False when the server's queue is full."""
        if self._channel is None:
            self._channel = self.reactor.sockets.open(socket.AF_UNIX)
            self._fd = self._channel.fileno()
        code = self._channel.connect_ex(name)
        if code == errno.EAGAIN:
            return False
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self.await_connection()
        return True


class UNIXConnector(Connector):
    """Makes the connections of one ``connectUNIX``."""

    def __init__(
        self, reactor: Any, address: bytes, factory: IClientFactory, timeout: float | None, checkPID: bool
    ) -> None:
        super().__init__(reactor, os.fsdecode(address), 0, factory, timeout, None)
        self.address = address
        self.checkPID = checkPID
        self._retry: Any = None

    def getDestination(self) -> Any:
        """The address that it connects to."""
        return UNIXAddress(self.address)

    def _new_client(self) -> UNIXClient:
        return UNIXClient(self)

    def _begin_attempt(self, client: UNIXClient) -> None:
        if self.checkPID and not isLocked(f"{self.host}.lock"):
            reason = f"cannot connect to {self.host}: no server has locked {self.host}.lock (checkPID=True)"
            self._fail_soon(BadFileError(string=reason))
        else:
            self._try(client)

    def _try(self, client: UNIXClient) -> None:
        self._retry = None
        try:
            if not client.attempt(self.address):
                self._retry = self.reactor.callLater(_RETRY, self._try, client)
        except OSError as error:
            self._fail_soon(unix_connect_error(error, self.address))

    def _fail_soon(self, error: Exception) -> None:
        # As with every other transport, connect() returns before the factory hears of it.
        self.reactor.call_soon(self.attempt_failed, Failure(error))

    def client_ended(self, reason: Failure, was_connected: bool) -> None:
        """Tell the factory; called by the client at its end."""
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()
        super().client_ended(reason, was_connected)


class UNIXPort(AcceptingPort):
    """A listening UNIX-domain socket; see `AcceptingPort`. Its file is removed when it is closed."""

    transportName = "UNIX"

    def __init__(
        self, reactor: ReactorBase, address: bytes, factory: IProtocolFactory, backlog: int, mode: int, wantPID: bool
    ) -> None:
        super().__init__(reactor, factory, backlog)
        self.port = os.fsdecode(address)
        self.mode = mode
        self.wantPID = wantPID
        self.lock = FilesystemLock(f"{self.port}.lock") if wantPID else None
        self._name = address
        advice = "; wantPID=True does so by itself"
        self._file = SocketFile(address, mode, socket.SOCK_STREAM, advice)

    def _open(self) -> tuple[socket.socket, UNIXAddress]:
        sock = None
        try:
            self._take_lock()
            sock = self.reactor.sockets.open(socket.AF_UNIX)
            self._file.bind(sock)
            sock.listen(self.backlog)
        except OSError as error:
            if sock is not None:
                sock.close()
            self._closed()
            raise CannotListenError(None, str(UNIXAddress(self._name)), error) from error
        return sock, UNIXAddress(self._name)

    def _take_lock(self) -> None:
        if self.lock is None:
            return
        if not self.lock.lock():
            raise OSError(errno.EADDRINUSE, f"another process serves it, and has locked {self.lock.name}")
        if not self.lock.clean:
            # Its last owner died, so nobody listens on what it left.
            with suppress(FileNotFoundError):
                os.unlink(self._name)

    def _closed(self) -> None:
        try:
            self._file.remove()
        except OSError:
            report_failure(Failure(), f"cannot remove the socket {self.port}", self.context)
        if self.lock is not None and self.lock.locked:
            self.lock.unlock()

    def _peer_address(self, sockaddr: Any) -> UNIXAddress:
        return UNIXAddress(sockaddr)

    def _new_connection(self, sock: socket.socket, peer: UNIXAddress) -> UNIXServer:
        return UNIXServer(self, sock, peer)


class UNIXMethods(ReactorBase):
    """The part of the reactor that speaks UNIX-domain streams."""

    @in_turn
    def listenUNIX(
        self, address: Path, factory: IProtocolFactory, backlog: int = 1024, mode: int = 0o666, wantPID: bool = False
    ) -> UNIXPort:
        """Listen on the UNIX socket `address` and serve each connection with a protocol from `factory`.

        `address` is a path, or an abstract name that begins with a zero byte (Linux). `mode` are the permissions
        of its file: whoever may write may connect. With `wantPID` a lock file beside it, ``address.lock``, tells
        who serves it, and a socket that a crashed server left is replaced. `backlog` is how many connections the
        system keeps waiting. Raises `CannotListenError`, `TypeError` for what is not a factory.
        """
        check_factory(factory, "listenUNIX")
        port = UNIXPort(self, check_name(address, wantPID), factory, backlog, mode, wantPID)
        port.startListening()
        return port

    @in_turn
    def connectUNIX(
        self, address: Path, factory: IClientFactory, timeout: float | None = 30, checkPID: bool = False
    ) -> UNIXConnector:
        """Connect to the UNIX socket `address`.

        `factory` is told how it goes (`ClientFactory`); a failure arrives there within `timeout` seconds (None:
        whenever the system gives up). With `checkPID` only a server that listens with ``wantPID`` is tried.
        Raises `ValueError` for a timeout out of range, `TypeError` for what is not a client factory.
        """
        check_factory(factory, "connectUNIX", client=True)
        if timeout is not None:
            check_delay(timeout)
        connector = UNIXConnector(self, check_name(address, checkPID), factory, timeout, checkPID)
        connector.connect()
        return connector
