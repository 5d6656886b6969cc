"""What VS Code sends, as its Jupyter extension sends it: cells by the address of their editors, and code of its own.

It names a cell by the URI of the cell's document, and puts the cell's own metadata beside it. Between the cells it
runs code for itself (to ask for versions, to fill its list of variables): requests that are not silent, go into no
history and have no cell id. It interrupts the kernel's process with SIGINT and nobody else, and ends it with SIGTERM
and no request; a new kernel starts at once.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import eventually
from tests.kernel.conftest import NAMES
from tests.kernel.kit import PATIENCE, Message, Notebook, Run
from tests.kernel.test_ending import kernel_process

LISTEN = "port = reactor.listenTCP({}, Factory.forProtocol(Protocol))"
VERSION = """
try:
    import ipywidgets as _VSCODE_ipywidgets
    print("widgets:" + _VSCODE_ipywidgets.__version__)
    del _VSCODE_ipywidgets
except:
    pass
"""
STARTUP = "__vsc_ipynb_file__ = '/labs/lab one/echo.ipynb'\n%config Completer.use_jedi = False"
VARIABLES = "print(sorted(name for name in globals() if name == 'port'))"


class VSCode(Notebook):
    """A window of VS Code with a notebook open, after its greeting."""

    def __init__(self) -> None:
        super().__init__()
        assert self.ask("kernel_info_request")["content"]["status"] == "ok"
        assert self.inquire(VERSION).stdout.startswith("widgets:8.")
        assert self.inquire(STARTUP).stdout == ""
        assert self.run_cell(0, NAMES).error == ""

    def ask(self, kind: str) -> Message:
        """Ask for something on the shell channel."""
        return self.reply_to(self.send(kind, {}))

    def start_cell(self, number: int, code: str) -> Run:
        """Run the cell that was the `number`-th to be made, and do not wait."""
        metadata = {"cellId": address(number), "tags": ["lab"], "vscode": {"languageId": "python"}}
        return Run(self, self.send("execute_request", request(code, history=True), metadata=metadata))

    def run_cell(self, number: int, code: str) -> Run:
        """Run a cell to its end."""
        return self.start_cell(number, code).wait()

    def inquire(self, code: str) -> Run:
        """Run code for the window's own purposes."""
        return Run(self, self.send("execute_request", request(code, history=False))).wait()

    def stop(self) -> None:
        """The stop button."""
        os.kill(kernel_process(self).pid, signal.SIGINT)


def address(number: int) -> str:
    """The URI of a cell's document in a notebook that is a file."""
    return f"vscode-notebook-cell:/labs/lab%20one/echo.ipynb#W{number}sZmlsZQ%3D%3D"


def request(code: str, *, history: bool) -> Message:
    """The content of a request to run code."""
    return {"code": code, "silent": False, "stop_on_error": False, "allow_stdin": True, "store_history": history}


@pytest.fixture(scope="module")
def window() -> Iterator[VSCode]:
    """A window that the tests of this module share."""
    with VSCode() as window:
        yield window


@pytest.fixture
def code(window: VSCode) -> Iterator[VSCode]:
    """The window with nothing open, before and after."""
    yield window
    window.run_cell(0, "%reactor reset")
    assert window.value("len(reactor.handles)") == 0


@pytest.fixture
def number() -> int:
    """A port number that is free in this moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_cell_that_runs_again_finds_its_port_free(code: VSCode, number: int) -> None:
    for _ in range(3):
        assert code.run_cell(1, LISTEN.format(number)).error == ""
        assert code.inquire(VARIABLES).stdout == "['port']\n"
    assert code.value("len(reactor.handles)") == 1


def test_an_edited_cell_is_the_same_cell_and_one_with_the_same_text_is_another(code: VSCode, number: int) -> None:
    code.run_cell(1, LISTEN.format(number))
    assert code.run_cell(1, LISTEN.format(number) + "  # edited").error == ""
    code.run_cell(2, "reactor.callLater(3600, print);")
    code.run_cell(3, "reactor.callLater(3600, print);")
    assert code.value("len(reactor.handles)") == 3


def test_another_cell_that_wants_the_port_is_told_which_cell_has_it(code: VSCode, number: int) -> None:
    first = code.run_cell(1, LISTEN.format(number))
    other = code.run_cell(2, LISTEN.format(number) + "  # pasted, and edited")
    count = first.reply["content"]["execution_count"]
    assert f"port {number} is in use by cell [{count}] of this kernel" in other.error


def test_code_of_the_windows_own_closes_nothing_and_counts_as_no_cell(code: VSCode) -> None:
    before = code.run_cell(1, LISTEN.format(0)).reply["content"]["execution_count"]
    for _ in range(3):
        assert code.inquire(VARIABLES).stdout == "['port']\n"
    assert code.value("len(reactor.handles)") == 1
    assert code.run_cell(2, "pass").reply["content"]["execution_count"] == before + 1


def test_an_error_is_not_shown_before_another_cell_could_handle_it(code: VSCode) -> None:
    cell = code.run_cell(1, "d = Deferred()\nreactor.callLater(0, d.errback, ValueError('handled'));")
    code.inquire("import time\nwhile not d.called: time.sleep(0.001)")
    code.inquire(VARIABLES)
    assert code.run_cell(2, "d.addErrback(print);").error == ""
    code.drain()
    assert cell.stderr == ""


def test_a_cell_of_the_interactive_window_takes_over_its_port_under_a_new_id(code: VSCode, number: int) -> None:
    for cell in (1, 2, 3):
        assert code.run_cell(cell, LISTEN.format(number)).error == ""
    assert code.value("len(reactor.handles)") == 1


def test_a_callback_prints_into_its_cell_while_the_window_runs_code_of_its_own(code: VSCode) -> None:
    cell = code.run_cell(1, "d = Deferred()\nd.addCallback(lambda text: print(text));")
    own = code.inquire("d.callback('la' + 'te')\nprint('own')")
    cell.wait(lambda run: "late" in run.stdout)
    assert (cell.stdout, own.stdout) == ("late\n", "own\n")


@pytest.mark.parametrize("waits", ["await Deferred()", "Deferred().wait()", "while True: pass"])
def test_the_stop_button_ends_the_cell_and_leaves_processes_and_servers_alone(code: VSCode, waits: str) -> None:
    code.run_cell(1, "process = reactor.spawnProcess(wirebook.ProcessProtocol(), '/bin/cat', ['cat'])")
    code.run_cell(2, LISTEN.format(0))
    run = code.start_cell(3, f"print('here', flush=True)\n{waits}").wait(lambda run: "here" in run.stdout)
    code.stop()
    assert run.wait().reply["content"]["status"] == "error"
    assert code.value("(process.state, len(reactor.handles))") == ("running", 2)


def test_the_stop_button_does_nothing_to_an_idle_kernel(code: VSCode) -> None:
    code.stop()
    assert code.run_cell(1, "40 + 2").result["text/plain"] == "42"


def test_the_new_kernel_gets_the_port_of_the_one_that_it_replaces(number: int) -> None:
    with VSCode() as old:
        assert old.run_cell(1, LISTEN.format(number)).error == ""
        with socket.create_connection(("127.0.0.1", number), PATIENCE) as client:
            os.kill(kernel_process(old).pid, signal.SIGTERM)
            with VSCode() as new:
                assert new.run_cell(1, LISTEN.format(number)).error == ""
            assert client.recv(1) == b""
        assert eventually(ended(old), PATIENCE)


def ended(notebook: Notebook) -> Callable[[], bool]:
    """Whether a kernel's process has ended."""
    process = kernel_process(notebook)
    return lambda: process.poll() is not None
