"""How much an event matters: Twisted's five levels, which are those of the standard ``logging``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum
from typing import TypeVar

N = TypeVar("N", bound="Names")


class Names(Enum):
    """A set of named constants, with the questions that Twisted's users ask of one."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}={self.name}>"

    __str__ = __repr__

    @classmethod
    def iterconstants(cls: type[N]) -> Iterator[N]:
        """All of them, in the order of their definition."""
        return iter(cls)

    @classmethod
    def lookupByName(cls: type[N], name: str) -> N:
        """The constant with this name; `ValueError` when there is none."""
        found = cls.__members__.get(name)
        if found is None:
            raise ValueError(f"{name!r} is none of {cls.__name__}: {', '.join(cls.__members__)}")
        return found


class InvalidLogLevelError(Exception):
    """Something that is no `LogLevel` was given as one; ``level`` is what it was."""

    def __init__(self, level: object) -> None:
        super().__init__(str(level))
        self.level = level


class LogLevel(Names):
    """The levels, the least urgent first; ``value`` is the number that ``logging`` has for it.

    They compare by urgency: ``LogLevel.info < LogLevel.error``.
    """

    debug = logging.DEBUG
    info = logging.INFO
    warn = logging.WARNING
    error = logging.ERROR
    critical = logging.CRITICAL

    def __lt__(self, other: LogLevel) -> bool:
        return self.value < other.value if isinstance(other, LogLevel) else NotImplemented

    def __le__(self, other: LogLevel) -> bool:
        return self.value <= other.value if isinstance(other, LogLevel) else NotImplemented

    def __gt__(self, other: LogLevel) -> bool:
        return self.value > other.value if isinstance(other, LogLevel) else NotImplemented

    def __ge__(self, other: LogLevel) -> bool:
        return self.value >= other.value if isinstance(other, LogLevel) else NotImplemented

    @classmethod
    def levelWithName(cls, name: str) -> LogLevel:
        """The level with this name; `InvalidLogLevelError` when there is none."""
        if name not in cls.__members__:
            raise InvalidLogLevelError(name)
        return cls[name]


def nearest_level(number: int) -> LogLevel:
    """The level for a number of ``logging``, rounded down to one that has a name."""
    return max((level for level in LogLevel if level.value <= number), default=LogLevel.debug)
