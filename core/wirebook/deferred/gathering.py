"""One Deferred made of several: all of them, the first of them, or the first that goes wrong.

A gathering is told of each member's outcome in the member's own chain, at the place where the gathering was
made: steps attached before it change what it sees, steps attached after it get what it leaves (the result as
it was, or None in the place of an error that it takes over). It is an observer in the sense of
`wirebook.deferred.chain`, so gatherings of gatherings of any depth fire without recursion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar, overload

from wirebook.deferred.chain import FAILURE as FAILED
from wirebook.deferred.chain import TOLD, VALUE, Arrival, short
from wirebook.deferred.core import Deferred
from wirebook.failure import Failure, caught
from wirebook.logger import report_failure
from wirebook.turn import in_turn, turn

T = TypeVar("T")
R = TypeVar("R")

SUCCESS: Final = True
FAILURE: Final = False


class FirstError(Exception):
    """The first failure among the members of a `DeferredList` with ``fireOnOneErrback``.

    ``subFailure`` is the member's `Failure`, ``index`` the member's place in the list. Two are equal when both
    are, and sort by index. A traceback of it shows the member's error as its cause.
    """

    __module__ = "wirebook.deferred"

    def __init__(self, failure: Failure, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index
        self.__cause__ = failure.value

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FirstError):
            return NotImplemented
        return (self.index, self.subFailure) == (other.index, other.subFailure)

    def __hash__(self) -> int:
        return hash((self.index, self.subFailure))

    def __lt__(self, other: FirstError) -> bool:
        return self.index < other.index if isinstance(other, FirstError) else NotImplemented

    def __le__(self, other: FirstError) -> bool:
        return self < other or self == other if isinstance(other, FirstError) else NotImplemented


class FailureGroup(Exception):
    """Every Deferred of a `race` failed. ``failures`` holds their Failures in the order of the Deferreds."""

    __module__ = "wirebook.deferred"

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        if not self.failures:
            return "there was nothing to race: no Deferreds were given"
        return f"all {len(self.failures)} Deferreds failed, the first one with {short(self.failures[0].value)}"


class Gathering(Protocol):
    """What is told of the outcome of each of its members."""

    def _collect(self, index: int, result: Any, kind: int) -> Arrival: ...


class Member:
    """The observer at one member of a gathering: it knows the member's place."""

    __slots__ = ("gathering", "index")

    def __init__(self, gathering: Gathering, index: int) -> None:
        self.gathering = gathering
        self.index = index

    def _arrive(self, result: Any, kind: int) -> Arrival:
        if kind == TOLD:
            result, kind = None, VALUE
        return self.gathering._collect(self.index, result, kind)


def attend(gathering: Gathering, members: Iterable[Deferred[Any]]) -> None:
    """Have `gathering`, which is being made, told of the outcome of each of `members`; in the turn."""
    for index, member in enumerate(members):
        if member._state == VALUE and not member._steps:
            # A value that is there already needs no step. What fires has none yet either, so it need not be run.
            _, member.result, _ = gathering._collect(index, member.result, VALUE)
            continue
        observer = Member(gathering, index)
        member._add([None, observer, observer, None, ()])
        if member._state:
            member._proceed()


def members_of(deferreds: Iterable[Deferred[T]]) -> list[Deferred[T]]:
    """`deferreds` as a list; `TypeError` when it is no iterable of Deferreds."""
    if isinstance(deferreds, Deferred) or not isinstance(deferreds, Iterable):
        raise TypeError(f"a list of Deferreds is needed, not {short(deferreds)}: put it in brackets, [d1, d2]")
    members = list(deferreds)
    for index, member in enumerate(members):
        if not isinstance(member, Deferred):
            raise TypeError(
                f"number {index} of the Deferreds is {short(member)}, which is none: "
                "ensureDeferred makes one of a coroutine, succeed of a plain value"
            )
    return members


def cancel_all(deferreds: Iterable[Deferred[Any]]) -> None:
    """Cancel all of `deferreds`; the error of one's canceller is reported and does not save the others."""
    for deferred in deferreds:
        try:
            deferred.cancel()
        except BaseException as error:
            report_failure(caught(error), f"The canceller of {deferred!r} raised an exception", deferred.context)


class DeferredList(Deferred[R]):
    """Waits for several Deferreds and fires once, when it has all their outcomes.

    Its result is a list of pairs in the order of `deferredList`: ``(True, value)`` for a member that has a
    value, ``(False, failure)`` for one that failed. An empty list fires at once (but never with `fireOnOneCallback`).

    With `fireOnOneCallback` it fires with ``(value, index)`` of the first member that gets a value; if all of
    them fail, with the list. With `fireOnOneErrback` it fails with a `FirstError` as soon as one member does.
    With `consumeErrors` a failed member goes on with None after its outcome was noted here; otherwise it keeps
    its failure, which is reported as unhandled unless an errback of its own sees to it. Outcomes that come
    after it has fired are treated like that too.

    ``resultList`` holds the pairs so far (None for a member that has no outcome yet), ``finishedCount`` counts
    them. `TypeError` when a member is no Deferred. Any thread.
    """

    __slots__ = (
        "_members",
        "consumeErrors",
        "finishedCount",
        "fireOnOneCallback",
        "fireOnOneErrback",
        "resultList",
    )

    @overload
    def __init__(
        self: DeferredList[tuple[T, int]],
        deferredList: Iterable[Deferred[T]],
        fireOnOneCallback: Literal[True],
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DeferredList[list[tuple[bool, T]]],
        deferredList: Iterable[Deferred[T]],
        fireOnOneCallback: Literal[False] = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DeferredList[tuple[T, int] | list[tuple[bool, T]]],
        deferredList: Iterable[Deferred[T]],
        fireOnOneCallback: bool,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...
    def __init__(
        self,
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None:
        super().__init__()
        members = self._members = members_of(deferredList)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        self.resultList: list[tuple[bool, Any] | None] = [None] * len(members)
        self.finishedCount = 0
        with turn:
            if not members and not fireOnOneCallback:
                self._fire(self.resultList)
            attend(self, members)

    @in_turn
    def cancel(self) -> None:
        """Cancel every member, unless the list has fired. Any thread.

        The list then fires as its members do. The errors of their cancellers are reported. A list that has fired
        leaves its members alone; when its own chain waits for a Deferred, that one is cancelled.
        """
        if self.called:
            super().cancel()
        else:
            cancel_all(self._members)

    def _collect(self, index: int, result: Any, kind: int) -> Arrival:
        """Note the outcome of a member; the list itself goes on when that makes it fire."""
        succeeded = kind == VALUE
        self.resultList[index] = (succeeded, result)
        self.finishedCount += 1
        following: Deferred[R] | None = None
        if not self.called:
            if succeeded and self.fireOnOneCallback:
                following = self._conclude((result, index))
            elif not succeeded and self.fireOnOneErrback:
                following = self._conclude(Failure(FirstError(result, index)))
            elif self.finishedCount == len(self.resultList):
                following = self._conclude(self.resultList)
        if self.finishedCount == len(self.resultList):
            self._members = []
        if self.consumeErrors and not succeeded:
            return following, None, VALUE
        return following, result, kind


def gatherResults(deferredList: Iterable[Deferred[T]], consumeErrors: bool = False) -> Deferred[list[T]]:
    """A Deferred of the list of all results, in the order of `deferredList`.

    It fails with a `FirstError` as soon as one of them fails. `consumeErrors` and cancelling are those of
    `DeferredList`. `TypeError` when a member is no Deferred. Any thread.
    """
    return DeferredList(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors).addCallback(_values)


def _values(outcomes: list[tuple[bool, T]]) -> list[T]:
    return [value for _, value in outcomes]


class Race:
    """The gathering behind `race`: it takes over every outcome, and `result` gets the first success."""

    __slots__ = ("failures", "members", "missing", "result", "won")

    def __init__(self, members: list[Deferred[Any]]) -> None:
        self.members = members
        self.failures: list[Any] = [None] * len(members)
        self.missing = len(members)
        self.won = False
        self.result: Deferred[Any] = Deferred(lambda _: cancel_all(members))

    def _collect(self, index: int, result: Any, kind: int) -> Arrival:
        following = None
        if kind == FAILED:
            self.failures[index] = result
            self.missing -= 1
            if not self.missing:
                following = self.finish(Failure(FailureGroup(self.failures)))
        elif not self.won:
            self.won = True
            cancel_all(self.members[:index] + self.members[index + 1 :])
            following = self.finish((index, result))
        return following, None, VALUE

    def finish(self, outcome: Any) -> Deferred[Any] | None:
        """Fire `result`; it may have been cancelled while a member would not be."""
        return None if self.result.called else self.result._conclude(outcome)


def race(ds: Sequence[Deferred[T]]) -> Deferred[tuple[int, T]]:
    """A Deferred of ``(index, value)`` of the first of `ds` that gets a value; the others are cancelled then.

    If all of them fail it fails with a `FailureGroup`, at once if there are none. Cancelling it cancels all of
    `ds`. Their results go to it alone: each of them goes on with None. `TypeError` when one is no Deferred.
    Any thread.
    """
    contest = Race(members_of(ds))
    with turn:
        if not contest.members:
            contest.result.errback(FailureGroup([]))
        attend(contest, contest.members)
    return contest.result
