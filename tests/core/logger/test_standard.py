"""The event log and the standard logging are one bus with two doors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from tests.core.logger.log_kit import Broken, boom, namespace, standard
from wirebook.logger import (
    FilteringLogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
    ObserverHandler,
    STDLibLogObserver,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
)
from wirebook.turn import turn


@pytest.fixture
def name() -> Iterator[str]:
    """A namespace of its own; its standard logger is as new afterwards."""
    name = namespace()
    yield name
    logging.getLogger(name).handlers.clear()


# Events become records


def test_an_event_is_one_record_on_the_logger_of_its_namespace(name: str) -> None:
    with standard(name) as kept:
        Logger(name).warn("{n:02d} of {what!r}", n=5, what="{x}")
    (record,) = kept.records
    assert (record.name, record.levelno, record.getMessage()) == (name, logging.WARNING, "05 of '{x}'")
    assert vars(record)["wirebook_event"]["n"] == 5
    assert record.exc_info is None


def test_a_record_names_the_place_that_emitted_the_event(name: str) -> None:
    with standard(name) as kept:
        Logger(name).info("here")
    (record,) = kept.records
    assert record.pathname == __file__
    assert record.funcName == test_a_record_names_the_place_that_emitted_the_event.__name__


def test_the_failure_of_an_event_is_in_its_record(name: str) -> None:
    failure = boom()
    with standard(name) as kept:
        Logger(name).failure("no luck", failure)
    (record,) = kept.records
    assert record.exc_info == (ValueError, failure.value, failure.tb)
    assert vars(record)["wirebook_failure"] is failure
    assert "raise ValueError" in logging.Formatter().format(record)


def test_a_failure_without_frames_still_shows_where_it_came_from(name: str) -> None:
    failure = boom()
    failure.cleanFailure()
    with standard(name) as kept:
        Logger(name).failure("no luck", failure)
    assert "in boom" in logging.Formatter().format(kept.records[0])


def test_the_standard_level_holds_for_records_and_not_for_observers(name: str) -> None:
    with standard(name, logging.ERROR) as kept, capturedLogs() as events:
        Logger(name).warn("quiet")
        Logger(f"{name}.below").error("loud")
    assert [record.getMessage() for record in kept.records] == ["loud"]
    assert [formatEvent(event) for event in events] == ["quiet", "loud"]


def test_pytest_s_own_capture_sees_events(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, name):
        Logger(name).debug("seen")
    assert caplog.record_tuples == [(name, logging.DEBUG, "seen")]


@pytest.mark.parametrize("event", [{}, {"log_level": "loud", "log_namespace": 7}, {"log_namespace": None}])
def test_an_event_without_level_and_namespace_is_an_info_of_the_root(
    event: LogEvent, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        globalLogPublisher({"log_format": "bare", **event})
    assert caplog.record_tuples == [("root", logging.INFO, "bare")]


# Records become events


def test_what_is_logged_on_wirebook_directly_is_an_event_too() -> None:
    with capturedLogs() as events, standard("wirebook") as kept:
        logging.getLogger("wirebook").warning("%d left", 3, extra={"cell": 7})
    (event,) = events
    assert formatEvent(event) == "3 left"
    assert (event["log_level"], event["log_namespace"], event["cell"]) == (LogLevel.warn, "wirebook", 7)
    assert event["log_record"] is kept.records[0]
    assert len(kept.records) == 1


def test_an_observer_can_be_attached_to_any_standard_logger(name: str) -> None:
    events: list[LogEvent] = []
    logger = logging.getLogger(name)
    logger.addHandler(ObserverHandler(events.append, logging.INFO))
    logger.setLevel(logging.DEBUG)
    logger.debug("too quiet")
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("oh")
    (event,) = events
    assert event["log_failure"].check(KeyError)
    assert event["log_time"] == event["log_record"].created
    assert formatEvent(event) == "oh"


def test_an_attached_observer_gets_events_with_their_fields(name: str) -> None:
    events: list[LogEvent] = []
    logging.getLogger(name).addHandler(ObserverHandler(events.append))
    Logger(name).error("{n}", n=3)
    assert events[0]["n"] == 3


@pytest.mark.parametrize("emit", ["event", "record"])
def test_an_observer_at_both_doors_gets_everything_once(name: str, emit: str) -> None:
    events: list[LogEvent] = []
    logger = logging.getLogger(f"{name}.deep")
    logger.addHandler(ObserverHandler(events.append))
    logging.getLogger(name).addHandler(ObserverHandler(events.append))
    logging.getLogger(name).addHandler(ObserverHandler(globalLogPublisher))
    globalLogPublisher.addObserver(events.append)
    try:
        with standard(name) as kept:
            if emit == "event":
                Logger(logger.name).error("once")
            else:
                logger.error("once")
    finally:
        globalLogPublisher.removeObserver(events.append)
        logger.handlers.clear()
    assert [formatEvent(event) for event in events] == ["once"]
    assert [record.getMessage() for record in kept.records] == ["once"]


def test_a_record_whose_arguments_do_not_fit_is_still_an_event(name: str) -> None:
    events: list[LogEvent] = []
    logger = logging.getLogger(name)
    logger.propagate = False
    logger.addHandler(ObserverHandler(events.append))
    logger.error("%d left", "three")
    assert "%d left" in formatEvent(events[0])
    assert "three" in formatEvent(events[0])


def test_an_attached_observer_that_raises_does_not_reach_who_logged(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger(name)
    logger.addHandler(ObserverHandler(Broken()))
    logger.error("hi")
    assert "a broken observer" in capsys.readouterr().err


def test_an_observer_that_waits_for_the_turn_holds_nobody_up(name: str) -> None:
    waiting = threading.Event()
    seen: list[str] = []

    def observer(event: LogEvent) -> None:
        waiting.set()
        with turn:
            seen.append(formatEvent(event))

    logger = logging.getLogger(name)
    logger.addHandler(ObserverHandler(observer))
    thread = threading.Thread(target=logger.error, args=("there",))
    with turn:
        thread.start()
        assert waiting.wait(10)
        logger.error("here")
    thread.join(10)
    assert seen == ["here", "there"]


def test_a_handler_with_a_filter_hands_on_what_it_lets_pass(name: str) -> None:
    events: list[LogEvent] = []
    handler = ObserverHandler(events.append)
    handler.addFilter(lambda record: "yes" in record.getMessage())
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.error("no")
    logger.error("yes")
    assert [formatEvent(event) for event in events] == ["yes"]


# Publishers of one's own


def test_a_publisher_of_one_s_own_reaches_the_standard_logger_it_is_given(name: str) -> None:
    publisher = LogPublisher(STDLibLogObserver(name))
    with standard(name) as kept:
        Logger("other", observer=publisher).info("hi")
    (record,) = kept.records
    assert (record.name, record.getMessage(), record.pathname) == (name, "hi", __file__)


def test_the_place_in_a_record_can_be_counted_from_the_observer(name: str) -> None:
    observer = STDLibLogObserver(name, stackDepth=STDLibLogObserver.defaultStackDepth + 1)

    def inner() -> None:
        observer({"log_format": "hi"})

    with standard(name) as kept:
        inner()
    assert kept.records[0].funcName == test_the_place_in_a_record_can_be_counted_from_the_observer.__name__


def test_events_of_a_publisher_of_one_s_own_on_wirebook_are_seen_once() -> None:
    observer = STDLibLogObserver()
    with capturedLogs() as events, standard("") as kept:
        observer({"log_format": "hi", "log_level": LogLevel.warn})
    assert [formatEvent(event) for event in events] == ["hi"]
    assert [record.getMessage() for record in kept.records] == ["hi"]


def test_a_filter_in_front_of_the_standard_logger_works(name: str) -> None:
    observer = FilteringLogObserver(STDLibLogObserver(name), [LogLevelFilterPredicate(LogLevel.error)])
    with standard(name) as kept:
        log = Logger("app", observer=observer)
        log.warn("no")
        log.error("yes")
    assert [record.getMessage() for record in kept.records] == ["yes"]
