"""Cooperator: its tasks take their steps in turn, in slices, each in its own context."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import boom, cell, error_of, in_cell, outcome, run_threads
from wirebook import reactor as process_reactor
from wirebook.deferred import CancelledError, Deferred, fail, succeed
from wirebook.task import (
    Clock,
    CooperativeTask,
    Cooperator,
    NotPaused,
    SchedulerError,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskFinished,
    TaskStopped,
    coiterate,
    cooperate,
)


class Team:
    """A Cooperator on a clock; a slice is one step unless told otherwise."""

    def __init__(self, steps: int = 1, started: bool = True) -> None:
        self.clock = Clock()
        self.steps = steps
        self.seen: list[Any] = []
        self.cooperator = Cooperator(self.new_slice, lambda tick: self.clock.callLater(1, tick), started)

    def new_slice(self) -> Callable[[], bool]:
        left = iter(range(self.steps - 1, -1, -1))
        return lambda: next(left) == 0

    def worker(self, *things: Any) -> Iterator[Any]:
        """An iterator that notes `things` one by one, and calls those that are functions."""
        for thing in things:
            self.seen.append(thing)
            yield thing() if callable(thing) else thing

    def add(self, *things: Any) -> CooperativeTask[Iterator[Any]]:
        return self.cooperator.cooperate(self.worker(*things))

    def slices(self, count: int = 1) -> list[Any]:
        """Let `count` slices pass; all that was noted so far."""
        self.clock.pump([1] * count)
        return self.seen


@pytest.fixture
def team() -> Team:
    return Team()


# --- steps and slices --------------------------------------------------------------------------------


def test_a_task_takes_no_step_before_the_scheduler_calls(team: Team) -> None:
    team.add(1, 2)
    assert team.seen == []
    assert team.slices() == [1]
    assert team.slices() == [1, 2]


def test_tasks_take_their_steps_in_turn(team: Team) -> None:
    for things in ("abc", (1, 2, 3), "xy"):
        team.add(*things)
    assert team.slices(8) == ["a", 1, "x", "b", 2, "y", "c", 3]


def test_a_slice_goes_on_until_its_predicate_says_so() -> None:
    team = Team(steps=4)
    team.add(1, 2, 3)
    team.add("a", "b", "c")
    assert team.slices() == [1, "a", 2, "b"]
    assert team.slices() == [1, "a", 2, "b", 3, "c"]


def test_a_task_that_is_added_during_a_step_stands_before_the_one_that_added_it(team: Team) -> None:
    team.add(lambda: team.add("new"), "old")
    assert team.slices(3)[1:] == ["new", "old"]


def test_without_tasks_nothing_is_scheduled(team: Team) -> None:
    first, second = team.add(1), team.add(2)
    first.whenDone().addErrback(lambda _: None)
    first.stop()
    assert len(team.clock.calls) == 1
    second.pause()
    assert team.clock.calls == []
    second.resume()
    assert len(team.clock.calls) == 1
    team.slices(2)
    assert team.clock.calls == []


def test_one_slice_at_a_time_is_scheduled_also_from_callbacks(team: Team) -> None:
    team.add().whenDone().addCallback(lambda _: team.add("next"))
    team.slices()
    assert len(team.clock.calls) == 1
    assert team.slices() == ["next"]


def test_a_step_that_advances_the_clock_starts_no_slice_within_the_slice(team: Team) -> None:
    team.add(lambda: team.clock.advance(5), "after")
    team.add("other")
    assert team.slices(3)[1:] == ["other", "after"]


def test_a_scheduler_need_return_nothing() -> None:
    ticks: list[Callable[[], None]] = []
    cooperator = Cooperator(lambda: lambda: True, ticks.append)
    task = cooperator.cooperate(iter(range(9)))
    ticks.pop()()
    task.pause()
    task.resume()
    assert len(ticks) == 1
    task.stop()
    ticks.pop()()
    assert ticks == []


class Promise:
    """What a scheduler may return: a call that can be cancelled."""

    def cancel(self) -> None:
        """Nothing comes of it anyway."""


@pytest.mark.parametrize("promise", [None, Promise()])
def test_a_scheduler_may_call_at_once(promise: Any) -> None:
    def at_once(tick: Callable[[], None]) -> Any:
        tick()
        return promise

    cooperator = Cooperator(scheduler=at_once)
    for _ in range(2):
        left = iter(range(3))
        cooperator.cooperate(left)
        assert list(left) == []


def test_a_slice_that_somebody_took_back_is_scheduled_anew(team: Team) -> None:
    team.add(1)
    team.clock.calls[0].closeHandle()
    team.add(2)
    assert team.slices(2) == [1, 2]


def test_a_predicate_that_raises_does_not_stop_the_tasks(team: Team) -> None:
    team.add(1, 2)
    team.steps = 0  # the predicate finds nothing left to count
    with pytest.raises(StopIteration):
        team.slices()
    team.steps = 1
    assert team.slices() == [1, 2]


def test_by_default_a_slice_is_over_after_a_hundredth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("wirebook.task.cooperation.perf_counter", lambda: now[0])
    ticks: list[Callable[[], None]] = []

    def work() -> Iterator[None]:
        while True:
            now[0] += 0.004
            yield

    cooperator = Cooperator(scheduler=ticks.append)
    task = cooperator.cooperate(work())
    ticks.pop()()
    assert now == [0.012]
    task.stop()


# --- waiting for Deferreds ---------------------------------------------------------------------------


def test_a_task_that_yields_a_deferred_waits_and_the_others_go_on(team: Team) -> None:
    gate: Deferred[int] = Deferred()
    team.add("a", lambda: gate, "b")
    team.add(1, 2, 3)
    assert [thing for thing in team.slices(9) if not callable(thing)] == ["a", 1, 2, 3]
    assert team.clock.calls == []
    gate.callback(7)
    assert team.slices()[-1] == "b"
    assert outcome(gate) is None


def test_a_deferred_that_has_fired_costs_no_wait(team: Team) -> None:
    team.add(lambda: succeed(1), "next")
    assert team.slices(2)[-1] == "next"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_deferred_that_fails_ends_the_task(team: Team, at_once: bool) -> None:
    gate: Deferred[int] = Deferred()
    done = team.add(lambda: gate, "never").whenDone()
    if at_once:
        gate.errback(ValueError())
    team.slices()
    if not at_once:
        gate.errback(ValueError())
    error_of(done, ValueError)
    assert "never" not in team.slices()


def test_a_paused_task_waits_for_its_deferred_and_for_resume(team: Team) -> None:
    gates: list[Deferred[None]] = [Deferred(), Deferred()]
    task = team.add(lambda: gates[0], lambda: gates[1], "end")
    team.slices()
    task.pause()
    gates[0].callback(None)
    assert len(team.slices()) == 1
    task.resume()
    assert len(team.slices()) == 2
    task.pause()
    task.resume()
    assert len(team.slices()) == 2
    gates[1].callback(None)
    assert team.slices()[-1] == "end"


def test_waiting_for_a_deferred_is_no_pause_that_could_be_undone(team: Team) -> None:
    gate: Deferred[None] = Deferred()
    task = team.add(lambda: gate, "end")
    team.slices()
    with pytest.raises(NotPaused, match="waiting for <Deferred"):
        task.resume()
    gate.callback(None)
    assert team.slices()[-1] == "end"


# --- how a task ends ---------------------------------------------------------------------------------


def test_when_done_fires_with_the_iterator_each_time_anew(team: Team) -> None:
    work = team.worker(1)
    task = team.cooperator.cooperate(work)
    before = [task.whenDone(), task.whenDone()]
    before[0].addCallback(lambda _: "changed")
    team.slices(2)
    assert [outcome(done) for done in before] == ["changed", work]
    assert outcome(task.whenDone()) is work


def test_when_done_fails_with_the_error_of_the_iterator(team: Team) -> None:
    task = team.add(boom)
    before = task.whenDone()
    team.slices()
    error_of(before, ValueError)
    error_of(task.whenDone(), ValueError)


def test_stopping_a_task_fails_when_done(team: Team) -> None:
    task = team.add(1, 2)
    done = task.whenDone()
    task.stop()
    error_of(done, TaskStopped)
    assert team.slices() == []
    error_of(task.whenDone(), TaskStopped)


def ended(team: Team, how: type[SchedulerError]) -> CooperativeTask[Iterator[Any]]:
    task = team.add(boom) if how is TaskFailed else team.add()
    if how is TaskStopped:
        task.stop()
    elif how is SchedulerStopped:
        team.cooperator.stop()
    team.slices()
    return task


@pytest.mark.parametrize("verb", ["stop", "pause"])
@pytest.mark.parametrize("how", [TaskDone, TaskFailed, TaskStopped, SchedulerStopped])
def test_a_task_that_has_ended_can_be_neither_stopped_nor_paused(
    team: Team, how: type[SchedulerError], verb: str
) -> None:
    task = ended(team, how)
    with pytest.raises(how, match=r"Team\.worker .* cannot be .*: it has ended") as caught:
        getattr(task, verb)()
    assert isinstance(caught.value, TaskFinished) == (how is not SchedulerStopped)
    assert isinstance(caught.value.__cause__, ValueError) == (how is TaskFailed)


def test_stopping_while_it_waits_leaves_the_deferred_alone(team: Team) -> None:
    gate: Deferred[int] = Deferred()
    task = team.add(lambda: gate, "never")
    team.slices()
    task.stop()
    assert not gate.called
    gate.callback(7)
    assert outcome(gate) is None
    assert "never" not in team.slices()


def test_an_error_of_a_deferred_that_the_ended_task_no_longer_waits_for_stays_in_it(team: Team) -> None:
    gate: Deferred[int] = Deferred()
    task = team.add(lambda: gate)
    team.slices()
    task.stop()
    gate.errback(ValueError())
    error_of(gate, ValueError)


def test_a_task_may_stop_itself(team: Team) -> None:
    def stop() -> Deferred[int]:
        task.stop()
        return left_alone

    left_alone: Deferred[int] = Deferred()
    task = team.add(stop, "never")
    done = task.whenDone()
    team.slices(2)
    error_of(done, TaskStopped)
    assert (team.seen, team.clock.calls) == ([stop], [])
    left_alone.callback(7)
    assert outcome(left_alone) == 7


def test_a_task_may_pause_itself_and_end_so(team: Team) -> None:
    def pause() -> None:
        task.pause()

    task = team.add(pause, pause)
    assert len(team.slices(2)) == 1
    task.resume()
    assert len(team.slices(2)) == 2
    task.resume()
    team.slices()
    assert outcome(task.whenDone()) is not None


def test_an_error_after_a_task_has_stopped_itself_is_reported(team: Team, reported: Reports) -> None:
    def stop_and_fail() -> None:
        task.stop()
        boom()

    task = team.add(stop_and_fail)
    team.slices()
    error_of(task.whenDone(), TaskStopped)
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_an_error_that_nobody_asked_for_is_reported_once_the_task_is_forgotten(team: Team, reported: Reports) -> None:
    task = in_cell("three", team.add, boom)
    team.slices()
    assert reported() == []
    del task
    gc.collect()
    (record,) = reported()
    assert vars(record)["wirebook_failure"].check(ValueError)


def test_an_interrupt_in_a_step_is_the_tasks_own(team: Team) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    done = team.add(interrupt).whenDone()
    team.add("other")
    team.slices(2)
    error_of(done, KeyboardInterrupt)
    assert team.seen[-1] == "other"


# --- pausing -----------------------------------------------------------------------------------------


def test_a_paused_task_takes_no_step_until_it_is_resumed_as_often(team: Team) -> None:
    task = team.add(1, 2)
    team.slices()
    task.pause()
    task.pause()
    assert team.slices() == [1]
    task.resume()
    assert team.slices() == [1]
    task.resume()
    assert team.seen == [1]
    assert team.slices() == [1, 2]


def test_resuming_what_is_not_paused_is_refused(team: Team) -> None:
    task = team.add(1)
    with pytest.raises(NotPaused, match=r"Team\.worker running> is not paused"):
        task.resume()
    task.pause()
    task.resume()
    with pytest.raises(NotPaused):
        task.resume()


def test_resuming_a_task_that_was_stopped_while_paused_does_nothing(team: Team) -> None:
    task = team.add(1)
    task.pause()
    task.stop()
    task.resume()
    assert team.slices() == []


# --- the cooperator ----------------------------------------------------------------------------------


def test_stopping_the_cooperator_ends_its_tasks(team: Team) -> None:
    gate: Deferred[None] = Deferred()
    tasks = [team.add(lambda: gate), team.add(1), team.add(2)]
    team.slices()
    tasks[2].pause()
    done = [task.whenDone() for task in tasks]
    team.cooperator.stop()
    for one in done:
        error_of(one, SchedulerStopped)
    assert not team.cooperator.running
    assert team.clock.calls == []
    gate.callback(None)
    tasks[2].resume()
    assert team.clock.calls == []


def test_a_stopped_cooperator_takes_no_tasks_until_it_is_started_again(team: Team) -> None:
    team.cooperator.stop()
    error_of(team.add(1).whenDone(), SchedulerStopped)
    error_of(team.cooperator.coiterate(team.worker(2)), SchedulerStopped)
    team.cooperator.start()
    team.add(3)
    assert team.slices() == [3]


def test_a_step_may_stop_the_cooperator(team: Team) -> None:
    done = team.add(lambda: team.cooperator.stop()).whenDone()
    team.slices()
    error_of(done, SchedulerStopped)
    assert team.clock.calls == []


def test_the_callback_of_a_task_may_stop_the_cooperator(team: Team) -> None:
    done = team.add().whenDone().addCallback(lambda _: team.cooperator.stop())
    team.slices()
    assert outcome(done) is None


def test_a_cooperator_that_is_not_started_waits_for_start() -> None:
    team = Team(started=False)
    team.add(1)
    assert (team.cooperator.running, team.clock.calls) == (False, [])
    team.cooperator.start()
    team.cooperator.start()
    assert team.cooperator.running
    assert team.slices() == [1]


def test_a_paused_task_that_everybody_forgot_is_not_kept(team: Team) -> None:
    closed: list[str] = []

    def work() -> Iterator[None]:
        try:
            yield
            yield
        finally:
            closed.append("closed")

    task = team.cooperator.cooperate(work())
    team.slices()
    task.pause()
    del task
    gc.collect()
    assert closed == ["closed"]


def test_ten_thousand_tasks_that_wait_are_no_burden() -> None:
    team = Team(steps=10**6)
    gates: list[Deferred[None]] = [Deferred() for _ in range(10_000)]
    done = [team.cooperator.coiterate(iter([gate])) for gate in gates]
    team.slices()
    for gate in reversed(gates):
        gate.callback(None)
    team.slices()
    assert all(one.called for one in done)


# --- coiterate ---------------------------------------------------------------------------------------


def test_coiterate_fires_with_the_iterator(team: Team) -> None:
    work = team.worker(1)
    done = team.cooperator.coiterate(work)
    team.slices(2)
    assert outcome(done) is work


def test_coiterate_fires_the_deferred_that_it_is_given(team: Team) -> None:
    work = team.worker(1)
    given: Deferred[Iterator[Any]] = Deferred()
    assert team.cooperator.coiterate(work, given) is given
    team.slices(2)
    assert outcome(given) is work


def test_coiterate_fails_with_the_error_of_the_iterator(team: Team) -> None:
    done = team.cooperator.coiterate(team.worker(lambda: fail(ValueError())))
    team.slices()
    error_of(done, ValueError)


@pytest.mark.parametrize("slices", [0, 1, 2])
def test_cancelling_coiterate_ends_the_work(team: Team, slices: int) -> None:
    gate: Deferred[None] = Deferred()
    done = team.cooperator.coiterate(team.worker(1, lambda: gate, "never"))
    team.slices(slices)
    done.cancel()
    error_of(done, CancelledError)
    assert team.clock.calls == []
    gate.callback(None)
    assert "never" not in team.slices()


# --- misuse, contexts, and what others see -----------------------------------------------------------


def test_what_is_no_iterator_is_refused(team: Team) -> None:
    with pytest.raises(TypeError, match=r"needs an iterator, not \[1, 2\]: pass iter"):
        team.cooperator.cooperate([1, 2])  # type: ignore[type-var]
    assert team.clock.calls == []


def test_a_task_runs_in_one_context_of_its_adding(team: Team) -> None:
    def step(name: str) -> Callable[[], None]:
        def note() -> None:
            team.seen.append(cell.get())
            cell.set(name)

        return note

    in_cell("three", team.add, step("changed"), step("again"))
    in_cell("four", team.add, step("other"))
    in_cell("five", team.slices, 4)
    assert [thing for thing in team.seen if isinstance(thing, str)] == ["three", "four", "changed"]
    assert cell.get() == "none"


def test_the_timer_of_all_tasks_belongs_to_no_cell(team: Team) -> None:
    in_cell("three", team.add, 1, 2)
    assert cell not in team.clock.calls[0].context
    team.slices()
    assert cell not in team.clock.calls[0].context


def test_a_table_of_timers_shows_the_users_work(team: Team) -> None:
    team.add(1)
    (call,) = team.clock.calls
    assert call.label == "cooperate(Team.worker)"
    for _ in range(4):
        team.cooperator.cooperate(iter(()))
    assert call.label.startswith("cooperate(Team.worker, <tuple_iterator object at ")
    assert call.label.endswith(", 2 more)")


def test_a_task_prints_how_it_stands(team: Team) -> None:
    gate: Deferred[None] = Deferred()
    task = team.add(lambda: gate)
    assert repr(task) == "<CooperativeTask Team.worker running>"
    team.slices()
    assert repr(task) == f"<CooperativeTask Team.worker waiting for {gate!r}>"
    task.pause()
    assert repr(task) == "<CooperativeTask Team.worker paused>"
    task.stop()
    assert repr(task) == "<CooperativeTask Team.worker stopped>"


@pytest.mark.parametrize(
    ("how", "state"),
    [(TaskDone, "done"), (TaskFailed, "failed"), (SchedulerStopped, "ended when its Cooperator was stopped")],
)
def test_a_task_prints_how_it_has_ended(team: Team, how: type[SchedulerError], state: str) -> None:
    task = ended(team, how)
    assert repr(task) == f"<CooperativeTask Team.worker {state}>"
    task.whenDone().addErrback(lambda _: None)


def test_the_process_has_a_cooperator_on_its_reactor() -> None:
    seen: list[str] = []

    def work(name: str) -> Iterator[Deferred[None]]:
        for _ in range(3):
            seen.append(name)
            pause: Deferred[None] = Deferred()
            process_reactor.callLater(0, pause.callback, None)
            yield pause

    done = [cooperate(work("a")).whenDone(), coiterate(work("b"))]
    for _ in range(1000):
        process_reactor.iterate(0.01)
        if all(one.called for one in done):
            break
    assert [outcome(one).gi_frame for one in done] == [None, None]
    assert seen == ["a", "b"] * 3


def test_any_thread_may_add_pause_and_stop_tasks() -> None:
    team = Team(steps=5)

    def work(number: int) -> None:
        for _ in range(100):
            task = team.add(*range(4))
            task.pause()
            team.clock.advance(1)
            task.resume()
            if number % 2:
                task.stop()

    run_threads(4, work)
    team.slices(1000)
    assert team.clock.calls == []
