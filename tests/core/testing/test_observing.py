"""An observer that is a list."""

from __future__ import annotations

import unittest

from wirebook.logger import Logger, LogPublisher
from wirebook.testing import EventLoggingObserver


def test_an_observer_is_the_sequence_of_its_events() -> None:
    observer = EventLoggingObserver()
    log = Logger("here", observer=observer)
    log.info("one")
    log.info("two")
    assert [event["log_format"] for event in observer] == ["one", "two"]
    assert (len(observer), observer[0]["log_format"]) == (2, "one")
    assert [event["log_format"] for event in observer[1:]] == ["two"]


def test_one_with_cleanup_observes_until_its_test_is_over() -> None:
    publisher, case = LogPublisher(), unittest.TestCase()
    observer = EventLoggingObserver.createWithCleanup(case, publisher)
    publisher({"number": 1})
    case.doCleanups()
    publisher({"number": 2})
    assert list(observer) == [{"number": 1}]
