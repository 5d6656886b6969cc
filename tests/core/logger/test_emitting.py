"""Loggers emit events, publishers pass them on to everybody, and no broken observer stops that."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import run_threads
from tests.core.logger.log_kit import Broken, boom, namespace, standard
from wirebook.deferred import fail
from wirebook.failure import Failure
from wirebook.logger import (
    ILogObserver,
    InvalidLogLevelError,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    formatEvent,
    globalLogPublisher,
)


class Thing:
    """Has a logger as its attribute."""

    log = Logger()


class Derived(Thing):
    """Inherits it."""


def logging_to(events: list[LogEvent], **options: Any) -> Logger:
    """A logger whose events go to `events` only."""
    return Logger(observer=events.append, **options)


# Logger


def test_a_logger_is_named_after_its_module() -> None:
    log = Logger()
    assert log.namespace == __name__
    assert repr(log) == f"<Logger {__name__!r}>"
    assert log.observer is globalLogPublisher


def test_a_logger_of_a_class_is_named_after_the_class_and_knows_the_object() -> None:
    thing = Derived()
    assert (thing.log.namespace, thing.log.source) == (f"{__name__}.Derived", thing)
    assert (Thing.log.namespace, Thing.log.source) == (f"{__name__}.Thing", Thing)


def test_a_logger_of_a_class_keeps_its_observer_and_its_class() -> None:
    class Special(Logger):
        pass

    class Holder:
        log = Special(observer=print)

    assert Holder().log.observer is print
    assert type(Holder().log) is Special


@pytest.mark.parametrize("level", LogLevel)
def test_an_event_says_who_when_and_how_urgent(level: LogLevel) -> None:
    events: list[LogEvent] = []
    log = logging_to(events, namespace="app", source=events)
    before = time.time()
    getattr(log, level.name)("{n} things", n=3)
    (event,) = events
    assert before <= event.pop("log_time") <= time.time()
    assert event == {
        "log_logger": log,
        "log_level": level,
        "log_namespace": "app",
        "log_source": events,
        "log_format": "{n} things",
        "n": 3,
    }


def test_a_field_cannot_pretend_to_be_the_log_s_own() -> None:
    events: list[LogEvent] = []
    logging_to(events, namespace="app").info("hi", log_namespace="other", log_level="loud")
    assert (events[0]["log_namespace"], events[0]["log_level"]) == ("app", LogLevel.info)


def test_the_source_can_be_shown() -> None:
    events: list[LogEvent] = []

    class Holder:
        log = logging_to(events)
        name = "pia"

    Holder().log.info("I am {log_source.name}")
    assert formatEvent(events[0]) == "I am pia"


def test_a_wrong_level_is_reported_in_place_of_the_event() -> None:
    events: list[LogEvent] = []
    logging_to(events).emit("loud", "hi")  # type: ignore[arg-type]
    (event,) = events
    assert event["log_failure"].check(InvalidLogLevelError)
    assert "'loud'" in formatEvent(event)


def test_a_failure_is_the_exception_being_handled_or_the_one_that_is_given() -> None:
    events: list[LogEvent] = []
    log, failure = logging_to(events), boom()
    try:
        raise KeyError("k")
    except KeyError:
        log.failure("while {doing}", doing="this")
    log.failure("given", failure, LogLevel.warn)
    assert events[0]["log_failure"].check(KeyError)
    assert events[0]["log_level"] is LogLevel.critical
    assert events[1]["log_failure"] is failure
    assert events[1]["log_level"] is LogLevel.warn


def test_a_trace_tells_the_way_of_an_event() -> None:
    way: list[Any] = []
    observer = LogPublisher(print_nothing)
    log = Logger(observer=observer)
    log.info("hi", log_trace=way)
    assert way == [(log, observer), (observer, print_nothing)]


def print_nothing(event: LogEvent) -> None:
    """An observer."""


# Blocks


def test_a_block_whose_errors_are_handled_goes_on_behind_it() -> None:
    events: list[LogEvent] = []
    with logging_to(events).failuresHandled("frobbing {knob}", knob="blue") as operation:
        assert (operation.succeeded, operation.failed, operation.failure) == (False, False, None)
        raise ValueError("stuck")
    assert (operation.succeeded, operation.failed) == (False, True)
    failure: Failure = events[0]["log_failure"]
    assert operation.failure == failure
    assert formatEvent(events[0]) == "frobbing blue"
    assert failure.frames[-1][0] == test_a_block_whose_errors_are_handled_goes_on_behind_it.__name__


def test_a_block_without_an_error_emits_nothing() -> None:
    events: list[LogEvent] = []
    with logging_to(events).failuresHandled("frobbing") as operation:
        pass
    assert (operation.succeeded, operation.failed, events) == (True, False, [])


def test_a_handler_serves_many_blocks() -> None:
    events: list[LogEvent] = []
    handler = logging_to(events).failureHandler("frobbing", LogLevel.error)
    for error in (ValueError, KeyboardInterrupt):
        with handler as nothing:
            assert nothing is None
            raise error
    with handler:
        pass
    assert [event["log_failure"].type for event in events] == [ValueError, KeyboardInterrupt]
    assert {event["log_level"] for event in events} == {LogLevel.error}


# Publishers


def test_a_publisher_passes_every_event_on_to_all_in_order() -> None:
    heard: list[tuple[str, LogEvent]] = []
    publisher = LogPublisher(lambda event: heard.append(("first", event)))
    publisher.addObserver(lambda event: heard.append(("second", event)))
    event: LogEvent = {"n": 1}
    publisher(event)
    assert heard == [("first", event), ("second", event)]
    assert heard[0][1] is event
    assert isinstance(publisher, ILogObserver)


def test_an_observer_is_registered_once_and_removed_for_good() -> None:
    events: list[LogEvent] = []
    publisher = LogPublisher()
    publisher.addObserver(events.append)
    publisher.addObserver(events.append)
    assert events.append in publisher
    publisher({"n": 1})
    publisher.removeObserver(events.append)
    publisher.removeObserver(events.append)
    publisher({"n": 2})
    assert events == [{"n": 1}]


def test_an_observer_must_be_callable() -> None:
    with pytest.raises(TypeError, match="7 is not callable"):
        LogPublisher().addObserver(7)  # type: ignore[arg-type]


def test_an_observer_that_raises_stops_nobody_and_the_others_hear_of_it() -> None:
    first: list[LogEvent] = []
    last: list[LogEvent] = []
    broken = Broken()
    publisher = LogPublisher(first.append, broken, last.append)
    publisher({"n": 1})
    assert first == last
    assert first[0] == {"n": 1}
    assert first[1]["log_failure"].getErrorMessage() == "a broken observer"
    assert first[1]["observer"] is broken
    assert len(first) == 2


def test_when_all_observers_are_broken_there_is_an_end() -> None:
    broken = [Broken() for _ in range(3)]
    LogPublisher(*broken)({"n": 1})
    assert all(1_000 - one.times < 20 for one in broken)


def test_a_broken_observer_of_the_process_is_reported_once(reported: Reports) -> None:
    name, broken = namespace(), Broken()
    globalLogPublisher.addObserver(broken)
    try:
        with standard(name) as kept:
            Logger(name).warn("to whom it may concern")
    finally:
        globalLogPublisher.removeObserver(broken)
    assert [record.getMessage() for record in kept.records] == ["to whom it may concern"]
    (record,) = reported()
    assert "a broken observer" in str(record.exc_info)


def test_an_observer_may_remove_itself() -> None:
    events: list[LogEvent] = []

    def once(event: LogEvent) -> None:
        events.append(event)
        publisher.removeObserver(once)

    publisher = LogPublisher(once)
    publisher({})
    publisher({})
    assert len(events) == 1


def test_threads_add_remove_and_publish_at_once() -> None:
    publisher, counts = LogPublisher(), [0] * 4
    started = threading.Barrier(4)

    def work(number: int) -> None:
        def observer(event: LogEvent) -> None:
            counts[number] += event["number"] == number

        started.wait(10)
        for _ in range(300):
            publisher.addObserver(observer)
            publisher({"number": number})
            publisher.removeObserver(observer)

    run_threads(4, work)
    assert counts == [300] * 4
    assert publisher._observers == ()


def test_a_failure_may_be_logged_as_an_errback() -> None:
    events: list[LogEvent] = []
    log = logging_to(events)
    fail(ValueError("late")).addErrback(lambda failure: log.failure("{what}", failure, what="it"))
    assert isinstance(events[0]["log_failure"], Failure)
