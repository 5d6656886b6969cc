"""The kqueue poller (macOS and the BSDs).

kqueue keeps one filter per direction, so a mask becomes up to two entries; both are edge-free (level) without
EV_CLEAR. A close removes a descriptor's filters by itself, but `remove` is called before it all the same, as
for epoll. Changes from another thread take effect while kevent waits.
"""

from __future__ import annotations

import select
import sys

from wirebook.reactor.poller import READ, WRITE

if sys.platform != "linux" and sys.platform != "win32":

    class KqueuePoller:
        """`wirebook.reactor.poller.Poller` on kqueue. At most `batch` events are fetched at a time."""

        needs_wake = False

        def __init__(self, batch: int = 512) -> None:
            self._kqueue = select.kqueue()
            self._batch = batch
            self._masks: dict[int, int] = {}

        def add(self, fd: int, mask: int) -> None:
            if fd in self._masks:
                raise FileExistsError(f"descriptor {fd} is watched already")
            self._masks[fd] = 0
            self.change(fd, mask)

        def change(self, fd: int, mask: int) -> None:
            changed = self._masks[fd] ^ mask
            for bit, kind in ((READ, select.KQ_FILTER_READ), (WRITE, select.KQ_FILTER_WRITE)):
                if changed & bit:
                    verb = select.KQ_EV_ADD if mask & bit else select.KQ_EV_DELETE
                    self._kqueue.control([select.kevent(fd, kind, verb)], 0, 0)
            self._masks[fd] = mask

        def remove(self, fd: int) -> None:
            self.change(fd, 0)
            del self._masks[fd]

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            events = self._kqueue.control(None, self._batch, None if timeout < 0 else timeout)
            return [(event.ident, READ if event.filter == select.KQ_FILTER_READ else WRITE) for event in events]

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def close(self) -> None:
            self._kqueue.close()
