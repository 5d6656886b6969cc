"""A service that steps through iterators."""

from __future__ import annotations

from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import drive
from wirebook.installed import the_reactor
from wirebook.service import CooperatorService
from wirebook.task import SchedulerStopped


def test_iterators_are_stepped_while_the_service_runs() -> None:
    service, steps = CooperatorService(), iter(range(3))
    iterator = (number for number in steps)
    ended = service.coiterate(iterator)
    assert not service.running
    service.startService()
    drive(the_reactor(), lambda: ended.called)
    assert outcome(ended) is iterator
    assert list(steps) == []
    service.stopService()
    assert not service.running


def test_stopping_ends_the_iterators() -> None:
    service = CooperatorService()
    ended = service.coiterate(iter(int, 1))
    service.startService()
    service.stopService()
    error_of(ended, SchedulerStopped)
    error_of(service.coiterate(iter([])), SchedulerStopped)
