"""``%reactor``, ``%%reactor`` and ``%watch``."""

from __future__ import annotations

import socket

import pytest

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook, Run

NOTHING = "Nothing is open."


def shown(run: Run) -> str:
    """The text of what a run has displayed."""
    return "\n".join(bundle["text/plain"] for bundle in run.displays)


def test_reactor_says_when_nothing_is_open(notebook: Notebook) -> None:
    run = notebook.run("%reactor")
    assert NOTHING in shown(run)
    assert NOTHING in run.displays[0]["text/html"]


def test_reactor_lists_what_is_open_and_of_which_cell(notebook: Notebook) -> None:
    number = notebook.run(ECHO).reply["content"]["execution_count"]
    port = notebook.value("port.getHost().port")
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"hello")
        client.recv(5)
        lines = shown(notebook.run("%reactor")).splitlines()
    assert "1 port, 1 connection are open" in lines[0]
    listening, connection = lines[-2:]
    assert listening.split()[:5] == ["port", f"127.0.0.1:{port}", "listening", "Echo", f"[{number}]"]
    assert connection.split()[2] == f"127.0.0.1:{client_port(lines)}"
    assert connection.endswith("5 B  5 B")


def client_port(lines: list[str]) -> str:
    """The peer's port in the last line."""
    return lines[-1].split()[2].rpartition(":")[2]


@pytest.mark.parametrize("line", ["%reactor close", "%reactor close all"])
def test_reactor_close_closes_everything_and_says_so(line: str, notebook: Notebook) -> None:
    notebook.run(ECHO + "reactor.callLater(3600, print)")
    run = notebook.run(line)
    assert run.stdout == "Closed 1 port, 1 timer.\n"
    assert NOTHING in shown(run)


def test_reactor_close_of_a_cell_leaves_the_others(notebook: Notebook) -> None:
    first = notebook.run(ECHO, cell="first").reply["content"]["execution_count"]
    second = notebook.run(ECHO, cell="second").reply["content"]["execution_count"]
    run = notebook.run(f"%reactor close cell {first}")
    assert f"[{second}]" in shown(run)
    assert f"[{first}]" not in shown(run)


def test_reactor_reset_drops_what_is_pending(notebook: Notebook) -> None:
    notebook.run(ECHO)
    with socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10) as client:
        client.sendall(b"x")
        client.recv(1)
        run = notebook.run("%reactor reset")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert run.stdout == "Aborted 1 port, 1 connection.\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("%reactor stop", "%reactor does not know 'stop': write %reactor, %reactor close [all | cell N]"),
        ("%reactor close port 80", "%reactor close does not know 'port 80'"),
        ("%reactor close cell 999", "cell [999] has nothing open; no cell has anything open"),
        ("%reactor reset now", "%reactor does not know 'reset now'"),
        ("%reactor upgrade all", "%reactor does not know 'upgrade all'"),
        ("%%reactor close\npass", "%%reactor takes no arguments, not 'close'"),
        ("%%reactor\nawait succeed(1)", "a %%reactor cell cannot await"),
        ("%watch this", "%watch takes no arguments, not 'this'"),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(line: str, complaint: str, notebook: Notebook) -> None:
    assert complaint in notebook.run(line).stderr


def test_closing_a_cell_that_has_nothing_names_those_that_have(notebook: Notebook) -> None:
    number = notebook.run(ECHO).reply["content"]["execution_count"]
    assert f"cells with something open: [{number}]" in notebook.run("%reactor close cell 999").stderr


def test_a_reactor_cell_runs_in_one_turn_and_has_a_value(notebook: Notebook) -> None:
    run = notebook.run("%%reactor\nheld = wirebook.turn.turn.held()\nheld")
    assert run.result == {"text/plain": "True"}
    assert notebook.value("wirebook.turn.turn.held()") is False


def test_an_error_in_a_reactor_cell_is_the_cells_error_and_ends_the_turn(notebook: Notebook) -> None:
    run = notebook.run("%%reactor\nnumber = 1\nnumber / 0")
    assert run.error == "ZeroDivisionError: division by zero"
    *_, frame, _message = run.reply["content"]["traceback"]
    assert "number / " in frame
    assert f"In[{run.reply['content']['execution_count']}]" in frame, "its lines are those of the cell"
    assert notebook.run("d = Deferred(); reactor.callLater(0, d.callback, 1); await d").error == ""


def test_waiting_in_a_reactor_cell_is_refused(notebook: Notebook) -> None:
    assert notebook.run("%%reactor\nDeferred().wait()").error.startswith("TurnHeldError")
    assert notebook.run(ECHO + "%reactor").error == ""
    assert notebook.run("with reactor.turn():\n    %reactor close").error.startswith("TurnHeldError")


def test_watch_shows_the_live_view_once(notebook: Notebook) -> None:
    run = notebook.run("%watch")
    views = run.displays + ([run.result] if run.result else [])
    assert len(views) == 1
    assert "application/vnd.jupyter.widget-view+json" in views[0]


def test_only_reactor_and_watch_are_there_from_the_start(notebook: Notebook) -> None:
    names = "sorted(set(get_ipython().user_ns_hidden) & {'reactor', 'watch', 'Deferred', 'Factory'})"
    assert notebook.value(names) == ["reactor", "watch"]
