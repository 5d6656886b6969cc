"""A kernel at work for a long time: nothing lost, nothing in a wrong cell, nothing that grows.

An echo server in a cell is under constant load from 200 connections. Meanwhile a cell is run every 100 ms: one
prints, one defines a class anew, one starts a server again and is spoken to, one attaches a callback that prints
later, one awaits, and some are interrupted in a loop, in an ``await`` or while they wait. For each of them it is
known beforehand, to the letter, what has to appear under it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from queue import Empty
from statistics import median
from typing import Any

from tests.bench.children import ChildError
from tests.bench.load import Load, Probe
from tests.bench.notebook import Notebook
from tests.bench.results import Options, Section, at_most, number

CONNECTIONS = 200
RATE = 25.0  # echoes a second of each connection
SECONDS, QUICK_SECONDS = 600.0, 20.0
CELL_EVERY = 0.1
PATIENCE = 20.0
SPARE = 2.0  # for which the load goes on after the last cell
LOST_SECONDS = 10.0  # a reply that takes longer is lost
QUICK = 1.0  # runs of fewer seconds than this are quick ones
GROWTH = 0.05
# While it warms up a kernel grows by right: a minute, or a third of a short run.
WARM_UP, WARM_UP_SHARE = 60.0, 1 / 3
MOST_PROBLEMS = 10  # after which it has failed
SAMPLES = 10  # at either end of what is compared

# In other modes IPython parses every file that a traceback leads through, and keeps its tree: megabytes, and an
# interrupt leads through another file at any time.
BEGIN = """
%xmode Plain
%reactor watchdog 15
from wirebook import Deferred, Factory, Protocol, reactor
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Echo), backlog=1024)
tick = 0
"""
BEGUN = "Exception reporting mode: Plain\nThe watchdog is on: what takes over 15 s is reported.\n"
DEFINE = """
class Side(Protocol):
    def dataReceived(self, data):
        print("got", data.decode())
        self.transport.write(data)
"""
SERVE = """
tick += 1
side = reactor.listenTCP(0, Factory.forProtocol(Side))
print("serves", tick)
"""
PRINT = "tick += 1; print('now', tick)"
LATE = "tick += 1; call = reactor.callLater(0.05, print, 'late', tick)"
AWAIT = """
tick += 1
d = Deferred(); reactor.callLater(0.01, d.callback, tick)
print("awaited", await d)
"""
# IPython keeps the source, the output and the traceback of every cell, a kilobyte or more, and ipykernel a digest of
# every message. That is not our growth, nor is garbage, nor what the allocator keeps of a moment with much to do.
FORGET = """
import contextlib, ctypes, gc, io
with contextlib.redirect_stdout(io.StringIO()):
    get_ipython().run_line_magic("reset", "-f in out")
history = get_ipython().history_manager
for kept in history.outputs, history.exceptions, history.db_input_cache, get_ipython().kernel.session.digest_history:
    kept.clear()
del history.input_hist_raw[1:]
gc.collect()
trimmed = getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
"""
STUCK = {
    "computes": "while True: reactor.callLater(60, print).cancel()",
    "searches": "while True:\n    if tick < 0:\n        break",
    "awaits": "await Deferred()",
    "waits": "Deferred().wait()",
}


@dataclass
class Run:
    """One run of a cell: what came of it, and what has to."""

    cell: str
    expected: str = ""
    interrupted: bool = False
    printed: str = ""
    other: list[str] = field(default_factory=list)
    status: str = ""
    idle: bool = False

    @property
    def done(self) -> bool:
        """Whether it has ended and everything that it has to print is here."""
        return self.idle and bool(self.status) and len(self.printed) >= len(self.expected)

    def problem(self) -> str:
        """What is wrong with it; empty when nothing is."""
        wanted = "error" if self.interrupted else "ok"
        if (self.printed, self.status, self.other) == (self.expected, wanted, []):
            return ""
        came = f"{self.printed!r}, {self.status or 'no reply'}{''.join(f', {text}' for text in self.other)}"
        return f"cell {self.cell!r}: {came}; expected {self.expected!r}, {wanted}"


@dataclass(frozen=True)
class Sample:
    """What a kernel holds at one moment."""

    seconds: float
    cells: int
    resident: int
    descriptors: int
    threads: int


class Outcome:
    """What came of a soak. `problems` are sentences; there should be none."""

    def __init__(self, echoes: Load, work: Soak, warm_up: float) -> None:
        self.echoes = echoes
        self.samples = work.samples
        self.problems = list(work.cells.problems)
        self.warm = [sample for sample in self.samples if sample.seconds >= warm_up] or self.samples[-1:]
        if echoes.max_us > LOST_SECONDS * 1e6:
            self.problems.append(f"an echo was lost, or came after {echoes.max_us / 1e6:.1f} s")

    @property
    def growth(self) -> float:
        """Resident memory at the end, as a share over that after the warm-up."""
        resident = [sample.resident for sample in self.warm]
        return median(resident[-SAMPLES:]) / median(resident[:SAMPLES]) - 1

    @property
    def leaked(self) -> tuple[int, int]:
        """Descriptors and threads at the end, those after the warm-up taken away."""
        first, last = self.warm[0], self.warm[-1]
        return last.descriptors - first.descriptors, last.threads - first.threads


class Cells:
    """Runs cells and checks what appears under each of them."""

    def __init__(self, notebook: Notebook) -> None:
        self._kernel = notebook.manager
        self._client = notebook.connect()
        self._runs: dict[str, Run] = {}
        self._checked: dict[str, str] = {}
        self._stuck = cycle(STUCK)
        self.problems: list[str] = []
        self.count = 0

    def close(self) -> None:
        """Disconnect."""
        self._client.stop_channels()

    def run(self, cell: str, code: str, expected: str = "") -> Run:
        """Run a cell to its end; what it prints later may come later."""
        run = self._start(cell, code, expected)
        self.pump(lambda: run.idle and run.status)
        return run

    def interrupt(self) -> None:
        """Run a cell that would never end, one kind after another, and press the stop button."""
        kind = next(self._stuck)
        run = self._start(kind, f"print('here', flush=True)\n{STUCK[kind]}", "here\n")
        run.interrupted = True
        self.pump(lambda: run.printed == run.expected)
        self._kernel.interrupt_kernel()
        self.pump(lambda: run.done)

    def settle(self) -> None:
        """Wait for everything that was promised, and check it."""
        self.pump(lambda: all(run.done for run in self._runs.values()))
        self.check(everything=True)

    def check(self, *, everything: bool = False) -> None:
        """Check the runs of which nothing more may come."""
        for message, run in list(self._runs.items()):
            if run.done or everything:
                del self._runs[message]
                self._checked[message] = run.cell
                if problem := run.problem():
                    self.problems.append(problem)

    def pump(self, until: Callable[[], object]) -> None:
        """Take messages until a condition holds. Raises `ChildError` when it does not within `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > deadline:
                waiting = [run for run in self._runs.values() if not run.done]
                raise ChildError(f"nothing came for {PATIENCE:g} s; waiting for {waiting}; before: {self.problems}")
            self._take()

    def _take(self) -> None:
        with suppress(Empty):
            self._published(self._client.get_iopub_msg(timeout=0.02))
        while self._client.shell_channel.socket.poll(0):
            reply = self._client.get_shell_msg(timeout=0)
            if run := self._runs.get(reply["parent_header"].get("msg_id", "")):
                run.status = reply["content"]["status"]

    def _start(self, cell: str, code: str, expected: str) -> Run:
        self.count += 1
        # After an error ipykernel would leave out what comes next, a moment longer than until the cell is idle.
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        message = self._client.session.msg("execute_request", content, metadata={"cellId": cell})
        run = self._runs[message["header"]["msg_id"]] = Run(cell, expected)
        self._client.shell_channel.send(message)
        return run

    def _published(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id", "")
        if kind == "status":
            if parent in self._runs and content["execution_state"] == "idle":
                self._runs[parent].idle = True
        elif kind == "execute_input":
            pass
        elif run := self._runs.get(parent):
            if kind == "stream" and content["name"] == "stdout":
                run.printed += content["text"]
            elif not (kind == "error" and run.interrupted):
                run.other.append(f"{kind} {str(content)[:2000]}")
        else:
            whose = self._checked.get(parent, "no cell")
            self.problems.append(f"too late or in a wrong place, under {whose}: {kind} {str(content)[:2000]}")


def _past(moment: float) -> bool:
    return time.monotonic() >= moment


class Soak:
    """The cells that are run over and over, and what is measured meanwhile."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._provisioner: Any = notebook.manager.provisioner
        self._tick = 0
        self._began = time.monotonic()
        self.cells = Cells(notebook)
        self.samples: list[Sample] = []

    def close(self) -> None:
        """Disconnect."""
        self.cells.close()

    def begin(self) -> int:
        """Start the server that is under load; its port."""
        self.cells.run("begin", BEGIN, BEGUN)
        self.cells.run("define", DEFINE)
        self.cells.settle()
        return int(self._notebook.run("", "port.getHost().port"))

    def work(self, seconds: float) -> None:
        """Run cells until the time is over."""
        steps = (self._print, self._define, self._serve, self._late, self._await, self.cells.interrupt)
        self._began = time.monotonic()
        while not (_past(self._began + seconds) or len(self.cells.problems) > MOST_PROBLEMS):
            for step in steps:
                self._pace(step)
            self._sample()

    def _sample(self) -> None:
        """Note what the kernel holds, at a moment when no cell is at work."""
        self.cells.settle()
        self._notebook.run(FORGET)
        folder = Path(f"/proc/{self._provisioner.process.pid}")
        pages = int((folder / "statm").read_text().split()[1])
        descriptors, threads = (len(list((folder / name).iterdir())) for name in ("fd", "task"))
        elapsed = time.monotonic() - self._began
        self.samples.append(Sample(elapsed, self.cells.count, pages * os.sysconf("SC_PAGESIZE"), descriptors, threads))

    def _pace(self, step: Callable[[], object]) -> None:
        due = time.monotonic() + CELL_EVERY
        step()
        self.cells.check()
        self.cells.pump(partial(_past, due))

    def _next(self) -> int:
        self._tick += 1
        return self._tick

    def _print(self) -> None:
        self.cells.run("print", PRINT, f"now {self._next()}\n")

    def _define(self) -> None:
        self.cells.run("define", DEFINE)

    def _late(self) -> None:
        self.cells.run("late", LATE, f"late {self._next()}\n")

    def _await(self) -> None:
        self.cells.run("await", AWAIT, f"awaited {self._next()}\n")

    def _serve(self) -> None:
        """The server of its last run is gone, the new one answers and prints under this run."""
        tick = self._next()
        word = f"hello {tick}"
        self.cells.run("serve", SERVE, f"serves {tick}\ngot {word}\n")
        port = int(self._notebook.run("", "side.getHost().port"))
        if (answer := _ask(port, word.encode())) != word.encode():
            self.cells.problems.append(f"the server of tick {tick} answered {answer!r}")


def _ask(port: int, question: bytes) -> bytes | OSError:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(question)
            return client.recv(100)
    except OSError as error:
        return error


def soak(seconds: float) -> Outcome:
    """Run the kernel for so long. Raises `ChildError` when it cannot be measured."""
    with Notebook("wirebook_kernel") as notebook, closing(Soak(notebook)) as work:
        port = work.begin()
        with Probe(port, seconds + SPARE, RATE, CONNECTIONS) as probe:
            probe.start()
            work.work(seconds)
            echoes = probe.finish()
        return Outcome(echoes, work, min(WARM_UP, seconds * WARM_UP_SHARE))


def run(options: Options) -> Section:
    """Ten minutes, or less when it is to be quick."""
    outcome = soak(QUICK_SECONDS if options.seconds < QUICK else SECONDS)
    section = Section(
        f"A kernel under load from {CONNECTIONS} connections, a cell every {CELL_EVERY * 1e3:.0f} ms",
        ("", "cells", "echoes", "slowest ms", "resident MiB", "descriptors", "threads"),
    )
    section.rows = [row(outcome, "warm", outcome.warm[0]), row(outcome, "end", outcome.warm[-1])]
    section.notes = outcome.problems or ["Everything appeared where it belongs."]
    descriptors, threads = outcome.leaked
    section.measures = [
        at_most("soak: replies lost, output astray", len(outcome.problems), 0, "found"),
        at_most("soak: resident memory grows by", outcome.growth * 100, GROWTH * 100, "%"),
        at_most("soak: descriptors leaked", descriptors, 0, "left"),
        at_most("soak: threads leaked", threads, 0, "left"),
    ]
    section.raw = {"echoes": asdict(outcome.echoes), "samples": [asdict(sample) for sample in outcome.samples]}
    return section


def row(outcome: Outcome, name: str, sample: Sample) -> list[str]:
    """A line of the table."""
    seen = [f"{sample.cells:,}", f"{outcome.echoes.count:,}", number(outcome.echoes.max_us / 1e3)]
    return [name, *seen, number(sample.resident / 2**20), str(sample.descriptors), str(sample.threads)]
