"""What callbacks write into a notebook: how much of it is shown, and that the reactor never waits for it.

A callback that prints in an endless loop, or a server that prints each of 100,000 requests, would bury the page
and the messages of all other cells: servers of notebooks drop everybody's output when there is too much of it.
So what comes from the reactor's thread, and what comes after its cell has ended, is limited for each run of a
cell, and what is left out is counted and told. What a cell itself writes while it runs is never touched.

The limit is for a second at a time. A flood that goes on gets half as much in each further second, down to a few
lines: it would grow the notebook without end otherwise. A second without a flood gives back the whole.

What a thread writes is passed on in whole lines. ``print("got", data)`` writes four times, and ipykernel lets other
threads in after the first one: a worker and the reactor would print into each other's lines.

A stream of ipykernel's gets a class of its own while this is installed, so that whoever has kept the stream, as
handlers of `logging` do, is limited too. Its ``write`` is a property: IPython puts a function there for the length
of each cell, which keeps all that it sees for the history, and must see only what is shown. The note about what
was left out is written by the thread that publishes, when the second is over.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from ipykernel.iostream import OutStream
from ipykernel.zmqshell import ZMQDisplayPublisher

from wirebook import reactor
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.html import counted
from wirebook_kernel.interrupts import undivided

P = ParamSpec("P")
R = TypeVar("R")

LINES_PER_SECOND = 1000
CHARACTERS_PER_LINE = 100
LINES_PER_DISPLAY = 20
LEAST_LINES = 10
WINDOW = 1.0
MOST_BUDGETS = 200
# Seconds and characters that a line may wait for its end.
LINE_SECONDS = 0.1
LINE_CHARACTERS = 10_000


class Followed(Protocol):
    """The part of `Cells` that is needed here."""

    def is_running(self, cell: Cell) -> bool: ...


class Budget:
    """What one run of a cell may still show in this second, and what was left out of it."""

    def __init__(self, limit: int) -> None:
        self.floods = 0
        self.in_line = False
        self.renew(limit)

    def renew(self, limit: int) -> None:
        """Begin a second."""
        self.began = time.monotonic()
        self.lines = max(limit >> self.floods, min(limit, LEAST_LINES))
        self.characters = self.lines * CHARACTERS_PER_LINE
        self.displays = self.lost_lines = self.lost_characters = 0
        self.updates: dict[str, Callable[[], object]] = {}
        self.tell: Callable[[], object] | None = None

    @property
    def flooded(self) -> bool:
        """Whether something was left out in this second."""
        return bool(self.lost_characters or self.displays or self.updates)

    def take(self, text: str) -> str:
        """What of `text` may be shown; the rest is counted as left out."""
        shown = min(len(text), self.characters) if self.lines > 0 else 0
        lines = text.count("\n", 0, shown)
        if lines > self.lines:
            lines, shown = self.lines, _end_of_line(text, self.lines)
        self.lines -= lines
        self.characters -= shown
        self.lost_lines += text.count("\n", shown)
        self.lost_characters += len(text) - shown
        if shown:
            self.in_line = text[shown - 1] != "\n"
        return text[:shown]

    def take_display(self) -> bool:
        """Whether a display may be shown, which costs as much as some lines."""
        shown = self.lines > 0
        self.lines -= LINES_PER_DISPLAY
        return shown

    def summary(self) -> str:
        """What was left out, in words; empty when nothing was but updates that later ones have replaced."""
        lost = []
        if self.lost_lines:
            lost.append(counted(self.lost_lines, "line"))
        elif self.lost_characters:
            lost.append(counted(self.lost_characters, "character"))
        if self.displays:
            lost.append(counted(self.displays, "display"))
        return " and ".join(lost)


def _end_of_line(text: str, number: int) -> int:
    """Where line `number` of `text` ends, counted from 1."""
    end = 0
    for _ in range(number):
        end = text.index("\n", end) + 1
    return end


class Floods:
    """Limits what callbacks write. ``limit`` is how many lines a second for each run of a cell; 0 is no limit."""

    def __init__(self, cells: Followed) -> None:
        self.limit = LINES_PER_SECOND
        self._cells = cells
        self._lock = threading.RLock()
        self._budgets: dict[Cell | None, Budget] = {}
        self._gates: list[StreamGate | DisplayGate] = []
        self._exempt = threading.local()

    def install(self, publisher: Any) -> None:
        """Stand before this process's streams and a shell's `publisher` of displays, where they are ipykernel's."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, OutStream):
                self._gates.append(StreamGate(self, stream))
        if self._gates and isinstance(publisher, ZMQDisplayPublisher):
            self._gates.append(DisplayGate(self, publisher, sys.stdout))

    def uninstall(self) -> None:
        """Stand there no more."""
        self.limit = 0
        while self._gates:
            self._gates.pop().uninstall()

    def is_limited(self) -> bool:
        """Whether what is written here and now comes from a callback: not from a cell at its own work."""
        if not self.limit or getattr(self._exempt, "now", False):
            return False
        if reactor.onReactorThread():
            return True
        cell = current_cell.get()
        return cell is not None and not self._cells.is_running(cell)

    def exempt(self, function: Callable[P, R]) -> Callable[P, R]:
        """`function` as one whose output is no callback's, though it goes to the callback's cell: never limited."""

        @wraps(function)
        def exempted(*args: P.args, **kwargs: P.kwargs) -> R:
            self._exempt.now = True
            try:
                return function(*args, **kwargs)
            finally:
                self._exempt.now = False

        return exempted

    @undivided
    def spend(self, notes: Notes, spending: Callable[[Budget], Any]) -> Any:
        """Let `spending` take from the budget of this context's cell. What it leaves out is noted later."""
        tell = None
        with self._lock:
            budget = self._budget(current_cell.get())
            outcome = spending(budget)
            if budget.flooded and budget.tell is None:
                budget.tell = tell = partial(self._tell, budget, budget.began, notes, copy_context())
                wait = max(0.0, budget.began + WINDOW - time.monotonic())
        if tell is not None:
            # Without the lock: the thread that publishes may wait for it, and this one for that thread.
            notes.after(wait, tell)
        return outcome

    def tell(self, cell: Cell) -> None:
        """Say now what was left out of a cell's output: it ends, and who runs it may not wait for what comes later."""
        budget = self._budgets.get(cell)
        tell = None if budget is None else budget.tell
        if tell is not None:
            tell()

    def _budget(self, cell: Cell | None) -> Budget:
        budget = self._budgets.get(cell)
        if budget is None:
            self._make_room()
            budget = self._budgets[cell] = Budget(self.limit)
        elif not budget.flooded and time.monotonic() - budget.began >= WINDOW:
            budget.floods = 0
            budget.renew(self.limit)
        return budget

    def _make_room(self) -> None:
        if len(self._budgets) >= MOST_BUDGETS:
            over = time.monotonic() - WINDOW
            budgets = self._budgets.items()
            self._budgets = {cell: budget for cell, budget in budgets if budget.flooded or budget.began > over}

    @undivided
    def _tell(self, budget: Budget, began: float, notes: Notes, context: Context) -> None:
        """Say what was left out since the second `began`, show the last update of each display, begin the next one."""
        with self._lock:
            if budget.began != began:
                return
            updates, lost = list(budget.updates.values()), budget.summary()
            budget.floods += 1
            budget.renew(self.limit)
        for update in updates:
            update()
        if lost:
            begin = "\n" if budget.in_line else ""
            budget.in_line = False
            context.run(
                notes.write, f"{begin}⋮ {lost} left out: too much at once (%reactor limit changes how much is)\n"
            )


class Notes:
    """Where notes are written: on `stream`, by the thread that publishes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Make a call in the thread that publishes."""
        publisher = self.stream.pub_thread
        publisher.schedule(lambda: publisher.io_loop.call_later(seconds, call))

    def write(self, text: str) -> None:
        """Write a note on a line of its own, limited by nothing."""
        OutStream.write(self.stream, text)


class LimitedStream:
    """What the class of a stream is made of besides its own while a `StreamGate` stands before it."""

    __slots__ = ()
    _gate: StreamGate

    @property
    def write(self) -> Callable[[str], int | None]:
        """The gate's, whatever is put here."""
        return self._gate.write

    @write.setter
    def write(self, inner: Callable[[str], int | None]) -> None:
        self._gate.inner = inner

    def flush(self) -> None:
        """As the stream's, but the reactor does not wait for it."""
        self._gate.flush()


class Line:
    """The ``text`` of a line that has not ended yet, written in ``context``, after ``ended`` lines that did end.

    ``awaited`` while somebody will look whether it has ended.
    """

    def __init__(self) -> None:
        # Re-entrant, for finalizers and signal handlers write too.
        self.lock = threading.RLock()
        self.text = ""
        self.ended = 0
        self.cell: Cell | None = None
        self.context = copy_context()
        self.awaited = False


class Lines(threading.local):
    """The line of each thread."""

    def __init__(self) -> None:
        self.mine = Line()


class StreamGate:
    """Stands before a stream. ``inner`` is what writes on: the stream's own method, or what was put in its place."""

    def __init__(self, floods: Floods, stream: Any) -> None:
        self._floods = floods
        self._stream = stream
        self._usual = type(stream)
        self._notes = Notes(stream)
        self._passing = threading.local()
        self._lines = Lines()
        self._write, self._flush = self._usual.write.__get__(stream), self._usual.flush.__get__(stream)
        self.inner: Callable[[str], int | None] = vars(stream).pop("write", self._write)
        stream._gate = self
        stream.__class__ = type(self._usual.__name__, (LimitedStream, self._usual), {})

    def uninstall(self) -> None:
        """Give the stream its class back. IPython may put this gate's method there once more: it is open now."""
        self._finish(self._lines.mine)
        self._stream.__class__ = self._usual
        if self.inner != self._write:
            self._stream.write = self.inner
        self.inner = self._write

    @undivided
    def write(self, text: str) -> int | None:
        """As the stream's, line by line, and as far as the limit allows."""
        if getattr(self._passing, "now", False) or not isinstance(text, str) or self._stream.closed:
            # What was put in the stream's place writes on; or the stream itself says what is wrong.
            written: int | None = self._write(text)
            return written
        line, cell = self._lines.mine, current_cell.get()
        with line.lock:
            if line.cell is not cell:
                self._finish(line)
            whole = line.text + text
            end = whole.rfind("\n") + 1 if len(whole) < LINE_CHARACTERS else len(whole)
            line.text = whole[end:]
            if line.text:
                line.cell, line.context = cell, copy_context()
            if end:
                line.ended += 1
                self._pass(whole[:end])
        if line.text and not line.awaited:
            line.awaited = True
            self._await_end(line)
        return len(text)

    def flush(self) -> None:
        """As the stream's, but the reactor hands over itself what was written, and does not wait until it is sent."""
        self._finish(self._lines.mine)
        if reactor.onReactorThread() and self._stream.pub_thread is not None:
            self._stream._flush()
        else:
            self._flush()

    def _await_end(self, line: Line) -> None:
        self._notes.after(LINE_SECONDS, partial(self._look_at, line, line.ended))

    def _look_at(self, line: Line, ended: int) -> None:
        with line.lock:
            line.awaited = bool(line.text) and line.ended != ended
            if not line.awaited:
                self._finish(line)
        if line.awaited:
            self._await_end(line)

    @undivided
    def _finish(self, line: Line) -> None:
        """Pass on what there is of a line."""
        with line.lock:
            text, line.text = line.text, ""
            if text:
                line.context.run(self._pass, text)

    def _pass(self, text: str) -> None:
        if self._floods.is_limited():
            text = self._floods.spend(self._notes, lambda budget: budget.take(text))
        if text:
            self._passing.now = True
            try:
                self.inner(text)
            finally:
                self._passing.now = False


class DisplayGate:
    """Stands before a publisher of displays; `stream` takes the notes."""

    def __init__(self, floods: Floods, publisher: Any, stream: Any) -> None:
        self._floods = floods
        self._publisher = publisher
        self._notes = Notes(stream)
        self._publish = publisher.publish
        publisher.publish = self.publish

    def uninstall(self) -> None:
        """Give the publisher its method back."""
        del self._publisher.publish

    def publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, **options: Any) -> None:
        """As the publisher's, as far as the limit allows. Of the updates of a display the last one always comes."""
        if not self._floods.is_limited():
            self._publish(data, metadata, **options)
            return
        publish = partial(self._publish, data, metadata, **options)
        show = partial(copy_context().run, publish)

        def spend(budget: Budget) -> bool:
            if budget.take_display():
                return True
            if options.get("update"):
                budget.updates[str((options.get("transient") or {}).get("display_id"))] = show
            else:
                budget.displays += 1
            return False

        if self._floods.spend(self._notes, spend):
            show()
