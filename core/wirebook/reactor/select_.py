"""The select poller: slow, limited to small descriptor numbers, and available everywhere.

On Linux a socket that is closed while select waits for it lives on until select returns, and its address stays in
use. So who removes a descriptor waits for that, after it has woken the poller.
"""

from __future__ import annotations

import errno
import os
import select
from threading import RLock

from wirebook.reactor.poller import HANGUP, READ, WRITE

# The size of select's sets (FD_SETSIZE): larger numbers do not fit.
_LIMIT = 1024


class SelectPoller:
    """`wirebook.reactor.poller.Poller` on select(2)."""

    # select copies its sets at the start of the call, so a change during it must end it.
    needs_wake = True

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        # Re-entrant for signal handlers, which run inside select.
        self._waiting = RLock()

    def add(self, fd: int, mask: int) -> None:
        if fd >= _LIMIT:
            raise ValueError(f"select cannot watch descriptor {fd}: its limit is {_LIMIT - 1}; use epoll or kqueue")
        if fd in self._masks:
            raise FileExistsError(f"descriptor {fd} is watched already")
        self._masks[fd] = mask

    def change(self, fd: int, mask: int) -> None:
        if fd not in self._masks:
            raise FileNotFoundError(f"descriptor {fd} is not watched")
        self._masks[fd] = mask

    def remove(self, fd: int) -> None:
        with self._waiting:
            del self._masks[fd]

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        with self._waiting:
            return self._poll(timeout)

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        # A copy: other threads add to the set while this one, outside the turn, goes through it.
        masks = self._masks.copy()
        readers = [fd for fd, mask in masks.items() if mask & READ]
        writers = [fd for fd, mask in masks.items() if mask & WRITE]
        try:
            readable, writable, _ = select.select(readers, writers, (), None if timeout < 0 else timeout)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return [(fd, HANGUP) for fd in masks if not _is_open(fd)]
        ready = dict.fromkeys(readable, READ)
        for fd in writable:
            ready[fd] = ready.get(fd, 0) | WRITE
        return list(ready.items())

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self._masks.clear()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
