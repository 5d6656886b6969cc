"""The load generator: building it from ``load.c`` and running it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.bench.children import LOAD_CORES, Child, ChildError

SOURCE = Path(__file__).with_name("load.c")
BUILD = Path(__file__).parents[2] / "build" / "bench"
SIZE = 1024
SPARE_SECONDS = 15.0


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


def run(mode: str, port: int, connections: int, seconds: float) -> Load:
    """Run the load generator to its end. `mode` is ``echo`` or ``connect``. Raises `ChildError`."""
    with start(mode, port, connections, seconds) as running:
        return running.finish()


def start(mode: str, port: int, connections: int, seconds: float) -> Running:
    """Start the load generator; the result is a context manager."""
    return Running([program(), mode, str(port), str(connections), str(SIZE), f"{seconds:g}"], seconds)


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

    def __enter__(self) -> Running:
        return self

    def finish(self) -> Load:
        """Wait for its end and return what it saw. Raises `ChildError`."""
        return result(self.read_line(self._seconds + SPARE_SECONDS))


class Probe(Running):
    """Round trips on one connection, which is open before the measuring begins."""

    def __init__(self, port: int, seconds: float, rate: float) -> None:
        command = [program(), "probe", str(port), "1", str(SIZE), f"{seconds:g}", f"{rate:g}"]
        super().__init__(command, seconds)

    def __enter__(self) -> Probe:
        if (first := self.read_line()) != "connected":
            self.close()
            result(first)
        return self

    def start(self) -> None:
        """Begin to measure."""
        self.say("go")
