"""The epoll poller (Linux).

Some facts about epoll that shape this file and its users:

- The kernel's set holds open file *descriptions*, not numbers. Closing a number whose description lives on
  (dup, a forked child) leaves a ghost that reports events for a number nobody knows. Hence `remove` before
  every close, and the run loop ignores numbers that it does not know.
- Level-triggered: an event is reported again until it is dealt with. Nothing is lost by reading once per
  event, and nothing starves, because ready descriptors rotate.
- EPOLLHUP and EPOLLERR are reported even when the mask is 0. A paused connection whose peer reset it would
  wake the loop for ever; who gets a bare hang-up must take the descriptor out until it wants to read again.
- epoll_ctl from another thread takes effect in an epoll_wait that is already waiting: no wake-up is needed.
- The timeout has a resolution of a millisecond and Python rounds it up: timers are late, never early.
"""

from __future__ import annotations

import select
import sys

if sys.platform == "linux":

    class EpollPoller:
        """`wirebook.reactor.poller.Poller` on epoll. At most `batch` events are fetched at a time."""

        needs_wake = False

        def __init__(self, batch: int = 512) -> None:
            self._epoll = select.epoll()
            self._batch = batch
            self.add = self._epoll.register
            self.change = self._epoll.modify
            self.remove = self._epoll.unregister
            self.fileno = self._epoll.fileno
            self.close = self._epoll.close

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            return self._epoll.poll(timeout, self._batch)
