"""The debugger stops a cell, not the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.kernel.conftest import NAMES
from tests.kernel.kit import PATIENCE, Message, Notebook

SERVER = """
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Echo))
"""
STEPS = "before = 1\nstopped_here = 2\nprint('went on')"
CALLS = "def plus_one(x):\n    y = x + 1\n    return y\nthree = plus_one(2)\nprint('went on')"
KINDS_OF_STEP = {"stepIn": "plus_one", "next": "plus_one", "stepOut": "<module>"}


class Debugger:
    """Speaks DAP with the kernel, as a front end's debugger panel does."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._numbers = count(1)

    def ask(self, command: str, **arguments: Any) -> Message:
        """Ask on the control channel; the body of the answer."""
        request = {"type": "request", "seq": next(self._numbers), "command": command, "arguments": arguments}
        answer: Message = self._notebook.control("debug_request", request)["content"]
        assert answer["success"], answer
        body: Message = answer.get("body", {})
        return body

    def attach(self) -> None:
        """Begin."""
        self.ask("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
        self.ask("attach")

    def break_at(self, code: str, line: int) -> None:
        """Stop at a line of a cell that is going to be run."""
        source = self.ask("dumpCell", code=code)["sourcePath"]
        self.ask("setBreakpoints", breakpoints=[{"line": line}], source={"path": source}, sourceModified=False)
        self.ask("configurationDone")

    def step(self, how: str, stop: Message) -> str:
        """Go a step of the kind `how` from where it has stopped; the function that it comes to."""
        self.ask(how, threadId=stop["threadId"])
        frames = self.ask("stackTrace", threadId=self.stopped()["threadId"])["stackFrames"]
        return str(frames[0]["name"])

    def stopped(self) -> Message:
        """Wait until something has stopped; what the debugger says of it."""
        while True:
            message: Message = self._notebook.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
                body: Message = message["content"]["body"]
                return body


@pytest.fixture
def kernel() -> Iterator[Notebook]:
    """A kernel of its own: a debugger leaves traces."""
    with Notebook() as notebook:
        notebook.run(NAMES)
        yield notebook


def echoed(client: socket.socket, data: bytes) -> bytes:
    """What a server makes of `data`."""
    client.sendall(data)
    return client.recv(100)


@pytest.mark.timeout(120)
def test_a_server_answers_while_a_cell_stands_at_a_breakpoint(kernel: Notebook) -> None:
    kernel.run(SERVER)
    debugger = Debugger(kernel)
    with socket.create_connection(("127.0.0.1", kernel.value("port.getHost().port")), PATIENCE) as client:
        assert echoed(client, b"before") == b"before"
        debugger.attach()
        debugger.break_at(STEPS, 2)
        assert echoed(client, b"attached") == b"attached"
        run = kernel.start(STEPS)
        stop = debugger.stopped()
        assert stop["reason"] == "breakpoint"
        assert echoed(client, b"while it stands") == b"while it stands"
        frames = debugger.ask("stackTrace", threadId=stop["threadId"])["stackFrames"]
        assert frames[0]["line"] == 2
        threads = {thread["name"] for thread in debugger.ask("threads")["threads"]}
        assert not any("wirebook" in name for name in threads)
        debugger.ask("continue", threadId=stop["threadId"])
        assert run.wait(lambda run: "went on" in run.stdout).error == ""
        debugger.ask("disconnect", restart=False, terminateDebuggee=False)


@pytest.mark.timeout(120)
def test_a_server_answers_at_every_step_through_a_cell(kernel: Notebook) -> None:
    kernel.run(SERVER)
    debugger = Debugger(kernel)
    with socket.create_connection(("127.0.0.1", kernel.value("port.getHost().port")), PATIENCE) as client:
        debugger.attach()
        debugger.break_at(CALLS, 4)
        run = kernel.start(CALLS)
        stop = debugger.stopped()
        for how, function in KINDS_OF_STEP.items():
            assert debugger.step(how, stop) == function
            assert echoed(client, how.encode()) == how.encode()
        debugger.ask("disconnect", restart=False, terminateDebuggee=False)
        assert run.wait(lambda run: "went on" in run.stdout).error == ""
        assert echoed(client, b"after") == b"after"
