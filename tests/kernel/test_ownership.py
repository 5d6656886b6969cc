"""A cell that runs again first closes what its earlier runs opened, and waits until it is closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook

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


def test_the_same_source_is_the_same_cell_where_the_front_end_sends_no_id(notebook: Notebook, number: int) -> None:
    for _ in range(2):
        assert notebook.run(LISTEN.format(number)).error == ""
    assert notebook.value(OPEN) == 1


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


def test_a_timer_is_cancelled_when_its_cell_runs_again(notebook: Notebook) -> None:
    notebook.run("reactor.callLater(3600, print)", cell="timer")
    notebook.run("pass", cell="timer")
    assert notebook.value(OPEN) == 0


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A server that never reads."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_connection_that_cannot_flush_is_aborted_in_the_end(notebook: Notebook, deaf: socket.socket) -> None:
    notebook.run(f"""
        class Pour(Protocol):
            def connectionMade(self):
                self.transport.write(bytes(50_000_000))
                poured.callback(None)
        poured = Deferred()
        reactor.connectTCP("127.0.0.1", {deaf.getsockname()[1]}, ClientFactory.forProtocol(Pour))
        await poured
    """, cell="client")  # fmt: skip
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
