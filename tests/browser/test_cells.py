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
    "import itertools, logging, warnings, ipywidgets\n"
    "from wirebook import Deferred, Factory, LoopingCall, Protocol, deferToThread, ensureDeferred\n"
    "version = itertools.count(1)",
    # The class
    "class Echo(Protocol):\n"
    "    answer = b'version %d' % next(version)\n"
    "    def dataReceived(self, data):\n"
    "        self.transport.write(self.answer)",
    # The server
    "port = reactor.listenTCP({}, Factory.forProtocol(Echo))",
    # What attaches
    "import asyncio\n"
    "go = Deferred()\n"
    "def emit(how):\n"
    "    print('printed by', how)\n"
    "    display('displayed by ' + how)\n"
    "    warnings.warn('warned by ' + how)\n"
    "go.addCallback(lambda _: emit('a callback'))\n"
    "go.addCallback(lambda _: deferToThread(emit, 'a thread'))\n"
    "go.addCallback(lambda _: reactor.callLater(0.01, emit, 'a timer') and None)\n"
    "async def work():\n"
    "    await go\n"
    "    emit('a coroutine')\n"
    "ensureDeferred(work());",
    # The widget
    "button = ipywidgets.Button(description='Go')\n"
    "button.on_click(lambda _: reactor.callFromThread(go.callback, None))\n"
    "button",
    "%reactor upgrade",
    "def flood():\n    for number in range(100_000): print('line', number)\nreactor.callLater(0, flood);",
    "'the last cell'",
]


@pytest.fixture(scope="module")
def number() -> int:
    """A port number that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def notebook(context: BrowserContext, lab: Lab, number: int) -> Notebook:
    """The notebook with these cells, each but the flood run once."""
    cells = [nbformat.v4.new_code_cell(source.replace("{}", str(number))) for source in CELLS]
    spec = {"name": "wirebook", "display_name": "Wirebook", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), lab.root / NAME)
    opened = Notebook.open(context, lab, NAME)
    for each in range(len(CELLS) - 2):
        opened.run(each)
    return opened


def ask(client: socket.socket) -> bytes:
    """What the server answers."""
    client.sendall(b"?")
    return client.recv(100)


def test_after_a_click_all_output_is_under_the_cell_that_attached_it(notebook: Notebook) -> None:
    attaches = notebook.find("def emit")
    notebook.run(notebook.find("'the last cell'"))
    notebook.outputs(notebook.find("Button")).get_by_role("button", name="Go").click()
    for how in ("a callback", "a thread", "a timer", "a coroutine"):
        for what in ("printed by", "displayed by", "UserWarning: warned by"):
            expect(notebook.outputs(attaches)).to_contain_text(f"{what} {how}")
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


def test_a_flood_is_cut_and_counted_and_the_page_stays_usable(notebook: Notebook) -> None:
    flood = notebook.find("def flood")
    notebook.run(flood)
    expect(notebook.outputs(flood)).to_contain_text(re.compile(r"⋮ [\d,]+ lines? left out"), timeout=SECONDS * 1000)
    notebook.run(notebook.find("'the last cell'"))
    assert notebook.output(flood).count("line ") < 10_000
