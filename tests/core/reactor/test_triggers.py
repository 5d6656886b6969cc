"""System event triggers: three phases, in order, each trigger once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, cell, in_cell
from wirebook.deferred import Deferred
from wirebook.reactor.triggers import Triggers


@pytest.fixture
def triggers() -> Triggers:
    return Triggers()


@pytest.fixture
def seen() -> list[Any]:
    return []


def test_the_phases_come_in_order_and_each_in_order_of_adding(triggers: Triggers, seen: list[Any]) -> None:
    for phase in ("after", "during", "before"):
        triggers.add(phase, "startup", seen.append, (f"{phase} 1",), {})
        triggers.add(phase, "startup", seen.append, (f"{phase} 2",), {})
    assert triggers.fire("startup").called
    assert seen == ["before 1", "before 2", "during 1", "during 2", "after 1", "after 2"]


def test_an_event_fires_only_its_own_triggers(triggers: Triggers, seen: list[Any]) -> None:
    triggers.add("during", "startup", seen.append, ("startup",), {})
    triggers.add("during", "shutdown", seen.append, ("shutdown",), {})
    triggers.fire("shutdown")
    assert seen == ["shutdown"]


def test_a_trigger_runs_once(triggers: Triggers, seen: list[Any]) -> None:
    triggers.add("during", "shutdown", seen.append, (1,), {})
    triggers.fire("shutdown")
    triggers.fire("shutdown")
    assert seen == [1]


def test_the_deferreds_of_before_triggers_are_waited_for(triggers: Triggers, seen: list[Any]) -> None:
    one: Deferred[None] = Deferred()
    two: Deferred[None] = Deferred()
    triggers.add("before", "shutdown", lambda: one, (), {})
    triggers.add("before", "shutdown", lambda: two, (), {})
    triggers.add("during", "shutdown", seen.append, ("during",), {})
    done = triggers.fire("shutdown")
    one.callback(None)
    assert seen == []
    assert not done.called
    two.callback(None)
    assert seen == ["during"]
    assert done.called


def test_a_before_deferred_that_fails_is_reported_and_the_event_goes_on(
    triggers: Triggers, seen: list[Any], reported: Reports
) -> None:
    waited: Deferred[None] = Deferred()
    triggers.add("before", "shutdown", lambda: waited, (), {})
    triggers.add("after", "shutdown", seen.append, ("after",), {})
    triggers.fire("shutdown")
    waited.errback(ValueError("boom"))
    assert seen == ["after"]
    (record,) = reported()
    assert "'before' trigger of shutdown failed" in record.getMessage()


def test_a_trigger_that_raises_is_reported_and_the_others_run(
    triggers: Triggers, seen: list[Any], reported: Reports
) -> None:
    triggers.add("before", "startup", boom, (), {})
    triggers.add("before", "startup", seen.append, ("next",), {})
    triggers.fire("startup")
    assert seen == ["next"]
    (record,) = reported()
    assert "'before' trigger of startup raised" in record.getMessage()


def test_a_removed_trigger_does_not_run(triggers: Triggers, seen: list[Any]) -> None:
    key = triggers.add("during", "startup", seen.append, (1,), {})
    triggers.remove(key)
    triggers.fire("startup")
    assert seen == []


def test_a_trigger_may_remove_a_later_one(triggers: Triggers, seen: list[Any]) -> None:
    keys: list[Any] = []
    triggers.add("during", "startup", lambda: triggers.remove(keys[0]), (), {})
    keys.append(triggers.add("during", "startup", seen.append, (1,), {}))
    triggers.fire("startup")
    assert seen == []


def test_a_trigger_runs_in_the_context_it_was_added_in(triggers: Triggers, seen: list[Any]) -> None:
    in_cell("two", triggers.add, "during", "startup", lambda: seen.append(cell.get()), (), {})
    triggers.fire("startup")
    assert seen == ["two"]


def test_keyword_arguments_are_passed_on(triggers: Triggers, seen: list[Any]) -> None:
    triggers.add("during", "startup", lambda **kw: seen.append(kw), (), {"key": 1})
    triggers.fire("startup")
    assert seen == [{"key": 1}]


def test_an_unknown_phase_is_refused(triggers: Triggers) -> None:
    phase: Any = "midway"
    with pytest.raises(KeyError, match="before, during, after, not 'midway'"):
        triggers.add(phase, "startup", int, (), {})


def test_a_program_may_have_events_of_its_own(triggers: Triggers) -> None:
    seen: list[int] = []
    triggers.add("before", "lunch", seen.append, (1,), {})
    assert triggers.fire("lunch").called
    assert seen == [1]


@pytest.mark.parametrize("event", ["", None])
def test_an_event_without_a_name_is_refused(triggers: Triggers, event: Any) -> None:
    with pytest.raises(TypeError, match="a system event has a name"):
        triggers.add("before", event, int, (), {})


def test_what_was_to_be_before_an_event_has_been_when_it_happens(triggers: Triggers) -> None:
    seen: list[str] = []
    waited: Deferred[None] = Deferred()
    triggers.add("before", "startup", lambda: waited, (), {})
    triggers.add("during", "startup", seen.append, ("during",), {})
    triggers.fire("startup", lambda: seen.append("now"))
    assert seen == []
    waited.callback(None)
    assert seen == ["now", "during"]


def test_a_trigger_that_cannot_be_called_is_refused(triggers: Triggers) -> None:
    func: Any = None
    with pytest.raises(TypeError, match="something to call, not None"):
        triggers.add("before", "startup", func, (), {})


def test_removing_twice_says_so(triggers: Triggers) -> None:
    key = triggers.add("before", "startup", int, (), {})
    triggers.remove(key)
    with pytest.raises(ValueError, match="has run already, was removed"):
        triggers.remove(key)


def test_removing_what_is_no_trigger_is_refused(triggers: Triggers) -> None:
    key: Any = ("startup", "before", 1)
    with pytest.raises(ValueError, match="never was one"):
        triggers.remove(key)
    key = "startup"
    with pytest.raises(TypeError, match="has returned, not 'startup'"):
        triggers.remove(key)
