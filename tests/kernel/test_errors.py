"""The list of the errors that were reported, and how they come on it from every place in a real kernel."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import ECHO
from tests.kernel.kit import Notebook, Run
from wirebook_kernel.errors import HEADERS, MOST_TEXT, ErrorList, ErrorTable, Reported


def an_error(message: str = "this is wrong", cell: str = "[3]") -> Reported:
    """An error to put on a list."""
    return Reported(cell, "[3]:7 in connect", "ValueError", message, "a timer raised: connect", "Traceback ...\n")


def test_errors_are_numbered_and_the_oldest_are_forgotten() -> None:
    errors = ErrorList(limit=3)
    for number in range(5):
        errors.add(an_error(str(number)))
    assert [each.number for each in errors.latest()] == [3, 4, 5]
    assert errors.count == 5
    assert errors.get(2) is None
    found = errors.get(4)
    assert found is not None
    assert found.message == "3"


def test_what_is_kept_of_an_error_has_a_limit() -> None:
    errors = ErrorList()
    errors.add(Reported("", "", "E", "x" * 10_000_000, "", "y" * 10_000_000))
    (kept,) = errors.latest()
    assert len(kept.message) + len(kept.traceback) < 200_000
    assert len(kept.headline) == MOST_TEXT


def test_the_table_has_the_newest_first() -> None:
    errors = ErrorList()
    errors.add(an_error("first"))
    errors.add(an_error("second\nline"))
    lines = repr(ErrorTable(errors)).splitlines()
    assert lines[0] == "2 errors. %reactor errors 2 shows the traceback of number 2."
    assert lines[2].split() == " ".join(HEADERS).split()
    assert lines[3].split()[0] == "2"
    assert "ValueError: second line  a timer raised: connect" in lines[3]
    assert "ValueError: first" in lines[4]


def test_the_table_says_how_many_there_were() -> None:
    errors = ErrorList(limit=2)
    for _ in range(1200):
        errors.add(an_error())
    assert repr(ErrorTable(errors)).startswith("The last 2 of 1,200 errors.")


def test_the_table_of_no_errors_says_so() -> None:
    table = ErrorTable(ErrorList())
    assert repr(table) == "No errors were reported."
    assert table._repr_html_() == "<div>No errors were reported.</div>"


def test_the_table_is_escaped() -> None:
    errors = ErrorList()
    errors.add(an_error("<img src=x>"))
    html = ErrorTable(errors)._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


# --- in a kernel -----------------------------------------------------------------------------------------

CHANNELS = {
    "a Deferred": ("d = Deferred().addCallback(boom)", "d.callback(1); del d"),
    "a timer": ("d = Deferred(); call = reactor.callLater(3600, boom, 1)", "call.reset(0)"),
    "a looping call": (
        "from wirebook.task import LoopingCall\nloop = LoopingCall(boom, 1); loop.start(3600, now=False); None",
        "loop.call.reset(0); del loop",
    ),
    "a thread": (
        "from wirebook.threads import deferToThread\nimport threading\ngo = threading.Event()\n"
        "def work():\n    go.wait(10)\n    boom(1)\ndeferToThread(work); None",
        "go.set()",
    ),
    "a coroutine": (
        "go = Deferred()\nasync def work():\n    boom(await go)\nDeferred.fromCoroutine(work()); None",
        "go.callback(1)",
    ),
    "a system event": (
        "trigger = reactor.addSystemEventTrigger('during', 'my event', boom, 1)",
        "reactor.fireSystemEvent('my event'); None",
    ),
}
# Once what is due has been called: what refers to itself is forgotten when garbage is collected.
FORGET = "import gc\ndone = Deferred(); reactor.callLater(0, done.callback, None); await done\ngc.collect(); None"
BOOM = "def boom(value):\n    raise ValueError('it went boom')\n"


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_error_is_shown_once_in_its_cell_after_another_cell_ran(channel: str, notebook: Notebook) -> None:
    makes, fires = CHANNELS[channel]
    server = notebook.run(BOOM + makes)
    other = notebook.run("print('another cell')")
    firing = notebook.run(fires)
    notebook.run(FORGET)
    server.wait(lambda run: "it went boom" in run.stderr)
    notebook.drain()
    assert server.stderr.count("Traceback (most recent call last)") == 1
    assert server.stderr.count("it went boom") == 2, "once in the source line and once in the message"
    assert "wirebook/" not in server.stderr
    assert (other.stderr, firing.stderr) == ("", "")


def test_an_error_of_a_protocol_is_listed_with_its_cell_and_line(notebook: Notebook) -> None:
    server = notebook.run("""
class Picky(Protocol):
    def dataReceived(self, data):
        raise ValueError("cannot take this")
port = reactor.listenTCP(0, Factory.forProtocol(Picky))
""")
    number = server.reply["content"]["execution_count"]
    notebook.run("""
with socket.create_connection(("127.0.0.1", port.port)) as client:
    client.sendall(b"bad")
    client.recv(1)
""")
    server.wait(lambda run: run.stderr)
    listed = notebook.run("%reactor errors").displays[0]
    line = listed["text/plain"].splitlines()[3]
    assert line.split()[2:4] == [f"[{number}]", f"[{number}]:3"]
    assert "in Picky.dataReceived  ValueError: cannot take this  Picky.dataReceived() raised" in line
    assert "cannot take this" in listed["text/html"]
    traceback = notebook.run(f"%reactor errors {line.split()[0]}")
    assert f"in cell [{number}]: Picky.dataReceived() raised" in traceback.stdout
    assert "Traceback (most recent call last)" in traceback.stdout


def test_a_number_that_is_not_there_is_answered_with_those_that_are(notebook: Notebook) -> None:
    failing = notebook.run("reactor.callLater(0, int, 'x'); None").wait(lambda run: run.stderr)
    assert "a timer raised: int" in failing.stderr
    assert "%reactor errors does not know number '9999': it has 1 to " in notebook.run("%reactor errors 9999").stderr
    assert "%reactor errors does not know number 'all'" in notebook.run("%reactor errors all").stderr


def test_the_error_of_a_gathering_is_not_told_twice(notebook: Notebook) -> None:
    run = notebook.run("""
from wirebook.deferred import gatherResults
one = Deferred()
both = gatherResults([one, Deferred()])
one.errback(ValueError("it went boom"))
del one
del both
""")
    notebook.run(FORGET)
    run.wait(lambda run: "FirstError" in run.stderr)
    assert run.stderr.count("it went boom") == 1
    assert "FirstError, which was reported already (%reactor errors " in run.stderr


def test_a_flood_of_errors_is_shown_in_part_and_counted(notebook: Notebook) -> None:
    run = notebook.run(f"""{BOOM}
for _ in range(1000):
    reactor.callLater(0, boom, 1)
done = Deferred()
reactor.callLater(0, done.callback, None)
await done
""")
    notebook.drain()
    assert 1 <= run.stderr.count("Traceback") <= 20
    times = notebook.value("sum(each.times for each in __import__('wirebook_kernel').errors.errors.latest()[-20:])")
    assert times >= 1000


def test_no_object_of_the_program_is_kept_alive(notebook: Notebook) -> None:
    notebook.run("""
import gc, weakref
class Data:
    pass
def use(data):
    raise ValueError("with data at hand")
def begin():
    data = Data()
    global seen
    seen = weakref.ref(data)
    reactor.callLater(0, use, data)
begin()
""").wait(lambda run: "with data at hand" in run.stderr)
    # It has been seen, but may not have ended.
    notebook.run("with reactor.turn(): pass")
    assert notebook.value("(gc.collect(), seen())[1]") is None


# --- messages with the next step -------------------------------------------------------------------------


def test_a_port_in_use_is_said_to_be_the_cells_that_has_it(notebook: Notebook) -> None:
    first = notebook.run(ECHO, cell="first").reply["content"]["execution_count"]
    second = notebook.run("reactor.listenTCP(port.port, Factory.forProtocol(Echo))", cell="second")
    number = notebook.value("port.port")
    assert second.error.startswith(f"CannotListenError: cannot listen on 127.0.0.1:{number}: address already in use")
    assert f"port {number} is in use by cell [{first}] of this kernel: close it with %reactor close cell {first}" in (
        second.error
    )
    traceback = "\n".join(second.reply["content"]["traceback"])
    assert "frames of wirebook" in traceback
    assert "listening.py" not in traceback
    caught = notebook.run(
        "try:\n    reactor.listenTCP(port.port, Factory.forProtocol(Echo))\nexcept Exception as e:\n    print(e)"
    )
    assert f"cell [{first}] of this kernel" in caught.stdout


def test_a_refused_connection_names_the_ports_that_listen(notebook: Notebook) -> None:
    cell = notebook.run(ECHO).reply["content"]["execution_count"]
    refused = notebook.run("""
from wirebook import TCP4ClientEndpoint
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    await TCP4ClientEndpoint(reactor, "127.0.0.1", free.getsockname()[1]).connect(Factory.forProtocol(Protocol))
""")
    number = notebook.value("port.port")
    assert refused.error.startswith("ConnectionRefusedError: cannot connect to 127.0.0.1:")
    assert refused.error.endswith(f"in this kernel port {number} of cell [{cell}] listens")


MISTAKES = {
    "a class for a factory": ("reactor.listenTCP(0, Protocol)", "for example Factory.forProtocol(Protocol)"),
    "text for bytes": (
        ECHO + "from wirebook import TCP4ClientEndpoint\n"
        "client = await TCP4ClientEndpoint(reactor, '127.0.0.1', port.port).connect(Factory.forProtocol(Protocol))\n"
        "client.transport.write('text')",
        "write() takes bytes, not the str 'text': encode it first",
    ),
    "waiting in the turn": ("with reactor.turn():\n    Deferred().wait()", "would wait for ever: this thread holds"),
    "a name that is none": (
        "from wirebook import HostnameEndpoint\n"
        "await HostnameEndpoint(reactor, 'no.such.host.invalid', 80).connect(Factory.forProtocol(Protocol))",
        "the host name 'no.such.host.invalid' does not resolve",
    ),
    "a coroutine that nobody runs": (
        "async def work():\n    await Deferred()\ncoroutine = work()\ncoroutine.send(None)\ncoroutine.send(None)",
        "run it with ensureDeferred(), with asyncio, or with await in a cell",
    ),
    "a certificate of a lab": (
        "from wirebook.ssl import LabAuthority, optionsForClientTLS\n"
        "from wirebook.endpoints import SSL4ClientEndpoint\n"
        "options = LabAuthority().server('localhost').options()\n"
        "port = reactor.listenSSL(0, Factory.forProtocol(Protocol), options)\n"
        "endpoint = SSL4ClientEndpoint(reactor, '127.0.0.1', port.port, optionsForClientTLS('localhost'))\n"
        "lost = Deferred()\n"
        "class Waits(Protocol):\n    def connectionLost(self, reason):\n        lost.errback(reason)\n"
        "await endpoint.connect(Factory.forProtocol(Waits))\nawait lost",
        "pass its certificate as trustRoot",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_the_next_step(mistake: str, notebook: Notebook) -> None:
    code, step = MISTAKES[mistake]
    run = notebook.run(code)
    assert step in run.error
    assert not [line for line in run.reply["content"]["traceback"] if "core/wirebook" in line]


@pytest.mark.parametrize(
    ("callback", "step"),
    [
        ("lambda: Deferred().wait()", "or attach a callback instead"),
        ("reactor.run", "this is one of its callbacks: just go on"),
    ],
)
def test_a_mistake_in_a_callback_is_answered_too(callback: str, step: str, notebook: Notebook) -> None:
    def answered(run: Run) -> bool:
        return step in run.stderr

    notebook.run(f"reactor.callLater(0, {callback}); None").wait(answered)
