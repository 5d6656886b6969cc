"""The scripts behind the Makefile: what they say when something is missing, and what they leave behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT
from tools import demo
from tools.system_packages import Program, install


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command at the top of the tree with changes to the environment; both outputs together."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def an_interpreter(folder: Path, name: str, script: str) -> None:
    """Put a command called `name` into `folder`."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def make_environment(tools: Path) -> subprocess.CompletedProcess[str]:
    """Try to make an environment on a machine whose only commands are those in `tools`."""
    bash = shutil.which("bash")
    assert bash is not None
    return run([bash, "tools/create_venv.sh", str(tools / "venv")], PATH=str(tools), PYTHON="python3")


def test_an_old_interpreter_is_named_and_refused(tmp_path: Path) -> None:
    an_interpreter(tmp_path, "python3", "echo 3.9.2; exit 1")
    an_interpreter(tmp_path, "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    done = make_environment(tmp_path)
    assert done.returncode == 1
    assert "python3: 3.9.2, too old" in done.stdout
    assert "python3.12: does not run" in done.stdout


def test_an_interpreter_without_venv_is_named_with_the_package_to_install(tmp_path: Path) -> None:
    an_interpreter(tmp_path, "python3", 'case "$2" in *ensurepip*) exit 1;; *) echo 3.11.2;; esac')
    done = make_environment(tmp_path)
    assert done.returncode == 1
    assert "python3: 3.11.2, but without venv (on Debian and Ubuntu: apt install python3-venv)" in done.stdout


def test_a_machine_without_python_is_told_what_is_needed(tmp_path: Path) -> None:
    done = make_environment(tmp_path)
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stdout
    assert "no Python at all" in done.stdout


def test_of_several_versions_in_folders_of_their_own_the_newest_is_taken(tmp_path: Path) -> None:
    for version in ("9.6", "15", "14"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        an_interpreter(folder, "database", "exit 0")
    program = Program("database", ("no-such-command", f"{tmp_path}/*/bin/database"), ("database",))
    assert program.path() == str(tmp_path / "15" / "bin" / "database")
    assert Program("database", (f"{tmp_path}/*/sbin/database",), ("database",)).path() is None


@pytest.mark.parametrize("owned", [False, True], ids=["absent", "there"])
def test_settings_are_there_before_the_package_and_replace_nothing(tmp_path: Path, owned: bool) -> None:
    settings = tmp_path / "etc" / "database.conf"
    if owned:
        settings.parent.mkdir()
        settings.write_text("the owner's")
    an_interpreter(tmp_path, "apt-get", f'case "$*" in *update) ;; *) cat {settings} > {tmp_path}/seen;; esac')
    program = Program("database", ("no-such-command",), ("database",), ((str(settings), "100 % 'ours'\n"),))
    install([program], ["env", f"PATH={tmp_path}:{os.environ['PATH']}"])
    assert (tmp_path / "seen").read_text() == ("the owner's" if owned else "100 % 'ours'\n")


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_missing_program_is_named_and_fails_a_ci_run(tmp_path: Path, ci: str, status: int) -> None:
    done = run([sys.executable, "-m", "tools.system_packages"], PATH=str(tmp_path), CI=ci)
    assert done.returncode == status, done.stdout
    assert "not here: nc (Debian package netcat-openbsd); the tests that need it are left out" in done.stdout


def test_a_test_without_its_peer_is_left_out_by_name_and_fails_a_ci_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import peer, pytest_terminal_summary\n")
    (tmp_path / "test_it.py").write_text("def test_it(peer):\n    peer('socat')\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    left_out = run(command, PATH=str(tmp_path), CI="", PYTHONPATH=str(ROOT))
    assert "test_it.py::test_it needs socat (Debian package socat)" in left_out.stdout
    assert left_out.returncode == 0
    failed = run(command, PATH=str(tmp_path), CI="true", PYTHONPATH=str(ROOT))
    assert failed.returncode == 1
    assert "with CI=true no test may be left out" in failed.stdout


def test_the_demo_of_a_failing_notebook_keeps_the_page_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in ("print('so far')", "1 / 0", "print('never')")]
    source, page = tmp_path / "failing.ipynb", tmp_path / "build" / "failing.html"
    nbformat.write(notebook, source)
    assert demo.main(source, page) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    html = page.read_text(encoding="utf-8")
    assert "<pre>so far\n</pre>" in html
    assert "<pre>never\n</pre>" not in html


def test_make_alone_lists_the_commands() -> None:
    listed = run(["make"])
    assert listed.returncode == 0
    commands = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")]
    assert commands == ["help", "lab", "demo", "test", "bench", "clean"]
