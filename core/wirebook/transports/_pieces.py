"""What may stand in a stream's queue besides bytes: parts of files, and descriptors that are passed on."""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Callable
from typing import IO, Any

# How many bytes one call gets to send: enough to be cheap, little enough that others get their turn. Without a
# bound the system goes on for as long as a fast reader makes room.
SHARE = 1 << 20


class Piece:
    """Something that is not sent by simply writing bytes.

    ``rest`` is what is left to be sent: the piece itself, plain bytes, or None. ``in_memory`` tells whether it is
    part of the backlog.
    """

    __slots__ = ("rest",)
    in_memory = False

    def __init__(self) -> None:
        self.rest: Any = self

    def send(self, channel: Any) -> int:
        """Send as much as the system takes; how many bytes that was. Raises OSError; EOFError when it cannot."""
        raise NotImplementedError

    def drop(self) -> None:
        """It will not be sent."""


class FilePiece(Piece):
    """`count` bytes of `file` from `offset` on, sent by the system itself (sendfile), never read into Python.

    `tell` is called with (file, offset, count) of what was sent, for a tap.
    """

    __slots__ = ("count", "file", "offset", "tell", "whole")

    def __init__(
        self, file: IO[bytes], offset: int, count: int, whole: bool, tell: Callable[[IO[bytes], int, int], None]
    ) -> None:
        super().__init__()
        if offset < 0 or count < 0:
            raise ValueError(f"offset is {offset} and count {count}: both are numbers of bytes from 0 up")
        file.fileno()
        self.file = file
        self.offset = offset
        self.count = count
        self.whole = whole
        self.tell = tell

    def send(self, channel: Any) -> int:
        """Send the next share; EOFError when the file has ended before its time, or was closed."""
        try:
            source = self.file.fileno()
        except ValueError as error:
            raise EOFError(f"the file was closed: {error}") from error
        # A channel that has to see the bytes reads them itself.
        send_from = getattr(channel, "send_from", None)
        if send_from is None:
            sent = os.sendfile(channel.fileno(), source, self.offset, min(self.count, SHARE))
        else:
            sent = send_from(source, self.offset, self.count)
        if sent == 0:
            if self.whole:
                raise EOFError(f"the file is {self.count} bytes too short")
            self.rest = None
            return 0
        self.tell(self.file, self.offset, sent)
        self.offset += sent
        self.count -= sent
        self.rest = self if self.count else None
        return sent


class RightsPiece(Piece):
    """`data`, with descriptors that travel with its first byte (SCM_RIGHTS, unix(7)) and are closed here then."""

    __slots__ = ("data", "descriptors")
    in_memory = True

    def __init__(self, data: bytes | memoryview, descriptors: list[int]) -> None:
        super().__init__()
        self.data = data
        self.descriptors = descriptors

    def __len__(self) -> int:
        return len(self.data)

    def send(self, channel: socket.socket) -> int:
        """Send the descriptors and what the system takes of the data."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", self.descriptors))
        sent = channel.sendmsg([self.data], [rights])
        self.drop()
        self.rest = memoryview(self.data)[sent:] if sent < len(self.data) else None
        return sent

    def drop(self) -> None:
        """Close the descriptors."""
        descriptors, self.descriptors = self.descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)
