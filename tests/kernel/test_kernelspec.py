"""The kernelspec, and installing it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT
from tests.kernel.kit import SPECS
from wirebook_kernel import kernelspec

FILES = ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]


def install(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "wirebook_kernel", "install", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, **environment})


def test_the_spec_in_the_wheel_works_in_any_environment() -> None:
    spec = json.loads((SPECS / "wirebook" / "kernel.json").read_text())
    assert spec["argv"][0] == "python"
    assert spec["argv"][-4:] == ["-m", "wirebook_kernel", "-f", "{connection_file}"]
    assert (spec["display_name"], spec["language"], spec["interrupt_mode"]) == ("Wirebook", "python", "signal")
    assert spec["metadata"] == {"debugger": True, "supported_encryption": ["curve"]}


@pytest.mark.parametrize("size", [32, 64])
def test_a_logo_has_the_size_that_its_name_says(size: int) -> None:
    header = (SPECS / "wirebook" / f"logo-{size}x{size}.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:]) == (size, size)


def test_the_vector_logo_asks_for_nothing_outside() -> None:
    root = ElementTree.parse(SPECS / "wirebook" / "logo-svg.svg").getroot()
    assert root.tag.endswith("svg")
    assert not [name for element in root.iter() for name in element.attrib if name.endswith("href")]


def test_it_is_installed_below_a_prefix_for_this_interpreter(tmp_path: Path) -> None:
    done = install("--prefix", str(tmp_path))
    where = tmp_path / "share" / "jupyter" / "kernels" / "wirebook"
    assert (done.returncode, done.stderr) == (0, "")
    assert str(where) in done.stdout
    assert sorted(file.name for file in where.iterdir()) == FILES
    assert json.loads((where / "kernel.json").read_text())["argv"][0] == sys.executable


def test_it_is_installed_for_a_user_under_another_name(tmp_path: Path) -> None:
    done = install("--user", "--name", "wires", "--display-name", "My wires", JUPYTER_DATA_DIR=str(tmp_path))
    spec = json.loads((tmp_path / "kernels" / "wires" / "kernel.json").read_text())
    assert done.returncode == 0
    assert spec["display_name"] == "My wires"


def test_a_bad_name_is_refused(tmp_path: Path) -> None:
    done = install("--prefix", str(tmp_path), "--name", "no spaces")
    assert done.returncode == 2
    assert "Invalid kernel name" in done.stderr


def test_a_missing_spec_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernelspec, "__file__", str(tmp_path / "wirebook_kernel" / "kernelspec.py"))
    monkeypatch.setattr(metadata, "files", lambda name: [])
    with pytest.raises(FileNotFoundError, match="install the package again"):
        kernelspec.source()


def test_the_spec_of_a_checkout_is_the_one_in_the_repository() -> None:
    assert kernelspec.source() == ROOT / "kernel" / "data" / "share" / "jupyter" / "kernels" / "wirebook"
