"""Levels have names, an order, and the numbers of the standard logging."""

from __future__ import annotations

import logging
import pickle

import pytest

from wirebook.logger import InvalidLogLevelError, LogLevel, PredicateResult
from wirebook.logger.levels import nearest_level


def test_levels_are_ordered_by_urgency() -> None:
    levels = list(LogLevel.iterconstants())
    assert [level.name for level in levels] == ["debug", "info", "warn", "error", "critical"]
    assert sorted(levels, reverse=True) == levels[::-1]
    assert LogLevel.info < LogLevel.error
    assert LogLevel.info <= LogLevel.info
    assert LogLevel.critical > LogLevel.error
    assert LogLevel.warn >= LogLevel.warn


def test_a_level_is_not_compared_with_a_number() -> None:
    with pytest.raises(TypeError):
        assert LogLevel.info < 50  # type: ignore[operator]


@pytest.mark.parametrize("level", LogLevel)
def test_a_level_is_found_by_its_name(level: LogLevel) -> None:
    assert LogLevel.levelWithName(level.name) is level
    assert LogLevel.lookupByName(level.name) is level
    assert repr(level) == str(level) == f"<LogLevel={level.name}>"
    assert pickle.loads(pickle.dumps(level)) is level


def test_an_unknown_name_is_refused_and_kept() -> None:
    with pytest.raises(InvalidLogLevelError) as caught:
        LogLevel.levelWithName("loud")
    assert caught.value.level == "loud"
    with pytest.raises(ValueError, match="'perhaps' is none of PredicateResult: yes, no, maybe"):
        PredicateResult.lookupByName("perhaps")


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (logging.CRITICAL, LogLevel.critical),
        (logging.ERROR + 5, LogLevel.error),
        (logging.WARNING, LogLevel.warn),
        (logging.INFO + 5, LogLevel.info),
        (logging.DEBUG, LogLevel.debug),
        (1, LogLevel.debug),
    ],
)
def test_a_number_between_two_levels_is_the_lower_one(number: int, level: LogLevel) -> None:
    assert nearest_level(number) is level
