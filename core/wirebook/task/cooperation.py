"""Long work in small pieces, so that nothing else has to wait for it.

A piece is one step of an iterator. A `Cooperator` lets its tasks take their steps in turn, one each, for a slice
of time (10 ms unless told otherwise), and leaves the rest to the next round of the reactor. A task that waits for
a Deferred that its iterator has yielded, or is paused, is out of the row until it can go on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from itertools import islice
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from weakref import WeakSet

from wirebook.deferred import Deferred, fail
from wirebook.deferred.chain import short
from wirebook.failure import Failure, caught
from wirebook.installed import the_reactor
from wirebook.interfaces import IDelayedCall
from wirebook.logger import report_failure
from wirebook.task.naming import name_of
from wirebook.turn import in_turn

It = TypeVar("It", bound=Iterator[object])

SLICE = 0.01  # seconds
_NAMES_SHOWN = 3


class SchedulerError(Exception):
    """The state of the scheduler or of its task does not allow this: the base of the errors below."""


class SchedulerStopped(SchedulerError):
    """The `Cooperator` was stopped, so its tasks will not go on."""


class TaskFinished(SchedulerError):
    """The task has ended, one way or another."""


class TaskDone(TaskFinished):
    """The task has ended because its iterator was exhausted."""


class TaskStopped(TaskFinished):
    """The task was stopped."""


class TaskFailed(TaskFinished):
    """The task has ended because of an error, of its iterator or of a Deferred that this has yielded."""


class NotPaused(SchedulerError):
    """A task that is not paused was to be resumed."""


_ENDED: dict[type[SchedulerError], str] = {
    SchedulerStopped: "ended when its Cooperator was stopped",
    TaskDone: "done",
    TaskStopped: "stopped",
    TaskFailed: "failed",
}


class CooperativeTask(Generic[It]):
    """An iterator that a `Cooperator` steps through; what `cooperate` returns. Any thread may use it.

    All its steps are taken in one copy of the context in which it was added. When it ends with an error and
    nobody asks for it (by `whenDone`, or in vain for a `stop`), it is reported once the task is forgotten.
    """

    def __init__(self, iterator: It, cooperator: Cooperator) -> None:
        if not hasattr(type(iterator), "__next__"):
            raise TypeError(f"a cooperative task needs an iterator, not {short(iterator)}: pass iter(...) or call it")
        self._iterator = iterator
        self._cooperator = cooperator
        self._context = copy_context()
        self._pauses = 0
        self._waiting_on: Deferred[Any] | None = None
        self._listeners: list[Deferred[It]] = []
        self._ended: type[SchedulerError] | None = None
        self._result: It | Failure = iterator
        self._unheard: Deferred[Any] | None = None
        cooperator._enter(self)

    def whenDone(self) -> Deferred[It]:
        """A Deferred, a new one each time, that fires with the iterator when it is exhausted.

        It fails with the error that ended the task, `TaskStopped` or `SchedulerStopped`.
        """
        return self._tell(Deferred())

    @in_turn
    def pause(self) -> None:
        """Take no more steps until `resume` was called as often as this.

        When the task has ended: `TaskDone`, `TaskFailed`, `TaskStopped` (all `TaskFinished`), `SchedulerStopped`.
        """
        self._still_going("paused")
        self._pauses += 1
        self._cooperator._leave(self)

    @in_turn
    def resume(self) -> None:
        """Undo one `pause`. `NotPaused` when there is none to undo; harmless when the task has ended."""
        if not self._pauses:
            raise NotPaused(f"{self!r} is not paused: each resume() needs a pause() before it")
        self._pauses -= 1
        self._go_on()

    @in_turn
    def stop(self) -> None:
        """End the task: `whenDone` fails with `TaskStopped`. Errors as with `pause`.

        A Deferred that it waits for is left alone.
        """
        self._still_going("stopped")
        self._end(TaskStopped, Failure(TaskStopped(f"{self!r} was stopped")))

    def _still_going(self, verb: str) -> None:
        if self._ended is None:
            return
        result = self._hear()
        error = result.value if isinstance(result, Failure) and self._ended is TaskFailed else None
        raise self._ended(f"{self!r} cannot be {verb}: it has ended") from error

    def _hear(self) -> It | Failure:
        """What has come of the task, for somebody who tells it on: from now on an error is not unheard."""
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            unheard.addErrback(lambda _: None)
        return self._result

    def _go_on(self) -> None:
        if self._ended is None and not self._pauses and self._waiting_on is None:
            self._cooperator._enter(self)

    def _step(self) -> None:
        """Take one step."""
        try:
            result = self._context.run(next, self._iterator)
        except StopIteration:
            self._end(TaskDone, self._iterator)
        except BaseException as error:
            late = self._fail(caught(error))
            if late is not None:
                report_failure(late, f"{self!r} raised", self._context)
        else:
            if isinstance(result, Deferred) and self._ended is None:
                self._waiting_on = result
                self._cooperator._leave(self)
                result.addCallbacks(self._arrived, self._fail)

    def _arrived(self, _: object) -> None:
        self._waiting_on = None
        self._go_on()

    def _fail(self, failure: Failure) -> Failure | None:
        """End with an error; it is returned when it comes too late, and kept for a report when nobody listens."""
        if self._ended is not None:
            return failure
        if not self._listeners:
            self._unheard = self._context.copy().run(fail, failure)
        self._end(TaskFailed, failure)
        return None

    def _end(self, how: type[SchedulerError], result: It | Failure) -> None:
        """End the task, unless it has ended."""
        if self._ended is not None:
            return
        self._ended, self._result = how, result
        self._cooperator._leave(self)
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._tell(listener)

    @in_turn
    def _tell(self, listener: Deferred[It]) -> Deferred[It]:
        """Fire `listener` when the task has ended."""
        if self._ended is None:
            self._listeners.append(listener)
            return listener
        result = self._hear()
        if isinstance(result, Failure):
            listener.errback(result)
        else:
            listener.callback(result)
        return listener

    def _give_up(self, _: Deferred[It]) -> None:
        """The one Deferred by which this task is known was cancelled."""
        if self._ended is None:
            self._listeners.clear()
            self.stop()

    @property
    def state(self) -> str:
        """In words: "running", "paused", "waiting for" a Deferred, "done", "stopped", "failed", ..."""
        if self._ended is not None:
            return _ENDED[self._ended]
        if self._pauses:
            return "paused"
        return "running" if self._waiting_on is None else f"waiting for {self._waiting_on!r}"

    @property
    def label(self) -> str:
        """The name of the generator, or what the iterator is."""
        return name_of(self._iterator)

    def __repr__(self) -> str:
        return f"<CooperativeTask {self.label} {self.state}>"


@runtime_checkable
class _Cancellable(Protocol):
    def cancel(self) -> object: ...


def _ten_milliseconds() -> Callable[[], bool]:
    end = perf_counter() + SLICE
    return lambda: perf_counter() >= end


def _next_round(tick: Callable[[], None]) -> IDelayedCall:
    call: IDelayedCall = the_reactor().callLater(0, tick)
    return call


class Cooperator:
    """Steps through the iterators it is given, so that they and everything else get on side by side.

    `terminationPredicateFactory` is called when a slice begins; the function it returns is asked after each step
    whether the slice is over (default: after 10 ms). `scheduler` is called with a function that takes the next
    slice, is to call that later, and may return something with ``cancel()`` (default: the process's reactor calls
    it in its next round). With `started` false, nothing is stepped before `start`. Any thread may call anything.
    """

    def __init__(
        self,
        terminationPredicateFactory: Callable[[], Callable[[], bool]] = _ten_milliseconds,
        scheduler: Callable[[Callable[[], None]], IDelayedCall | None] = _next_round,
        started: bool = True,
    ) -> None:
        self._new_slice = terminationPredicateFactory
        self._scheduler = scheduler
        self._started = started
        self._stopped = False
        # Those that can go on, the next one first; and those that wait or are paused, if anybody still knows them.
        self._row: OrderedDict[CooperativeTask[Any], None] = OrderedDict()
        self._aside: WeakSet[CooperativeTask[Any]] = WeakSet()
        self._tick = _Tick(self)
        self._ticking = False
        self._scheduled: object = None

    @property
    def running(self) -> bool:
        """Whether tasks are being stepped: it was started, and not stopped since."""
        return self._started and not self._stopped

    def cooperate(self, iterator: It) -> CooperativeTask[It]:
        """Add an iterator; the result is a handle on it. `TypeError` when it is none.

        On a Cooperator that was stopped, the task has ended with `SchedulerStopped`.
        """
        return CooperativeTask(iterator, self)

    def coiterate(self, iterator: It, doneDeferred: Deferred[It] | None = None) -> Deferred[It]:
        """Add an iterator; `doneDeferred`, or else a new Deferred, fires when it has ended, as `whenDone` does.

        Cancelling the new Deferred stops the task.
        """
        task = CooperativeTask(iterator, self)
        if doneDeferred is None:
            return task._tell(Deferred(task._give_up))
        task.whenDone().chainDeferred(doneDeferred)
        return doneDeferred

    @in_turn
    def start(self) -> None:
        """Begin to step, or begin again after `stop`. Harmless when it is running."""
        self._started, self._stopped = True, False
        self._schedule()

    @in_turn
    def stop(self) -> None:
        """End all tasks, those that wait or are paused too, with `SchedulerStopped`, and take no more until `start`."""
        self._stopped = True
        for task in [*self._row, *self._aside]:
            task._end(SchedulerStopped, _stopped())

    @in_turn
    def _enter(self, task: CooperativeTask[Any]) -> None:
        """Put `task` at the end of the row."""
        if self._stopped:
            task._end(SchedulerStopped, _stopped())
            return
        self._aside.discard(task)
        self._row[task] = None
        self._schedule()

    def _leave(self, task: CooperativeTask[Any]) -> None:
        """Take `task` out of the row; without tasks there is nothing to schedule."""
        self._row.pop(task, None)
        if task._ended is None:
            self._aside.add(task)
        else:
            self._aside.discard(task)
        scheduled = self._scheduled
        if not self._row and isinstance(scheduled, _Cancellable):
            self._scheduled = None
            if _still_comes(scheduled):
                scheduled.cancel()

    def _schedule(self) -> None:
        if not self._row or not self.running or self._ticking:
            return
        if self._scheduled is not None and _still_comes(self._scheduled):
            return
        self._scheduled = self._tick
        # The timer is all tasks' own: in the context of one of them, it would be closed with what else that one opened.
        call = Context().run(self._scheduler, self._tick)
        if call is not None and self._scheduled is self._tick:
            self._scheduled = call

    def _take_slice(self) -> None:
        """Let the tasks take steps, one each in turn, until the slice is over."""
        self._scheduled, self._ticking = None, True
        try:
            over = self._new_slice()
            while self._row:
                task = next(iter(self._row))
                task._step()
                if task in self._row:
                    self._row.move_to_end(task)
                if over():
                    break
        finally:
            self._ticking = False
            self._schedule()


class _Tick:
    """What a Cooperator schedules: a call that takes a slice, and that a table of timers shows by the tasks' names."""

    __slots__ = ("_cooperator",)

    def __init__(self, cooperator: Cooperator) -> None:
        self._cooperator = cooperator

    @in_turn
    def __call__(self) -> None:
        self._cooperator._take_slice()

    def __repr__(self) -> str:
        row = self._cooperator._row
        names = [name_of(task._iterator) for task in islice(row, _NAMES_SHOWN)]
        more = [f"{len(row) - _NAMES_SHOWN} more"] if len(row) > _NAMES_SHOWN else []
        return f"cooperate({', '.join(names + more)})"


def _still_comes(scheduled: object) -> bool:
    """Whether the slice that a scheduler promised comes, as far as can be known: a reactor that ended took it back."""
    active = getattr(scheduled, "active", None)
    return active is None or bool(active())


def _stopped() -> Failure:
    return Failure(SchedulerStopped("the Cooperator was stopped: start() it before adding tasks"))


_the_cooperator = Cooperator()


def cooperate(iterator: It) -> CooperativeTask[It]:
    """Add an iterator to the process's Cooperator, which runs on the process's reactor; see `Cooperator.cooperate`."""
    return _the_cooperator.cooperate(iterator)


def coiterate(iterator: It) -> Deferred[It]:
    """Add an iterator to the process's Cooperator; see `Cooperator.coiterate`."""
    return _the_cooperator.coiterate(iterator)
