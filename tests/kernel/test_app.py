"""A front end that dies asks for nothing; the kernel sees that it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, eventually
from tests.kernel.kit import PATIENCE, Notebook
from tests.kernel.test_ending import connect_to

# It tells the numbers of a port, and of the processes of the kernel and of the reactor's.
FRONT_END = """
import sys
from tests.kernel.kit import Notebook
from tests.kernel.test_ending import SERVER
notebook = Notebook()
assert notebook.run(SERVER).error == ""
process = "reactor.spawnProcess(wirebook.ProcessProtocol(), '/bin/sleep', ['sleep', '60']).pid"
print(*map(notebook.value, ("port.getHost().port", process, "__import__('os').getpid()")), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def front_end(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has started a kernel."""
    with subprocess.Popen(
        [sys.executable, "-c", FRONT_END],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.timeout(90)
def test_what_is_open_is_closed_in_order_when_the_front_end_has_died(front_end: subprocess.Popen[str]) -> None:
    assert front_end.stdout is not None
    port, *processes = map(int, front_end.stdout.readline().split())
    with connect_to(port) as client:
        front_end.kill()
        assert client.recv(1) == b"", "TLS has a goodbye (close_notify)"
    assert eventually(lambda: not any(map(is_running, processes)), PATIENCE)


def is_running(process: int) -> bool:
    """Whether there is such a process, and it has not just been left for its parent to ask for its status."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_ipykernel_finds_its_program() -> None:
    with Notebook() as notebook:
        assert "--existing" in notebook.run("%connect_info").stdout
