"""Hearing that a child has exited, and collecting its status.

Not through SIGCHLD: Python has signal handlers on the main thread only, a program or asyncio may want that one for
itself, and it does not tell who exited. A pidfd is readable when its process has exited, in any thread's poller. Where
there is none (macOS, old kernels, no descriptors left), a thread waits and leaves the child to be collected.

Only `collect` takes the status, in the turn. Until then the process identifier cannot be given to another process, so a
signal sent in the turn before that never hits a stranger.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from contextvars import Context

from wirebook.interfaces import IHandle
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ


class ExitWatch:
    """Calls `tell` in the turn, once, when the child `pid`, the one of `process`, has exited. Made in the turn."""

    def __init__(self, reactor: ReactorBase, process: IHandle, pid: int, tell: Callable[[], None]) -> None:
        self._reactor = reactor
        self._process = process
        self._tell = tell
        self._fd = -1
        try:
            self._fd = os.pidfd_open(pid)
            reactor.watch(self._fd, self, READ)
        except (AttributeError, OSError, ValueError):
            # None here, none left, or (select) too large a number.
            self._close()
            threading.Thread(target=self._wait, args=(pid,), name=f"wirebook-child-{pid}", daemon=True).start()

    def _wait(self, pid: int) -> None:
        await_exit(pid)
        self._reactor.callFromThread(self._tell)

    @property
    def label(self) -> str:
        """The process's, for a trace."""
        return self._process.label

    @property
    def context(self) -> Context:
        """The process's."""
        return self._process.context

    def doRead(self) -> None:
        """It has exited; called by the reactor."""
        self._reactor.unwatch(self._fd)
        self._close()
        self._tell()

    hungUp = doRead

    def doWrite(self) -> None:
        """Never asked for."""

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def await_exit(pid: int) -> None:
    """Block until the child `pid` has exited, and leave its status to be collected."""
    try:
        if sys.platform == "linux":
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        else:
            with closing(select.kqueue()) as kqueue:
                event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
                kqueue.control([event], 1, None)
    except (ChildProcessError, ProcessLookupError):
        # Somebody else has collected it, or (kqueue) it has exited before.
        return


def collect(pid: int) -> int | None:
    """The exit status of the child `pid`, which has exited, as ``os.wait`` gives it; None if somebody else has it."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return None
