"""Where sockets come from: one place, so that a test can have each call on them fail."""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Callable
from typing import Any

# As a plain number, which the property of `socket.socket` turns into an enumeration each time.
_family_of: Callable[[socket.socket], int] = _socket.socket.family.__get__


class Sockets:
    """Makes sockets of the class `kind` that do not block; ``reactor.sockets`` is where transports get theirs."""

    def __init__(self, kind: type[socket.socket] = socket.socket) -> None:
        self.kind = kind

    def open(self, family: int, type: int = socket.SOCK_STREAM, proto: int = 0) -> socket.socket:
        """A new socket. Raises OSError."""
        return _prepared(self.kind(family, type, proto))

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        """The next connection that waits at `listener`, and its peer's address. Raises OSError."""
        # accept() itself would look up the socket's blocking mode and make enumerations of its family and type.
        fd, peer = listener._accept()  # type: ignore[attr-defined]
        return self.adopt(fd, _family_of(listener), socket.SOCK_STREAM), peer

    def adopt(self, fd: int, family: int, type: int) -> socket.socket:
        """The socket that owns the descriptor `fd` from now on; it is closed if that fails."""
        try:
            sock = self.kind(family, type, 0, fileno=fd)
        except BaseException:
            os.close(fd)
            raise
        return _prepared(sock)


def _prepared(sock: socket.socket) -> socket.socket:
    try:
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
