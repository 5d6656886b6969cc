"""Services, and services made of services."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.core.deferred_kit import outcome
from wirebook.deferred import Deferred, fail
from wirebook.service import MultiService, Service


class Noting(Service):
    """Writes down what it is asked for."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.setName(name)
        self.notes = notes
        self.stopped: Deferred[None] | None = None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.notes.append(f"prepare {self.name}")

    def startService(self) -> None:
        super().startService()
        self.notes.append(f"start {self.name}")

    def stopService(self) -> Any:
        super().stopService()
        self.notes.append(f"stop {self.name}")
        return self.stopped


@pytest.fixture
def notes() -> list[str]:
    """What the services have noted."""
    return []


def family(notes: list[str]) -> tuple[MultiService, Noting, Noting]:
    """A parent with two services."""
    parent, one, two = MultiService(), Noting("one", notes), Noting("two", notes)
    one.setServiceParent(parent)
    two.setServiceParent(parent)
    return parent, one, two


def test_a_service_runs_from_start_to_stop() -> None:
    service = Service()
    assert (service.running, service.name, service.parent) == (False, None, None)
    service.privilegedStartService()
    assert not service.running
    service.startService()
    assert service.running
    assert service.stopService() is None
    assert not service.running


def test_services_start_in_order_and_stop_in_reverse(notes: list[str]) -> None:
    parent, one, two = family(notes)
    parent.privilegedStartService()
    parent.startService()
    assert parent.running
    assert one.running
    assert two.running
    parent.stopService()
    assert notes == ["prepare one", "prepare two", "start one", "start two", "stop two", "stop one"]
    assert [parent.running, one.running, two.running] == [False] * 3


def test_the_parent_has_stopped_when_all_have(notes: list[str]) -> None:
    parent, one, _ = family(notes)
    one.stopped = Deferred()
    parent.startService()
    stopped = parent.stopService()
    assert not stopped.called
    one.stopped.callback(None)
    assert outcome(stopped) == [(True, None), (True, None)]


def test_an_error_of_one_that_stops_does_not_keep_the_others(notes: list[str]) -> None:
    parent, one, two = family(notes)
    two.stopped = fail(ValueError("stuck"))
    two.stopped.addErrback(lambda failure: failure.trap(ValueError) and failure)
    parent.startService()
    results = outcome(parent.stopService())
    assert [success for success, _ in results] == [False, True]
    assert not one.running
    two.stopped.addErrback(lambda _: None)


def test_services_are_found_by_name_and_iterated(notes: list[str]) -> None:
    parent, one, two = family(notes)
    assert list(parent) == [one, two]
    assert parent.getServiceNamed("two") is two
    with pytest.raises(KeyError):
        parent.getServiceNamed("three")


def test_a_name_is_given_once_per_parent(notes: list[str]) -> None:
    parent, one, _ = family(notes)
    twin = Noting("one", notes)
    with pytest.raises(RuntimeError, match="a service named 'one' already"):
        twin.setServiceParent(parent)
    assert twin.parent is None
    assert parent.getServiceNamed("one") is one


def test_a_service_with_a_parent_keeps_its_name(notes: list[str]) -> None:
    _, one, _ = family(notes)
    with pytest.raises(RuntimeError, match="cannot name the service 'other'"):
        one.setName("other")


def test_a_service_that_joins_a_running_parent_is_started(notes: list[str]) -> None:
    parent = MultiService()
    parent.startService()
    late = Noting("late", notes)
    late.setServiceParent(parent)
    assert notes == ["prepare late", "start late"]
    assert late.parent is parent


def test_a_service_that_leaves_a_running_parent_is_stopped(notes: list[str]) -> None:
    parent, one, two = family(notes)
    parent.startService()
    two.stopped = Deferred()
    assert two.disownServiceParent() is two.stopped
    assert (two.parent, list(parent), two.running) == (None, [one], False)
    with pytest.raises(KeyError):
        parent.getServiceNamed("two")


def test_a_service_that_leaves_a_parent_at_rest_is_not_stopped(notes: list[str]) -> None:
    _, one, _ = family(notes)
    assert one.disownServiceParent() is None
    assert notes == []


def test_a_service_moves_to_another_parent(notes: list[str]) -> None:
    parent, one, _ = family(notes)
    other = MultiService()
    one.setServiceParent(other)
    assert one not in parent
    assert list(other) == [one]


def test_leaving_without_belonging_is_refused(notes: list[str]) -> None:
    parent, one, _ = family(notes)
    stranger = Service()
    with pytest.raises(RuntimeError, match="in no parent"):
        stranger.disownServiceParent()
    with pytest.raises(ValueError, match="is not in"):
        parent.removeService(stranger)
    assert one in parent


def test_a_service_that_cannot_start_stays_where_it_was_put() -> None:
    class Broken(Service):
        def startService(self) -> None:
            raise OSError("no")

    parent, broken = MultiService(), Broken()
    parent.startService()
    with pytest.raises(OSError, match="no"):
        broken.setServiceParent(parent)
    assert broken.parent is parent
    assert broken in parent


def test_a_pickled_service_does_not_run() -> None:
    service = Service()
    service.setName("copied")
    service.startService()
    copy = pickle.loads(pickle.dumps(service))
    assert (copy.name, copy.running) == ("copied", False)
