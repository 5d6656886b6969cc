"""A real kernel, driven as a front end does it: cells go in, and every message that comes out is checked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any, Self, TypeAlias

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_kernel_test.msgspec_v5 import validate_message  # type: ignore[import-untyped]

from tests.conftest import ROOT

SPECS = ROOT / "kernel" / "data" / "share" / "jupyter" / "kernels"
# How long a kernel may take for anything at all. Nothing here waits this long unless a test fails.
PATIENCE = 20.0

Message: TypeAlias = dict[str, Any]


def spec_manager(*folders: Path) -> KernelSpecManager:
    """Knows the kernels of this checkout, and the interpreter's own."""
    return KernelSpecManager(kernel_dirs=[str(folder) for folder in (SPECS, *folders)])


def manager_of(name: str) -> KernelManager:
    """A manager of a kernel that is not running yet."""
    return KernelManager(kernel_name=name, kernel_spec_manager=spec_manager())


class Run:
    """One run of a cell, from the request on."""

    def __init__(self, notebook: Notebook, message_id: str) -> None:
        self._notebook = notebook
        self.message_id = message_id

    @property
    def messages(self) -> list[Message]:
        """Everything published so far on behalf of this run, in order."""
        return [m for m in self._notebook.published if m["parent_header"].get("msg_id") == self.message_id]

    @property
    def done(self) -> bool:
        """Whether the kernel has said that it is idle again."""
        return any(m["content"].get("execution_state") == "idle" for m in self.messages)

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """What it wrote to stderr so far."""
        return self._stream("stderr")

    @property
    def result(self) -> dict[str, Any]:
        """The MIME bundle of the cell's value; empty when there is none."""
        bundles: list[dict[str, Any]] = [m["content"]["data"] for m in self.of_type("execute_result")]
        return bundles[0] if bundles else {}

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The MIME bundles it displayed."""
        return [m["content"]["data"] for m in self.of_type("display_data")]

    @property
    def error(self) -> str:
        """The error that ended it, as ``Name: what it says``; empty when there was none."""
        errors = [f"{m['content']['ename']}: {m['content']['evalue']}" for m in self.of_type("error")]
        return errors[0] if errors else ""

    @property
    def reply(self) -> Message:
        """The reply to the request; waits for it."""
        return self._notebook.reply_to(self.message_id)

    def of_type(self, kind: str) -> list[Message]:
        """Its messages of one type."""
        return [message for message in self.messages if message["msg_type"] == kind]

    def wait(self, condition: Callable[[Run], object] = lambda run: run.done) -> Run:
        """Wait until the cell is done, or until something is true of it."""
        self._notebook.pump(lambda: condition(self))
        return self

    def _stream(self, name: str) -> str:
        return "".join(m["content"]["text"] for m in self.of_type("stream") if m["content"]["name"] == name)


class Notebook:
    """A front end with a running kernel; a context manager that ends the kernel."""

    def __init__(self, name: str = "wirebook") -> None:
        self.manager = manager_of(name)
        self.manager.start_kernel(
            extra_arguments=["--log-level=ERROR"], env=dict(os.environ), stderr=subprocess.DEVNULL
        )
        self.published: list[Message] = []
        self._replies: dict[str, Message] = {}
        self.client = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def _connect(self) -> BlockingKernelClient:
        client = BlockingKernelClient(connection_file=self.manager.connection_file)
        client.load_connection_file()
        client.start_channels(hb=False)
        client.wait_for_ready(timeout=PATIENCE)
        return client

    def restart(self) -> None:
        """Restart the kernel in order, as a front end does."""
        self.client.stop_channels()
        self.manager.restart_kernel()
        self.client = self._connect()

    def start(self, code: str, cell: str | None = None, subshell: str | None = None) -> Run:
        """Ask for a cell to be run, and do not wait."""
        # After an error ipykernel would leave out what comes next, a moment longer than until the cell is idle.
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        metadata = {} if cell is None else {"cellId": cell}
        return Run(self, self.send("execute_request", content, metadata=metadata, subshell=subshell))

    def run(self, code: str, cell: str | None = None, subshell: str | None = None) -> Run:
        """Run a cell to its end."""
        return self.start(code, cell, subshell).wait()

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, which must be a literal; runs as no cell at all."""
        content = {"code": "", "silent": True, "user_expressions": {"value": expression}}
        answer = self.reply_to(self.send("execute_request", content))["content"]["user_expressions"]["value"]
        assert answer["status"] == "ok", answer
        return eval(answer["data"]["text/plain"], {"__builtins__": {}})

    def send(self, kind: str, content: Message, metadata: Message | None = None, subshell: str | None = None) -> str:
        """Send a message on the shell channel; returns its number."""
        message = self.client.session.msg(kind, content, metadata=metadata or {})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def control(self, kind: str, content: Message | None = None) -> Message:
        """Ask on the control channel, which answers while a cell is running."""
        message = self.client.session.msg(kind, content or {})
        self.client.control_channel.send(message)
        while True:
            reply: Message = self.client.get_control_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply

    def reply_to(self, message_id: str) -> Message:
        """The reply to a request on the shell channel."""
        while message_id not in self._replies:
            reply: Message = self.client.get_shell_msg(timeout=PATIENCE)
            self._replies[reply["parent_header"]["msg_id"]] = reply
        return self._replies[message_id]

    def pump(self, until: Callable[[], object]) -> None:
        """Take what the kernel publishes until a condition holds; fail when it does not come true."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"nothing more came; what did: {brief(self.published)}") from None
            if not message["msg_type"].startswith(("comm_", "debug_")):  # which the schema does not know
                validate_message(message)
            self.published.append(message)

    def drain(self) -> None:
        """Take what was published before now: all of it comes before the end of another cell."""
        self.run("pass")

    def interrupt(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()

    @contextmanager
    def subshell(self) -> Iterator[str]:
        """Another place to run cells in, a thread of its own."""
        subshell: str = self.control("create_subshell_request")["content"]["subshell_id"]
        yield subshell
        self.control("delete_subshell_request", {"subshell_id": subshell})


def brief(messages: list[Message]) -> str:
    """The last messages, for a failure."""
    return "\n".join(f"{m['msg_type']} {str(m['content'])[:300]}" for m in messages[-20:])
