"""Cells in a real JupyterLab: output under the right one, what they own, classes that live on, floods.

The page is opened once, and each of its cells has run. The tests talk to the servers from outside the kernel.
"""

from __future__ import annotations

import re
import socket

import nbformat
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.timeout(240)

NAME = "cells.ipynb"
SECONDS = 10
CELLS = [
    "import itertools, logging, time, warnings, ipywidgets\n"
    "from wirebook import ClientFactory, Deferred, Factory, LoopingCall, Protocol, deferToThread, ensureDeferred\n"
    "version = itertools.count(1)\n"
    "warnings.simplefilter('always')",
    # The class
    "class Echo(Protocol):\n"
    "    answer = b'version %d' % next(version)\n"
    "    def dataReceived(self, data):\n"
    "        self.transport.write(self.answer)",
    # The server
    "port = reactor.listenTCP({}, Factory.forProtocol(Echo))\nLoopingCall(int).start(60);",
    # What attaches
    "go = Deferred()\n"
    "def gone():\n"
    "    each = Deferred()\n"
    "    go.addCallback(lambda _: each.callback(None))\n"
    "    return each\n"
    "def emit(how):\n"
    "    print('printed by', how)\n"
    "    display('displayed by ' + how)\n"
    "    display(ipywidgets.Label('widget by ' + how))\n"
    "    logging.warning('logged by ' + how)\n"
    "    warnings.warn('warned by ' + how)\n"
    "    if how in ('a callback', 'a timer', 'a protocol'): raise ValueError('raised by ' + how)\n"
    "class Emits(Protocol):\n"
    "    def connectionMade(self): emit('a protocol')\n"
    "emits = reactor.listenTCP(0, Factory.forProtocol(Emits))\n"
    "def connect(_): reactor.connectTCP('127.0.0.1', emits.port, ClientFactory.forProtocol(Protocol))\n"
    "async def work():\n"
    "    await gone()\n"
    "    emit('a coroutine')\n"
    "gone().addCallback(lambda _: emit('a callback'))\n"
    "gone().addCallback(lambda _: deferToThread(emit, 'a thread'))\n"
    "gone().addCallback(lambda _: reactor.callLater(0.01, emit, 'a timer') and None)\n"
    "gone().addCallback(connect)\n"
    "ensureDeferred(work());",
    # The widget
    "button = ipywidgets.Button(description='Go')\n"
    "button.on_click(lambda _: reactor.callFromThread(go.callback, None))\n"
    "button",
    "%reactor upgrade",
    "%reactor",
    "def flood():\n    for number in range(100_000): print('line', number)\nreactor.callLater(0, flood);",
    "time.sleep(120)",
    "'the last cell'",
]
# Those that the tests start themselves.
LATER = 3
HOWS = ("a callback", "a thread", "a timer", "a protocol", "a coroutine")
WHATS = ("printed by", "'displayed by", "widget by", "logged by", "UserWarning: warned by")
SUBSHELLS = "how => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.commsOverSubshells = how }"


@pytest.fixture(scope="module")
def number() -> int:
    """A port number that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def notebook(context: BrowserContext, lab: Lab, number: int) -> Notebook:
    """The notebook with these cells, run once but for the last ones."""
    cells = [nbformat.v4.new_code_cell(source.replace("{}", str(number))) for source in CELLS]
    spec = {"name": "wirebook", "display_name": "Wirebook", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), lab.root / NAME)
    opened = Notebook.open(context, lab, NAME)
    for each in range(len(CELLS) - LATER):
        opened.run(each)
    return opened


def ask(client: socket.socket) -> bytes:
    """What the server answers."""
    client.sendall(b"?")
    return client.recv(100)


@pytest.mark.parametrize("subshells", ["perCommTarget", "disabled"])
def test_after_a_click_all_output_is_under_the_cell_that_attached_it(subshells: str, notebook: Notebook) -> None:
    attaches = notebook.find("def emit")
    notebook.page.evaluate(SUBSHELLS, subshells)
    notebook.run(attaches)
    notebook.run(notebook.find("'the last cell'"))
    notebook.outputs(notebook.find("Button")).get_by_role("button", name="Go").click()
    for text in (f"{what} {how}" for what in WHATS for how in HOWS):
        expect(notebook.outputs(attaches)).to_contain_text(text)
    for how in ("a callback", "a timer", "a protocol"):
        expect(notebook.outputs(attaches)).to_contain_text(f"ValueError: raised by {how}")
    others = [notebook.output(each) for each in range(len(CELLS)) if each != attaches]
    assert not [text for text in others if " by a" in text]


def test_a_cell_that_runs_again_gets_its_port_back_and_its_connections_are_closed(
    notebook: Notebook, number: int
) -> None:
    server = notebook.find("listenTCP")
    with socket.create_connection(("127.0.0.1", number), SECONDS) as client:
        assert ask(client).startswith(b"version")
        notebook.run(server)
        assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", number), SECONDS) as client:
        assert ask(client).startswith(b"version")


def test_a_class_that_is_defined_again_is_built_by_the_server_and_can_be_given_to_open_connections(
    notebook: Notebook, number: int
) -> None:
    echo = notebook.find("class Echo")
    with socket.create_connection(("127.0.0.1", number), SECONDS) as old:
        before = ask(old)
        notebook.run(echo)
        said = f"Echo redefined: port {number} now builds the new one; 1 open connection keeps the old"
        expect(notebook.outputs(echo)).to_contain_text(said)
        with socket.create_connection(("127.0.0.1", number), SECONDS) as new:
            after = ask(new)
        assert after != before
        assert ask(old) == before
        notebook.run(notebook.find("%reactor upgrade"))
        assert ask(old) == after


def test_what_is_open_is_listed_once_with_its_cell_and_its_age(notebook: Notebook) -> None:
    server, lists = notebook.find("listenTCP("), CELLS.index("%reactor")
    for _ in range(2):
        notebook.run(server)
    notebook.run(lists)
    cell = notebook.prompt(server).rstrip(":")
    for kind in ("port", "timer"):
        row = notebook.outputs(lists).locator("tr").filter(has_text=re.compile(f"^{kind}")).filter(has_text=cell)
        expect(row).to_have_count(1)
        expect(row).to_contain_text(re.compile(r"\d\d:\d\d:\d\d, \d"))


def test_a_flood_is_cut_and_counted_and_the_page_stays_usable(notebook: Notebook) -> None:
    flood = notebook.find("def flood")
    notebook.run(flood)
    expect(notebook.outputs(flood)).to_contain_text(re.compile(r"⋮ [\d,]+ lines? left out"), timeout=SECONDS * 1000)
    notebook.run(notebook.find("'the last cell'"))
    assert notebook.output(flood).count("line ") < 10_000


def test_a_restart_closes_everything_while_a_cell_blocks_and_the_port_is_free(notebook: Notebook, number: int) -> None:
    with socket.create_connection(("127.0.0.1", number), SECONDS) as client:
        assert ask(client).startswith(b"version")
        notebook.start(notebook.find("time.sleep(120)"))
        notebook.restart()
        assert client.recv(1) == b""
    for each in ("import itertools", "class Echo", "listenTCP"):
        notebook.run(notebook.find(each))
    with socket.create_connection(("127.0.0.1", number), SECONDS) as client:
        assert ask(client) == b"version 1"
