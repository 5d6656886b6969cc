"""Predicates decide which events an observer gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wirebook.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    InvalidLogLevelError,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    bitbucketLogObserver,
)

YES, NO, MAYBE = PredicateResult.yes, PredicateResult.no, PredicateResult.maybe


def saying(result: Any) -> Callable[[LogEvent], Any]:
    """A predicate that says so of every event."""
    return lambda event: result


@pytest.mark.parametrize(
    ("results", "passes"),
    [
        ([], True),
        ([MAYBE], True),
        ([YES], True),
        ([NO], False),
        ([MAYBE, NO], False),
        ([YES, NO], True),
        ([NO, YES], False),
        ([MAYBE, MAYBE, MAYBE], True),
    ],
)
def test_the_first_predicate_with_an_opinion_decides(results: list[PredicateResult], passes: bool) -> None:
    passed: list[LogEvent] = []
    stopped: list[LogEvent] = []
    observer = FilteringLogObserver(passed.append, map(saying, results), stopped.append)
    for number in range(2):
        observer({"n": number})
    assert (len(passed), len(stopped)) == ((2, 0) if passes else (0, 2))


def test_what_is_stopped_goes_nowhere_by_default() -> None:
    events: list[LogEvent] = []
    FilteringLogObserver(events.append, [saying(NO)])({"n": 1})
    bitbucketLogObserver({"n": 1})
    assert events == []


def test_an_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match="says True of an event"):
        FilteringLogObserver(bitbucketLogObserver, [saying(True)])({})


def test_a_filter_is_seen_in_the_trace_of_an_event() -> None:
    way: list[Any] = []
    observer = FilteringLogObserver(bitbucketLogObserver, [])
    observer({"log_trace": way})
    assert way == [(observer, bitbucketLogObserver)]


def test_a_level_holds_for_a_namespace_and_all_below_it() -> None:
    levels = LogLevelFilterPredicate()
    assert isinstance(levels, ILogFilterPredicate)
    levels.setLogLevelForNamespace("app", LogLevel.debug)
    levels.setLogLevelForNamespace("app.web.http", LogLevel.error)
    found = {name: levels.logLevelForNamespace(name).name for name in ("app", "app.web", "app.web.http.wire", "apple")}
    assert found == {"app": "debug", "app.web": "debug", "app.web.http.wire": "error", "apple": "info"}


def test_the_default_level_can_be_changed_and_comes_back() -> None:
    levels = LogLevelFilterPredicate(LogLevel.warn)
    assert levels.defaultLogLevel is LogLevel.warn
    assert levels.logLevelForNamespace("x") is LogLevel.warn
    levels.setLogLevelForNamespace("", LogLevel.critical)
    levels.setLogLevelForNamespace("y", LogLevel.debug)
    assert levels.logLevelForNamespace("x") is levels.logLevelForNamespace("") is LogLevel.critical
    levels.clearLogLevels()
    assert levels.logLevelForNamespace("x") is levels.logLevelForNamespace("y") is LogLevel.warn


def test_only_levels_can_be_set() -> None:
    with pytest.raises(InvalidLogLevelError) as caught:
        LogLevelFilterPredicate().setLogLevelForNamespace("app", 30)  # type: ignore[arg-type]
    assert caught.value.level == 30


@pytest.mark.parametrize(
    ("event", "result"),
    [
        ({"log_level": LogLevel.warn, "log_namespace": "app"}, MAYBE),
        ({"log_level": LogLevel.error, "log_namespace": "app"}, MAYBE),
        ({"log_level": LogLevel.info, "log_namespace": "app"}, NO),
        ({"log_namespace": "app"}, NO),
        ({"log_level": LogLevel.error}, NO),
        ({"log_level": LogLevel.error, "log_namespace": None}, NO),
    ],
)
def test_an_event_below_its_level_or_without_one_is_stopped(event: LogEvent, result: PredicateResult) -> None:
    assert LogLevelFilterPredicate(LogLevel.warn)(event) is result
