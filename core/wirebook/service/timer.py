"""A service that calls a function again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IReactorTime
from wirebook.logger import report_failure
from wirebook.service.tree import Service
from wirebook.task import LoopingCall
from wirebook.turn import in_turn


class TimerService(Service):
    """Calls ``callable(*args, **kwargs)`` every `step` seconds while it runs, for the first time at its start.

    An error ends the calls and is reported. ``clock`` is whose time counts, by default (None) the process's
    reactor's; ``call`` the triple (callable, args, kwargs). Set them before `startService`.
    """

    _loop: LoopingCall | None = None
    _finished: Deferred[Any] | None = None

    def __init__(self, step: float, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.step = step
        self.call = (callable, args, kwargs)
        self.clock: IReactorTime | None = None

    @in_turn
    def startService(self) -> None:
        """Begin to call. Any thread."""
        super().startService()
        function, args, kwargs = self.call
        self._loop = LoopingCall(function, *args, **kwargs)
        self._loop.clock = the_reactor() if self.clock is None else self.clock
        self._finished = self._loop.start(self.step, now=True).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        report_failure(failure, f"a TimerService calls {self.call[0]!r} no more: it raised")

    @in_turn
    def stopService(self) -> Deferred[None]:
        """Call no more. Fires when a call under way has ended, until when it is still running. Any thread."""
        loop, finished = self._loop, self._finished
        if loop is None or finished is None:
            super().stopService()
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        finished.addCallback(self._end, loop, stopped)
        if loop.running:
            loop.stop()
        return stopped

    def _end(self, result: object, loop: LoopingCall, stopped: Deferred[None]) -> object:
        # It may have been started again meanwhile.
        if loop is self._loop:
            super().stopService()
        stopped.callback(None)
        return result

    def __getstate__(self) -> dict[str, Any]:
        passing = {"_loop", "_finished"}
        return {name: value for name, value in super().__getstate__().items() if name not in passing}
