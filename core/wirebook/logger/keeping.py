"""Observers that keep events: in memory, or in a file as text."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import IO, Any

from wirebook.logger.interfaces import ILogObserver, LogEvent
from wirebook.logger.text import formatEventAsClassicLogText, formatTime, timeFormatRFC3339


class LimitedHistoryLogObserver:
    """Keeps the last `size` events, all of them if it is None."""

    def __init__(self, size: int | None = 64 * 1024) -> None:
        self._events: deque[LogEvent] = deque(maxlen=size)

    def __call__(self, event: LogEvent) -> None:
        """Keep `event`."""
        self._events.append(event)

    def replayTo(self, otherObserver: ILogObserver) -> None:
        """Call `otherObserver` with each event that is kept, the oldest first."""
        for event in tuple(self._events):
            otherObserver(event)


class FileLogObserver:
    """Writes to `outFile` what ``formatEvent`` makes of each event, and nothing for None or "". Any thread.

    A file for bytes gets UTF-8.
    """

    def __init__(self, outFile: IO[Any], formatEvent: Callable[[LogEvent], str | None]) -> None:
        self._file = outFile
        self._binary = takes_bytes(outFile)
        self._lock = RLock()
        self.formatEvent = formatEvent

    def __call__(self, event: LogEvent) -> None:
        """Write one event, and flush."""
        text = self.formatEvent(event)
        if text:
            with self._lock:
                self._file.write(text.encode("utf-8") if self._binary else text)
                self._file.flush()


def takes_bytes(file: Any) -> bool:
    """Whether `file` was opened for bytes; text is assumed of what does not say."""
    if isinstance(file, io.IOBase):
        return not isinstance(file, io.TextIOBase)
    return "b" in str(getattr(file, "mode", ""))


def textFileLogObserver(outFile: IO[Any], timeFormat: str | None = timeFormatRFC3339) -> FileLogObserver:
    """An observer that writes events to `outFile` as lines of text; see `formatEventAsClassicLogText`.

    `timeFormat` is one of ``strftime``; None writes "-" instead of the time.
    """

    def line(event: LogEvent) -> str | None:
        return formatEventAsClassicLogText(event, lambda when: formatTime(when, timeFormat))

    return FileLogObserver(outFile, line)
