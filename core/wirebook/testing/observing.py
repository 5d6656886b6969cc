"""A log observer for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self, overload

from wirebook.logger import LogEvent, LogPublisher


class EventLoggingObserver(Sequence[LogEvent]):
    """A log observer that is the sequence of the events it has got."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> LogEvent: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LogEvent]: ...

    def __getitem__(self, index: int | slice) -> LogEvent | Sequence[LogEvent]:
        return self._events[index]

    def __iter__(self) -> Iterator[LogEvent]:
        return iter(self._events)

    def __call__(self, event: LogEvent) -> None:
        """Keep `event`."""
        self._events.append(event)

    @classmethod
    def createWithCleanup(cls, testInstance: Any, publisher: LogPublisher) -> Self:
        """An observer of `publisher` until the test is over: `testInstance` has ``addCleanup``, as in unittest."""
        observer = cls()
        publisher.addObserver(observer)
        testInstance.addCleanup(lambda: publisher.removeObserver(observer))
        return observer
