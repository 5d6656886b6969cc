"""A stock ipykernel with ``%load_ext wirebook_kernel`` does the same, but for what needs the kernel's class."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import ECHO, NAMES
from tests.kernel.kit import Notebook
from tests.kernel.test_interrupts import ALIVE, STUCK, WAITING, stop


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """ipykernel's own kernel, with the extension loaded."""
    with Notebook("python3") as notebook:
        notebook.run("%load_ext wirebook_kernel\n" + NAMES)
        yield notebook


def test_output_is_routed_and_cells_own_what_they_open(notebook: Notebook) -> None:
    for _ in range(2):
        server = notebook.run(ECHO, cell="server")
    with socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
    server.wait(lambda run: "echo b'hello'" in run.stdout)
    assert notebook.value("len(reactor.handles.of('port'))") == 1


def test_an_edited_cell_takes_its_port(notebook: Notebook) -> None:
    notebook.run(ECHO)
    number = notebook.value("port.port")
    edited = notebook.run(ECHO.replace("(0,", f"({number},"))
    assert edited.error == ""
    assert "which this cell replaces: closed 1 port.\n" in edited.stdout
    assert notebook.value("list(reactor.handles) == [port]")


def test_deferreds_are_awaited_shown_and_reported(notebook: Notebook) -> None:
    assert notebook.run("await succeed('arrived')").result["text/plain"] == "'arrived'"
    assert "fired" in notebook.run("succeed('arrived')").result["text/html"]
    made = notebook.run("d = Deferred()")
    notebook.run("d.errback(ValueError('nobody looks')); del d")
    made.wait(lambda run: "nobody looks" in run.stderr)


def test_the_stop_button_ends_a_blocking_cell_and_spares_the_framework(notebook: Notebook) -> None:
    run = notebook.start("print('here', flush=True)\nwhile True: reactor.callLater(60, print).cancel()")
    run.wait(lambda run: "here" in run.stdout)
    notebook.interrupt()
    assert run.wait().error.startswith("KeyboardInterrupt")
    assert notebook.run("d = Deferred(); reactor.callLater(0, d.callback, 1); await d").error == ""


@pytest.mark.parametrize("waits_for", ["a Deferred", "a callback that keeps the reactor"])
def test_the_stop_button_ends_an_await_at_once(waits_for: str, notebook: Notebook) -> None:
    hog = STUCK.format("while True: pass") + WAITING if waits_for != "a Deferred" else ""
    saying = hog or "import asyncio; asyncio.get_running_loop().call_soon(lambda: print('here', flush=True))\n"
    assert stop(notebook, saying + "await Deferred()").error.startswith("CancelledError")
    assert notebook.run(ALIVE).result == {"text/plain": "'alive'"}


def test_late_output_displays_and_errors_reach_their_cell(notebook: Notebook) -> None:
    made = notebook.run("""
        from IPython.display import display
        def late():
            print("printed")
            display({"text/plain": "shown"}, raw=True)
            raise ValueError("went wrong")
        call = reactor.callLater(0.02, late)
    """)
    other = notebook.run("print('another cell')")
    made.wait(lambda run: run.stdout and run.displays and "went wrong" in run.stderr)
    assert (other.stdout, other.stderr) == ("another cell\n", "")


def test_magics_completion_and_settling_are_there(notebook: Notebook) -> None:
    assert notebook.run("%%reactor\nreactor.callLater(0, print); 'in one turn'").result["text/plain"] == "'in one turn'"
    assert notebook.run("%reactor").error == ""
    settled = notebook.run(
        "from wirebook_kernel import settle; call = reactor.callLater(0.02, print, 'late'); settle()"
    )
    assert settled.stdout == "late\n"
    request = notebook.send("complete_request", {"code": "reactor.callL", "cursor_pos": 13})
    assert any("callLater" in match for match in notebook.reply_to(request)["content"]["matches"])


def test_a_callback_that_keeps_the_reactor_is_reported(notebook: Notebook) -> None:
    notebook.run("%reactor watchdog 0.2")
    run = notebook.run("call = reactor.callLater(0, time.sleep, 0.8)")
    run.wait(lambda run: run.stderr or run.displays)
    notebook.run("%reactor watchdog 1")


def test_a_class_that_is_defined_again_is_built_by_its_server(notebook: Notebook) -> None:
    greeter = "class Greeter(Protocol):\n    def connectionMade(self): self.transport.write(b'{}')"
    notebook.run(greeter.format("old"), cell="class")
    notebook.run("port = reactor.listenTCP(0, Factory.forProtocol(Greeter))", cell="server")
    notebook.run(greeter.format("new"), cell="class")
    with socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10) as client:
        assert client.recv(3) == b"new"


def test_the_cell_that_loads_the_extension_owns_what_it_opens() -> None:
    source = "%load_ext wirebook_kernel\n" + NAMES + ECHO
    with Notebook("python3") as notebook:
        notebook.run(source, cell="first")
        assert notebook.value("__import__('wirebook_kernel').cells.cell_of(port).id") == "first"
        notebook.run("pass", cell="first")
        assert notebook.value("len(reactor.handles)") == 0


def test_unloading_takes_everything_back_and_it_can_be_loaded_again() -> None:
    interval = "__import__('sys').getswitchinterval()"
    with Notebook("python3") as notebook:
        before = notebook.value("sorted(get_ipython().magics_manager.magics['line'])")
        notebook.run("%load_ext wirebook_kernel\n" + NAMES + ECHO)
        client = socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10)
        notebook.run("%unload_ext wirebook_kernel")
        with client:
            assert client.recv(1) == b""
        assert notebook.value("sorted(get_ipython().magics_manager.magics['line'])") == before
        assert notebook.run("reactor").error.startswith("NameError")
        assert notebook.value("wirebook.reactor.running") is False
        assert notebook.value("wirebook.reactor.handles.make_room") is None
        assert notebook.value(interval) == 0.005
        notebook.run("%load_ext wirebook_kernel")
        assert notebook.run("d = Deferred(); reactor.callLater(0, d.callback, 1); await d").error == ""
