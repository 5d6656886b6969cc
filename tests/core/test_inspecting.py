"""Looking at a chain tells what is to come, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, double, outcome
from wirebook.deferred import Deferred, chainState, ensureDeferred, fail, succeed


def test_what_is_to_be_called_is_told_in_order() -> None:
    d: Deferred[int] = Deferred()
    d.addCallback(double).addErrback(boom).addBoth(print).addCallbacks(str, repr)
    assert chainState(d).pending == ((double, None), (None, boom), (print, print), (str, repr))


def test_while_a_chain_runs_what_was_called_is_no_longer_to_come() -> None:
    seen: list[Any] = []
    d: Deferred[int] = Deferred()

    def look(value: int) -> int:
        seen.append(chainState(d).pending)
        return value

    d.addCallback(look).addCallback(double).addCallback(look)
    d.callback(1)
    assert seen == [((double, None), (look, None)), ()]


def test_a_chain_that_is_done_has_nothing_before_it() -> None:
    state = chainState(succeed(1).addCallback(double))
    assert (state.pending, state.waitsFor, state.awaited) == ((), None, 0)


def test_a_chain_tells_what_it_waits_for_and_who_waits_for_it() -> None:
    inner: Deferred[int] = Deferred()
    outer = succeed(1).addCallback(lambda _: inner).addCallback(double)
    assert chainState(outer).waitsFor is inner
    assert chainState(outer).pending == ((double, None),)
    assert (chainState(inner).awaited, chainState(inner).pending) == (1, ())
    inner.callback(2)
    assert chainState(outer).waitsFor is None
    assert outcome(outer) == 4


def test_a_coroutine_tells_what_it_waits_for() -> None:
    inner: Deferred[int] = Deferred()

    async def work() -> int:
        return await inner

    outer = ensureDeferred(work())
    assert chainState(outer).waitsFor is inner
    assert chainState(inner).awaited == 1
    inner.callback(2)
    assert chainState(outer).waitsFor is None
    assert outcome(outer) == 2


def test_an_error_is_told_until_somebody_handles_it() -> None:
    by_a_callback, by_a_wait = fail(KeyError()), fail(KeyError())
    assert (chainState(by_a_callback).failed, chainState(by_a_wait).failed) == (True, True)
    by_a_callback.addErrback(lambda failure: None)
    with pytest.raises(KeyError):
        by_a_wait.wait()
    assert (chainState(by_a_callback).failed, chainState(by_a_wait).failed) == (False, False)
    assert not chainState(succeed(1)).failed


def test_looking_does_not_handle_an_error(reported: Reports) -> None:
    d: Deferred[Any] | None = fail(ValueError("nobody looks"))
    assert d is not None
    assert chainState(d).pending == ()
    d = None
    assert len(reported.wait()) == 1
