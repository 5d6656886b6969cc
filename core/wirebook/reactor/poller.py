"""What the run loop needs from the operating system: which descriptors are ready.

Masks are epoll's numbers everywhere, so that the common case needs no translation: `READ`, `WRITE`,
and `HANGUP`: from epoll, for a descriptor without interest in either, that its peer hung up; from select, that
the descriptor was closed without being removed.
"""

from __future__ import annotations

import sys
from typing import Protocol

READ = 0x001
WRITE = 0x004
HANGUP = 0x018


class Poller(Protocol):
    """A set of descriptors, and a way to wait until one of them is ready."""

    needs_wake: bool
    """Whether a change from another thread is seen only by the next `poll`, so that it must be woken."""

    def add(self, fd: int, mask: int) -> None:
        """Watch `fd`; a mask of 0 keeps it known but asks for nothing."""

    def change(self, fd: int, mask: int) -> None:
        """Replace what is asked for."""

    def remove(self, fd: int) -> None:
        """Forget `fd`, which must still be open; no `poll` keeps it afterwards. Where `needs_wake`, wake that first."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """Wait `timeout` seconds at most (-1: without end); descriptors and what they are ready for."""

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` would return something, -1 where there is none."""

    def close(self) -> None:
        """Give the operating system its things back."""


def best_poller() -> Poller:
    """A new poller of the best kind that this system has: epoll, kqueue, or select."""
    if sys.platform == "linux":
        from wirebook.reactor.epoll import EpollPoller

        return EpollPoller()
    if sys.platform != "linux" and sys.platform != "win32":
        from wirebook.reactor.kqueue import KqueuePoller

        return KqueuePoller()
    from wirebook.reactor.select_ import SelectPoller

    return SelectPoller()
