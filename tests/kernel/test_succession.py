"""An edited cell takes the port of its earlier text, in a kernel that is told no cell ids; and who does not."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.kernel.conftest import POUR
from tests.kernel.kit import PATIENCE, Notebook
from wirebook import Factory, Protocol, reactor
from wirebook.error import CannotListenError
from wirebook_kernel.cells import Cells
from wirebook_kernel.succession import Succession

SERVER = """
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write({answer!r})
port = reactor.listenTCP({place}, Factory.forProtocol(Echo))
"""
REPLACED = "Port {} was cell [{}]'s, which this cell replaces: closed {}.\n"
PORTS = "[handle.port for handle in reactor.handles.of('port')]"


@pytest.fixture
def served(notebook: Notebook) -> int:
    """The number of a port that the last cell listens at; it sends "old" for what it gets."""
    assert notebook.run(SERVER.format(answer=b"old", place=0)).error == ""
    number: int = notebook.value("port.port")
    return number


def count(notebook: Notebook) -> int:
    """The number of the last cell."""
    number: int = notebook.value("get_ipython().execution_count - 1")
    return number


def ask(client: socket.socket) -> bytes:
    """What the server at the other end answers."""
    client.sendall(b"x")
    return client.recv(10)


def dial(number: int) -> socket.socket:
    """A connection to the port `number`."""
    return socket.create_connection(("127.0.0.1", number), PATIENCE)


def test_an_edited_cell_listens_where_its_earlier_text_did_and_says_so(notebook: Notebook, served: int) -> None:
    old = count(notebook)
    run = notebook.run(SERVER.format(answer=b"new", place=served))
    assert (run.error, run.stdout) == ("", REPLACED.format(served, old, "1 port"))
    with dial(served) as client:
        assert ask(client) == b"new"


def test_all_that_the_earlier_text_opened_is_closed_when_the_cell_has_ended(notebook: Notebook) -> None:
    notebook.run(SERVER.format(answer=b"old", place=0) + "reactor.callLater(3600, print)\nother = 'port'")
    old, number = count(notebook), notebook.value("port.port")
    with dial(number) as client:
        assert ask(client) == b"old"
        run = notebook.run(SERVER.format(answer=b"new", place=number))
        assert client.recv(1) == b""
    assert run.stdout == REPLACED.format(number, old, "1 port, 1 connection, 1 timer")
    assert notebook.value("list(reactor.handles) == [port]")


@pytest.fixture
def stuck(notebook: Notebook, deaf: socket.socket) -> int:
    """As `served`, with a connection in the same cell that cannot be closed in order."""
    run = notebook.run(SERVER.format(answer=b"old", place=0) + POUR.format(deaf.getsockname()[1]))
    assert run.error == ""
    number: int = notebook.value("port.port")
    return number


def test_what_cannot_be_closed_in_order_is_aborted_before_the_cell_has_ended(notebook: Notebook, stuck: int) -> None:
    assert notebook.run(SERVER.format(answer=b"new", place=stuck)).error == ""
    assert notebook.value("list(reactor.handles) == [port]")


def test_the_stop_button_ends_the_wait_at_the_end_of_the_cell(notebook: Notebook, stuck: int) -> None:
    run = notebook.start(SERVER.format(answer=b"new", place=stuck) + "'the value'")
    run.wait(lambda run: run.result)
    # Its answer comes when the cell has gone on to its end.
    notebook.control("kernel_info_request")
    notebook.interrupt()
    run.wait()
    assert (run.error, run.stderr) == ("", "")
    assert "KeyboardInterrupt" not in run.stdout
    with dial(stuck) as client:
        assert ask(client) == b"new"


# How to listen at `place`, and the first place.
KINDS = {
    "TCP": ("port = reactor.listenTCP({place}, Factory.forProtocol(Protocol))", "0"),
    "a factory": ("class F(Factory): protocol = Protocol\nport = reactor.listenTCP({place}, F())", "0"),
    "an interface by name": (
        "port = reactor.listenTCP({place}, Factory.forProtocol(Protocol), interface='localhost')",
        "0",
    ),
    "TLS": (
        "from wirebook import ssl\n"
        "options = ssl.LabAuthority().server('localhost').options()\n"
        "port = reactor.listenSSL({place}, Factory.forProtocol(Protocol), options)",
        "0",
    ),
    "UDP": ("port = reactor.listenUDP({place}, wirebook.DatagramProtocol())", "0"),
    "UNIX": ("port = reactor.listenUNIX({place}, Factory.forProtocol(Protocol))", "path"),
    "UNIX datagrams": ("port = reactor.listenUNIXDatagram({place}, wirebook.DatagramProtocol())", "path"),
    "an awaited endpoint": (
        "port = await wirebook.serverFromString(reactor, f'tcp:{{{place}}}').listen(Factory.forProtocol(Protocol))",
        "0",
    ),
    "a coroutine": (
        "async def main():\n"
        "    global port\n"
        "    await wirebook.deferLater(reactor, 0)\n"
        "    port = reactor.listenTCP({place}, Factory.forProtocol(Protocol))\n"
        "await wirebook.ensureDeferred(main())",
        "0",
    ),
    "the turn": ("%%reactor\nport = reactor.listenTCP({place}, Factory.forProtocol(Protocol))", "0"),
    "a thread": (
        "port = await wirebook.deferToThread(reactor.listenTCP, {place}, Factory.forProtocol(Protocol))",
        "0",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_port_is_taken_over(kind: str, notebook: Notebook, tmp_path: Path) -> None:
    listen, place = KINDS[kind]
    notebook.run(f"path = {str(tmp_path / 'socket')!r}")
    first = notebook.run(listen.format(place=place))
    assert first.error == ""
    notebook.run("old, place = port, port.port")
    run = notebook.run(listen.format(place="place") + "\n# edited")
    assert run.error == ""
    assert "which this cell replaces: closed 1 port.\n" in run.stdout
    assert (first.stdout, first.stderr, run.stderr) == ("", "", "")
    assert notebook.value("old is not port and list(reactor.handles) == [port]")


def test_ports_of_several_cells_make_room_for_one_on_all_interfaces(notebook: Notebook, served: int) -> None:
    source = "second = reactor.listenTCP({}, Factory.forProtocol(Echo), interface={!r})"
    assert notebook.run(source.format(served, "127.0.0.2")).error == ""
    run = notebook.run(source.format(served, "0.0.0.0"))
    assert run.error == ""
    assert run.stdout.count("which this cell replaces") == 2
    assert notebook.value("list(reactor.handles) == [second]")


def test_a_callback_that_listens_later_takes_the_port_for_its_cell(notebook: Notebook, served: int) -> None:
    run = notebook.run(f"""
        listening = Deferred()
        listening.addCallback(lambda _: reactor.listenTCP({served}, Factory.forProtocol(Echo)))
    """)
    notebook.run("listening.callback(None); port = await listening")
    assert "which this cell replaces: closed 1 port.\n" in run.wait(lambda run: "replaces" in run.stdout).stdout
    assert notebook.value("list(reactor.handles) == [port]")


# --- who keeps its port


def refused(notebook: Notebook, number: int, source: str, cell: str | None = None) -> None:
    """Check that a cell cannot listen at a port and that nothing was closed."""
    before = notebook.value(PORTS)
    run = notebook.run(source, cell)
    assert run.error.startswith(f"CannotListenError: cannot listen on 127.0.0.1:{number}: address already in use")
    assert "replaces" not in run.stdout
    assert notebook.value(PORTS) == before


def test_a_port_of_another_name_stays(notebook: Notebook, served: int) -> None:
    refused(notebook, served, SERVER.replace("Echo", "Other").format(answer=b"new", place=served))


def test_a_cell_with_an_id_takes_no_port(notebook: Notebook, served: int) -> None:
    refused(notebook, served, SERVER.format(answer=b"new", place=served), cell="an-id")


def test_a_port_of_a_cell_with_an_id_stays(notebook: Notebook) -> None:
    notebook.run(SERVER.format(answer=b"old", place=0), cell="an-id")
    number = notebook.value("port.port")
    refused(notebook, number, SERVER.format(answer=b"new", place=number))


def test_what_a_cell_has_opened_that_keeps_it_stays(notebook: Notebook) -> None:
    notebook.run("%%keep" + SERVER.format(answer=b"old", place=0))
    number = notebook.value("port.port")
    refused(notebook, number, SERVER.format(answer=b"new", place=number))


def test_a_cell_that_is_to_keep_what_is_open_takes_no_port(notebook: Notebook, served: int) -> None:
    refused(notebook, served, "%%keep" + SERVER.format(answer=b"new", place=served))


def test_a_cell_takes_no_port_of_its_own(notebook: Notebook) -> None:
    run = notebook.run(
        SERVER.format(answer=b"old", place=0) + "reactor.listenTCP(port.port, Factory.forProtocol(Echo))"
    )
    assert run.error.startswith("CannotListenError")
    assert notebook.value(PORTS + " == [port.port]")


def test_a_port_that_no_cell_has_opened_stays(notebook: Notebook) -> None:
    number = notebook.value("reactor.listenTCP(0, Factory.forProtocol(Protocol)).port")
    refused(notebook, number, f"reactor.listenTCP({number}, Factory.forProtocol(Protocol))")


def test_a_port_that_is_not_this_kernel_s_makes_no_room() -> None:
    succession = Succession(Cells(SimpleNamespace(execution_count=1), print))
    with socket.create_server(("127.0.0.1", 0)) as other:
        error = CannotListenError("127.0.0.1", other.getsockname()[1], OSError(errno.EADDRINUSE, "in use"))
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
        assert not succession.make_room(port, error)
        port.stopListening()


def test_a_port_of_another_kind_at_the_same_number_stays(notebook: Notebook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        assert notebook.run(f"udp = reactor.listenUDP({number}, wirebook.DatagramProtocol())").error == ""
        refused(notebook, number, f"reactor.listenTCP({number}, Factory.forProtocol(wirebook.DatagramProtocol))")


def test_a_cell_that_still_runs_keeps_its_port(notebook: Notebook) -> None:
    with notebook.subshell() as subshell:
        running = notebook.start(
            SERVER.format(answer=b"old", place=0) + "print('listens', flush=True)\nrelease = Deferred()\nawait release",
            subshell=subshell,
        )
        running.wait(lambda run: "listens" in run.stdout)
        number = notebook.value("port.port")
        refused(notebook, number, SERVER.format(answer=b"new", place=number))
        notebook.run("release.callback(None)")
        running.wait()
    assert "which this cell replaces" in notebook.run(SERVER.format(answer=b"newer", place=number)).stdout


def test_a_callback_of_an_earlier_cell_takes_nothing_from_a_later_one(notebook: Notebook) -> None:
    earlier = notebook.run("""
        go = Deferred()
        go.addCallback(lambda number: reactor.listenTCP(number, Factory.forProtocol(Echo)));
    """)
    notebook.run(SERVER.format(answer=b"later", place=0))
    notebook.run("go.callback(port.port); go = None")
    earlier.wait(lambda run: "CannotListenError" in run.stderr + run.stdout or run.displays)
    assert notebook.value(PORTS + " == [port.port]")


def test_where_one_port_stays_none_is_closed(notebook: Notebook, served: int) -> None:
    notebook.run(f"kept = reactor.listenTCP({served}, Factory.forProtocol(Protocol), interface='127.0.0.2')")
    run = notebook.run(f"reactor.listenTCP({served}, Factory.forProtocol(Echo), interface='0.0.0.0')")
    assert run.error.startswith("CannotListenError")
    assert notebook.value("list(reactor.handles) == [port, kept]")
