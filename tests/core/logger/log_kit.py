"""What the tests of the event log share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from wirebook.failure import Failure
from wirebook.logger import LogEvent

_numbers = count(1)


class Kept(logging.Handler):
    """A handler of the standard ``logging`` that keeps the records it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def standard(name: str, level: int = logging.DEBUG) -> Iterator[Kept]:
    """Keep the records of the standard logger `name`, from `level` on."""
    logger, handler = logging.getLogger(name), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def namespace() -> str:
    """A namespace that no other test has."""
    return f"tests.log{next(_numbers)}"


def boom(message: str = "boom") -> Failure:
    """A Failure with a traceback."""
    try:
        raise ValueError(message)
    except ValueError:
        return Failure()


class Broken:
    """An observer that raises, `times` times."""

    def __init__(self, times: int = 1_000) -> None:
        self.times = times

    def __call__(self, event: LogEvent) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ValueError("a broken observer")
