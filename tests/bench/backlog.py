"""1 GiB to a peer that reads nothing, and to one that reads fast: what it costs in memory, and the longest stall.

The program writes 64 KiB at a time, sixteen times in each turn of the loop, and either honours backpressure (a
push producer that stops while it is paused) or ignores it. A stall is how much later than it should a timer of
the server is called; that others answer meanwhile is seen by asking for the report on another connection.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from statistics import median

from tests.bench.children import LOAD_CORES, ChildError, python
from tests.bench.results import Measure, Options, Section, at_most, interleave, number
from tests.bench.servers import CONTESTANTS, HOST

MIB = 1 << 20
SIZE = 1 << 30
QUICK_SIZE = 128 << 20
CAP = 64  # MiB: what a transport of ours lets wait by default
PATIENCE = 30.0
SETTLE_SECONDS = 0.5
ROUNDS = 3
READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What one flood did: bytes that were never written, the connection's end, memory, stall, MB/s that were read."""

    left: int
    paused: bool
    ended: str
    grown: int
    stall: float
    rate: float = 0.0


class Observer:
    """Asks a server for its report, on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        self._lines = self._socket.makefile()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self) -> Outcome:
        """How it stands now."""
        self._socket.sendall(b"report\n")
        line = self._lines.readline()
        if not line:
            raise ChildError("the server closed a connection that only asked for a report")
        return Outcome(**json.loads(line))

    def settled(self) -> Outcome:
        """Wait until nothing happens any more: all is written, the connection has ended, or the writer pauses."""
        deadline = time.monotonic() + PATIENCE
        last = self.ask()
        while time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            now = self.ask()
            if now.left == last.left:
                return now
            last = now
        raise ChildError(f"after {PATIENCE:g} s it still writes")


def run(options: Options) -> Section:
    """Every contestant in the four cases; not more than three rounds."""
    size = SIZE if options.seconds >= 1 else QUICK_SIZE
    columns = ("backpressure, reader, server", "grows MiB", "longest stall ms", "read MB/s", "how it ends")
    section = Section(f"{number(size / MIB)} MiB to a reader that does not read, or reads fast", columns)
    ours: dict[tuple[str, str], list[Outcome]] = {}
    for command, reader in product(("honour", "ignore"), ("stalled", "fast")):

        def measure(name: str, command: str = command, reader: str = reader) -> Outcome:
            return once(name, command, reader, size)

        results = interleave(CONTESTANTS, min(options.rounds, ROUNDS), measure)
        for name, outcomes in results.items():
            section.rows.append([f"{command}, {reader:7}  {name}", *cells(outcomes)])
        section.raw[f"{command}, {reader}"] = {
            name: [asdict(o) for o in outcomes] for name, outcomes in results.items()
        }
        ours[command, reader] = results["wirebook"]
    section.notes.append("Memory: the median of the peaks. Stalls: the median of the rounds' longest.")
    section.measures = judge(ours)
    return section


def once(name: str, command: str, reader: str, size: int) -> Outcome:
    """One server, one flood."""
    with python("tests.bench.backlog_servers", name) as server:
        port = int(server.read_line())
        with Observer(port) as observer, socket.create_connection((HOST, port), timeout=PATIENCE) as victim:
            victim.sendall(f"{command} {size}\n".encode())
            victim.recv(1, socket.MSG_PEEK)  # it has begun
            if reader == "stalled":
                return observer.settled()
            with on_the_loads_core():
                rate = read_all(victim, size)
            return Outcome(**{**asdict(observer.settled()), "rate": rate})


@contextmanager
def on_the_loads_core() -> Iterator[None]:
    """Keep this process away from the server's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, LOAD_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def read_all(sock: socket.socket, size: int) -> float:
    """Read `size` bytes, or until the connection ends; MB/s."""
    room, got, started = bytearray(READ_SIZE), 0, time.monotonic()
    try:
        while got < size and (count := sock.recv_into(room)):
            got += count
    except ConnectionResetError:
        pass
    return got / (time.monotonic() - started) / 1e6


def cells(outcomes: list[Outcome]) -> list[str]:
    """One contestant's medians, and how its last round ended."""
    last = outcomes[-1]
    end = last.ended.partition("(")[0] or ("the writer waits" if last.left else "all is written")
    rate = median(o.rate for o in outcomes)
    return [
        number(median(o.grown for o in outcomes) / MIB),
        number(median(o.stall for o in outcomes) * 1e3),
        number(rate) if rate else "",
        end,
    ]


def judge(ours: dict[tuple[str, str], list[Outcome]]) -> list[Measure]:
    """The promises."""
    ignoring = ours["ignore", "stalled"]
    stall = max(median(o.stall for o in outcomes) for outcomes in ours.values())
    told = all(o.ended.startswith("WriteBacklogError") for o in ignoring)
    return [
        at_most("honouring backpressure: memory", median(o.grown for o in ours["honour", "stalled"]) / MIB, 1, "MiB"),
        at_most("ignoring backpressure: memory", median(o.grown for o in ignoring) / MIB, CAP + 1, "MiB"),
        Measure("ignoring backpressure: the connection's end", cells(ignoring)[-1], "WriteBacklogError", told),
        at_most("backlog: longest stall of the loop", stall * 1e3, 50, "ms"),
    ]
