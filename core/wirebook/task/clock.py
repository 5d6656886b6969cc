"""Virtual time: a clock that stands still until it is told to go on."""

from __future__ import annotations

from collections.abc import Iterable

from wirebook.reactor.timers import DelayedCall, Timekeeper, TimerQueue, check_delay
from wirebook.turn import in_turn


class Clock(Timekeeper):
    """A clock whose time passes when `advance` says so; wherever a reactor's time is meant it does as well.

    ``rightNow`` is its time, in seconds, from 0.0. Any thread may call anything; calls are made in the turn,
    by the thread that advances the clock, in the context in which they were scheduled.
    """

    rightNow = 0.0

    def __init__(self) -> None:
        self.timers = TimerQueue(self.seconds)

    def seconds(self) -> float:
        """The time it is."""
        return self.rightNow

    @property
    def calls(self) -> list[DelayedCall]:
        """As `getDelayedCalls`."""
        return self.getDelayedCalls()

    @in_turn
    def advance(self, amount: float) -> None:
        """Let `amount` seconds pass, then make the calls that are due, soonest first.

        They all see the new time, and what they schedule for no later than that is made before this returns.
        An error that a call raises is raised here; the calls after it stay, and the next `advance` makes them.
        `ValueError` when `amount` is no number of seconds from 0 up: time does not go back.
        """
        self.rightNow += check_delay(amount)
        while (call := self.timers.pop_due(self.seconds())) is not None:
            call.context.run(call.func, *call.args, **call.kw)

    def pump(self, timings: Iterable[float]) -> None:
        """`advance` by each of `timings` in turn."""
        for amount in timings:
            self.advance(amount)
