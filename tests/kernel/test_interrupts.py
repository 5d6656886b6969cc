"""``await`` and ``wait()`` in cells, the stop button, and what it may interrupt."""

from __future__ import annotations

import ast
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from types import FrameType, SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import eventually
from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook, Run
from wirebook.turn import Turn, turn
from wirebook_kernel.interrupts import (
    bell,
    cancel_on_sigint,
    guard_await,
    guard_cell,
    guard_idle,
    interrupt,
    interrupt_idle,
    press_again,
    runs_cell_code,
    undivided,
    unguard_await,
)

# What the stop button may take at most, on a machine that has much else to do; it takes milliseconds.
AT_ONCE = 5.0


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


# --- callbacks that keep the reactor -------------------------------------------------------------------

HOGS = {
    "an endless loop": "while True: pass",
    "an endless loop of calls into the framework": "while True: reactor.callLater(60, print).cancel()",
    "a call that sleeps": "time.sleep(60)",
    "a call that receives nothing": "pair[0].recv(1)",
}
STUCK = """
import sys, threading
from contextvars import copy_context
pair = socket.socketpair()
stuck = threading.Event()
def hog():
    stuck.set()
    try:
        {}
    finally:
        print('left', flush=True)
reactor.callLater(0, hog)
stuck.wait();
"""
# Says so from another thread, once the cell stands in a call of the framework.
WAITING = """
from traceback import walk_stack
def tell(cell):
    core = wirebook.__path__[0] + "/"
    while not any(frame.f_code.co_filename.startswith(core) for frame, _ in walk_stack(sys._current_frames()[cell])):
        time.sleep(0.001)
    print('here', flush=True)
threading.Thread(target=copy_context().run, args=(tell, threading.get_ident())).start()
"""
WAITS = {
    "the turn": "with reactor.turn(): pass",
    "a call of the framework": "reactor.listenTCP(0, Factory())",
    "a Deferred, in plain code": "Deferred().wait()",
    "the end of run": "reactor.run()",
    "a Deferred": "await Deferred()",
}


@pytest.mark.parametrize("what", HOGS)
def test_the_stop_button_frees_an_idle_kernel_from_a_callback_in(what: str, notebook: Notebook) -> None:
    notebook.run(STUCK.format(HOGS[what]))
    pressed = time.monotonic()
    notebook.interrupt()
    assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}
    assert time.monotonic() - pressed < AT_ONCE


@pytest.mark.parametrize("hog", HOGS)
@pytest.mark.parametrize("what", WAITS)
def test_the_stop_button_ends_a_callback_and_the_cell_that_waits_for(what: str, hog: str, notebook: Notebook) -> None:
    notebook.run("""
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Echo));
""")
    run = stop(notebook, STUCK.format(HOGS[hog]) + WAITING + WAITS[what])
    assert run.error.startswith(("KeyboardInterrupt", "CancelledError"))
    assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}
    asked = "client = socket.create_connection(('127.0.0.1', port.getHost().port)); client.send(b'x'); client.recv(1)"
    assert notebook.run(asked).result == {"text/plain": "b'x'"}


@pytest.mark.parametrize("hog", HOGS)
def test_the_stop_button_ends_an_await_during_which_a_callback_came_to_keep_the_reactor(
    hog: str, notebook: Notebook
) -> None:
    later = STUCK.format(HOGS[hog]).replace("callLater(0, hog)", "callLater(0.1, hog)").replace("stuck.wait();", "")
    run = stop(notebook, later.replace("stuck.set()", "print('here', flush=True)") + "await Deferred()")
    assert run.error.startswith("CancelledError")
    assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}


@pytest.mark.parametrize("what", ["an endless loop", "a call that receives nothing"])
def test_the_callback_gets_a_keyboard_interrupt_which_its_cell_shows_once(what: str, notebook: Notebook) -> None:
    run = notebook.run(STUCK.format(HOGS[what]))
    notebook.interrupt()
    notebook.run(ALIVE)
    notebook.run("pair[1].send(b'x');")
    run.wait(lambda run: "KeyboardInterrupt" in run.stderr.rpartition("raised: hog")[2])
    notebook.run(ALIVE)
    notebook.drain()
    assert run.stdout == "left\n"
    assert run.stderr.count("a timer raised: hog") == 1
    left_behind = "pair[0].recv() cannot be interrupted before it returns; the reactor goes on without it"
    assert (left_behind in run.stderr) == (what == "a call that receives nothing")


def test_the_interrupt_of_a_callback_is_a_failure_of_its_deferred(notebook: Notebook) -> None:
    fired = "d = Deferred().addCallback(lambda _: hog())\nreactor.callLater(0, d.callback, None)"
    notebook.run(STUCK.format(HOGS["an endless loop"]).replace("reactor.callLater(0, hog)", fired))
    notebook.interrupt()
    assert notebook.run("d.wait()").error.startswith("KeyboardInterrupt")


def test_the_button_may_be_pressed_again_and_again(notebook: Notebook) -> None:
    for _ in range(5):
        for what in HOGS:
            notebook.run(STUCK.format(HOGS[what]))
            notebook.interrupt()
            assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}


def test_the_stop_button_in_an_idle_kernel_does_nothing_to_a_reactor_at_work(notebook: Notebook) -> None:
    run = notebook.run("""
def again(left):
    if left: reactor.callLater(0, again, left - 1)
    else: print("all")
again(3000);
""")
    for _ in range(5):
        notebook.interrupt()
        notebook.drain()
    run.wait(lambda run: run.stdout == "all\n")
    assert run.stderr == ""


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


def stress(what: str, times: int) -> dict[str, Any]:
    """What `interrupting.py` says of a process of its own."""
    command = [sys.executable, str(STRESS), what, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return dict(ast.literal_eval(done.stdout))


WHOLE = {"turn": (0, 0, False), "timers": True, "descriptors": True, "threads": 1, "replies": True}


def test_a_thousand_interrupts_of_a_cell_leave_everything_whole() -> None:
    found = stress("cell", 1000)
    assert found.pop("caught") == 1000, "each press of the button ended one run of the cell"
    assert found == WHOLE


def test_a_thousand_interrupts_of_callbacks_leave_everything_whole() -> None:
    found = stress("callbacks", 1000)
    assert found.pop("interrupted") > 100, "some are over before"
    assert found.pop("blocks") == 0, "no finally is left out"
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


def test_what_keeps_the_turn_is_asked_for_only_where_a_cell_waits_for_the_framework() -> None:
    bell.take_press()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, USER)
    assert not bell.take_press()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, CORE)
    assert bell.take_press()
    interrupt_idle(signal.SIGINT, None)
    assert bell.take_press()


class Freed:
    """Presses the stop button while it is freed."""

    def __del__(self) -> None:
        interrupt(signal.SIGINT, sys._getframe())


class Members:
    """What a WeakSet keeps its references in: the stop button is pressed while one is taken out."""

    def discard(self, reference: object) -> None:
        interrupt(signal.SIGINT, sys._getframe())


def free_a_member_of_a_weak_set() -> None:
    member = Members()
    weak: Any = WeakSet([member])
    references, weak.data = weak.data, Members()
    del member
    assert not any(reference() for reference in references)


def collect_garbage() -> None:
    """The stop button is pressed in a function that watches the collector."""

    def watch(phase: str, info: dict[str, int]) -> None:
        try:
            interrupt(signal.SIGINT, sys._getframe())
        finally:
            gc.callbacks.remove(watch)

    gc.callbacks.append(watch)
    gc.collect()


@undivided
def hold_a_lock() -> None:
    """The stop button is pressed in a function that must not be left half done."""
    interrupt(signal.SIGINT, sys._getframe())


def test_an_interrupt_in_what_must_not_be_divided_comes_at_its_end() -> None:
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            hold_a_lock()
        hold_a_lock_within()
    finally:
        signal.signal(signal.SIGINT, before)


def hold_a_lock_within() -> None:
    """One in another one, whose end is the one that counts."""
    reached = []

    @undivided
    def outer() -> None:
        hold_a_lock()
        reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        outer()
    assert reached == ["the end"]


@pytest.mark.parametrize("free", [Freed, free_a_member_of_a_weak_set, collect_garbage])
def test_an_interrupt_where_python_would_drop_it_is_pressed_again(free: Callable[[], object]) -> None:
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        free()
        assert not pressed
        press_again()
        press_again()
        assert eventually(lambda: pressed)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT]


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


def test_what_a_kernel_awaits_is_guarded_and_given_back() -> None:
    class Kernel:
        def _cancel_on_sigint(self) -> None: ...

    kernel: Any = Kernel()
    guard_await(kernel)
    assert kernel._cancel_on_sigint is cancel_on_sigint
    unguard_await(kernel)
    assert vars(kernel) == {}
    for shell_without_kernel in (guard_await, unguard_await):
        shell_without_kernel(None)


def test_an_idle_kernel_is_guarded_where_the_signal_was_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        guard_idle(None)
        assert signal.getsignal(signal.SIGINT) is interrupt_idle
        signal.signal(signal.SIGINT, signal.default_int_handler)
        in_a_cell = SimpleNamespace(saved_sigint_handler=signal.SIG_IGN)
        guard_idle(in_a_cell)
        assert in_a_cell.saved_sigint_handler is interrupt_idle
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_cell_on_another_thread_has_no_signals_to_guard() -> None:
    thread = threading.Thread(target=guard_cell)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is not interrupt
