"""Taking messages out of a stream that arrives in pieces of any size. Pure: no transport, no clock."""

from __future__ import annotations

from struct import unpack_from


class TooLong(Exception):
    """A message is longer than its limit: ``size`` bytes, as far as is known."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Inbox:
    """Bytes that have arrived and were not taken yet.

    Small rests are joined with what arrives next, large ones grow in place, and what has been looked at for a
    delimiter is not looked at again. So a message costs the same whether it comes in one piece or byte by byte.
    """

    __slots__ = ("_at", "_data", "_from", "_sought")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        # Where the first byte stands that was not taken, and where to look for the next delimiter.
        self._at = 0
        self._from = 0
        self._sought = b""

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        left = len(self._data) - self._at
        if not left:
            self._data = data
            self._from = 0
        else:
            self._from -= self._at
            if left <= len(data):
                self._data = bytes(self._data[self._at :]) + data
            else:
                if type(self._data) is not bytearray:
                    self._data = bytearray(self._data)
                del self._data[: self._at]
                self._data += data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes, which must be there."""
        at = self._at
        self._at = self._from = at + count
        return bytes(self._data[at : at + count])

    def take_all(self) -> bytes:
        """Everything."""
        taken = self.take(len(self))
        self.settle()
        return taken

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or fewer, which stay."""
        return bytes(self._data[self._at : self._at + count])

    def take_line(self, delimiter: bytes, limit: int) -> bytes | None:
        """The next line without its `delimiter`; None when it is not complete.

        `TooLong` over `limit` bytes; its size is how many of the bytes at hand belong to the line, its end included.
        """
        if delimiter is not self._sought:
            self._sought, self._from = delimiter, self._at
        data, at = self._data, self._at
        end = data.find(delimiter, self._from)
        if end < 0:
            self._wait_for_end(limit)
            return None
        if end - at > limit:
            raise TooLong(end - at + len(delimiter))
        self._at = self._from = end + len(delimiter)
        line = data[at:end]
        return line if type(line) is bytes else bytes(line)

    def _wait_for_end(self, limit: int) -> None:
        self.settle()
        size, delimiter = len(self._data), self._sought
        if not size:
            return
        if size > limit and size - self._begun(delimiter) > limit:
            raise TooLong(size)
        # The delimiter may arrive in pieces.
        self._from = max(0, size - len(delimiter) + 1)

    def _begun(self, delimiter: bytes) -> int:
        """How many bytes at the end may be the beginning of `delimiter`."""
        return next(
            (size for size in range(len(delimiter) - 1, 0, -1) if self._data.endswith(delimiter[:size])),
            0,
        )

    def take_prefixed(self, format: str, prefix: int, limit: int) -> bytes | None:
        """The next message after its length, an integer in this `struct` format of `prefix` bytes.

        None when it is not complete. `TooLong` when more than `limit` bytes are announced.
        """
        begin = self._at + prefix
        left = len(self._data) - begin
        if left >= 0:
            length: int = unpack_from(format, self._data, self._at)[0]
            if length > limit:
                raise TooLong(length)
            if length <= left:
                self._at = self._from = end = begin + length
                message = self._data[begin:end]
                return message if type(message) is bytes else bytes(message)
        self.settle()
        return None

    def settle(self) -> None:
        """Keep no more memory than what waits needs."""
        if self._at == len(self._data):
            self._data = b""
            self._at = self._from = 0
        elif self._at:
            self._data = self._data[self._at :]
            self._from -= self._at
            self._at = 0
