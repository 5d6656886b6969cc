"""DeferredList, gatherResults and race: one Deferred of several."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Reports
from tests.core.deferred_kit import boom, error_of, outcome, run_threads
from wirebook.deferred import (
    FAILURE,
    SUCCESS,
    AlreadyCalledError,
    CancelledError,
    Deferred,
    DeferredList,
    FailureGroup,
    FirstError,
    fail,
    gatherResults,
    race,
    succeed,
)
from wirebook.failure import Failure
from wirebook.turn import turn


def some(count: int) -> list[Deferred[Any]]:
    """So many Deferreds that have not fired."""
    return [Deferred() for _ in range(count)]


def ignore(_: object) -> None:
    """Handle any error."""


def failed_with(error: BaseException) -> tuple[bool, BaseException]:
    """What `plain` makes of the pair for a member that failed with `error`."""
    return FAILURE, error


def plain(pairs: Sequence[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
    """The result of a DeferredList, its Failures replaced by their exceptions."""
    return [(success, value.value if isinstance(value, Failure) else value) for success, value in pairs]


# --------------------------------------------------------------------------------- DeferredList


def test_the_result_is_a_pair_for_each_member_in_their_order() -> None:
    first, second, third = some(3)
    gathered = DeferredList([first, second, third])
    error = ValueError("no")
    third.callback("3")
    second.errback(error)
    assert not gathered.called
    first.callback("1")
    assert plain(outcome(gathered)) == [(SUCCESS, "1"), failed_with(error), (SUCCESS, "3")]
    second.addErrback(ignore)


def test_members_that_have_fired_already_count() -> None:
    error = ValueError("no")
    waiting: Deferred[int] = Deferred()
    gathered = DeferredList([succeed(1), fail(error), waiting], consumeErrors=True)
    assert not gathered.called
    waiting.callback(3)
    assert plain(outcome(gathered)) == [(True, 1), (False, error), (True, 3)]


def test_a_list_of_fired_members_has_fired() -> None:
    assert outcome(DeferredList([succeed(1), succeed(2)])) == [(True, 1), (True, 2)]


def test_an_empty_list_fires_at_once_with_an_empty_list() -> None:
    assert outcome(DeferredList([])) == []
    assert outcome(DeferredList([], fireOnOneErrback=True)) == []


def test_an_empty_list_never_fires_on_one_callback() -> None:
    assert not DeferredList([], fireOnOneCallback=True).called


def test_members_may_come_from_any_iterable() -> None:
    def members() -> Iterator[Deferred[int]]:
        yield succeed(1)
        yield succeed(2)

    assert outcome(DeferredList(members())) == [(True, 1), (True, 2)]


def test_the_list_that_was_passed_is_not_kept() -> None:
    members = some(2)
    gathered = DeferredList(members)
    first, second = members
    members.clear()
    first.callback(1)
    second.callback(2)
    assert outcome(gathered) == [(True, 1), (True, 2)]


def test_the_same_member_may_stand_in_the_list_twice() -> None:
    member: Deferred[int] = Deferred()
    gathered = DeferredList([member, member])
    member.callback(1)
    assert outcome(gathered) == [(True, 1), (True, 1)]


def test_steps_before_the_list_change_what_it_sees_and_steps_after_it_do_not() -> None:
    member: Deferred[int] = Deferred()
    member.addCallback(lambda value: value + 1)
    gathered = DeferredList([member])
    member.addCallback(lambda value: value * 100)
    member.callback(1)
    assert outcome(gathered) == [(True, 2)]
    assert outcome(member) == 200


def test_a_member_whose_chain_waits_counts_when_it_goes_on() -> None:
    inner: Deferred[int] = Deferred()
    member = succeed(1).addCallback(lambda _: inner)
    gathered = DeferredList([member])
    assert not gathered.called
    inner.callback(2)
    assert outcome(gathered) == [(True, 2)]


def test_a_paused_member_counts_when_it_goes_on() -> None:
    member = succeed(1)
    member.pause()
    gathered = DeferredList([member])
    assert not gathered.called
    member.unpause()
    assert outcome(gathered) == [(True, 1)]


def test_a_member_may_join_from_its_own_callback() -> None:
    lists: list[Deferred[Any]] = []
    member: Deferred[int] = Deferred()

    def join(value: int) -> int:
        lists.append(DeferredList([member]))
        return value

    member.addCallback(join)
    member.callback(7)
    assert outcome(lists[0]) == [(True, 7)]


def test_a_failure_that_wait_has_raised_is_over() -> None:
    member: Deferred[int] = fail(ValueError("seen"))
    with pytest.raises(ValueError, match="seen"):
        member.wait()
    assert outcome(DeferredList([member])) == [(True, None)]


def test_callbacks_of_the_list_run_before_later_steps_of_the_last_member() -> None:
    order: list[str] = []
    member: Deferred[int] = Deferred()
    gathered = DeferredList([member])
    member.addCallback(lambda _: order.append("member"))
    gathered.addCallback(lambda _: order.append("list"))
    member.callback(1)
    assert order == ["list", "member"]


def test_result_list_shows_what_is_there_so_far() -> None:
    first, second = some(2)
    gathered = DeferredList([first, second])
    second.callback(2)
    assert gathered.resultList == [None, (True, 2)]
    assert gathered.finishedCount == 1
    first.callback(1)
    assert gathered.finishedCount == 2


def test_firing_the_list_itself_is_refused_once_it_has_fired() -> None:
    gathered = DeferredList([succeed(1)])
    with pytest.raises(AlreadyCalledError):
        gathered.callback([])


@pytest.mark.parametrize("wrong", [[succeed(1), 2], [None], [lambda: succeed(1)]])
def test_what_is_no_deferred_is_named_with_its_place(wrong: list[Any]) -> None:
    for gather in (DeferredList, gatherResults, race):
        with pytest.raises(TypeError, match=f"number {len(wrong) - 1} of the Deferreds"):
            gather(wrong)


def test_a_list_that_is_none_is_refused_with_the_way_out() -> None:
    wrong: Any = succeed(1)
    with pytest.raises(TypeError, match="put it in brackets"):
        DeferredList(wrong)
    with pytest.raises(TypeError, match="list of Deferreds is needed, not 3"):
        DeferredList(3)  # type: ignore[call-overload]


def test_no_member_is_touched_when_one_is_wrong() -> None:
    member: Any = Deferred()
    wrong: Any = 2
    with pytest.raises(TypeError):
        gatherResults([member, wrong], consumeErrors=True)
    member.errback(ValueError("mine"))
    error_of(member, ValueError)


def test_the_types_of_results_follow_the_options() -> None:
    numbers = [succeed(1)]
    assert_type(DeferredList(numbers), DeferredList[list[tuple[bool, int]]])
    assert_type(DeferredList(numbers, fireOnOneErrback=True), DeferredList[list[tuple[bool, int]]])
    assert_type(DeferredList(numbers, fireOnOneCallback=True), DeferredList[tuple[int, int]])
    assert_type(gatherResults(numbers), Deferred[list[int]])
    assert_type(race(numbers), Deferred[tuple[int, int]])


# ------------------------------------------------------------------------------- fire on one


def test_fire_on_one_callback_gives_the_first_value_and_its_index() -> None:
    first, second, third = some(3)
    gathered = DeferredList([first, second, third], fireOnOneCallback=True, consumeErrors=True)
    first.errback(ValueError("no"))
    second.callback("second")
    third.callback("third")
    assert outcome(gathered) == ("second", 1)
    assert outcome(third) == "third"


def test_fire_on_one_callback_takes_the_first_of_those_that_have_fired() -> None:
    assert outcome(DeferredList([succeed("a"), succeed("b")], fireOnOneCallback=True)) == ("a", 0)


def test_fire_on_one_callback_gives_the_whole_list_when_all_fail() -> None:
    errors = [ValueError("0"), KeyError("1")]
    gathered = DeferredList([fail(error) for error in errors], fireOnOneCallback=True, consumeErrors=True)
    assert plain(outcome(gathered)) == [failed_with(error) for error in errors]


def test_fire_on_one_errback_fails_with_the_first_error() -> None:
    first, second, third = some(3)
    gathered = DeferredList([first, second, third], fireOnOneErrback=True, consumeErrors=True)
    error = ValueError("no")
    third.callback(3)
    second.errback(error)
    raised = error_of(gathered, FirstError)
    assert raised.subFailure.value is error
    assert raised.index == 1
    assert not first.called


def test_fire_on_one_errback_without_errors_gives_the_list() -> None:
    first, second = some(2)
    gathered = DeferredList([first, second], fireOnOneErrback=True)
    second.callback(2)
    first.callback(1)
    assert outcome(gathered) == [(True, 1), (True, 2)]


def test_errors_after_the_first_are_consumed_when_that_was_asked_for() -> None:
    gathered = DeferredList([fail(ValueError("0")), fail(ValueError("1"))], fireOnOneErrback=True, consumeErrors=True)
    assert error_of(gathered, FirstError).index == 0


def test_errors_after_the_first_are_reported_when_nobody_consumes_them(reported: Reports) -> None:
    first, second = some(2)
    gathered = DeferredList([first, second], fireOnOneErrback=True)
    first.errback(ValueError("first"))
    second.errback(ValueError("second"))
    first.addErrback(ignore)
    gathered.addErrback(ignore)
    del first, second, gathered
    (report,) = reported()
    assert report.exc_info is not None
    assert str(report.exc_info[1]) == "second"


@pytest.mark.parametrize("both", [True, False])
def test_with_both_options_whatever_comes_first_decides(both: bool) -> None:
    first, second = some(2)
    gathered = DeferredList([first, second], fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True)
    if both:
        second.callback(2)
        first.errback(ValueError())
        assert outcome(gathered) == (2, 1)
    else:
        first.errback(ValueError())
        second.callback(2)
        assert error_of(gathered, FirstError).index == 0


# --------------------------------------------------------------------------- unhandled errors


def test_consumed_errors_leave_none_in_the_member() -> None:
    member: Deferred[int] = Deferred()
    gathered = DeferredList([member], consumeErrors=True)
    member.errback(ValueError("gone"))
    assert outcome(member) is None
    assert [success for success, _ in outcome(gathered)] == [False]


def test_errors_that_are_not_consumed_stay_in_the_member() -> None:
    late, early = Deferred[int](), fail(ValueError("early"))
    DeferredList([late, early])
    late.errback(ValueError("late"))
    assert str(error_of(late, ValueError)) == "late"
    assert str(error_of(early, ValueError)) == "early"


def test_the_error_of_a_forgotten_member_is_reported_although_the_list_has_it(reported: Reports) -> None:
    member: Deferred[int] = Deferred()
    gathered = DeferredList([member])
    member.errback(ValueError("mine"))
    del member
    (report,) = reported()
    assert report.exc_info is not None
    assert str(report.exc_info[1]) == "mine"
    assert gathered.called


def test_a_first_error_that_nobody_handles_is_reported_with_its_cause(reported: Reports) -> None:
    gatherResults([fail(ValueError("the cause"))], consumeErrors=True)
    (report,) = reported()
    assert report.exc_info is not None
    error = report.exc_info[1]
    assert isinstance(error, FirstError)
    assert str(error.__cause__) == "the cause"


def test_a_list_that_has_all_outcomes_lets_go_of_its_members() -> None:
    member: Deferred[int] = Deferred()
    gathered = DeferredList([member])
    member.callback(1)
    gone = weakref.ref(member)
    gc.disable()
    try:
        del member
        assert gone() is None
    finally:
        gc.enable()
    assert outcome(gathered) == [(True, 1)]


# ---------------------------------------------------------------------------------- cancelling


def test_cancelling_a_list_cancels_the_members_that_have_not_fired() -> None:
    cancelled: list[Deferred[Any]] = []
    members = [Deferred[int](cancelled.append), succeed(1), Deferred[int](cancelled.append)]
    gathered = DeferredList(members, consumeErrors=True)
    gathered.cancel()
    assert cancelled == [members[0], members[2]]
    (first, error), second, _ = outcome(gathered)
    assert (first, error.type) == (False, CancelledError)
    assert second == (True, 1)


def test_a_canceller_may_give_a_result() -> None:
    gathered = DeferredList([Deferred[str](lambda d: d.callback("so far"))])
    gathered.cancel()
    assert outcome(gathered) == [(True, "so far")]


def test_cancelling_with_fire_on_one_callback_takes_the_first_value_a_canceller_gives() -> None:
    members = [Deferred[str](), Deferred[str](lambda d: d.callback("mine"))]
    gathered = DeferredList(members, fireOnOneCallback=True, consumeErrors=True)
    gathered.cancel()
    assert outcome(gathered) == ("mine", 1)


def test_cancelling_with_fire_on_one_errback_fails_with_first_error_and_cancels_all() -> None:
    members = some(3)
    gathered = DeferredList(members, fireOnOneErrback=True, consumeErrors=True)
    gathered.cancel()
    assert error_of(gathered, FirstError).subFailure.type is CancelledError
    assert all(member.called for member in members)


@pytest.mark.parametrize("options", [{"fireOnOneCallback": True}, {"fireOnOneErrback": True}])
def test_cancelling_a_fired_list_leaves_its_members_alone(options: dict[str, bool]) -> None:
    first, second = some(2)
    gathered: Deferred[Any] = DeferredList([first, second], consumeErrors=True, **options)
    if "fireOnOneCallback" in options:
        first.callback(1)
    else:
        first.errback(ValueError())
    gathered.cancel()
    assert not second.called
    gathered.addErrback(ignore)


def test_cancelling_a_fired_list_cancels_what_its_chain_waits_for() -> None:
    inner: Deferred[int] = Deferred()
    gathered = gatherResults([succeed(1)]).addCallback(lambda _: inner)
    gathered.cancel()
    assert inner.called
    error_of(gathered, CancelledError)


def test_cancelling_what_waits_for_a_list_cancels_its_members() -> None:
    member: Deferred[int] = Deferred()
    outer = succeed(None).addCallback(lambda _: DeferredList([member], consumeErrors=True))
    outer.cancel()
    assert member.called
    assert outcome(outer)[0][0] is False


def test_a_canceller_that_raises_is_reported_and_the_others_are_cancelled(reported: Reports) -> None:
    second: Deferred[int] = Deferred()
    gathered = DeferredList([Deferred[int](boom), second], consumeErrors=True)
    gathered.cancel()
    (report,) = reported()
    assert "canceller" in report.getMessage()
    assert report.exc_info is not None
    assert isinstance(report.exc_info[1], ValueError)
    assert second.called
    # Its canceller did not cancel it, so it may still have a result.
    assert not gathered.called


# -------------------------------------------------------------------------------- gatherResults


def test_gather_results_gives_the_plain_values_in_order() -> None:
    first, second = some(2)
    gathered = gatherResults([first, second])
    second.callback(2)
    first.callback(1)
    assert outcome(gathered) == [1, 2]
    assert outcome(gatherResults([])) == []


def test_gather_results_fails_with_the_first_error() -> None:
    error = ValueError("no")
    bad = fail(error)
    gathered = gatherResults([succeed(1), bad, Deferred()])
    raised = error_of(gathered, FirstError)
    assert (raised.index, raised.subFailure.value) == (1, error)
    error_of(bad, ValueError)


def test_gather_results_consumes_errors_when_asked_to() -> None:
    bad: Deferred[int] = fail(ValueError("no"))
    error_of(gatherResults([bad], consumeErrors=True), FirstError)
    assert outcome(bad) is None


def test_cancelling_gather_results_cancels_all_and_fails() -> None:
    members = some(2)
    gathered = gatherResults(members, consumeErrors=True)
    gathered.cancel()
    assert error_of(gathered, FirstError).subFailure.type is CancelledError
    assert all(member.called for member in members)


def test_a_coroutine_can_await_gathered_results() -> None:
    first, second = some(2)

    async def total() -> int:
        return sum(await gatherResults([first, second]))

    result = Deferred.fromCoroutine(total())
    first.callback(1)
    second.callback(2)
    assert outcome(result) == 3


# ------------------------------------------------------------------------------------ FirstError


def failure(text: str) -> Failure:
    """A Failure with a traceback."""
    try:
        raise ValueError(text)
    except ValueError:
        return Failure()


def test_first_error_shows_the_index_and_the_error() -> None:
    inner = failure("some text")
    error = FirstError(inner, 3)
    assert repr(error) == "FirstError[#3, ValueError('some text')]"
    assert str(error) == f"FirstError[#3, {inner}]"


def test_first_errors_are_equal_when_index_and_failure_are() -> None:
    inner = failure("a")
    assert FirstError(inner, 1) == FirstError(inner, 1)
    assert hash(FirstError(inner, 1)) == hash(FirstError(inner, 1))
    assert FirstError(inner, 1) != FirstError(inner, 2)
    assert FirstError(inner, 1) != FirstError(failure("a"), 1)
    assert FirstError(inner, 1) != 1
    assert not FirstError(inner, 1) == 1  # noqa: SIM201 -- __eq__ and __ne__ are both meant


def test_first_errors_sort_by_index() -> None:
    inner = failure("a")
    one, two = FirstError(inner, 1), FirstError(inner, 2)
    assert sorted([two, one]) == [one, two]
    assert one < two <= two
    assert two > one >= one
    assert not two < one
    with pytest.raises(TypeError):
        one < 1  # type: ignore[operator] # noqa: B015 -- the comparison is the test


def test_a_first_error_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(FirstError(failure("kept"), 4)))
    assert copy.index == 4
    assert str(copy.subFailure.value) == "kept"


# ------------------------------------------------------------------------------------------ race


def test_a_race_gives_the_index_and_value_of_the_winner_and_cancels_the_others() -> None:
    first, second, third = some(3)
    winner = race([first, second, third])
    second.callback("fast")
    assert outcome(winner) == (1, "fast")
    assert first.called
    assert third.called
    assert [outcome(member) for member in (first, second, third)] == [None, None, None]


def test_a_race_ignores_failures_while_somebody_may_win() -> None:
    first, second = some(2)
    winner = race([first, second])
    first.errback(ValueError("out"))
    assert not winner.called
    second.callback(2)
    assert outcome(winner) == (1, 2)


def test_a_race_that_all_lose_fails_with_their_failures_in_order() -> None:
    errors = [ValueError("a"), KeyError("b")]
    first, second = some(2)
    lost = race([first, second])
    second.errback(errors[1])
    first.errback(errors[0])
    group = error_of(lost, FailureGroup)
    assert [failed.value for failed in group.failures] == errors
    assert str(group) == "all 2 Deferreds failed, the first one with ValueError('a')"


def test_of_members_that_have_fired_the_first_wins() -> None:
    late: Deferred[str] = Deferred()
    assert outcome(race([late, succeed("a"), succeed("b")])) == (1, "a")
    assert late.called


def test_a_race_of_nobody_fails_at_once() -> None:
    error = error_of(race([]), FailureGroup)
    assert error.failures == []
    assert "nothing to race" in str(error)


def test_a_late_result_of_a_loser_goes_nowhere() -> None:
    first, second = some(2)
    winner = race([first, second])
    first.callback(1)
    second.errback(ValueError("late, and after a cancel"))
    assert outcome(winner) == (0, 1)


def test_a_loser_whose_canceller_gives_a_value_does_not_win() -> None:
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred(lambda d: d.callback("too late"))
    winner = race([first, second])
    first.callback("first")
    assert outcome(winner) == (0, "first")


def test_cancelling_a_race_cancels_all_members() -> None:
    members = some(3)
    contest = race(members)
    contest.cancel()
    assert all(member.called for member in members)
    assert [failed.type for failed in error_of(contest, FailureGroup).failures] == [CancelledError] * 3


def test_a_member_that_outlives_the_cancelled_race_harms_nobody() -> None:
    stubborn: Deferred[int] = Deferred()
    stubborn.pause()
    contest = race([stubborn])
    contest.cancel()
    error_of(contest, CancelledError)
    stubborn.unpause()
    assert outcome(stubborn) is None


def test_a_canceller_that_raises_does_not_stop_the_race(reported: Reports) -> None:
    first: Deferred[int] = Deferred()
    contest = race([first, Deferred[int](boom)])
    first.callback(1)
    assert outcome(contest) == (0, 1)
    assert len(reported()) == 1


# ------------------------------------------------------------------------------ depth and threads


@pytest.mark.parametrize("gather", [DeferredList, gatherResults, race])
def test_gatherings_of_gatherings_need_no_recursion(gather: Callable[[Any], Deferred[Any]]) -> None:
    first: Deferred[int] = Deferred()
    last: Deferred[Any] = first
    for _ in range(20_000):
        last = gather([last])
    last.addCallback(lambda _: "through")
    first.callback(1)
    assert last.result == "through"


def test_members_fired_by_many_threads_are_all_there() -> None:
    members = some(800)
    gathered = gatherResults(members)

    def fire(number: int) -> None:
        for index in range(number, len(members), 8):
            members[index].callback(index)

    run_threads(8, fire)
    assert outcome(gathered) == list(range(800))


def test_a_list_can_be_made_while_other_threads_fire_its_members() -> None:
    members = some(800)
    lists: list[Deferred[list[int]]] = []

    def work(number: int) -> None:
        if number:
            for index in range(number - 1, len(members), 4):
                members[index].callback(index)
        else:
            lists.append(gatherResults(members))

    run_threads(5, work)
    assert outcome(lists[0]) == list(range(800))


def test_callbacks_of_a_gathering_run_in_the_turn() -> None:
    member: Deferred[int] = Deferred()
    owners: list[bool] = []
    DeferredList([member]).addCallback(lambda _: owners.append(turn.held()))
    DeferredList([succeed(1), member], fireOnOneCallback=True).addCallback(lambda _: owners.append(turn.held()))
    member.callback(1)
    assert owners == [True, True]


# ----------------------------------------------------------------------------------- properties

# A member: whether it succeeds, and whether it has its outcome before it is gathered.
Plan = list[tuple[bool, bool]]
plans = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12)


class Played:
    """Members that were gathered and fired according to a plan, in a drawn order."""

    def __init__(self, plan: Plan, data: st.DataObject, gather: Callable[[list[Deferred[Any]]], Deferred[Any]]) -> None:
        self.members = some(len(plan))
        self.errors = [ValueError(index) for index in range(len(plan))]
        self.plan = plan
        early = [index for index, (_, soon) in enumerate(plan) if soon]
        late = [index for index, (_, soon) in enumerate(plan) if not soon]
        late = data.draw(st.permutations(late), label="order of firing")
        for index in early:
            self.fire(index)
        self.gathered = gather(self.members)
        for index in late:
            self.fire(index)
        # Those that are there are seen in the order of the list.
        self.order = early + late

    def fire(self, index: int) -> None:
        """Give a member its outcome, unless it was cancelled."""
        if self.members[index].called:
            return
        if self.plan[index][0]:
            self.members[index].callback(index)
        else:
            self.members[index].errback(self.errors[index])

    def pair(self, index: int) -> tuple[bool, Any]:
        """What a DeferredList has for this member."""
        return (True, index) if self.plan[index][0] else (False, self.errors[index])

    def first(self, success: bool) -> int | None:
        """The first member to end like that."""
        return next((index for index in self.order if self.plan[index][0] is success), None)


@given(plans, st.data())
def test_results_stand_in_the_order_of_members_whatever_the_order_of_firing(plan: Plan, data: st.DataObject) -> None:
    played = Played(plan, data, lambda members: DeferredList(members, consumeErrors=True))
    assert plain(outcome(played.gathered)) == [played.pair(index) for index in range(len(plan))]
    assert all(outcome(member) in (index, None) for index, member in enumerate(played.members))


@given(plans, st.data())
def test_members_keep_their_outcome_unless_errors_are_consumed(plan: Plan, data: st.DataObject) -> None:
    played = Played(plan, data, DeferredList)
    kept = [outcome(member) for member in played.members]
    assert [value.value if isinstance(value, Failure) else value for value in kept] == [
        played.pair(index)[1] for index in range(len(plan))
    ]


@given(plans, st.data())
def test_gathering_gives_all_values_or_the_first_error(plan: Plan, data: st.DataObject) -> None:
    played = Played(plan, data, lambda members: gatherResults(members, consumeErrors=True))
    first = played.first(success=False)
    if first is None:
        assert outcome(played.gathered) == list(range(len(plan)))
    else:
        error = error_of(played.gathered, FirstError)
        assert (error.index, error.subFailure.value) == (first, played.errors[first])


@given(plans, st.data())
def test_a_race_is_won_by_the_first_success(plan: Plan, data: st.DataObject) -> None:
    played = Played(plan, data, race)
    first = played.first(success=True)
    if first is None:
        failures = error_of(played.gathered, FailureGroup).failures
        assert [failed.value for failed in failures] == played.errors
    else:
        assert outcome(played.gathered) == (first, first)
        assert all(outcome(member) is None for member in played.members)
