"""Waking the poller from another thread or a signal handler: an eventfd, or a socket pair where there is none."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress


class Waker:
    """Readable after `wake`, until `doRead` has emptied it. `wake` may be called from anywhere."""

    def __init__(self) -> None:
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if sys.platform == "linux":
            self._read_fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self._read_fd, self._write_fd = (end.fileno() for end in self._pair)

    def wake(self) -> None:
        """Make the descriptor readable."""
        # A full pipe is readable already. eventfd takes exactly eight bytes in native order.
        with suppress(BlockingIOError):
            os.write(self._write_fd, (1).to_bytes(8, sys.byteorder))

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._read_fd

    def doRead(self) -> None:
        """Empty it."""
        with suppress(BlockingIOError):
            os.read(self._read_fd, 4096)

    def doWrite(self) -> None:
        """Never asked for."""

    def hungUp(self) -> None:
        """Never happens: both ends are ours."""

    def close(self) -> None:
        """Close the descriptors."""
        if self._pair is None:
            os.close(self._read_fd)
        else:
            for end in self._pair:
                end.close()
