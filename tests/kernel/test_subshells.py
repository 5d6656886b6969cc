"""Cells that run on a subshell, in a thread of their own, may use everything."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook
from wirebook_kernel.sharing import SWITCH_INTERVAL


def test_a_cell_on_a_subshell_starts_a_server_that_prints_into_it(notebook: Notebook) -> None:
    with notebook.subshell() as subshell:
        server = notebook.run(ECHO, cell="server", subshell=subshell)
        notebook.run("""
            with socket.create_connection(("127.0.0.1", port.getHost().port)) as client:
                client.sendall(b"hello")
                client.recv(5)
        """)
        server.wait(lambda run: "echo b'hello'" in run.stdout)
        assert notebook.value("__import__('wirebook_kernel').cells.cell_of(port).id") == "server"


def test_a_cell_on_a_subshell_may_await_and_wait(notebook: Notebook) -> None:
    with notebook.subshell() as subshell:
        for how in ("await d", "d.wait(5)"):
            run = notebook.run(f"d = Deferred(); reactor.callLater(0, d.callback, 'arrived')\n{how}", subshell=subshell)
            assert run.result["text/plain"] == "'arrived'"


def test_running_a_cell_on_a_subshell_again_closes_what_it_opened(notebook: Notebook) -> None:
    with notebook.subshell() as subshell:
        for _ in range(2):
            notebook.run(ECHO, cell="server", subshell=subshell)
    assert notebook.value("len(reactor.handles)") == 1


def test_what_ipython_adds_to_the_builtins_stays_so_that_no_cell_takes_it_from_another(notebook: Notebook) -> None:
    """Between cells, too: to put it in place and to take it back is what two of them cannot do at once."""
    run = notebook.run("""
        import builtins
        def look():
            print("there" if hasattr(builtins, "get_ipython") and not hasattr(builtins, "exit") else "not there")
        reactor.callLater(0.2, look)
    """)
    run.wait(lambda run: "there" in run.stdout)
    assert run.stdout == "there\n"


def test_cells_on_two_subshells_and_the_main_thread_use_the_api_at_once(notebook: Notebook) -> None:
    """Each opens a server, speaks with it, blocks for an answer, and gets only its own output."""
    code = """
        def serve(name):
            class Named(Protocol):
                def connectionMade(self):
                    print("serves", name)
                    self.transport.write(name.encode())
            class Reader(Protocol):
                def dataReceived(self, data):
                    self.factory.heard.callback(data)
            for _ in range(20):
                port = reactor.listenTCP(0, Factory.forProtocol(Named))
                factory = ClientFactory.forProtocol(Reader)
                factory.heard = Deferred()
                connector = reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
                assert factory.heard.wait(5) == name.encode()
                connector.disconnect()
                port.stopListening().wait(5)
        """
    notebook.run(code)
    with notebook.subshell() as one, notebook.subshell() as two:
        places = {"one": one, "two": two, "main": None}
        runs = {name: notebook.start(f"serve({name!r})", subshell=place) for name, place in places.items()}
        for name, run in runs.items():
            assert run.wait().error == ""
            run.wait(lambda run: run.stdout.count("\n") >= 20)
            assert run.stdout == f"serves {name}\n" * 20


def test_settling_timing_and_magics_work_on_a_subshell(notebook: Notebook) -> None:
    settles = "from wirebook_kernel import settle; call = reactor.callLater(0.02, print, 'late'); settle()"
    with notebook.subshell() as subshell:
        assert notebook.run(settles, subshell=subshell).stdout == "late\n"
        assert notebook.run("%%reactor\n6 * 7", subshell=subshell).result["text/plain"] == "42"
        assert "per loop" in notebook.run("%timeit -n 9 -r 2 succeed(1)", subshell=subshell).stdout


def test_threads_are_switched_quickly_until_the_last_cell_ends(notebook: Notebook) -> None:
    interval = "sys.getswitchinterval()"
    notebook.run("import sys, threading; go_on = threading.Event()")
    usual = notebook.value(interval)
    with notebook.subshell() as subshell:
        waits = notebook.start("print('here', flush=True); go_on.wait()", subshell=subshell)
        waits.wait(lambda run: "here" in run.stdout)
        during = notebook.run(f"print({interval})")
        between = notebook.value(interval)
        notebook.run("go_on.set()")
        waits.wait()
    assert usual == 0.005
    assert [float(during.stdout), between] == pytest.approx([SWITCH_INTERVAL] * 2)
    assert notebook.value(interval) == usual
