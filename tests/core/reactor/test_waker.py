"""The waker is readable from the first wake until it is emptied."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator

import pytest

from wirebook.reactor.waker import Waker


@pytest.fixture(params=["here", "elsewhere"])
def waker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waker]:
    with monkeypatch.context() as patch:
        if request.param == "elsewhere":
            patch.setattr(sys, "platform", "elsewhere")
        made = Waker()
    yield made
    made.close()


def readable(waker: Waker) -> bool:
    """Whether it would end a wait."""
    return bool(select.select([waker.fileno()], [], [], 0)[0])


def test_a_new_waker_is_not_readable(waker: Waker) -> None:
    assert not readable(waker)


def test_waking_makes_it_readable_until_it_is_emptied(waker: Waker) -> None:
    waker.wake()
    waker.wake()
    assert readable(waker)
    waker.doRead()
    assert not readable(waker)


def test_emptying_an_empty_waker_does_not_block(waker: Waker) -> None:
    waker.doRead()


def test_waking_for_ever_does_not_block(waker: Waker) -> None:
    for _ in range(100_000):
        waker.wake()
    assert readable(waker)
