"""UNIX-domain datagram sockets (unix(7)): whole messages between programs on one machine, in order.

Unlike with UDP nothing is lost on the way: a receiver that is slow makes the sender wait. A socket with one peer
waits for it (see ``backlogLimit``). One without must not let everybody wait for the slowest, so what a full
receiver does not take is dropped and counted.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from wirebook.address import UNIXAddress
from wirebook.error import CannotListenError, InvalidAddressError
from wirebook.failure import Failure
from wirebook.interfaces import IDatagramProtocol
from wirebook.logger import report_failure
from wirebook.protocol import ConnectedDatagramProtocol
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._socketfile import Path, SocketFile, check_name, unix_connect_error
from wirebook.transports.datagram import DatagramPort
from wirebook.turn import in_turn


class UNIXDatagramPort(DatagramPort):
    """An open UNIX datagram socket; see `DatagramPort`. Its file is removed when it is closed."""

    transportName = "UNIX"

    def __init__(
        self, reactor: ReactorBase, name: bytes | None, protocol: IDatagramProtocol, maxPacketSize: int, mode: int
    ) -> None:
        super().__init__(reactor, protocol, maxPacketSize)
        self.mode = mode
        self._file = None if name is None else SocketFile(name, mode, socket.SOCK_DGRAM)

    @property
    def port(self) -> str | None:
        """Its path, None when it has none."""
        return None if self._file is None else os.fsdecode(self._file.name)

    def _open(self) -> tuple[socket.socket, UNIXAddress]:
        address = UNIXAddress(None if self._file is None else self._file.name)
        sock = None
        try:
            sock = self.reactor.sockets.open(socket.AF_UNIX, socket.SOCK_DGRAM)
            if self._file is not None:
                self._file.bind(sock)
        except OSError as error:
            if sock is not None:
                sock.close()
            self._closed()
            raise CannotListenError(None, str(address), error) from error
        return sock, address

    def _closed(self) -> None:
        try:
            if self._file is not None:
                self._file.remove()
        except OSError:
            report_failure(Failure(), f"cannot remove the socket {self.port}", self.context)

    def _destination(self, addr: Any) -> Any:
        self._require_socket()
        if addr is None:
            raise InvalidAddressError(addr, "give the path of the receiver; a sender without a name cannot be answered")
        return check_name(addr)

    def _meets_receiver(self) -> bool:
        return self._peer is None

    def _explained(self, error: OSError, addr: Any) -> OSError:
        code = error.errno or 0
        return OSError(code, f"cannot send to {UNIXAddress(addr)}: {os.strerror(code)}")


class ConnectedUNIXDatagramPort(UNIXDatagramPort):
    """A UNIX datagram socket with one peer; ``write`` takes no address, and ``datagramReceived`` gets none."""

    def __init__(
        self,
        reactor: ReactorBase,
        peer: bytes,
        protocol: ConnectedDatagramProtocol,
        maxPacketSize: int,
        mode: int,
        name: bytes | None,
    ) -> None:
        super().__init__(reactor, name, protocol, maxPacketSize, mode)
        self._destined = peer
        self._receiver = _WithoutSender(self)

    def _open(self) -> tuple[socket.socket, UNIXAddress]:
        sock, host = super()._open()
        try:
            code = sock.connect_ex(self._destined)
            if code:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            self._closed()
            raise unix_connect_error(error, self._destined) from error
        self._peer = os.fsdecode(self._destined)
        return sock, host

    def _destination(self, addr: Any) -> Any:
        self._require_socket()
        if addr is not None and check_name(addr) != self._destined:
            raise InvalidAddressError(addr, f"this socket is connected to {self._peer} and sends there only")

    def getPeer(self) -> UNIXAddress:
        """The address of the peer."""
        return UNIXAddress(self._destined)

    @property
    def peerAddress(self) -> UNIXAddress:
        """The address of the peer."""
        return self.getPeer()


class _WithoutSender:
    """Between a connected port and its protocol, which knows its only peer."""

    def __init__(self, port: ConnectedUNIXDatagramPort) -> None:
        self._port = port

    def datagramReceived(self, datagram: bytes, sender: Any) -> None:
        self._port.protocol.datagramReceived(datagram)


class UNIXDatagramMethods(ReactorBase):
    """The part of the reactor that speaks UNIX datagrams."""

    @in_turn
    def listenUNIXDatagram(
        self, address: Path, protocol: IDatagramProtocol, maxPacketSize: int = 8192, mode: int = 0o666
    ) -> UNIXDatagramPort:
        """Open a UNIX datagram socket with the path `address` for `protocol`, a `DatagramProtocol`.

        An abstract name begins with a zero byte (Linux). `mode` are the permissions of the file: whoever may write
        may send. `maxPacketSize` is how many bytes of a datagram are received at most. The file is removed when
        ``stopListening()`` fires. Raises `CannotListenError`, `TypeError` and `ValueError` for the arguments.
        """
        opened = UNIXDatagramPort(self, check_name(address), protocol, maxPacketSize, mode)
        opened.startListening()
        return opened

    @in_turn
    def connectUNIXDatagram(
        self,
        address: Path,
        protocol: ConnectedDatagramProtocol,
        maxPacketSize: int = 8192,
        mode: int = 0o666,
        bindAddress: Path | None = None,
    ) -> ConnectedUNIXDatagramPort:
        """Open a UNIX datagram socket whose only peer is the one with the path `address`.

        `bindAddress` is its own path, which the peer needs to answer; `mode` are the permissions of that. When it
        cannot be opened ``protocol.connectionFailed(failure)`` is called, and the port that is returned is closed.
        """
        if not isinstance(protocol, ConnectedDatagramProtocol):
            raise TypeError(f"connectUNIXDatagram() takes a ConnectedDatagramProtocol, not {protocol!r}")
        name = None if bindAddress is None else check_name(bindAddress)
        opened = ConnectedUNIXDatagramPort(self, check_name(address), protocol, maxPacketSize, mode, name)
        try:
            opened.startListening()
        except Exception:
            opened._call(protocol.connectionFailed, Failure())
        return opened
