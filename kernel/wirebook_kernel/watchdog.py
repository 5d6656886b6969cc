"""The watchdog: what keeps the reactor is named while it lasts, and interrupted when the stop button says so.

Nothing can arrive and nothing can be called while one callback has the turn. When that takes over a second, the
cell that the callback belongs to is told: which callback, on which line, for how long, how much waits, and what to
use instead. The same goes for a cell that holds the turn itself.

It watches without being told anything by the reactor, so the reactor is no slower for it: a few times in a second a
thread looks whether somebody has the turn, and only then stands in line for it. As the turn is fair, it comes
within one batch, or the batch is what is to be reported. A stall is found up to a quarter of the limit after it began.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from _thread import get_ident
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, NamedTuple, TypeAlias

from IPython.display import display

from wirebook import reactor
from wirebook.reactor.backlog import Backlog, backlog
from wirebook.reactor.loop import ReactorBase
from wirebook.turn import turn
from wirebook_kernel.frames import Position, position_of
from wirebook_kernel.hogs import Interruption, is_reactor
from wirebook_kernel.html import card, counted
from wirebook_kernel.interrupts import bell, press_again

LIMIT: Final = 1.0
LEAST_LIMIT: Final = 0.05
# The time between two looks at who has the turn, as a share of the limit.
LOOKING: Final = 0.25
# Seconds that the watchdog stands in line before it looks up.
SLICE: Final = 0.05
# The share of the time for which a thread that computes has a processor, also on a busy machine.
COMPUTING: Final = 0.1


class Stall(NamedTuple):
    """One callback (or cell) that keeps the turn: ``seconds`` so far, or in all when it is ``over``.

    ``place`` says where it is for people, ``computing`` whether it uses the processor, ``in_cell`` whether it is a
    cell that holds the turn.
    """

    at: Position
    place: str
    waiting: Backlog
    seconds: float
    computing: bool
    in_cell: bool
    over: bool = False

    @property
    def title(self) -> str:
        """Who, and for how long."""
        who = "This cell" if self.in_cell else f"{self.at.function}()"
        if self.over:
            return f"{who} kept the reactor waiting: it took {self.seconds:.1f} s"
        return f"{who} keeps the reactor waiting: {self.seconds:.1f} s so far"

    @property
    def advice(self) -> str:
        """What to do instead."""
        if self.in_cell:
            return "Nothing is called while a cell holds the turn: leave 'with reactor.turn()' before what takes long."
        if self.computing:
            return (
                "It computes: make it a generator that yields between its steps and hand that to cooperate() "
                "(a Cooperator), or compute in a thread: deferToThread()."
            )
        if self.at.call:
            return f"{self.at.call}() blocks, and everything waits with it: use deferToThread({self.at.call}, ...)."
        return "It blocks, and everything waits with it: use deferToThread()."

    @property
    def events(self) -> str:
        """What waits."""
        ready, due, calls = self.waiting
        kinds = ((ready, "descriptor"), (due, "timer"), (calls, "call"))
        parts = [counted(number, kind) for number, kind in kinds if number]
        waited = "waited" if self.over else "wait" if sum(self.waiting) != 1 else "waits"
        return f"{counted(sum(self.waiting), 'event')} {waited} for it{': ' if parts else ''}{', '.join(parts)}"

    def __repr__(self) -> str:
        line = f"\n    {self.at.source}" if self.at.source else ""
        return f"{self.title}, at {self.place}{line}\n{self.events}. {self.advice}"

    def _repr_html_(self) -> str:
        facts = (("at", self.place), ("events", self.events), ("instead", self.advice))
        return card(self.title, "over" if self.over else "stalled", facts, self.at.source)


Update: TypeAlias = Callable[[Stall], object]


def show_in_cell(stall: Stall, context: Context) -> Update:
    """Display `stall` in the cell that `context` belongs to; what is returned replaces it there by another."""
    handle: Any = context.copy().run(display, stall, display_id=True)
    return lambda later: context.copy().run(handle.update, later)


def plain_place(file: str, line: int) -> str:
    """Where something is, without knowing cells."""
    return f"{file}, line {line}"


class Watchdog:
    """Watches one reactor, in a thread of its own from `start` to `stop`. Any thread may call its methods.

    ``show`` tells people of a stall, given the context that it belongs to, and returns what tells them later how it
    went on; ``place`` words a file and a line.
    """

    def __init__(self, watched: ReactorBase) -> None:
        self._reactor = watched
        self.show: Callable[[Stall, Context], Update] = show_in_cell
        self.place: Callable[[str, int], str] = plain_place
        self._limit: float | None = LIMIT
        self._cells: dict[int, Context] = {}
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def limit(self) -> float | None:
        """How many seconds one may keep the turn before it is reported; None: for ever. May be set."""
        return self._limit

    @limit.setter
    def limit(self, seconds: float | None) -> None:
        if seconds is not None and not LEAST_LIMIT <= seconds < threading.TIMEOUT_MAX:
            raise ValueError(f"a limit is a number of seconds from {LEAST_LIMIT} up, or None, not {seconds!r}")
        self._limit = seconds
        bell.ring()

    def start(self) -> None:
        """Begin to watch."""
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="wirebook-watchdog", daemon=True)
        self._thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
        self._thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
        self._thread.start()

    def stop(self) -> None:
        """End the thread; harmless when there is none."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended = True
            bell.ring()
            thread.join()

    def note_cell(self, info: object = None) -> None:
        """A cell begins on this thread, in this context."""
        self._cells[get_ident()] = copy_context()

    # --- its thread ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._ended:
            bell.wait(-1 if self._limit is None else self._limit * LOOKING)
            press_again()
            pressed = bell.take_press()
            if turn.owner and not self._ended:
                with Interruption(pressed) as interruption:
                    self._stand_in_line(interruption)

    def _stand_in_line(self, interruption: Interruption) -> None:
        """Wait until the turn comes; meanwhile report what keeps it, and interrupt that if the user wants it."""
        began = time.monotonic()
        # It began at some time since the last look.
        unseen = 0.0 if self._limit is None else self._limit * LOOKING / 2
        seen = _Sighting(turn.owner)
        stall, update = None, None
        while not turn.comes_within(SLICE) and not self._ended:
            press_again()
            interruption.urge()
            kept = time.monotonic() - began
            if stall is None and self._limit is not None and kept >= self._limit:
                stall = self._describe(seen, kept)
                update = None if stall is None else self._tell(stall, seen)
        if stall is not None and update is not None:
            update(stall._replace(seconds=unseen + time.monotonic() - began, over=True))

    def _describe(self, seen: _Sighting, kept: float) -> Stall | None:
        frame = sys._current_frames().get(turn.owner)
        if frame is None:
            return None
        at = position_of(frame)
        place = self.place(at.file, at.line) if at.file else "a function written in C"
        in_cell = at.context is None and not is_reactor(seen.thread)
        return Stall(at, place, backlog(self._reactor), kept, seen.computes(kept), in_cell)

    def _tell(self, stall: Stall, seen: _Sighting) -> Update:
        context = stall.at.context or self._cells.get(seen.thread) or copy_context()
        return self.show(stall, context)


class _Sighting:
    """A thread that was seen with the turn, and how much it had computed by then."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self._computed = self._processor_time()

    def computes(self, seconds: float) -> bool:
        """Whether it has computed since, `seconds` ago, rather than waited."""
        return self._processor_time() - self._computed > COMPUTING * seconds

    def _processor_time(self) -> float:
        """Seconds that the thread has had a processor; 0 where that is not known, and when it has ended."""
        native = next((each.native_id for each in threading.enumerate() if each.ident == self.thread), None)
        try:
            with open(f"/proc/self/task/{native}/stat") as stat:
                user, system = stat.read().rpartition(")")[2].split()[11:13]
        except OSError:
            return 0.0
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


watchdog: Final = Watchdog(reactor)
"""The one that watches the process's reactor."""
