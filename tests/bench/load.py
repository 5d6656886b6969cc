"""The load generator: building it from ``load.c`` and running it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self, TypeAlias

from tests.bench.children import LOAD_CORES, Child, ChildError

SOURCE = Path(__file__).with_name("load.c")
BUILD = Path(__file__).parents[2] / "build" / "bench"
SIZE = 1024
WARMUP_SECONDS = 0.2  # as in load.c
SPARE_SECONDS = 15.0
HOLD_SECONDS = 120.0  # after which held connections are let go, whatever becomes of the benchmark
# A server's port, or the path of its UNIX socket.
Where: TypeAlias = int | str


@dataclass(frozen=True)
class Load:
    """What the load generator saw; latencies in microseconds."""

    count: int
    seconds: float
    rate: float
    unanswered: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float


@cache
def program() -> str:
    """Return the path of the load generator, compiled when its source is newer. Raises `ChildError`."""
    target = BUILD / "load"
    if target.exists() and target.stat().st_mtime > SOURCE.stat().st_mtime:
        return str(target)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ChildError("the load generator is a C program: install a C compiler (Debian: apt install gcc)")
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(target), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ChildError(f"cannot compile {SOURCE.name}, which needs Linux with epoll_pwait2:\n{done.stderr}")
    return str(target)


def run(mode: str, where: Where, connections: int, seconds: float, size: int = SIZE) -> Load:
    """Run the load generator to its end. `mode` is ``echo``, ``connect`` or ``udp``. Raises `ChildError`."""
    with start(mode, where, connections, seconds, size) as running:
        return running.finish()


def start(mode: str, where: Where, connections: int, seconds: float, size: int = SIZE) -> Running:
    """Start the load generator; the result is a context manager."""
    return Running([program(), mode, str(where), str(connections), str(size), f"{seconds:g}"], seconds)


def result(line: str) -> Load:
    """What the load generator printed at its end. Raises `ChildError` if that is an error."""
    fields = json.loads(line)
    if "error" in fields:
        raise ChildError(f"load generator: {fields['error']}")
    return Load(**fields)


class Running(Child):
    """A load generator at work; a context manager that ends it."""

    def __init__(self, command: list[str], seconds: float) -> None:
        super().__init__(command, LOAD_CORES)
        self._seconds = seconds

    def finish(self) -> Load:
        """Wait for its end and return what it saw. Raises `ChildError`."""
        return result(self.read_line(self._seconds + SPARE_SECONDS))


class Prepared(Running):
    """A load generator that has connected when the context is entered, and begins when it is told."""

    def __enter__(self) -> Self:
        if (first := self.read_line()) != "connected":
            self.close()
            result(first)
        return self

    def start(self) -> None:
        """Begin to measure."""
        self.say("go")


class Probe(Prepared):
    """Round trips at a steady rate, on connections that are open before the measuring begins."""

    def __init__(self, where: Where, seconds: float, rate: float, connections: int = 1) -> None:
        command = [program(), "probe", str(where), str(connections), str(SIZE), f"{seconds:g}", f"{rate:g}"]
        super().__init__(command, seconds)


class Held(Prepared):
    """Connections that do nothing, until at the start each has to give one echo: the count of the result."""

    def __init__(self, where: Where, connections: int, size: int = SIZE) -> None:
        super().__init__([program(), "hold", str(where), str(connections), str(size), f"{HOLD_SECONDS:g}"], 0.0)
