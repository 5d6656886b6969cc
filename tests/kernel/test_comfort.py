"""What people do in any notebook works here too, with reactor objects and from callbacks."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.kernel.kit import Message, Notebook

SERVER = """
port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
d = Deferred()
"""
PNG = """
import base64
from IPython.display import Image, display
dot = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
call = reactor.callLater(0.02, lambda: display(Image(dot)))
"""
TQDM = """
from tqdm import tqdm
bar = tqdm(total=3, desc="fetched", mininterval=0)
def step(left):
    bar.update()
    if left > 1:
        return reactor.callLater(0.01, step, left - 1)
    bar.close()
call = reactor.callLater(0.01, step, 3)
"""


def completed(notebook: Notebook, code: str) -> list[str]:
    """What the front end offers after `code`."""
    request = notebook.send("complete_request", {"code": code, "cursor_pos": len(code)})
    matches: list[str] = notebook.reply_to(request)["content"]["matches"]
    return matches


def shown_help(notebook: Notebook, code: str) -> str:
    """The text of the pager."""
    pages: list[Message] = notebook.run(code).reply["content"]["payload"]
    text: str = pages[0]["data"]["text/plain"]
    return text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("reactor.callL", "callLater"),
        ("port.getH", "getHost"),
        ("d.addCall", "addCallback"),
        ("wirebook.Loo", "LoopingCall"),
        ("from wirebook import client", "clientFromString"),
        ("%reac", "reactor"),
    ],
)
def test_names_are_completed(notebook: Notebook, code: str, name: str) -> None:
    notebook.run(SERVER)
    assert any(name in match for match in completed(notebook, code))


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("reactor.callLater?", "delay"),
        ("port.stopListening?", "Deferred"),
        ("d.addCallback?", "callback"),
        ("d?", "Deferred"),
        ("%reactor?", "what is open"),
    ],
)
def test_a_question_mark_shows_the_documentation(notebook: Notebook, code: str, part: str) -> None:
    notebook.run(SERVER)
    assert part in shown_help(notebook, code)


def test_calls_of_the_api_can_be_timed(notebook: Notebook) -> None:
    line = notebook.run("%timeit -n 100 -r 2 reactor.callLater(60, print).cancel()")
    cell = notebook.run("%%timeit -n 100 -r 2\nd = Deferred(); d.addCallback(len)\nd.callback('abc')")
    for timed in (line, cell):
        assert "per loop" in timed.stdout
        assert (timed.error, timed.stderr) == ("", "")


def test_a_cell_can_be_timed_and_run_in_one_turn(notebook: Notebook) -> None:
    timed = notebook.run("%%time\nd = Deferred(); call = reactor.callLater(0, d.callback, 'came')\nprint(d.wait(5))")
    assert "came" in timed.stdout
    assert "Wall time" in timed.stdout
    turn = notebook.run("%%reactor\nran = []\ncall = reactor.callLater(0, ran.append, 1)\ntime.sleep(0.05)\nlist(ran)")
    assert turn.result["text/plain"] == "[]"


@pytest.mark.parametrize("magic", ["%gui asyncio", "%gui"])
def test_gui_magics_leave_cells_and_reactor_as_they_are(notebook: Notebook, magic: str) -> None:
    assert notebook.run(magic).error == ""
    assert notebook.run("d = Deferred(); call = reactor.callLater(0, d.callback, 'came'); await d").error == ""
    notebook.run("import asyncio; late = asyncio.get_running_loop().call_later(0.02, print, 'tick')").wait(
        lambda run: "tick" in run.stdout
    )


def test_a_picture_displayed_by_a_callback_appears_in_its_cell(notebook: Notebook) -> None:
    run = notebook.run(PNG)
    notebook.run("pass")
    run.wait(lambda run: run.displays)
    assert "image/png" in run.displays[0]


def test_a_progress_bar_moved_by_callbacks_stays_in_its_cell(notebook: Notebook) -> None:
    run = notebook.run(TQDM)
    other = notebook.run("print('another cell')")
    run.wait(lambda run: "3/3" in run.stderr)
    assert "fetched: 100%" in run.stderr
    assert other.stdout == "another cell\n"
    assert other.stderr == ""


def test_the_reactor_outlives_a_closed_standard_error(notebook: Notebook) -> None:
    """To report an error fails then, and so does to report that."""
    notebook.run("import io, sys; kept, sys.stderr = sys.stderr, io.StringIO(); sys.stderr.close()")
    notebook.run("call = reactor.callLater(0, lambda: 1 / 0)")
    came = notebook.run("d = Deferred(); call = reactor.callLater(0.05, d.callback, 'came'); await d")
    notebook.run("sys.stderr = kept")
    assert came.result["text/plain"] == "'came'"


def test_a_server_in_a_cell_is_reached_by_a_command_in_a_cell(notebook: Notebook) -> None:
    notebook.run("class Greeter(Protocol):\n    def connectionMade(self): self.transport.write(b'hello')")
    notebook.run("port = reactor.listenTCP(0, Factory.forProtocol(Greeter)); number = port.getHost().port")
    run = notebook.run(
        f"!{sys.executable} -c \"import socket; print(socket.create_connection(('127.0.0.1', {{number}})).recv(9))\""
    )
    assert "b'hello'" in run.stdout
    with socket.create_connection(("127.0.0.1", notebook.value("number")), 10) as client:
        assert client.recv(5) == b"hello"


def test_a_name_of_the_face_is_there_when_it_is_asked_for() -> None:
    program = """
import sys, wirebook
assert set(wirebook.__all__) <= set(dir(wirebook))
assert "wirebook.endpoints" not in sys.modules
assert wirebook.endpoints.HostnameEndpoint is wirebook.HostnameEndpoint
for name in wirebook.__all__: getattr(wirebook, name)
try: wirebook.Nonsense
except AttributeError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("module 'wirebook' has no attribute 'Nonsense'\n", "")
