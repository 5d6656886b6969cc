"""DeferredQueue: objects that somebody puts in, for others who wait until there is one."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from wirebook.deferred.chain import short
from wirebook.deferred.core import Deferred
from wirebook.deferred.making import succeed
from wirebook.turn import in_turn

T = TypeVar("T")


class Line(deque[T]):
    """A list whose first item is taken out at no cost, however long it is. It equals a list of the same items."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | Line) else NotImplemented

    __hash__ = None


def stand_in(line: Line[Deferred[T]]) -> Deferred[T]:
    """A new Deferred at the end of `line`; cancelling it takes it out."""
    deferred: Deferred[T] = Deferred(line.remove)
    line.append(deferred)
    return deferred


class QueueOverflow(Exception):
    """An object was put into a `DeferredQueue` that holds as many as its size allows."""

    __module__ = "wirebook.deferred"


class QueueUnderflow(Exception):
    """An object was asked for while as many wait for one as the backlog of the `DeferredQueue` allows."""

    __module__ = "wirebook.deferred"


class DeferredQueue(Generic[T]):
    """A queue from which `get` gives Deferreds: first come, first served, on both sides.

    ``size`` is how many objects it holds at most, ``backlog`` how many `get` calls may wait at a time; None: any
    number. ``pending`` are the objects nobody has asked for yet, ``waiting`` the Deferreds that wait for one.
    `ValueError` for limits below 0. Any thread may use it.
    """

    def __init__(self, size: int | None = None, backlog: int | None = None) -> None:
        for name, limit in (("size", size), ("backlog", backlog)):
            if limit is not None and limit < 0:
                raise ValueError(f"{name} is {limit!r}; it is a number from 0 up, or None for no limit")
        self.waiting: Line[Deferred[T]] = Line()
        self.pending: Line[T] = Line()
        self.size = size
        self.backlog = backlog

    @in_turn
    def put(self, obj: T) -> None:
        """Add `obj`: for the one who has waited longest, whose callbacks run now, or for later.

        A `Failure` makes the Deferred that gets it fail. `QueueOverflow` when nobody waits and the queue is full;
        `TypeError` for a Deferred, which cannot be the result of another one. Any thread.
        """
        if isinstance(obj, Deferred):
            raise TypeError(f"{short(obj)} cannot be put in a queue: put its result, d.addCallback(queue.put)")
        if self.waiting:
            self.waiting.popleft().callback(obj)
        elif self.size is None or len(self.pending) < self.size:
            self.pending.append(obj)
        else:
            raise QueueOverflow(f"{self!r} is full: get something first, or make it with a size over {self.size}")

    @in_turn
    def get(self) -> Deferred[T]:
        """A Deferred of the next object; it has fired already when there is one. Cancelling it leaves the line.

        `QueueUnderflow` when the queue is empty and `backlog` Deferreds wait already. Any thread.
        """
        if self.pending:
            return succeed(self.pending.popleft())
        if self.backlog is None or len(self.waiting) < self.backlog:
            return stand_in(self.waiting)
        raise QueueUnderflow(
            f"{self!r} has as many waiting as it allows: put something first, or make it with a backlog "
            f"over {self.backlog}"
        )

    def __repr__(self) -> str:
        return f"<DeferredQueue: {_of(self.pending, self.size)} pending, {_of(self.waiting, self.backlog)} waiting>"


def _of(line: Line[Any], limit: int | None) -> str:
    return str(len(line)) if limit is None else f"{len(line)} of {limit}"
