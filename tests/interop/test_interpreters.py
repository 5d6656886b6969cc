"""Wirebook, installed from its wheel, works on every newer interpreter of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.interop.interpreters import environment, newer_interpreters


@pytest.mark.timeout(360)
@pytest.mark.parametrize("version", newer_interpreters())
def test_a_newer_interpreter_echoes_and_runs_a_cell(version: str, wheel: Path, tmp_path: Path) -> None:
    python = environment(version, newer_interpreters()[version], wheel)
    script = ROOT / "tests" / "interop" / "smoke.py"
    # Isolated and elsewhere: what is imported is what was installed, never the tree.
    done = subprocess.run([python, "-I", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
