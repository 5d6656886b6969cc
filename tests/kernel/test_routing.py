"""Whatever runs a callback and whatever it writes: the output is that of the cell that attached it.

Each test attaches a callback in one cell, lets that cell end, runs others, clicks on a widget, and blocks the
kernel with yet another cell. Then it makes the callback run, and looks at the parent of every message.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from tests.kernel.kit import Message, Notebook, Run
from tests.kernel.test_comms import blocked

EMIT = '''
import logging, sys, warnings, ipywidgets
from wirebook import deferToThread, ensureDeferred, inlineCallbacks, LoopingCall
log = logging.getLogger("lab")
log.addHandler(logging.StreamHandler())
button = ipywidgets.Button()
slider = ipywidgets.IntSlider()
def emit(*ignored):
    """Write in every way there is."""
    print("by print")
    print("by stderr", file=sys.stderr)
    log.warning("by logging")
    warnings.warn("by warnings", stacklevel=1)
    display("by display")
    display(ipywidgets.IntText(description="by widget"))
    slider.value += 1
    try:
        1 / 0
    except ZeroDivisionError:
        get_ipython().showtraceback()
    return 1 / 0
'''
# Nobody may keep the Deferred: an error in it is reported when it is gone.
FIRES = "go = Deferred(); fire = lambda: reactor.callFromThread(globals().pop('go').callback, None)\n"
HOWS = {
    "a callback": FIRES + "go.addCallback(emit);",
    "a timer": "timer = reactor.callLater(3600, emit); fire = lambda: timer.reset(0)",
    "a looping call": "loop = LoopingCall(lambda: emit() if armed else None); armed = False\n"
    "loop.start(0.01);\n"
    "def fire():\n    global armed; armed = True",
    "a protocol": "class Emitter(Protocol):\n    def dataReceived(self, data): emit()\n"
    "port = reactor.listenTCP(0, Factory.forProtocol(Emitter))\n"
    "def fire():\n"
    "    with socket.create_connection(('127.0.0.1', port.getHost().port)) as client:\n"
    "        client.sendall(b'x'); client.recv(1)",
    "a reader": "class Reader:\n"
    "    here, there = socket.socketpair()\n"
    "    def fileno(self): return self.here.fileno()\n"
    "    def doRead(self): emit()\n"
    "    def connectionLost(self, reason): print('over')\n"
    "reader = Reader(); reactor.addReader(reader)\n"
    "fire = lambda: reader.there.send(b'x')",
    "a thread": FIRES + "go.addCallback(lambda _: deferToThread(emit));",
    "a coroutine": FIRES + "async def work():\n    await go\n    emit()\nensureDeferred(work());",
    "a generator": FIRES + "@inlineCallbacks\ndef work():\n    yield go\n    emit()\nwork();",
    "a task": "import asyncio; go = asyncio.Event(); loop = asyncio.get_running_loop()\n"
    "async def work():\n    await go.wait()\n    emit()\n"
    "task = asyncio.ensure_future(work())\n"
    "fire = lambda: loop.call_soon_threadsafe(go.set)",
}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """A kernel that knows `emit`."""
    with Notebook() as notebook:
        notebook.run("import socket, time, wirebook\nfrom wirebook import Deferred, Factory, Protocol")
        assert notebook.run(EMIT).error == ""
        yield notebook


@contextmanager
def place(notebook: Notebook, name: str) -> Iterator[str | None]:
    """Where the cell that attaches runs."""
    with notebook.subshell() if name == "subshell" else nullcontext() as subshell:
        yield subshell


def click(notebook: Notebook, subshell: str | None) -> Run:
    """Click on the button, which prints a word of its own."""
    comm = notebook.value("button.comm.comm_id")
    event = {"comm_id": comm, "data": {"method": "custom", "content": {"event": "click"}}}
    return Run(notebook, notebook.send("comm_msg", event, subshell=subshell)).wait()


def says(run: Run, what: str) -> bool:
    """Whether a run has some output of `emit`."""
    return bool(output(run)) and what in "".join(output(run))


def output(run: Run) -> list[str]:
    """All that a run shows, as text."""
    return [str(m["content"]) for m in run.messages if is_output(m)]


def is_output(message: Message) -> bool:
    """Whether a message is something that a page shows."""
    return message["msg_type"] in ("stream", "display_data", "error", "comm_open", "comm_msg", "execute_result")


EVERYTHING = ["by print", "by stderr", "by logging", "by warnings", "'by display'", "by widget", "'value': ", "ename"]

# Whose error is kept by somebody who may still look at it: asyncio, and the traceback that was shown last.
UNREPORTED = {"a task", "a looping call"}


@pytest.mark.parametrize("where", ["main", "subshell"])
@pytest.mark.parametrize("how", [*HOWS])
def test_all_output_is_that_of_the_cell_that_attached_the_callback(how: str, where: str, notebook: Notebook) -> None:
    wanted = EVERYTHING if how in UNREPORTED else [*EVERYTHING, "division by zero\\n"]
    with place(notebook, where) as subshell:
        attaches = notebook.run(HOWS[how], subshell=subshell)
        assert attaches.error == ""
        others = [notebook.run("'another cell'"), click(notebook, subshell)]
        if how == "a task" and where == "main":
            # It shares its thread with cells.
            fires = notebook.run("fire();")
        else:
            with blocked_after(notebook, "fire();") as fires:
                attaches.wait(lambda run: all(says(run, what) for what in wanted))
        attaches.wait(lambda run: all(says(run, what) for what in wanted))
        others.append(notebook.run("'the last cell'"))
    kinds = [message["msg_type"] for message in attaches.messages if is_output(message)]
    assert kinds.index("stream") < kinds.index("display_data"), "what was written first is shown first"
    assert not [
        text for run in [*others, fires] for text in output(run) if "another" not in text and "last" not in text
    ]


@contextmanager
def blocked_after(notebook: Notebook, code: str) -> Iterator[Run]:
    """Run `code`, then block the kernel's main thread."""
    fires = notebook.run(code)
    with blocked(notebook):
        yield fires


def test_a_callback_of_a_click_writes_into_the_cell_that_made_its_deferred_work(notebook: Notebook) -> None:
    attaches = notebook.run("clicked = Deferred().addCallback(lambda _: print('by the chain'))")
    notebook.run("button.on_click(lambda _: reactor.callFromThread(clicked.callback, None))")
    run = click(notebook, None)
    attaches.wait(lambda run: "by the chain" in run.stdout)
    assert run.stdout == ""


def test_a_library_that_kept_the_stream_is_routed_too(notebook: Notebook) -> None:
    keeps = notebook.run("import sys; kept = sys.stdout; reactor.callLater(0.05, lambda: kept.write('by kept\\n'));")
    notebook.run("1")
    keeps.wait(lambda run: "by kept" in run.stdout)


def test_a_server_keeps_its_cell_for_every_connection(notebook: Notebook) -> None:
    serves = notebook.run("""
        class Hello(Protocol):
            def connectionMade(self): print("made"); self.transport.write(b"x")
            def connectionLost(self, reason): print("lost")
        port = reactor.listenTCP(0, Factory.forProtocol(Hello))
    """)
    number = notebook.value("port.getHost().port")
    for _ in range(3):
        notebook.run("'another cell'")
        with socket.create_connection(("127.0.0.1", number), 10) as client:
            assert client.recv(1) == b"x"
    serves.wait(lambda run: run.stdout.count("lost") == 3)
    assert serves.stdout.count("made") == 3
