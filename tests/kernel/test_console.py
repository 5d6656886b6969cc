"""The kernel without a notebook: for programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.kit import SPECS

AWAIT = """
from wirebook import Deferred
d = Deferred()
reactor.callLater(0.05, d.callback, "arrived")
print(await d)
"""


def jupyter(*arguments: str, told: str = "") -> str:
    """What a command of Jupyter prints, with the kernels of this checkout; fails with its status."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", *arguments],
        input=told,
        env={**os.environ, "JUPYTER_PATH": str(SPECS.parent)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(90)
def test_jupyter_run_runs_a_program_with_the_kernel(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(AWAIT)
    assert jupyter("run", "--kernel", "wirebook", str(program)) == "arrived\n"
