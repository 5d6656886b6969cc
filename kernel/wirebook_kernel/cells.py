"""Which cell is at work: the identity, the runs and the end of every cell.

A context variable, `current_cell`, is set before a cell's code runs. Every handle and every callback keeps
the context it was made in, so the variable tells for each of them, at any later time and on any thread,
which run of which cell it belongs to.

How a cell is recognised when it runs again: by the id the front end sends (JupyterLab, Notebook 7 and VS
Code do). Front ends that send none (a console, nbclient) get one made of the cell's whole source: running
the same text again is running the same cell, and an edited text is a new one. Anything vaguer, such as the
first line, would take two cells for one and close a server that nobody asked to close. So what the earlier text
opened stays open, until the new one wants to listen at the same address under the same name: see `succession`.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

from wirebook import reactor
from wirebook_kernel.sharing import SWITCH_INTERVAL

_BY_SOURCE: Final = "source:"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of one cell.

    ``id`` names the cell and stays the same when it runs again; ``number`` is the n of ``In [n]``; ``run``
    counts the runs of this cell from 1; ``parent_header`` is the header of the message that asked for it;
    ``source`` is its text; ``order`` grows from run to run, whatever the cell.
    """

    id: str
    number: int
    run: int
    parent_header: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)
    order: int = field(default_factory=count().__next__, compare=False, repr=False)

    @property
    def is_known_by_source(self) -> bool:
        """Whether the front end has sent no id, so that an edited text counts as another cell."""
        return self.id.startswith(_BY_SOURCE)

    def __str__(self) -> str:
        return f"[{self.number}]"


class HasContext(Protocol):
    """Anything that keeps the context of its birth, as handles and Deferreds do."""

    @property
    def context(self) -> Mapping[ContextVar[Any], Any]: ...


class Shell(Protocol):
    """The part of IPython's shell that is needed here."""

    execution_count: int


class ExecutionInfo(Protocol):
    """The part of IPython's ``ExecutionInfo`` that is needed here."""

    @property
    def raw_cell(self) -> str: ...

    @property
    def store_history(self) -> bool: ...

    @property
    def cell_id(self) -> str | None: ...


class ExecutionResult(Protocol):
    """The part of IPython's ``ExecutionResult`` that is needed here."""

    @property
    def info(self) -> ExecutionInfo: ...


@dataclass(frozen=True, slots=True)
class _Request:
    """What the front end asked for, as far as an ``ExecutionInfo`` says it."""

    raw_cell: str
    store_history: bool
    cell_id: str | None


current_cell: ContextVar[Cell | None] = ContextVar("wirebook_current_cell", default=None)


def cell_of(owned: HasContext) -> Cell | None:
    """The cell run that `owned` (a handle, a Deferred) was made in; None if it was made outside cells."""
    return owned.context.get(current_cell)


def describe_cell(owned: HasContext) -> str:
    """``[3]`` for what was made in ``In [3]``, and nothing for what was made outside cells."""
    cell = cell_of(owned)
    return "" if cell is None else str(cell)


class Cells:
    """Follows a shell's cells from its ``pre_run_cell`` and ``post_run_cell`` events; any cell thread.

    `on_rerun` is called with the run that begins when its cell has run before, `on_end` with every run at its
    end. While any cell runs, the interpreter switches threads more often, so that a busy cell leaves the reactor
    its share (`sharing`).

    Only the outermost run counts: code that a cell runs through the shell again (``%run``, magics) has the
    same parent message and belongs to that cell.
    """

    def __init__(
        self,
        shell: Shell,
        on_rerun: Callable[[Cell], object],
        on_end: Callable[[Cell], object] = lambda cell: None,
    ) -> None:
        self._shell = shell
        self._on_rerun = on_rerun
        self._on_end = on_end
        self._runs: dict[str, int] = {}
        # By the message that asked for them.
        self._running: dict[str, Cell] = {}
        self._lock = threading.Lock()
        self._usual_interval = sys.getswitchinterval()

    def begin(self, info: ExecutionInfo) -> None:
        """Name the run that starts now and make it the current one of this context."""
        parent_header = self._parent().get("header", {})
        message = _message(parent_header)
        if message in self._running:
            return
        cell_id = info.cell_id or f"{_BY_SOURCE}{_digest(info.raw_cell)}"
        runs = self._runs[cell_id] = self._runs.get(cell_id, 0) + 1
        number = self._shell.execution_count - bool(info.store_history)
        cell = Cell(cell_id, number, runs, parent_header, info.raw_cell)
        self._start(message, cell)
        current_cell.set(cell)
        reactor.hosting.begin_program()
        if runs > 1:
            self._on_rerun(cell)

    def is_running(self, cell: Cell) -> bool:
        """Whether this run of a cell has not ended yet."""
        return self._running.get(_message(cell.parent_header)) == cell

    def join(self) -> None:
        """Begin with the cell that is running already, if there is one: the one that loads the extension."""
        parent = self._parent()
        if parent.get("header", {}).get("msg_type") == "execute_request":
            content = parent["content"]
            cell_id = parent.get("metadata", {}).get("cellId")
            self.begin(_Request(content["code"], content.get("store_history", True), cell_id))

    def end(self, result: ExecutionResult | None) -> None:
        """Note that a run ended; `result` is None when it was cancelled before it had one."""
        message = _message(self._parent().get("header", {}))
        with self._lock:
            cell = self._running.get(message)
            if cell is None or (result is not None and result.info.raw_cell != cell.source):
                return
            del self._running[message]
            self._relax()
        current_cell.set(None)
        reactor.hosting.end_program()
        self._on_end(cell)

    def leave(self) -> None:
        """Follow no more."""
        with self._lock:
            if self._running:
                self._running.clear()
                self._relax()
        current_cell.set(None)

    def _start(self, message: str, cell: Cell) -> None:
        with self._lock:
            if not self._running:
                self._usual_interval = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_INTERVAL)
            self._running[message] = cell

    def _relax(self) -> None:
        if not self._running:
            sys.setswitchinterval(self._usual_interval)

    def _parent(self) -> Mapping[str, Any]:
        get_parent = getattr(self._shell, "get_parent", None)
        parent: Mapping[str, Any] | None = get_parent() if get_parent is not None else None
        return parent or {}


def _message(header: Mapping[str, Any]) -> str:
    """The number of the message that a header is of; empty for a shell without messages."""
    return str(header.get("msg_id", ""))


def _digest(source: str) -> str:
    return hashlib.blake2b(source.strip().encode(), digest_size=8).hexdigest()
