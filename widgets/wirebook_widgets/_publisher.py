"""The publisher: one thread that keeps every open view in every page up to date.

Some facts that decide its shape:

- What is sent to a page goes through iopub, which never refuses: it buffers without limit, then drops in
  silence. So every message has a number, a page acknowledges it, and the next one waits for that.
- Messages from a page may be handled late: in a stock kernel not before the running cell ends. A silent
  page therefore still gets a message a second, until a fixed number is outstanding.
- Clients that connect wait until iopub has been quiet for 0.2 s. So nothing is sent before a page looks,
  nothing when nothing changed, and a busy view takes a breath every two seconds.
- iopub reaches every page at once: two tabs with the same view share one numbering, and the slower sets
  the pace until it is given up.

`Pace` decides when, `Feed` is one view being published, `Publisher` is the thread. All but the thread take
the time as an argument and never wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Protocol, TypeAlias

from wirebook.failure import Failure
from wirebook.logger import report_failure
from wirebook.turn import turn

INTERVAL = 0.1
"""Seconds between two messages of a view, at least."""
STALL = 1.0
"""Seconds between two messages while a page has not acknowledged the last."""
OUTSTANDING = 60
"""Unacknowledged messages after which a page is taken for gone, when no page answers."""
FEW = 3
"""The same, while another page does answer."""
BURST, BREATH = 20, 0.35
"""After so many messages in a row, so many seconds of silence."""
SHARE = 0.05
"""The part of one processor that publishing a view may cost: large tables are sent less often."""
REST = 30.0
"""Seconds without a looking page after which a view stops observing."""
PAGES = 32
"""Pages of one view that are remembered."""

Content: TypeAlias = dict[str, Any]


class Publishable(Protocol):
    """What the publisher needs of a view. All of it is called on the publisher's thread."""

    def wake(self) -> None:
        """Begin to observe."""

    def rest(self) -> None:
        """Nobody looks: stop observing and let go of what is only needed for deltas."""

    def capture(self) -> Any:
        """Copy, in the turn, what the next delta is made of. Must be quick."""

    def delta(self, captured: Any, fresh: bool) -> Content | None:
        """What changed since the last delta, outside the turn; None if nothing did.

        With `fresh` everything counts as changed, and the answer is never None.
        """

    def send(self, content: Content) -> None:
        """Send a custom message to every page."""


class Pace:
    """When the next message of one view may go, and which pages still look at it."""

    def __init__(self, now: float, outstanding: int = OUTSTANDING) -> None:
        self.number = 0
        self.fresh = True
        self.idle_since = now
        self._outstanding = outstanding
        self._acked: dict[str, int] = {}
        self._ready_at = now
        self._sent_at = -inf
        self._burst = 0

    @property
    def looking(self) -> bool:
        """Whether any page looks."""
        return bool(self._acked)

    def look(self, page: str, number: int) -> None:
        """`page` is visible and has applied every message up to `number`."""
        self._acked.pop(page, None)
        while len(self._acked) >= PAGES:
            del self._acked[next(iter(self._acked))]
        self._acked[page] = self.number
        self.fresh = self.fresh or number != self.number

    def hide(self, page: str, now: float) -> None:
        """`page` is out of sight."""
        self._acked.pop(page, None)
        self.idle_since = now

    def ack(self, page: str, number: int) -> None:
        """`page` has shown message `number`."""
        self._acked[page] = min(self.number, max(number, self._acked.get(page, 0)))

    def resync(self, page: str) -> None:
        """`page` has missed a message."""
        self._acked[page] = self.number
        self.fresh = True

    def due(self) -> float | None:
        """When the next message may go; None while nobody looks."""
        if not self._acked:
            return None
        if min(self._acked.values()) < self.number:
            return max(self._ready_at, self._sent_at + STALL)
        return self._ready_at

    def prepared(self, now: float, cost: float) -> None:
        """A delta was made, sent or not, and took `cost` seconds of processor time."""
        self._ready_at = now + max(INTERVAL, cost / SHARE)

    def sent(self, now: float) -> None:
        """The next message went out."""
        self.fresh = False
        self._burst = self._burst + 1 if now - self._sent_at < BREATH else 1
        if self._burst >= BURST:
            self._ready_at = max(self._ready_at, now + BREATH)
        answered = max(self._acked.values(), default=0) == self.number
        self.number += 1
        self._sent_at = now
        self._give_up(FEW if answered else self._outstanding, now)

    def _give_up(self, limit: int, now: float) -> None:
        for page in [page for page, acked in self._acked.items() if self.number - acked >= limit]:
            self.hide(page, now)


class Feed:
    """One view while it is published, in the context of the cell that displayed it."""

    def __init__(self, view: Publishable, context: Context, now: float) -> None:
        self.context = context
        self._view = view
        self._pace = Pace(now)
        self._awake = False

    def wake(self) -> None:
        """Let the view observe, from before the first page looks."""
        self._awake = True
        self._view.wake()

    def hear(self, content: Content, now: float) -> None:
        """Take a pacing message of a page; one that is malformed is ignored."""
        kind, page, number = content.get("type"), content.get("page"), content.get("seq", 0)
        if not isinstance(page, str) or len(page) > 64 or not isinstance(number, int):
            return
        if kind == "look":
            self._pace.look(page, number)
        elif kind == "hide":
            self._pace.hide(page, now)
        elif kind == "ack":
            self._pace.ack(page, number)
        elif kind == "resync":
            self._pace.resync(page)

    def tell(self, content: Content) -> None:
        """Send to the pages."""
        self.context.copy().run(self._view.send, content)

    def wake_time(self) -> float | None:
        """When `step` has something to do; None: not before a page says something."""
        if self._awake and not self._pace.looking:
            return self._pace.idle_since + REST
        return self._pace.due()

    def step(self, now: float) -> None:
        """Do what is due."""
        due = self.wake_time()
        if due is None or due > now:
            return
        if self._pace.looking:
            self._publish(now)
        else:
            self._awake = False
            self._pace.fresh = True
            self._view.rest()

    def _publish(self, now: float) -> None:
        if not self._awake:
            self.wake()
        started = time.thread_time()
        fresh = self._pace.fresh
        with turn:
            captured = self._view.capture()
        delta = self._view.delta(captured, fresh)
        if delta is not None:
            self.tell({"type": "delta", "seq": self._pace.number + 1, "full": fresh, "body": delta})
        self._pace.prepared(now, time.thread_time() - started)
        if delta is not None:
            self._pace.sent(now)


class Publisher:
    """The thread that publishes every open view. Its methods may be called on any thread.

    The thread starts with the first view and ends with the last. `start` runs a callable on a new thread;
    tests pass one that does nothing and call `drain` and `step` themselves.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._clock = clock
        self._start = start or start_daemon
        self._inbox: SimpleQueue[Callable[[float], None]] = SimpleQueue()
        self._feeds: dict[Publishable, Feed] = {}
        self._running = False
        self._lock = Lock()

    def open(self, view: Publishable) -> None:
        """Publish `view`, with the caller's context; nothing changes if it is published already."""
        with self._lock:
            self._inbox.put(partial(self._opened, view, copy_context()))
            if not self._running:
                self._running = True
                self._start(self._run)

    def close(self, view: Publishable) -> None:
        """Publish `view` no more."""
        self._inbox.put(partial(self._closed, view))

    def hear(self, view: Publishable, content: Content) -> None:
        """Take a pacing message ("look", "hide", "ack", "resync") that a page sent to `view`."""
        self._inbox.put(partial(self._heard, view, content))

    def tell(self, view: Publishable, content: Content) -> None:
        """Send `content` to the pages of `view`, outside its pace: for answers."""
        self._inbox.put(partial(self._told, view, content))

    def drain(self, now: float) -> None:
        """Carry out, on the publisher's thread, what other threads have asked for."""
        while not self._inbox.empty():
            self._inbox.get()(now)

    def step(self, now: float) -> float | None:
        """Send what is due; returns the seconds until something will be, None for never."""
        for view, feed in list(self._feeds.items()):
            self._guard(view, feed, partial(feed.step, now))
        times = [due for feed in self._feeds.values() if (due := feed.wake_time()) is not None]
        return max(0.0, min(times) - now) if times else None

    def _run(self) -> None:
        wait: float | None = None
        while True:
            with suppress(Empty):
                self._inbox.get(timeout=wait)(self._clock())
            self.drain(self._clock())
            with self._lock:
                if not self._feeds and self._inbox.empty():
                    self._running = False
                    return
            wait = self.step(self._clock())

    def _opened(self, view: Publishable, context: Context, now: float) -> None:
        if view not in self._feeds:
            self._feeds[view] = feed = Feed(view, context, now)
            self._guard(view, feed, feed.wake)

    def _closed(self, view: Publishable, now: float) -> None:
        if self._feeds.pop(view, None):
            view.rest()

    def _heard(self, view: Publishable, content: Content, now: float) -> None:
        if feed := self._feeds.get(view):
            feed.hear(content, now)

    def _told(self, view: Publishable, content: Content, now: float) -> None:
        if feed := self._feeds.get(view):
            self._guard(view, feed, partial(feed.tell, content))

    def _guard(self, view: Publishable, feed: Feed, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # one broken view must not end the others
            self._closed(view, 0.0)
            report_failure(Failure(), f"{view!r} is no longer updated: publishing it failed", feed.context)


def start_daemon(run: Callable[[], None]) -> None:
    """Run on a daemon thread that a debugger does not stop."""
    thread = Thread(target=run, name="wirebook-publisher", daemon=True)
    for flag in ("pydev_do_not_trace", "is_pydev_daemon_thread"):
        setattr(thread, flag, True)
    thread.start()


publisher = Publisher()
