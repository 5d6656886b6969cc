"""Running the cell of a class again: what is open follows, and what cannot is told in one line."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.kernel.kit import Notebook
from wirebook import Protocol
from wirebook.logger import Logger
from wirebook_kernel.live import same_definition

CLASS = """
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"version {}")
"""
LISTEN = "port = reactor.listenTCP(0, {})\nport.getHost().port"
UPGRADE = "%reactor upgrade moves {}"


@pytest.fixture
def define(notebook: Notebook) -> Iterator[Callable[[object], str]]:
    """Run the cell of the class `Echo` in some version; what it says."""
    yield lambda version: notebook.run(CLASS.format(version), cell="class").stdout
    notebook.run("%reset_selective -f ^(Echo|Base|Maker|factory|EchoFactory|port|client|connected|process|Greeter)$")


@pytest.fixture
def connect(notebook: Notebook) -> Iterator[Callable[..., socket.socket]]:
    """Connect to the port of this number, the notebook's ``port`` if none is given."""
    opened = []

    def to(number: int = 0) -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", number or notebook.value("port.getHost().port")), 10))
        assert ask(opened[-1])
        return opened[-1]

    yield to
    for each in opened:
        each.close()


def ask(client: socket.socket) -> bytes:
    """What the other side answers."""
    client.sendall(b"?")
    return client.recv(100)


def listen(notebook: Notebook, factory: str, cell: str = "port") -> int:
    """Run a cell that listens with a factory; returns the port's number."""
    run = notebook.run(LISTEN.format(factory), cell=cell)
    assert run.error == ""
    return int(run.result["text/plain"])


@pytest.mark.parametrize(
    "factory",
    [
        "Factory.forProtocol(Echo)",
        "Factory.forProtocol(__import__('functools').partial(Echo))",
        "Factory.forProtocol(lambda: Echo())",
        "type('EchoFactory', (Factory,), {'protocol': Echo})()",
        "type('EchoFactory', (Factory,), {'buildProtocol': lambda self, address: Echo()})()",
        "__import__('wirebook.policies').policies.TimeoutFactory(Factory.forProtocol(Echo))",
    ],
)
def test_a_port_of_another_cell_builds_the_new_class(
    factory: str, notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    assert define(1) == ""
    number = listen(notebook, factory)
    assert define(2) == f"Echo redefined: port {number} now builds the new one\n"
    assert ask(connect()) == b"version 2"


def test_a_factory_class_of_the_notebook_follows_with_all_that_are_made_of_it(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    notebook.run("class EchoFactory(Factory):\n    protocol = Echo", cell="factory")
    number = listen(notebook, "EchoFactory()")
    assert f"port {number} now builds" in define(2)
    assert ask(connect()) == b"version 2"
    listen(notebook, "EchoFactory()", cell="another")
    assert ask(connect()) == b"version 2"


def test_open_connections_keep_the_old_class_until_they_are_upgraded(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    number = listen(notebook, "Factory.forProtocol(Echo)")
    old = [connect() for _ in range(3)]
    assert define(2) == (
        f"Echo redefined: port {number} now builds the new one; "
        "3 open connections keep the old (%reactor upgrade moves them)\n"
    )
    new = connect()
    assert [ask(client) for client in [*old, new]] == [b"version 1"] * 3 + [b"version 2"]
    assert notebook.run("%reactor upgrade").stdout == "3 open connections now have the new Echo.\n"
    assert [ask(client) for client in old] == [b"version 2"] * 3
    assert "Nothing to upgrade" in notebook.run("%reactor upgrade").stdout


def test_a_connection_may_miss_several_versions(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    listen(notebook, "Factory.forProtocol(Echo)")
    client = connect()
    define(2)
    assert "1 open connection keeps the old (%reactor upgrade moves it)" in define(3)
    notebook.run("%reactor upgrade")
    assert ask(client) == b"version 3"


def test_the_same_words_again_are_exchanged_without_a_word(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    listen(notebook, "Factory.forProtocol(Echo)")
    connect()
    assert define(1) == ""
    assert notebook.value("port.factory.protocol is Echo") is True


def test_a_cell_that_listens_itself_has_nothing_to_say(notebook: Notebook, define: Callable[[object], str]) -> None:
    define(1)
    for version in (2, 3):
        run = notebook.run(CLASS.format(version) + LISTEN.format("Factory.forProtocol(Echo)"), cell="both")
        assert run.stdout == ""


def test_a_port_of_an_earlier_run_that_was_kept_follows(
    notebook: Notebook, connect: Callable[..., socket.socket]
) -> None:
    source = "%%keep\n" + CLASS + LISTEN.format("Factory.forProtocol(Echo)")
    first = int(notebook.run(source.format(1), cell="kept").result["text/plain"])
    second = notebook.run(source.format(2), cell="kept")
    assert second.stdout == f"Echo redefined: port {first} now builds the new one\n"
    assert ask(connect(first)) == b"version 2"


def test_an_idle_factory_is_told_too(notebook: Notebook, define: Callable[[object], str]) -> None:
    define(1)
    notebook.run("factory = Factory.forProtocol(Echo)")
    assert define(2) == "Echo redefined: its factory now builds the new one\n"


def test_a_client_builds_the_new_class_the_next_time(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        number = server.getsockname()[1]
        notebook.run(f"client = reactor.connectTCP('127.0.0.1', {number}, ClientFactory.forProtocol(Echo))")
        first, _ = server.accept()
        with first:
            assert ask(first) == b"version 1"
            assert define(2).startswith(
                f"Echo redefined: the client of 127.0.0.1:{number} now builds the new one; 1 op"
            )
        notebook.run("__import__('wirebook_kernel').settle(quiet=0.05); client.connect()")
        second, _ = server.accept()
        with second:
            assert ask(second) == b"version 2"


def test_a_datagram_port_keeps_its_protocol_until_it_is_upgraded(notebook: Notebook) -> None:
    source = """
from wirebook import DatagramProtocol
class Greeter(DatagramProtocol):
    def datagramReceived(self, datagram, address):
        self.transport.write(b"version {}", address)
"""
    notebook.run(source.format(1), cell="class")
    run = notebook.run("port = reactor.listenUDP(0, Greeter())\nport.getHost().port", cell="port")
    number = int(run.result["text/plain"])
    said = notebook.run(source.format(2), cell="class").stdout
    assert said == f"Greeter redefined: port {number} keeps the old (%reactor upgrade moves it)\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", number))
        assert ask(client) == b"version 1"
        assert notebook.run("%reactor upgrade").stdout == f"port {number} now has the new Greeter.\n"
        assert ask(client) == b"version 2"


def test_a_process_keeps_its_protocol_until_it_is_upgraded(notebook: Notebook) -> None:
    source = "from wirebook import ProcessProtocol\nclass Watcher(ProcessProtocol):\n    version = {}"
    notebook.run(source.format(1), cell="class")
    notebook.run("process = reactor.spawnProcess(Watcher(), '/bin/cat', ['cat'])", cell="process")
    assert "Watcher redefined: process cat keeps the old" in notebook.run(source.format(2), cell="class").stdout
    assert notebook.run("%reactor upgrade").stdout == "process cat now has the new Watcher.\n"
    assert notebook.value("process.proto.version") == 2


def test_a_factory_class_that_is_redefined_is_told_and_can_be_moved(
    notebook: Notebook, define: Callable[[object], str]
) -> None:
    define(1)
    source = "class EchoFactory(Factory):\n    protocol = Echo\n    version = {}"
    notebook.run(source.format(1), cell="factory")
    number = listen(notebook, "EchoFactory()")
    said = notebook.run(source.format(2), cell="factory").stdout
    assert said == f"EchoFactory redefined: port {number} keeps the old (%reactor upgrade moves it)\n"
    notebook.run("%reactor upgrade")
    assert notebook.value("port.factory.version") == 2


def test_who_inherits_from_the_old_class_is_told_plainly(notebook: Notebook) -> None:
    source = "class Base(Protocol):\n    version = {}"
    notebook.run(source.format(1), cell="base")
    notebook.run("class Echo(Base): pass", cell="class")
    said = notebook.run(source.format(2), cell="base").stdout
    assert said == "Base redefined: Echo inherits from the old: run the cell of Echo again\n"
    assert notebook.run("class Echo(Base): pass", cell="class").stdout == ""


def test_a_layout_that_does_not_fit_is_told_and_the_connection_stays(
    notebook: Notebook, define: Callable[[object], str], connect: Callable[..., socket.socket]
) -> None:
    define(1)
    listen(notebook, "Factory.forProtocol(Echo)")
    client = connect()
    notebook.run(CLASS.format(2) + "    __slots__ = ('more',)\n", cell="class")
    said = notebook.run("%reactor upgrade").stdout
    assert said.startswith("1 open connection cannot be moved to the new Echo: ")
    assert "layout differs" in said
    assert said.endswith("Close it.\n")
    assert ask(client) == b"version 1"


def test_a_class_from_elsewhere_is_none_of_its_business(notebook: Notebook) -> None:
    imported = "from wirebook.protocols.line import LineReceiver"
    notebook.run(imported, cell="class")
    listen(notebook, "Factory.forProtocol(LineReceiver)")
    assert notebook.run(imported, cell="class").stdout == ""


class Counted:
    """Equal to itself only, and says nothing of itself."""

    def __init__(self, count: int) -> None:
        self.count = count


def make(source: str) -> type:
    """The class `Made` that `source` defines."""
    namespace: dict[str, Any] = {each.__name__: each for each in (Counted, Logger, Protocol, dataclass, field, partial)}
    exec(source, namespace)
    made: type = namespace["Made"]
    return made


@pytest.mark.parametrize(
    "body",
    [
        "def dataReceived(self, data): return 1",
        "def dataReceived(self, data=1): return 1",
        "number = 1",
        "@property\n    def number(self): return 1",
        "@staticmethod\n    def number(): return 1",
        "class Inner:\n        number = 1",
        "log = Logger('lab1')",
        "handlers = {'a': lambda: 1}",
        "number = partial(int, 1)",
        "number = Counted(1)",
    ],
)
def test_a_definition_is_the_same_only_in_the_same_words(body: str) -> None:
    source = f"class Made(Protocol):\n    {body}"
    assert same_definition(make(source), make(source))
    assert not same_definition(make(source), make(source.replace("1", "2")))
    assert not same_definition(make(source), make(f"{source}\n    more = True"))


def test_a_dataclass_is_the_same_only_in_the_same_words() -> None:
    source = "@dataclass\nclass Made(Protocol):\n    number: int = 1\n    names: list = field(default_factory=list)"
    assert same_definition(make(source), make(source))
    assert not same_definition(make(source), make(source.replace("1", "2")))


def test_another_base_is_another_definition() -> None:
    assert not same_definition(make("class Made(Protocol): pass"), make("class Made: pass"))


def test_what_cannot_be_compared_has_changed() -> None:
    source = """
class Odd:
    def __eq__(self, other): raise ValueError
class Made:
    odd = Odd()
"""
    assert not same_definition(make(source), make(source))
