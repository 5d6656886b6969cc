"""The kernel as a program: what it says of itself, how it starts, and that it ends in order and in time."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from subprocess import Popen

import pytest

import wirebook
from tests.conftest import ROOT
from tests.kernel.conftest import ECHO, NAMES
from tests.kernel.kit import Notebook
from wirebook_kernel.kernel import WirebookKernel

# The promise; a cell blocks for much longer.
SHUTDOWN_SECONDS = 2.0
SLEEPS = "print('here', flush=True); time.sleep(60)"
# What a start, and a server, can do without. Many of these cost more than the whole framework.
LATER = {
    "TLS": ["OpenSSL", "cryptography", "service_identity", "cffi", "wirebook.ssl", "wirebook.transports.tls"],
    "live views": ["anywidget", "ipywidgets", "wirebook_widgets.connections"],
    "pictures": ["matplotlib", "PIL"],
    "names beyond ASCII": ["idna"],
    "databases": ["wirebook.adbapi"],
    "what programs are made of": ["wirebook.endpoints", "wirebook.protocols", "wirebook.service", "wirebook.task"],
}


def test_it_introduces_itself(notebook: Notebook) -> None:
    info = notebook.control("kernel_info_request")["content"]
    assert (info["implementation"], info["implementation_version"]) == ("wirebook", wirebook.__version__)
    assert info["banner"].startswith("Wirebook 0.")
    assert info["language_info"]["name"] == "python"
    assert "Twisted" in info["help_links"][0]["text"]
    assert any("IPython" in link["text"] for link in info["help_links"])


def test_the_extension_is_loaded_and_loading_it_again_changes_nothing(notebook: Notebook) -> None:
    assert "already loaded" in notebook.run("%load_ext wirebook_kernel").stdout
    assert notebook.value("reactor.running")


def test_completion_and_inspection_know_the_reactor(notebook: Notebook) -> None:
    completed = notebook.reply_to(notebook.send("complete_request", {"code": "reactor.listenT", "cursor_pos": 15}))
    assert any(match.endswith("listenTCP") for match in completed["content"]["matches"])
    request = {"code": "reactor.listenTCP", "cursor_pos": 17, "detail_level": 0}
    inspected = notebook.reply_to(notebook.send("inspect_request", request))
    assert "factory" in inspected["content"]["data"]["text/plain"]


def test_the_debugger_leaves_the_reactor_thread_alone(notebook: Notebook) -> None:
    thread = "next(t for t in __import__('threading').enumerate() if t.name == 'wirebook-reactor')"
    assert notebook.value(f"({thread}.pydev_do_not_trace, {thread}.is_pydev_daemon_thread, {thread}.daemon)") == (
        True,
        True,
        True,
    )


@pytest.fixture(scope="module")
def loaded_at_start() -> set[str]:
    """The modules of a kernel whose first cell asks for them."""
    with Notebook() as notebook:
        names: list[str] = notebook.value("sorted(__import__('sys').modules)")
        return set(names)


@pytest.mark.parametrize("modules", LATER.values(), ids=LATER)
def test_a_start_does_not_load(modules: list[str], loaded_at_start: set[str]) -> None:
    assert not loaded_at_start & set(modules)


def test_naming_the_package_loads_nothing_of_the_kernel_and_nothing_that_it_stands_on() -> None:
    """So the collector is off before anything is loaded, and does not go through all of it again and again."""
    program = "import sys, wirebook_kernel; print({'wirebook', 'IPython', 'ipykernel', 'zmq'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_the_collector_works_once_the_kernel_runs_and_leaves_the_kernel_itself_alone(notebook: Notebook) -> None:
    assert notebook.value("__import__('gc').isenabled()")
    assert notebook.value("__import__('gc').get_freeze_count()") > 50_000


def test_the_kernel_says_nothing_until_it_is_asked() -> None:
    """Clients that connect wait until it has been quiet for a moment."""
    with Notebook() as notebook:
        notebook.run("import wirebook_widgets")
        assert [message["msg_type"] for message in notebook.published if not message["parent_header"]] == []


def test_shutdown_closes_connections_in_time_while_a_cell_blocks() -> None:
    with Notebook() as notebook:
        notebook.run(NAMES + ECHO)
        with socket.create_connection(("127.0.0.1", notebook.value("port.getHost().port")), 10) as client:
            client.sendall(b"x")
            client.recv(1)
            notebook.start(SLEEPS).wait(lambda run: "here" in run.stdout)
            asked = time.monotonic()
            reply = notebook.control("shutdown_request", {"restart": False})
            assert time.monotonic() - asked < SHUTDOWN_SECONDS
            assert reply["content"] == {"status": "ok", "restart": False}
            assert client.recv(1) == b"", "closed in order, not reset"


def test_an_idle_kernel_ends_its_process_at_once() -> None:
    with Notebook() as notebook:
        notebook.run(NAMES + ECHO + "reactor.callLater(3600, print)")
        notebook.control("shutdown_request", {"restart": False})
        provisioner = notebook.manager.provisioner
        assert provisioner is not None
        process: Popen[bytes] = provisioner.process  # type: ignore[attr-defined]
        assert process.wait(5) == 0


def test_a_restarted_kernel_finds_its_port_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    code = NAMES + f"port = reactor.listenTCP({number}, Factory.forProtocol(Protocol))"
    with Notebook() as notebook:
        notebook.run(code)
        notebook.restart()
        assert notebook.run(code).error == ""


def test_the_class_is_ipykernels_with_little_more() -> None:
    assert WirebookKernel.implementation == "wirebook"
    assert WirebookKernel.__mro__[1].__name__ == "IPythonKernel"
