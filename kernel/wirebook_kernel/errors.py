"""The errors that were reported, for ``%reactor errors``: the last hundred, as text.

Only text is kept, so no frame, no connection and no data of the program stays alive for the list's sake.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from html import escape
from itertools import count
from threading import RLock
from typing import Final

from IPython.core.error import UsageError
from IPython.display import display

from wirebook_kernel.html import counted, in_columns, table

LIMIT: Final = 100
MOST_TEXT: Final = 200
# What is kept of one traceback. A recursion that ended with an error may have a very long one.
MOST_TRACEBACK: Final = 50_000

HEADERS: Final = ("no.", "time", "cell", "place", "error", "what happened", "times")


@dataclass(slots=True)
class Reported:
    """One error: its ``number``, counted from 1, ``cell`` ("[3]" or empty) and ``place`` ("[3]:7 in connect").

    ``what`` is the framework's sentence, ``kind`` and ``message`` are the error's, ``traceback`` is as it was shown.
    ``times`` counts those alike that came in a flood and were not shown themselves.
    """

    cell: str
    place: str
    kind: str
    message: str
    what: str
    traceback: str
    number: int = 0
    when: float = field(default_factory=time.time)
    times: int = 1

    @property
    def headline(self) -> str:
        """``ValueError: this is wrong``, on one line."""
        return _short(f"{self.kind}: {self.message}" if self.message else self.kind)

    def row(self) -> tuple[str, ...]:
        """A text for each of `HEADERS`."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.when))
        times = f"{self.times:,}" if self.times > 1 else ""
        return (str(self.number), clock, self.cell, self.place, self.headline, _short(self.what), times)


class ErrorList:
    """The last errors, oldest first. Any thread may call anything."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._reported: deque[Reported] = deque(maxlen=limit)
        # Re-entrant, as that of the reporter.
        self._lock = RLock()
        self._numbers = count(1)
        self.count = 0

    def add(self, reported: Reported) -> None:
        """Put an error on the list and give it its number; the oldest one is forgotten when there are too many."""
        reported.traceback = reported.traceback[:MOST_TRACEBACK]
        reported.message = reported.message[:MOST_TRACEBACK]
        with self._lock:
            reported.number = self.count = next(self._numbers)
            self._reported.append(reported)

    def latest(self) -> list[Reported]:
        """Those that are kept."""
        with self._lock:
            return list(self._reported)

    def get(self, number: int) -> Reported | None:
        """The one with this number; None when it was forgotten or is still to come."""
        return next((each for each in self.latest() if each.number == number), None)


class ErrorTable:
    """What ``%reactor errors`` shows: a snapshot of the list, the newest error first."""

    def __init__(self, errors: ErrorList) -> None:
        latest = errors.latest()
        self.rows = [each.row() for each in reversed(latest)]
        self.headline = "No errors were reported." if not latest else self._headline(latest, errors.count)

    def _headline(self, latest: list[Reported], count: int) -> str:
        of_all = f"The last {len(latest)} of {count:,} errors" if count > len(latest) else counted(count, "error")
        number = latest[-1].number
        return f"{of_all}. %reactor errors {number} shows the traceback of number {number}."

    def __repr__(self) -> str:
        if not self.rows:
            return self.headline
        return "\n".join([self.headline, "", *in_columns([HEADERS, *self.rows])])

    def _repr_html_(self) -> str:
        return table(self.headline, HEADERS, self.rows) if self.rows else f"<div>{escape(self.headline)}</div>"


def show(which: str) -> None:
    """``%reactor errors``: show the list, or the traceback of the error with the number `which`."""
    if not which:
        display(ErrorTable(errors))
        return
    found = errors.get(int(which)) if which.isdecimal() else None
    if found is None:
        raise UsageError(f"%reactor errors does not know number {which!r}: {_numbers()}")
    cell = f" in cell {found.cell}" if found.cell else ""
    clock = time.strftime("%H:%M:%S", time.localtime(found.when))
    print(f"{clock}{cell}: {found.what}\n{found.traceback}", end="")  # noqa: T201


def _numbers() -> str:
    latest = errors.latest()
    return f"it has {latest[0].number} to {latest[-1].number}" if latest else "no errors were reported"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_TEXT else f"{line[: MOST_TEXT - 1]}…"


errors: Final = ErrorList()
