"""`settle`: wait in a cell until the network is quiet, so that late output is kept.

A run without a browser (nbclient, ``jupyter nbconvert --execute``, graders) keeps only what arrives while
the cell itself is running. A cell that ends with ``settle()`` stays until its callbacks have had their say.
"""

from __future__ import annotations

import time
from contextvars import Context
from typing import Any

from wirebook import reactor
from wirebook.turn import turn


class _Watch:
    """A turn trace that remembers when the reactor was last at work, and hands on to the one before it."""

    def __init__(self, earlier: Any) -> None:
        self.earlier = earlier
        self.depth = 0
        self.last = time.monotonic()

    def begin(self, cause: str, subject: object, origin: Context | None = None) -> None:
        self.depth += 1
        if self.earlier is not None:
            self.earlier.begin(cause, subject, origin)

    def end(self) -> None:
        self.depth -= 1
        self.last = time.monotonic()
        if self.earlier is not None:
            self.earlier.end()

    def quiet_for(self) -> float:
        """Seconds since the reactor was last at work."""
        return 0.0 if self.depth > 0 else time.monotonic() - self.last


def settle(timeout: float = 2.0, quiet: float = 0.2) -> bool:
    """Wait until no callback has run and no byte has moved for `quiet` seconds, at most `timeout` seconds.

    Returns whether it became quiet in time. Timers that are due later do not keep it waiting. Call it from
    any thread but the reactor's; raises `TurnHeldError` while the calling thread holds the turn, and
    `ValueError` for a negative duration.
    """
    if timeout < 0 or quiet < 0:
        raise ValueError(f"settle() takes durations of 0 seconds or more, not {timeout!r} and {quiet!r}")
    turn.refuse_to_wait("settle()")
    deadline = time.monotonic() + timeout
    with turn:
        watch = reactor.trace = _Watch(reactor.trace)
    try:
        while (missing := quiet - watch.quiet_for()) > 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(missing, left))
        return True
    finally:
        with turn:
            _take_out(watch)


def _take_out(watch: _Watch) -> None:
    """Undo the installation, also when another trace was put in front of it meanwhile."""
    if reactor.trace is watch:
        reactor.trace = watch.earlier
