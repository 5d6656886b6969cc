"""System event triggers: what is to happen around start-up and shutdown.

An event has three phases. All "before" triggers run first, and the Deferreds that they return are waited
for; then "during", then "after". Each trigger runs once. Startup triggers that are added when the reactor
already runs have their event behind them; ``callWhenRunning`` is the call for that. A program may have
events of its own, by any other name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal, TypeAlias, get_args

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.logger import report_failure
from wirebook.turn import in_turn

Phase: TypeAlias = Literal["before", "during", "after"]
_PHASES: tuple[Phase, ...] = get_args(Phase)

_Call: TypeAlias = tuple[Context, Callable[..., Any], tuple[Any, ...], dict[str, Any]]
TriggerID: TypeAlias = tuple[str, Phase, int]


class Triggers:
    """The triggers of one reactor, by event and phase. Used in the turn."""

    def __init__(self) -> None:
        self._calls: dict[TriggerID, _Call] = {}
        self._last = 0

    def add(
        self, phase: Phase, event: str, func: Callable[..., Any], args: tuple[Any, ...], kw: dict[str, Any]
    ) -> TriggerID:
        """Register a call; the result is what `remove` takes."""
        if phase not in _PHASES:
            raise KeyError(f"a trigger's phase is one of {', '.join(_PHASES)}, not {phase!r}")
        if not isinstance(event, str) or not event:
            raise TypeError(f"a system event has a name, for example 'shutdown', not {event!r}")
        if not callable(func):
            raise TypeError(f"a trigger needs something to call, not {func!r}")
        self._last += 1
        key = (event, phase, self._last)
        self._calls[key] = (copy_context(), func, args, kw)
        return key

    def remove(self, key: TriggerID) -> None:
        """Forget a call that has not run."""
        if not isinstance(key, tuple):
            raise TypeError(f"a trigger is what addSystemEventTrigger() has returned, not {key!r}")
        if key not in self._calls:
            raise ValueError(f"there is no trigger {key!r}: it has run already, was removed, or never was one")
        del self._calls[key]

    def fire(
        self,
        event: str,
        now: Callable[[], object] = lambda: None,
        wanted: Callable[[Context], bool] = lambda context: True,
    ) -> Deferred[None]:
        """Run the event's triggers. Fires when all three phases are done; a trigger that raises is reported.

        `now` is called when what was to be before the event has been: it happens. Only triggers that were added in
        a context that is `wanted` are run; the others stay.
        """
        done: Deferred[None] = Deferred()
        waiting = [result for result in self._run(event, "before", wanted) if isinstance(result, Deferred)]
        left = len(waiting)

        def one_less(result: Any) -> None:
            nonlocal left
            if isinstance(result, Failure):
                report_failure(result, f"a Deferred from a 'before' trigger of {event} failed")
            left -= 1
            if left == 0:
                finish()

        def finish() -> None:
            now()
            self._run(event, "during", wanted)
            self._run(event, "after", wanted)
            done.callback(None)

        for deferred in waiting:
            deferred.addBoth(one_less)
        if not waiting:
            finish()
        return done

    def _run(self, event: str, phase: Phase, wanted: Callable[[Context], bool]) -> list[Any]:
        keys = [key for key, call in self._calls.items() if key[:2] == (event, phase) and wanted(call[0])]
        results = []
        for key in keys:
            # A trigger may remove a later one.
            call = self._calls.pop(key, None)
            if call is None:
                continue
            context, func, args, kw = call
            try:
                results.append(context.run(func, *args, **kw))
            except SystemExit:
                raise
            except BaseException:
                report_failure(Failure(), f"a {phase!r} trigger of {event} raised: {func!r}", context)
        return results


class SystemEvents:
    """The part of a reactor that programs attach to its start and end."""

    running: bool
    _triggers: Triggers

    @in_turn
    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> TriggerID | None:
        """Call it now if the reactor runs, otherwise when it starts (the result can then be removed)."""
        if self.running:
            callable(*args, **kw)
            return None
        return self._triggers.add("after", "startup", callable, args, kw)

    @in_turn
    def addSystemEventTrigger(
        self, phase: Phase, eventType: str, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> TriggerID:
        """Call it "before", "during" or "after" the event "startup", "shutdown", or one of the program's own."""
        return self._triggers.add(phase, eventType, callable, args, kw)

    @in_turn
    def removeSystemEventTrigger(self, triggerID: TriggerID) -> None:
        """Take back what `addSystemEventTrigger` or `callWhenRunning` returned."""
        self._triggers.remove(triggerID)

    @in_turn
    def fireSystemEvent(self, eventType: str) -> Deferred[None]:
        """Run the triggers of an event. Fires when they are done."""
        return self._triggers.fire(eventType)
