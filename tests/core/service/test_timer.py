"""A service that calls a function again and again."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, outcome
from wirebook import reactor as process_reactor
from wirebook.deferred import Deferred
from wirebook.service import TimerService
from wirebook.task import Clock


def timer(function: Any, *args: Any, **kw: Any) -> tuple[TimerService, Clock]:
    """A started service with a period of 2 s, and its clock."""
    service, clock = TimerService(2, function, *args, **kw), Clock()
    service.clock = clock
    service.startService()
    return service, clock


def test_the_function_is_called_at_the_start_and_every_period() -> None:
    calls: list[Any] = []
    service, clock = timer(lambda *args, **kw: calls.append((args, kw)), 1, two=2)
    assert calls == [((1,), {"two": 2})]
    clock.pump([2, 2, 1])
    assert len(calls) == 3
    service.stopService()


def test_stopping_ends_the_calls() -> None:
    calls: list[None] = []
    service, clock = timer(calls.append, None)
    assert outcome(service.stopService()) is None
    assert not service.running
    clock.advance(10)
    assert len(calls) == 1


def test_stopping_waits_for_the_call_under_way() -> None:
    work: Deferred[None] = Deferred()
    service, _ = timer(lambda: work)
    first, second = service.stopService(), service.stopService()
    assert [first.called, second.called, service.running] == [False, False, True]
    work.callback(None)
    assert [outcome(first), outcome(second)] == [None, None]
    assert not service.running


def test_an_error_is_reported_and_stopping_afterwards_works(reported: Reports) -> None:
    service, clock = timer(boom)
    assert "it raised" in reported()[0].getMessage()
    assert not clock.calls
    assert outcome(service.stopService()) is None


def test_a_stopped_service_starts_again() -> None:
    calls: list[None] = []
    service, clock = timer(calls.append, None)
    service.stopService()
    service.startService()
    clock.advance(2)
    assert (len(calls), service.running) == (3, True)
    service.stopService()


def test_a_service_that_was_started_again_keeps_running_when_the_old_call_ends() -> None:
    work: Deferred[None] = Deferred()
    service, clock = timer(lambda: None if work.called else work)
    stopped = service.stopService()
    work.callback(None)
    service.startService()
    assert outcome(stopped) is None
    assert service.running
    assert len(clock.calls) == 1
    service.stopService()


def test_stopping_what_was_not_started_is_harmless() -> None:
    assert outcome(TimerService(1, boom).stopService()) is None


def test_by_default_the_process_s_reactor_keeps_the_time() -> None:
    service = TimerService(60, int)
    service.startService()
    assert len(process_reactor.getDelayedCalls()) == 1
    service.stopService()
    assert not process_reactor.getDelayedCalls()


@pytest.mark.parametrize("name", ["_loop", "_finished"])
def test_a_pickled_service_does_not_run(name: str) -> None:
    service = TimerService(60, int)
    service.startService()
    copy = pickle.loads(pickle.dumps(service))
    service.stopService()
    assert (copy.step, copy.running, getattr(copy, name)) == (60, False, None)
