"""Whole programs, as tutorials have them, pasted into a cell: they run, they end, and they leave nothing behind."""

from __future__ import annotations

import pytest

from tests.kernel.kit import Notebook

PROGRAMS = {
    "an echo server and its client": (
        """
from wirebook import reactor, Protocol, Factory, ClientFactory

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

class EchoClient(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello, world!")

    def dataReceived(self, data):
        print("Server said:", data)
        self.transport.loseConnection()

    def connectionLost(self, reason):
        print("connection lost")

class EchoFactory(ClientFactory):
    protocol = EchoClient

    def clientConnectionFailed(self, connector, reason):
        print("Connection failed - goodbye!")
        reactor.stop()

    def clientConnectionLost(self, connector, reason):
        print("Connection lost - goodbye!")
        reactor.stop()

def main():
    port = reactor.listenTCP(0, Factory.forProtocol(Echo))
    reactor.connectTCP("localhost", port.getHost().port, EchoFactory())
    reactor.run()

if __name__ == "__main__":
    main()
    print("after run")
""",
        "Server said: b'hello, world!'\nconnection lost\nConnection lost - goodbye!\nafter run\n",
    ),
    "a looping call that is stopped": (
        """
from wirebook import reactor
from wirebook.task import LoopingCall

count = 0

def runEverySecond():
    global count
    count += 1
    print("tick", count)
    if count == 3:
        loop.stop()

def cbLoopDone(result):
    print("Loop done.")
    reactor.stop()

loop = LoopingCall(runEverySecond)
loopDeferred = loop.start(0.01)
loopDeferred.addCallback(cbLoopDone)
reactor.run()
print("after run")
""",
        "tick 1\ntick 2\ntick 3\nLoop done.\nafter run\n",
    ),
    "a looping call that nobody stops": (
        """
import functools
from wirebook import reactor
from wirebook.task import LoopingCall

said = functools.partial(print, "still here")
LoopingCall(said).start(60)
reactor.callLater(0.05, reactor.stop)
reactor.run()
print("after run")
""",
        "still here\nafter run\n",
    ),
    "work in a thread": (
        """
from wirebook import reactor
from wirebook.threads import deferToThread

def doLongCalculation():
    return 3

def printResult(x):
    print(x)

d = deferToThread(doLongCalculation)
d.addCallback(printResult)
d.addBoth(lambda _: reactor.stop())
reactor.run()
print("after run")
""",
        "3\nafter run\n",
    ),
    "a page and a client that gets it": (
        """
import sys
from wirebook import reactor, Protocol, Factory, ClientFactory, Deferred

class Site(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.0 200 OK\\r\\n\\r\\n<html>the page</html>")
        self.transport.loseConnection()

class PageGetter(Protocol):
    def connectionMade(self):
        self.page = b""
        self.transport.write(b"GET / HTTP/1.0\\r\\n\\r\\n")

    def dataReceived(self, data):
        self.page += data

    def connectionLost(self, reason):
        self.factory.deferred.callback(self.page.partition(b"\\r\\n\\r\\n")[2])

def getPage(host, port):
    factory = ClientFactory.forProtocol(PageGetter)
    factory.deferred = Deferred()
    reactor.connectTCP(host, port, factory)
    return factory.deferred

site = reactor.listenTCP(0, Factory.forProtocol(Site))

def gotPage(page):
    print("got", page.decode())

getPage("localhost", site.getHost().port).addCallbacks(gotPage, print).addBoth(lambda ignored: reactor.stop())
reactor.run()
print("after run")
""",
        "got <html>the page</html>\nafter run\n",
    ),
    "a stop as soon as it runs": (
        """
from wirebook import reactor

def hello():
    print("Hello from the reactor loop!")

reactor.callWhenRunning(hello)
reactor.callWhenRunning(reactor.stop)
reactor.addSystemEventTrigger("before", "shutdown", print, "shutting down")
reactor.run()
print("The reactor stopped.")
""",
        "Hello from the reactor loop!\nshutting down\nThe reactor stopped.\n",
    ),
    "a countdown": (
        """
class Countdown(object):
    counter = 3

    def count(self):
        if self.counter == 0:
            reactor.stop()
        else:
            print(self.counter, "...")
            self.counter -= 1
            reactor.callLater(0.001, self.count)

from wirebook import reactor

reactor.callWhenRunning(Countdown().count)
print("Start!")
reactor.run()
print("Stop!")
""",
        None,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pasted_program_runs_to_its_end(name: str, notebook: Notebook) -> None:
    program, printed = PROGRAMS[name]
    for _ in range(3):
        run = notebook.run(program)
        assert run.error == ""
        assert sorted(run.stdout.split("\n")) == sorted((printed or "3 ...\nStart!\n2 ...\n1 ...\nStop!\n").split("\n"))
        assert run.stdout.splitlines()[-1] in ("after run", "The reactor stopped.", "Stop!")
        assert notebook.value("len(reactor.handles)") == 0, "as at the end of a program, nothing is open"
        assert run.stderr == ""
    assert notebook.value("reactor.running")


REACT = """
from wirebook import ClientFactory, Deferred, Factory, Protocol, task

class Greeter(Protocol):
    def connectionMade(self):
        self.transport.write(b"welcome")
        self.transport.loseConnection()

class Reader(Protocol):
    def dataReceived(self, data):
        self.factory.deferred.callback(data)

async def main(reactor, name):
    port = reactor.listenTCP(0, Factory.forProtocol(Greeter))
    factory = ClientFactory.forProtocol(Reader)
    factory.deferred = Deferred()
    reactor.connectTCP("localhost", port.getHost().port, factory)
    print(name, "got", await factory.deferred)
    await port.stopListening()

task.react(main, ["main"])
"""


def test_react_runs_its_main_function_and_the_next_cell_gets_its_turn(notebook: Notebook) -> None:
    run = notebook.run(REACT)
    assert run.stdout == "main got b'welcome'\n"
    assert run.error == ""
    assert run.stderr == ""
    assert notebook.value("reactor.running")


def test_the_stop_button_ends_a_program_as_control_c_does(notebook: Notebook) -> None:
    run = notebook.start("""
port = reactor.listenTCP(0, Factory.forProtocol(Protocol))
reactor.addSystemEventTrigger("before", "shutdown", print, "shutting down")
# A print by the cell itself would still be on its way, and be what is interrupted.
reactor.callLater(0.2, print, "here")
reactor.run()
""")
    run.wait(lambda run: "here" in run.stdout)
    notebook.interrupt()
    run.wait()
    assert run.error.startswith("KeyboardInterrupt")
    assert "threading.py" not in "".join(run.reply["content"]["traceback"]), "how run() waits is its own business"
    assert run.stdout == "here\nshutting down\n"
    assert notebook.value("len(reactor.handles)") == 0


ENDINGS = {
    "run": "reactor.callLater(0, reactor.stop)\nreactor.run()",
    "react": "from wirebook.task import react\n"
    "def main(reactor):\n"
    "    reactor.listenTCP(0, Factory.forProtocol(Protocol))\n"
    "    return succeed(None)\n"
    "react(main)",
}


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS)
def test_what_other_cells_have_stays_when_a_program_ends(program: str, notebook: Notebook) -> None:
    other = notebook.run(
        "other = reactor.listenTCP(0, Factory.forProtocol(Protocol))\n"
        'trigger = reactor.addSystemEventTrigger("before", "shutdown", print, "not now")'
    )
    notebook.run(program)
    assert notebook.value("other.state") == "listening"
    assert notebook.value("len(reactor.handles)") == 1, "the program's own is closed"
    assert other.stdout == ""
    notebook.run("reactor.removeSystemEventTrigger(trigger)")


def test_a_stop_without_a_run_says_what_to_do(notebook: Notebook) -> None:
    run = notebook.run("reactor.stop()")
    assert run.error.startswith("ReactorNotRunning: no run() is waiting")


def test_a_late_stop_of_a_cell_that_has_ended_is_reported_there(notebook: Notebook) -> None:
    run = notebook.run("reactor.callLater(0.05, reactor.stop);")
    run.wait(lambda run: "ReactorNotRunning" in run.stderr)
    assert notebook.value("reactor.running")


def test_a_server_of_one_cell_may_stop_the_run_of_another(notebook: Notebook) -> None:
    notebook.run("go = Deferred(); go.addCallback(lambda _: reactor.stop())")
    run = notebook.run("reactor.callLater(0.02, go.callback, None)\nreactor.run()\nprint('after run')")
    assert run.stdout == "after run\n"


def test_a_program_that_begins_to_log_leaves_what_cells_print_to_them() -> None:
    with Notebook() as notebook:
        log = notebook.run("""
import sys
from wirebook.logger import Logger, globalLogBeginner, textFileLogObserver
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
Logger("lab").info("it begins")
""")
        run = notebook.run("print('printed here')").wait(lambda run: run.stdout)
    assert run.stdout == "printed here\n"
    assert "[lab#info] it begins" in log.stdout
    assert "printed here" not in log.stdout
