"""The processes of a benchmark: pinned to their core, measured, and gone when the benchmark is."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

START_SECONDS = 20.0

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES, LOAD_CORES = {CORES[0]}, {CORES[-1]}

# asyncio reads into 256 KiB. Above glibc's default threshold (128 KiB) each of these buffers is mapped and
# unmapped, which makes it five times slower than it is in a process whose allocator has adapted already.
# Everybody gets the setting, so that this accident decides nothing.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 20),
    "PYTHONUNBUFFERED": "1",
}


class ChildError(RuntimeError):
    """A process of the benchmark did not do its part."""


class Child:
    """A process on the given cores; a context manager that kills it at the end.

    What it writes to standard error is kept in a file: `log` reads it.
    """

    def __init__(self, command: Sequence[str], cores: set[int]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.name = " ".join(Path(word).name for word in command[:6])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ENVIRONMENT},
        )
        os.sched_setaffinity(self.process.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        for stream in (self._stream(self.process.stdin), self._stream(self.process.stdout), self._errors):
            stream.close()

    def read_line(self, seconds: float = START_SECONDS) -> str:
        """Return the next line it prints. Raises `ChildError` if none comes within `seconds`."""
        stream = self._stream(self.process.stdout)
        line, deadline = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            byte = os.read(stream.fileno(), 1) if ready else b""
            if not byte:
                what = "it ended" if ready else f"no answer within {seconds:g} s"
                raise ChildError(f"{self.name}: {what}; it said: {self.log()[-2000:]}")
            line += byte
        return line.decode().strip()

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        stream = self._stream(self.process.stdin)
        stream.write(line.encode() + b"\n")
        stream.flush()

    def log(self) -> str:
        """What it has written to standard error so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def cpu_seconds(self) -> float:
        """The processor time of all its threads so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def resident_bytes(self) -> int:
        """The memory it has in the machine's RAM now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise ChildError("the process was started without this stream")
        return stream


def python(module: str, *arguments: str, cores: set[int] = SERVER_CORES) -> Child:
    """Start ``python -m MODULE ARGUMENTS`` with this interpreter."""
    return Child([sys.executable, "-m", module, *arguments], cores)
