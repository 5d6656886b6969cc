"""Running a program's main function: what a script does with the reactor from its first line to its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from wirebook.deferred import Deferred, ensureDeferred
from wirebook.error import ReactorNotRunning
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.logger import report_failure
from wirebook.reactor import ReactorBase
from wirebook.turn import turn


def react(
    main: Callable[..., Deferred[Any] | Coroutine[Any, Any, Any]],
    argv: Iterable[Any] = (),
    _reactor: Any = None,
) -> None:
    """Call ``main(reactor, *argv)``, run the reactor until its Deferred or coroutine has ended, and exit.

    The exit code is 0, or 1 when `main` failed: its error is then logged, which without other arrangements
    writes it to standard error. A `SystemExit` out of `main` decides the code itself. When the reactor is stopped
    before (SIGINT, SIGTERM, ``reactor.stop()``), the code is 0 as well. What `main` raises before there is a
    Deferred is raised here, and `TypeError` when it returns something else.

    `_reactor` is the process's reactor unless another one is given. Where that is hosted, as in a kernel, this
    waits as ``run()`` does there, and what the program has opened is closed. It returns then instead of exiting with 0,
    so that the next cell gets its turn; with another code it exits. A `main` that has not ended when the reactor is
    stopped, or this is interrupted, is cancelled.
    """
    turn.refuse_to_wait("react()")
    reactor = the_reactor() if _reactor is None else _reactor
    finished = ensureDeferred(main(reactor, *argv))
    hosted = isinstance(reactor, ReactorBase) and reactor.hosting.active
    code = (_wait_beside if hosted else _run_for)(reactor, finished)
    if code or not hosted:
        sys.exit(code)


def _run_for(reactor: Any, finished: Deferred[Any]) -> Any:
    """Run `reactor` until `finished` fires or something else stops it; the exit code."""
    code: Any = 0

    def end(result: Any) -> None:
        nonlocal code
        code = _code_of(result)
        reactor.callWhenRunning(_stop, reactor)

    finished.addBoth(end)
    reactor.run()
    return code


def _wait_beside(reactor: ReactorBase, finished: Deferred[Any]) -> Any:
    """Wait for `finished`, or until the program is stopped, while `reactor` runs in its own thread; the exit code."""
    outcome: list[Any] = []
    finished.addBoth(outcome.append)
    try:
        reactor.hosting.wait_for_stop(finished)
    finally:
        # What comes of cancelling it is no outcome.
        before = outcome.copy()
        finished.cancel()
    return _code_of(before[0]) if before else 0


def _code_of(result: Any) -> Any:
    """The exit code for what `main` has come to."""
    if not isinstance(result, Failure):
        return 0
    if isinstance(result.value, SystemExit):
        return result.value.code
    report_failure(result, "the main function of react() failed")
    return 1


def _stop(reactor: Any) -> None:
    try:
        reactor.stop()
    except ReactorNotRunning:
        # Somebody else was faster.
        return
