"""A cell that runs again first closes what its earlier runs opened, and waits until it is closed."""

from __future__ import annotations

import socket
from contextvars import copy_context

import pytest

from tests.kernel.conftest import ECHO, POUR
from tests.kernel.kit import Notebook
from wirebook import reactor
from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.ownership import handles_of

LISTEN = "port = reactor.listenTCP({}, Factory.forProtocol(Protocol))"
OPEN = "len(reactor.handles)"


@pytest.fixture
def number(notebook: Notebook) -> int:
    """A port number that is free in this moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_fixed_port_is_free_when_its_cell_runs_again(notebook: Notebook, number: int) -> None:
    for _ in range(3):
        run = notebook.run(LISTEN.format(number), cell="server")
        assert run.error == ""
    assert notebook.value(OPEN) == 1


@pytest.mark.parametrize("slip", ["port = (", "x = 1\n  y = 2", "a = 'nul \0'", "%%keep\nfor"])
def test_a_slip_in_a_cell_leaves_its_server_until_the_cell_can_run(notebook: Notebook, number: int, slip: str) -> None:
    listen = LISTEN.format(number)
    notebook.run(listen, cell="server")
    assert notebook.run(f"{listen}\n{slip}", cell="server").error != ""
    assert notebook.value("port.state") == "listening"
    assert notebook.run(f"{listen}\nprint('mended')", cell="server").stdout == "mended\n"
    assert notebook.value(OPEN) == 1


def test_the_same_source_is_the_same_cell_where_the_front_end_sends_no_id(notebook: Notebook, number: int) -> None:
    for _ in range(2):
        assert notebook.run(LISTEN.format(number)).error == ""
    assert notebook.value(OPEN) == 1


def test_what_a_later_run_of_a_cell_has_opened_is_not_an_earlier_one_s() -> None:
    runs = [Cell("a", 3, 1), Cell("a", 4, 2), Cell("b", 5, 1)]
    calls = []
    for run in runs:
        context = copy_context()
        context.run(current_cell.set, run)
        calls.append(context.run(reactor.callLater, 3600, print))
    assert [handles_of(run) for run in runs] == [[calls[0]], [calls[0], calls[1]], [calls[2]]]
    for call in calls:
        call.cancel()


def test_another_cell_closes_nothing(notebook: Notebook) -> None:
    notebook.run(LISTEN.format(0), cell="one")
    notebook.run(LISTEN.format(0), cell="two")
    assert notebook.value(OPEN) == 2


def test_a_cell_that_begins_with_keep_closes_nothing(notebook: Notebook) -> None:
    first = notebook.run("%%keep\n" + LISTEN.format(0) + "\n'the value'", cell="server")
    notebook.run("%%keep\n" + LISTEN.format(0), cell="server")
    assert notebook.value(OPEN) == 2
    assert first.result["text/plain"] == "'the value'"


def test_a_cell_that_keeps_may_await(notebook: Notebook) -> None:
    assert notebook.run("%%keep\nawait succeed('arrived')").result["text/plain"] == "'arrived'"


def test_keep_may_stand_below_another_magic(notebook: Notebook) -> None:
    for _ in range(2):
        notebook.run("%%capture\n%%keep\n" + LISTEN.format(0), cell="server")
    assert notebook.value(OPEN) == 2


def test_keep_inside_a_cell_is_no_mark(notebook: Notebook) -> None:
    for _ in range(2):
        notebook.run(LISTEN.format(0) + "\ntext = '''\n%%keep\n'''", cell="server")
    assert notebook.value(OPEN) == 1


def test_a_connection_to_a_server_belongs_to_the_cell_of_the_server(notebook: Notebook) -> None:
    notebook.run(ECHO, cell="server")
    with socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        notebook.run("pass", cell="server")
        assert client.recv(1) == b"", "the connection is closed, too"
    assert notebook.value(OPEN) == 0


RAISES = """
class Careless(Factory):
    def stopFactory(self):
        raise KeyError("in stopFactory")
"""


@pytest.mark.parametrize("close", ["again", "%reactor close all"])
def test_what_goes_wrong_in_closing_is_said_once_where_the_port_was_opened(notebook: Notebook, close: str) -> None:
    notebook.run(RAISES)
    listen = "reactor.listenTCP(0, Careless())"
    first = notebook.run(listen, cell="server")
    if close == "again":
        notebook.run("pass", cell="server")
    else:
        notebook.run(close)
    first.wait(lambda run: "in stopFactory" in run.stderr and "has failed" in run.stderr)
    assert notebook.value(OPEN) == 0
    assert first.stderr.count("has failed") == 1


def test_a_timer_is_cancelled_when_its_cell_runs_again(notebook: Notebook) -> None:
    notebook.run("reactor.callLater(3600, print)", cell="timer")
    notebook.run("pass", cell="timer")
    assert notebook.value(OPEN) == 0


def test_a_connection_that_cannot_flush_is_aborted_in_the_end(notebook: Notebook, deaf: socket.socket) -> None:
    notebook.run(POUR.format(deaf.getsockname()[1]), cell="client")
    notebook.run("pass", cell="client")
    assert notebook.value(OPEN) == 0


def test_a_client_that_connects_again_at_once_is_closed_all_the_same(notebook: Notebook) -> None:
    notebook.run("server = reactor.listenTCP(0, Factory.forProtocol(Protocol))", cell="server")
    notebook.run("""
        class Stubborn(ClientFactory):
            protocol = Protocol
            def clientConnectionLost(self, connector, reason):
                global again
                again = reactor.callLater(0.01, connector.connect)
        client = reactor.connectTCP("127.0.0.1", server.getHost().port, Stubborn())
        wirebook_kernel_settled = __import__("wirebook_kernel").settle(quiet=0.02)
    """, cell="client")  # fmt: skip
    notebook.run("again", cell="client")
    notebook.run("pass", cell="server")
    assert notebook.value("[handle.kind for handle in reactor.handles]") == []


IDS = pytest.mark.parametrize("cell", ["an-id", None], ids=["with an id", "without one"])
THINGS = {
    "a TCP port": "reactor.listenTCP(0, Factory.forProtocol(Protocol));",
    "a UDP port": "reactor.listenUDP(0, wirebook.DatagramProtocol());",
    "a UNIX port": "import tempfile\n"
    "reactor.listenUNIX(tempfile.mkdtemp() + '/socket', Factory.forProtocol(Protocol));",
    "a timer": "reactor.callLater(3600, print);",
    "a looping call": "wirebook.LoopingCall(print, 'tick').start(60);",
    "a looping call in a hurry": "wirebook.LoopingCall(int).start(0);",
    "a looping call at work": "wirebook.LoopingCall(lambda: wirebook.deferToThread(time.sleep, 0.2)).start(60);",
    "a coroutine that sleeps": "async def nap():\n"
    "    while True: await wirebook.deferLater(reactor, 0.01)\n"
    "wirebook.ensureDeferred(nap());",
    "a pool of connections to a database": "from wirebook.adbapi import ConnectionPool\n"
    "pool = ConnectionPool('sqlite3', ':memory:'); await pool.runQuery('select 1');",
    "a process": "reactor.spawnProcess(wirebook.ProcessProtocol(), '/bin/cat', ['cat']);",
    "an endpoint's port": "await wirebook.serverFromString(reactor, 'tcp:0').listen(Factory.forProtocol(Protocol));",
    "a pair in memory": "wirebook.memory_pair(reactor, Protocol(), Protocol());",
    "a client that tries again": "from wirebook.protocol import ReconnectingClientFactory\n"
    "class Again(ReconnectingClientFactory):\n    protocol, initialDelay, maxDelay = Protocol, 0.01, 0.01\n"
    "reactor.connectTCP('127.0.0.1', 1, Again());",
}


@IDS
@pytest.mark.parametrize("thing", [*THINGS])
def test_what_the_earlier_run_opened_is_closed_before_the_cell_runs_again(
    thing: str, cell: str | None, notebook: Notebook
) -> None:
    source = f"{THINGS[thing]}\nnumbers = [handle.handleId for handle in reactor.handles]"
    first = notebook.run(f"seen = len(reactor.handles)\n{source}", cell=cell)
    assert first.error == ""
    old = notebook.value("numbers")
    assert old
    again = notebook.run(f"seen = len(reactor.handles)\n{source}", cell=cell)
    assert again.error == ""
    assert notebook.value("seen") == 0, "it was closed before the first line ran"
    assert not set(old) & set(notebook.value("numbers"))


def test_a_looping_call_is_stopped_and_not_just_its_timer(notebook: Notebook) -> None:
    notebook.run("loop = wirebook.LoopingCall(int); ended = loop.start(60);", cell="loop")
    notebook.run("pass", cell="loop")
    assert notebook.value("(loop.running, ended.called)") == (False, True)


def test_a_process_that_ignores_sigterm_is_killed(notebook: Notebook) -> None:
    notebook.run("""
        class Stubborn(wirebook.ProcessProtocol):
            def outReceived(self, data): deaf.callback(None)
        deaf = Deferred()
        script = "trap '' TERM; echo deaf; while true; do sleep 0.1; done"
        process = reactor.spawnProcess(Stubborn(), "/bin/sh", ["sh", "-c", script])
        await deaf
    """, cell="process")  # fmt: skip
    notebook.run("pass", cell="process")
    assert notebook.value("(len(reactor.handles), process.state)") == (0, "exited")


def test_what_callbacks_opened_is_closed_with_what_the_cell_opened(notebook: Notebook) -> None:
    notebook.run("reactor.callLater(0, reactor.listenTCP, 0, Factory.forProtocol(Protocol));", cell="later")
    notebook.run("__import__('wirebook_kernel').settle(quiet=0.05)")
    assert notebook.value(OPEN) == 1
    notebook.run("pass", cell="later")
    assert notebook.value(OPEN) == 0


def test_what_cannot_be_closed_is_named(notebook: Notebook) -> None:
    run = notebook.run("""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
        port.closeHandle = lambda abort=False: Deferred()
    """, cell="server")  # fmt: skip
    assert run.error == ""
    run = notebook.run("del port.closeHandle", cell="server")
    assert run.stdout.startswith("Could not close <Port of Protocol on TCP 127.0.0.1:")
    assert run.stdout.endswith(", which an earlier run of this cell opened.\n")
