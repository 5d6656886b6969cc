"""A service that steps through iterators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from wirebook.deferred import Deferred
from wirebook.service.tree import Service
from wirebook.task import Cooperator
from wirebook.turn import in_turn

It = TypeVar("It", bound=Iterator[object])


class CooperatorService(Service):
    """Steps through the iterators it is given while it runs; ``coop`` is its `Cooperator`."""

    def __init__(self) -> None:
        self.coop = Cooperator(started=False)

    def coiterate(self, iterator: It) -> Deferred[It]:
        """As `Cooperator.coiterate`: fires when `iterator` has ended; before the service runs it waits. Any thread."""
        return self.coop.coiterate(iterator)

    @in_turn
    def startService(self) -> None:
        """Begin to step. Any thread."""
        super().startService()
        self.coop.start()

    @in_turn
    def stopService(self) -> None:
        """End all iterators, with `SchedulerStopped`. Any thread."""
        super().stopService()
        self.coop.stop()
