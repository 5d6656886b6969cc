"""A pair of byte queues that behaves like a pair of connected sockets, in one process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import Any

# How many bytes one direction holds before it takes no more, as a socket's buffer does.
CAPACITY = 65536


class MemoryChannel:
    """One end of a pair, with what `StreamTransport` needs of a socket. Used in the turn.

    Attributes: ``peer`` the other end; ``changed`` is called when there may be something to read or room to write;
    ``largest`` how many bytes one `recv` gives at most; ``resets`` makes `close` a reset instead of an end.
    """

    __slots__ = ("_told_nobody", "capacity", "changed", "closed", "finished", "inbox", "largest", "peer", "resets")

    def __init__(self, capacity: int) -> None:
        self.peer = self
        self.capacity = self.largest = capacity
        self.changed: Callable[[], None] = _nothing
        self.inbox = bytearray()
        self.finished = False
        self.closed = False
        self.resets = False
        self._told_nobody = False

    @property
    def was_reset(self) -> bool:
        """Whether the peer closed with a reset."""
        return self.peer.closed and self.peer.resets

    @property
    def readable(self) -> bool:
        """Whether `recv` would return or raise something."""
        return bool(self.inbox) or self.finished

    @property
    def writable(self) -> bool:
        """Whether `send` would take or raise something."""
        return self.peer.closed or len(self.peer.inbox) < self.peer.capacity

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end. Raises OSError as a socket does."""
        if self.inbox:
            with memoryview(self.inbox) as view:
                data = bytes(view[: min(size, self.largest)])
            del self.inbox[: len(data)]
            self.peer.changed()
            return data
        if self.was_reset:
            raise os_error(errno.ECONNRESET)
        if self.finished:
            return b""
        raise BlockingIOError

    def send(self, data: Any) -> int:
        """Take as much of `data` as there is room for. Raises OSError as a socket does."""
        peer = self.peer
        if peer.closed:
            return self._send_to_nobody(len(data))
        room = peer.capacity - len(peer.inbox)
        if room <= 0:
            raise BlockingIOError
        piece = data if len(data) <= room else memoryview(data)[:room]
        peer.inbox += piece
        peer.changed()
        return len(piece)

    def _send_to_nobody(self, size: int) -> int:
        # As with TCP, where the first segment is sent before its reset can come back.
        if self._told_nobody or self.was_reset:
            raise os_error(errno.EPIPE)
        self._told_nobody = True
        return size

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        """`send` several pieces."""
        sent = 0
        for data in buffers:
            try:
                taken = self.send(data)
            except BlockingIOError:
                if not sent:
                    raise
                break
            sent += taken
            if taken < len(data):
                break
        return sent

    def send_from(self, source: int, offset: int, count: int) -> int:
        """`send` a part of the file with the descriptor `source`. 0: the file has ended."""
        if not self.writable:
            raise BlockingIOError
        data = os.pread(source, min(count, self.capacity), offset)
        return self.send(data) if data else 0

    def finish(self) -> None:
        """Send nothing more: the peer reads an end after what was sent before."""
        if not self.peer.finished:
            self.peer.finished = True
            self.peer.changed()

    def close(self) -> None:
        """Neither send nor receive any more; what was not read is dropped."""
        self.closed = True
        self.inbox.clear()
        self.peer.finished = True
        self.peer.changed()


def channel_pair(capacity: int = CAPACITY) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends, each of which takes `capacity` bytes before its reader has to read."""
    one, other = MemoryChannel(capacity), MemoryChannel(capacity)
    one.peer, other.peer = other, one
    return one, other


def _nothing() -> None:
    """Nobody waits at this end yet."""


def os_error(number: int) -> OSError:
    """The exception that a socket would raise for this errno."""
    return OSError(number, os.strerror(number))
