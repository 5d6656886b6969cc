"""Looking at a Deferred's chain without touching it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from wirebook.deferred.chain import FAILURE, KIND
from wirebook.deferred.core import Deferred
from wirebook.turn import in_turn

MaybeCallback: TypeAlias = Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a chain still has before it.

    ``pending`` are the callbacks to come, each with its errback; None stands for one that passes the result
    on. ``waitsFor`` is the Deferred whose outcome it (or the coroutine it stands for) needs to go on, and
    ``awaited`` how many others wait for its own: Deferreds, coroutines, threads. ``failed`` is whether it has an
    error that nobody has handled yet.
    """

    pending: tuple[tuple[MaybeCallback, MaybeCallback], ...]
    waitsFor: Deferred[Any] | None
    awaited: int
    failed: bool


@in_turn
def chainState(deferred: Deferred[Any]) -> ChainState:
    """What the chain of `deferred` still has before it. Changes nothing, handles no error. Any thread."""
    steps = list(deferred._steps_to_come())
    pending = tuple((callback, errback) for _, callback, errback, context, _ in steps if context is not None)
    awaited = len(steps) - len(pending)
    return ChainState(pending, deferred._awaited(), awaited, deferred._state & KIND == FAILURE)
