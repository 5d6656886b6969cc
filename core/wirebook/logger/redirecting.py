"""A file whose lines become events: what ``sys.stdout`` is while standard output goes to the log."""

from __future__ import annotations

import io
import sys
from _thread import get_ident
from collections.abc import Iterable
from typing import NoReturn

from wirebook.logger.emitting import Logger
from wirebook.logger.levels import LogLevel


class LoggingFile:
    """A file for writing that emits each line, once it is complete, through `logger` at `level`.

    Bytes are decoded with `encoding` (default: Python's). Any thread may write. What an observer writes to
    the very file whose line it is being told is dropped: it would come back to it for ever.
    """

    def __init__(self, logger: Logger, level: LogLevel = LogLevel.info, encoding: str | None = None) -> None:
        self.log = logger
        self.level = level
        self._encoding = encoding or sys.getdefaultencoding()
        self._closed = False
        self._rest = ""
        self._emitting: set[int] = set()

    @property
    def name(self) -> str:
        """Which log and level it leads to."""
        return f"<{type(self).__name__} {self.log.namespace}#{self.level.name}>"

    @property
    def mode(self) -> str:
        """For writing: "w"."""
        return "w"

    @property
    def newlines(self) -> None:
        """It translates none."""
        return None

    @property
    def encoding(self) -> str:
        """How bytes written to it are decoded."""
        return self._encoding

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, message: str | bytes) -> int:
        """Emit the lines that `message` completes; how much was taken. `ValueError` once closed."""
        if self._closed:
            raise ValueError(f"{self.name} is closed: nothing can be written to it")
        me = get_ident()
        if me in self._emitting:
            return len(message)
        text = message.decode(self.encoding) if isinstance(message, bytes) else message
        *lines, self._rest = (self._rest + text).split("\n")
        self._emitting.add(me)
        try:
            for line in lines:
                self.log.emit(self.level, "{log_io}", log_io=line)
        finally:
            self._emitting.discard(me)
        return len(message)

    def writelines(self, lines: Iterable[str | bytes]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True

    def flush(self) -> None:
        """Nothing to do: complete lines are emitted at once."""

    def isatty(self) -> bool:
        """It is no terminal."""
        return False

    def readable(self) -> bool:
        """It cannot be read."""
        return False

    def seekable(self) -> bool:
        """It has no position."""
        return False

    def writable(self) -> bool:
        """It can be written until it is closed."""
        return True

    def fileno(self) -> NoReturn:
        """There is no descriptor behind it: `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation(f"{self.name} has no descriptor: its lines go to the log")

    def _unsupported(self, *_: object) -> NoReturn:
        raise io.UnsupportedOperation(f"{self.name} is for writing only")

    read = readline = readlines = xreadlines = next = seek = tell = truncate = __iter__ = __next__ = _unsupported
