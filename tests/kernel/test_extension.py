"""What a callback prints, displays or fails with is shown in the cell that attached it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook, Run


@pytest.fixture
def talk(notebook: Notebook) -> Iterator[Callable[[bytes], bytes]]:
    """Send to the server that the notebook calls ``port``, from outside the kernel; returns the answer."""
    clients = []

    def send(data: bytes) -> bytes:
        port = notebook.value("port.getHost().port")
        clients.append(socket.create_connection(("127.0.0.1", port), 10))
        clients[-1].sendall(data)
        return clients[-1].recv(100)

    yield send
    for client in clients:
        client.close()


def test_a_print_of_a_callback_reaches_its_cell_while_another_cell_blocks(notebook: Notebook) -> None:
    server = notebook.run(ECHO)
    port = notebook.value("port.getHost().port")
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(10)
        address = gate.getsockname()
        blocking = notebook.start(f"gate = socket.create_connection({address}); gate.recv(1); gate.close()")
        held, _ = gate.accept()
    with held, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        server.wait(lambda run: "echo b'hello'" in run.stdout)
        assert not blocking.done
    assert blocking.wait().stdout == ""


def test_a_print_of_a_callback_reaches_its_cell_after_other_cells_ran(
    notebook: Notebook, talk: Callable[[bytes], bytes]
) -> None:
    server = notebook.run(ECHO)
    later = notebook.run("print('another cell')")
    assert talk(b"hello") == b"hello"
    server.wait(lambda run: "echo b'hello'" in run.stdout)
    assert later.stdout == "another cell\n"


def test_the_cell_itself_may_talk_to_the_server_with_a_blocking_socket(notebook: Notebook) -> None:
    server = notebook.run(ECHO)
    client = notebook.run("""
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as client:
            client.sendall(b"from a cell")
            print(client.recv(100))
    """)
    assert client.stdout == "b'from a cell'\n"
    server.wait(lambda run: "echo b'from a cell'" in run.stdout)


def test_a_display_of_a_callback_reaches_its_cell(notebook: Notebook) -> None:
    shows = notebook.run("shown = Deferred().addCallback(display)")
    notebook.run("reactor.callLater(0, shown.callback, 'here')")
    shows.wait(lambda run: run.displays)
    assert shows.displays[0]["text/plain"] == "'here'"


def test_every_callback_of_a_chain_prints_into_the_cell_that_added_it(notebook: Notebook) -> None:
    first = notebook.run("d = Deferred().addCallback(print)")
    second = notebook.run("d.addCallback(lambda _: print('second'))")
    fires = notebook.run("d.callback('first')")
    assert (first.stdout, second.stdout, fires.stdout) == ("first\n", "second\n", "")


def test_output_stays_in_its_cell_after_a_click_on_a_widget(notebook: Notebook) -> None:
    button = notebook.run("""
        import ipywidgets
        button = ipywidgets.Button()
        button.on_click(lambda _: fires.callback(None))
        button.comm.comm_id
    """)
    comm = button.result["text/plain"].strip("'")
    waits = notebook.run("fires = Deferred().addCallback(lambda _: reactor.callLater(0, print, 'later'))")
    click = {"comm_id": comm, "data": {"method": "custom", "content": {"event": "click"}}}
    clicked = Run(notebook, notebook.send("comm_msg", click))
    waits.wait(lambda run: "later" in run.stdout)
    assert clicked.wait().stdout == ""


def test_an_error_in_data_received_is_shown_once_in_its_cell_and_the_server_lives(
    notebook: Notebook, talk: Callable[[bytes], bytes]
) -> None:
    server = notebook.run("""
class Picky(Protocol):
    def dataReceived(self, data):
        if data == b"bad":
            raise ValueError("cannot take this")
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Picky))
""")
    later = notebook.run("pass")
    assert talk(b"bad") == b""
    assert talk(b"good") == b"good"
    server.wait(lambda run: "cannot take this" in run.stderr)
    notebook.drain()
    assert server.stderr.count("Traceback (most recent call last)") == 1
    assert "stream.py" not in server.stderr, "the framework's frames are folded"
    assert later.stderr == ""


def test_an_unhandled_error_in_a_deferred_is_shown_in_the_cell_that_made_it(notebook: Notebook) -> None:
    makes = notebook.run("d = Deferred()")
    fails = notebook.run("d.errback(ZeroDivisionError('nobody looks')); del d")
    makes.wait(lambda run: "nobody looks" in run.stderr)
    assert fails.stderr == ""


def test_a_record_that_is_no_error_is_one_line(notebook: Notebook) -> None:
    makes = notebook.run("import contextvars; place = contextvars.copy_context()")
    notebook.run("from wirebook.logger import report_event; report_event('look at this', place)")
    makes.wait(lambda run: run.stderr)
    assert makes.stderr == "warning: look at this\n"


def test_a_handle_names_the_cell_that_opened_it(notebook: Notebook) -> None:
    notebook.run(ECHO, cell="the-server")
    assert notebook.value("__import__('wirebook_kernel').cells.cell_of(port).id") == "the-server"


def test_a_cell_that_awaits_owns_what_it_opens(notebook: Notebook) -> None:
    notebook.run("await succeed(None)" + ECHO, cell="awaits")
    assert notebook.value("__import__('wirebook_kernel').cells.cell_of(port).id") == "awaits"


def test_outside_cells_nothing_has_an_owner(notebook: Notebook) -> None:
    notebook.run("1")
    assert notebook.value("str(__import__('wirebook_kernel').current_cell.get())") == "None"
