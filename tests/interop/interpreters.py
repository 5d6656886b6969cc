"""Which newer interpreters this machine has, and an environment with Wirebook in it for each."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

NEWEST_MINOR = 14
PROBE = "import ensurepip, sys, venv; print('.'.join(map(str, sys.version_info[:2])))"
ENVIRONMENT = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def candidates(version: str) -> Iterator[Path]:
    """Where an interpreter of `version` may be: on the PATH, and among pyenv's, which need not be there."""
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/*/bin/python{version}"), reverse=True)


def works_as(interpreter: Path, version: str) -> bool:
    """Whether it runs, is what its name says, and can make environments; a pyenv shim may not."""
    try:
        probe = subprocess.run([interpreter, "-c", PROBE], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0 and probe.stdout.strip() == version


@cache
def newer_interpreters() -> dict[str, Path]:
    """One working interpreter for each supported version newer than the running one."""
    versions = [f"3.{minor}" for minor in range(sys.version_info[1] + 1, NEWEST_MINOR + 1)]
    found = {version: next((p for p in candidates(version) if works_as(p, version)), None) for version in versions}
    return {version: path for version, path in found.items() if path is not None}


def environment(version: str, interpreter: Path, wheel: Path) -> Path:
    """Return the interpreter of an environment under ``build/smoke`` that has `wheel` installed.

    It is kept from run to run while the dependencies stay the same; the wheel is installed anew each time.
    """
    folder = ROOT / "build" / "smoke" / version
    python = folder / "bin" / "python"
    stamp = folder / "dependencies"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(interpreter).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        call(interpreter, "-m", "venv", "--clear", folder)
        call(python, "-m", "pip", "install", "-qq", wheel)
        stamp.write_text(wanted)
    else:
        call(python, "-m", "pip", "install", "-qq", "--no-deps", "--force-reinstall", wheel)
    return python


def call(*command: str | Path) -> None:
    """Run a command; its output is in the error when it fails."""
    done = subprocess.run(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}"
