"""A part of a file in a stream's queue: sent by the system itself (sendfile), never read into Python."""

from __future__ import annotations

import os
from typing import IO

# One sendfile's share: enough to be cheap, little enough that others get their turn.
_SHARE = 1 << 20


class FilePiece:
    """`count` bytes of `file` from `offset` on, as far as they have not been sent."""

    __slots__ = ("count", "file", "offset")

    def __init__(self, file: IO[bytes], offset: int, count: int) -> None:
        if offset < 0 or count < 0:
            raise ValueError(f"offset is {offset} and count {count}: both are numbers of bytes from 0 up")
        file.fileno()
        self.file = file
        self.offset = offset
        self.count = count

    def send(self, descriptor: int) -> int:
        """Send the next share to `descriptor`; how much that was. Raises OSError; EOFError at the file's end."""
        sent = os.sendfile(descriptor, self.file.fileno(), self.offset, min(self.count, _SHARE))
        if sent == 0:
            raise EOFError(f"the file is {self.count} bytes too short")
        self.offset += sent
        self.count -= sent
        return sent

    def read(self, offset: int, count: int) -> bytes:
        """The bytes that were sent from there, for a tap."""
        return os.pread(self.file.fileno(), count, offset)
