"""The kernel without a notebook: in a terminal, and for programs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from tests.kernel.kit import PATIENCE, SPECS

AWAIT = """
from wirebook import Deferred
d = Deferred()
reactor.callLater(0.05, d.callback, "arrived")
print(await d)
"""
# What moves a cursor or sets a colour; it may stand between any two characters.
ESCAPES = r"(?:\x1b\[[0-9;?]*[A-Za-z])*"
ENVIRONMENT = {**os.environ, "JUPYTER_PATH": str(SPECS.parent)}


class Terminal:
    """``jupyter console`` in a terminal, and who sits before it; a context manager that ends it."""

    def __init__(self) -> None:
        # This terminal does not tell where its cursor is, so it is not to be asked.
        environment = {**ENVIRONMENT, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        command = ["-m", "jupyter", "console", "--kernel", "wirebook"]
        self._process = pexpect.spawn(
            sys.executable, command, env=environment, encoding="utf-8", timeout=PATIENCE, dimensions=(50, 200)
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.close(force=True)

    def see(self, text: str) -> None:
        """Wait until it shows this text."""
        self._process.expect(ESCAPES.join(map(re.escape, text)))

    def type(self, line: str) -> None:
        """Type a line of code."""
        self._process.sendline(line)

    def stop(self) -> None:
        """Press Ctrl-C."""
        self._process.sendintr()

    def leave(self) -> int:
        """Press Ctrl-D, say yes, and wait for the end; the exit status."""
        self._process.sendeof()
        self.see("Do you really want to exit ([y]/n)?")
        self.type("y")
        self._process.expect(pexpect.EOF)
        self._process.close()
        return int(self._process.exitstatus)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A console at its first prompt."""
    with Terminal() as terminal:
        terminal.see("reactor and watch() are there")
        terminal.see("In [1]: ")
        yield terminal


# Python 3.12 and later warn of a fork beside threads; this one executes at once.
pytestmark = [pytest.mark.timeout(90), pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]


def test_a_console_shows_values_output_and_what_was_awaited(terminal: Terminal) -> None:
    terminal.type("from wirebook import Deferred; d = Deferred(); 40 + 2")
    terminal.see("Out[1]: 42\r\n")
    terminal.see("In [2]: ")
    terminal.type("reactor.callLater(0.05, d.callback, 'arrived'); print(await d)")
    terminal.see("arrived\r\n")
    terminal.see("In [3]: ")
    assert terminal.leave() == 0


def test_a_console_shows_what_a_callback_of_an_earlier_cell_prints(terminal: Terminal) -> None:
    terminal.type("from wirebook import Deferred; d = Deferred().addCallback(lambda _: print('la' + 'te'));")
    terminal.see("In [2]: ")
    terminal.type("d.callback(None); print('ne' + 'xt')")
    terminal.see("late\r\n")
    terminal.see("next\r\n")


def test_ctrl_c_stops_a_cell_and_the_console_goes_on(terminal: Terminal) -> None:
    terminal.type("from wirebook import Deferred")
    terminal.see("In [2]: ")
    terminal.type("print('he' + 're', flush=True); Deferred().wait()")
    terminal.see("here\r\n")
    terminal.stop()
    terminal.see("KeyboardInterrupt")
    terminal.see("In [3]: ")
    terminal.type("40 + 2")
    terminal.see("Out[3]: 42\r\n")


def test_jupyter_run_runs_a_program_with_the_kernel(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(AWAIT)
    command = [sys.executable, "-m", "jupyter", "run", "--kernel", "wirebook", str(program)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "arrived\n"), done.stderr
