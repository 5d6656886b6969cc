"""``await`` and ``wait()`` in cells, the stop button, and what it may interrupt."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import indent
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook, Run
from wirebook.turn import Turn, turn
from wirebook_kernel.interrupts import guard_cell, interrupt, runs_cell_code

# What the stop button may take at most; it takes milliseconds.
AT_ONCE = 2.0


HERE = "print('here', flush=True)\n"


def stop(notebook: Notebook, body: str, cell: str | None = None) -> Run:
    """Start a cell, press the stop button once it says that it is there, and wait for its end.

    `body` is made one statement: between two of them it is IPython that would be interrupted.
    """
    kind, call = ("async def", "await body()") if "await" in body else ("def", "body()")
    run = notebook.start(f"{kind} body():\n{indent(body, '    ')}\n{call}", cell)
    run.wait(lambda run: "here" in run.stdout)
    pressed = time.monotonic()
    notebook.interrupt()
    run.wait()
    assert time.monotonic() - pressed < AT_ONCE
    return run


def test_await_gives_the_result(notebook: Notebook) -> None:
    run = notebook.run("d = Deferred(); reactor.callLater(0, d.callback, 'arrived')\nawait d")
    assert run.result["text/plain"] == "'arrived'"


def test_await_of_a_failing_deferred_raises_its_error_in_the_cell(notebook: Notebook) -> None:
    run = notebook.run("d = Deferred(); reactor.callLater(0, d.errback, KeyError('nothing there'))\nawait d")
    assert run.error == "KeyError: 'nothing there'"
    assert run.stderr == "", "what was awaited is not reported a second time"


def test_wait_gives_the_result_in_plain_code(notebook: Notebook) -> None:
    run = notebook.run("d = Deferred(); reactor.callLater(0, d.callback, 'arrived')\nd.wait(5)")
    assert run.result["text/plain"] == "'arrived'"


def test_the_reactor_goes_on_while_a_cell_awaits(notebook: Notebook) -> None:
    server = notebook.run(ECHO)
    run = notebook.run("""
        class Ask(Protocol):
            def connectionMade(self):
                self.transport.write(b"question")
            def dataReceived(self, data):
                answer.callback(data)
        answer = Deferred()
        reactor.connectTCP("127.0.0.1", port.getHost().port, ClientFactory.forProtocol(Ask))
        await answer
    """)
    assert run.result["text/plain"] == "b'question'"
    server.wait(lambda run: "echo b'question'" in run.stdout)


def test_the_stop_button_ends_an_await_and_cancels_the_deferred(notebook: Notebook) -> None:
    makes = notebook.run("import asyncio; d = Deferred(lambda d: print('cancelled'))")
    # The loop has time to print only when the cell awaits.
    run = stop(notebook, "asyncio.get_running_loop().call_soon(lambda: print('here', flush=True))\nawait d")
    assert run.error.startswith("CancelledError")
    assert makes.stdout == "cancelled\n"
    assert notebook.value("d.called")


BUSY = {
    "sleeping": HERE + "time.sleep(60)",
    "computing": HERE + "while True: pass",
    "waiting": HERE + "Deferred().wait()",
    "running the reactor": HERE + "reactor.run()",
    "sleeping after an await": "await succeed(None)\n" + HERE + "time.sleep(60)",
    "sleeping in the turn": "with reactor.turn():\n    " + HERE + "    time.sleep(60)",
    "sleeping in a callback": "succeed(None).addCallback(lambda _: (print('here', flush=True), time.sleep(60)))",
}
ALIVE = "d = Deferred(); reactor.callLater(0, d.callback, 'alive'); await d"


@pytest.mark.parametrize("what", BUSY)
def test_the_stop_button_ends_a_cell_that_is(what: str, notebook: Notebook) -> None:
    run = stop(notebook, BUSY[what])
    assert "KeyboardInterrupt" in run.error + run.stderr
    assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}


def test_the_stop_button_leaves_the_framework_whole_wherever_it_hits(notebook: Notebook) -> None:
    """Cells that do nothing but framework calls, stopped at points that nobody chose."""
    for _ in range(20):
        run = stop(
            notebook,
            HERE + "while True:\n"
            "    reactor.listenTCP(0, Factory.forProtocol(Protocol)).stopListening()\n"
            "    reactor.callLater(60, print).cancel()\n",
            cell="busy",
        )
        assert run.error.startswith("KeyboardInterrupt")
    assert notebook.run(ALIVE).error == ""
    # What a call opened just before it was stopped is open, and belongs to its cell.
    notebook.run("pass", cell="busy")
    assert notebook.value("len(reactor.handles)") == 0


def test_a_cell_that_is_busy_by_itself_is_stopped_alone(notebook: Notebook) -> None:
    notebook.run(
        "hogged = Deferred()\ndef hog():\n    time.sleep(1)\n    hogged.callback('whole')\nreactor.callLater(0, hog);"
    )
    run = stop(notebook, HERE + "while True: pass")
    assert run.error.startswith("KeyboardInterrupt")
    assert notebook.run("hogged.wait(5)").result == {"text/plain": "'whole'"}


def test_a_callback_in_a_cells_own_thread_does_not_keep_the_stop_button_from_the_cell(notebook: Notebook) -> None:
    run = stop(notebook, HERE + "while True: succeed(None).addCallback(lambda _: sum(range(1000))).addErrback(print)")
    assert run.error.startswith("KeyboardInterrupt")


# --- at random points, under load ----------------------------------------------------------------------

STRESS = Path(__file__).with_name("interrupting.py")


def stress(times: int) -> dict[str, Any]:
    """What `interrupting.py` says of a process of its own."""
    command = [sys.executable, str(STRESS), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return dict(ast.literal_eval(done.stdout))


WHOLE = {"turn": (0, 0, 0), "timers": True, "descriptors": True, "threads": 1, "replies": True}


def test_a_thousand_interrupts_of_a_cell_leave_everything_whole() -> None:
    found = stress(1000)
    assert found.pop("caught") == 1000, "each press of the button ended one run of the cell"
    assert found == WHOLE


def test_run_in_a_cell_returns_when_the_program_stops_the_reactor(notebook: Notebook) -> None:
    run = notebook.run("""
def stop():
    try:
        reactor.stop()
    except wirebook.error.ReactorNotRunning:  # the cell has not come to its run() yet
        reactor.callLater(0.01, stop)
stop()
reactor.run()
print("done", reactor.running)
""")
    assert run.stdout == "done True\n"


# --- which frames an interrupt may hit ---------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The interrupts that were held back."""
    noted: list[str] = []
    monkeypatch.setattr(Turn, "hold_interrupt", lambda self: noted.append("held"))
    return noted


def frame_in(module: str, inside: FrameType | None = None) -> Any:
    """A frame of a function of `module`, called by `inside` (as far as anybody asks)."""
    return SimpleNamespace(f_globals={"__name__": module}, f_back=inside, f_code=frame_in.__code__, f_lasti=-1)


USER = frame_in("__main__")
CORE = frame_in("wirebook.transports.tcp", USER)


@pytest.mark.parametrize(
    "frame",
    [CORE, frame_in("selectors", CORE), frame_in("OpenSSL.SSL", CORE), frame_in("wirebook_widgets.watch", USER)],
    ids=["core", "standard library called by core", "OpenSSL called by core", "widgets"],
)
def test_an_interrupt_in_the_framework_is_held_while_the_turn_is(frame: Any, held: list[str]) -> None:
    with turn:
        interrupt(signal.SIGINT, frame)
    assert held == ["held"]


def test_an_interrupt_of_a_cell_that_holds_the_turn_is_raised(held: list[str]) -> None:
    with turn, pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, USER)
    assert held == []


@pytest.mark.parametrize(
    "frame",
    [frame_in("__main__", CORE), frame_in("json", frame_in("__main__", CORE)), frame_in("requests.api", CORE)],
    ids=["a callback", "standard library called by a callback", "somebody else's package"],
)
def test_an_interrupt_in_a_callback_is_raised_there_and_again_in_its_cell(frame: Any, held: list[str]) -> None:
    with turn, pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, frame)
    assert held == ["held"]


def test_an_interrupt_outside_the_turn_is_raised(held: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, CORE)
    assert held == []


def test_only_what_a_cell_called_is_interrupted_as_a_cell() -> None:
    cell: Any = SimpleNamespace(f_code=InteractiveShell.run_code.__code__, f_back=None)
    assert runs_cell_code(SimpleNamespace(f_code=None, f_back=cell))  # type: ignore[arg-type]
    assert not runs_cell_code(cell)
    assert not runs_cell_code(None)


def test_a_cell_is_guarded_unless_another_handler_is_in_place() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        guard_cell()
        assert signal.getsignal(signal.SIGINT) is interrupt
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        guard_cell()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_cell_on_another_thread_has_no_signals_to_guard() -> None:
    thread = threading.Thread(target=guard_cell)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is not interrupt
