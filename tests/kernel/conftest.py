"""What the tests of the kernel get: running kernels, one for each module, and cells to begin with."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.kernel.kit import Notebook

# Every notebook begins with it.
NAMES = """
import socket, time
import wirebook
from wirebook import ClientFactory, Deferred, Factory, Protocol, fail, succeed
"""
ECHO = """
class Echo(Protocol):
    def dataReceived(self, data):
        print("echo", data)
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Echo))
"""
# To a server that never reads, at the port filled in: more than can be sent.
POUR = """
class Pour(Protocol):
    def connectionMade(self):
        self.transport.write(bytes(50_000_000))
        poured.callback(None)
poured = Deferred()
reactor.connectTCP("127.0.0.1", {}, ClientFactory.forProtocol(Pour))
await poured
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """The Wirebook kernel; shared by the tests of a module."""
    with Notebook() as notebook:
        notebook.run(NAMES)
        yield notebook


@pytest.fixture
def notebook(kernel: Notebook) -> Iterator[Notebook]:
    """The module's kernel, with nothing open, before and after."""
    yield kernel
    kernel.run("%reactor reset")
    assert kernel.value("len(reactor.handles)") == 0


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A server that never reads."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell in this process, without colours; shared by the tests of a module."""
    yield InteractiveShell.instance(colors="nocolor", history_manager=None)
    InteractiveShell.clear_instance()
