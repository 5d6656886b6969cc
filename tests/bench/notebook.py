"""A real kernel as a notebook drives it, and a page that looks at its live views."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.bench.children import ENVIRONMENT, SERVER_CORES, ChildError

BYTECODE = Path(__file__).parents[2] / "build" / "bench" / "bytecode"
# IPython's history is the user's, and thousands of these cells are not for it; other kernels may lock it, too.
NO_HISTORY = "--HistoryManager.enabled=False"
READY_SECONDS = 60.0
RECONNECT_MS = 1
CELL_SECONDS = 60.0
DELTA_SECONDS = 10.0


class OneKernelSpec(KernelSpecManager):
    """Knows the kernel of one module and needs no installed kernelspec."""

    module = ""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernel of `module`, run by this interpreter."""
        command = [sys.executable, "-m", self.module, "-f", "{connection_file}", NO_HISTORY]
        return KernelSpec(argv=command, display_name=kernel_name)


@contextmanager
def on_server_cores() -> Iterator[None]:
    """Processes started meanwhile run on the server's cores, as every server of a benchmark does."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, SERVER_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compiled_code() -> dict[str, str]:
    """The environment of processes that find everybody's bytecode compiled, as after an installation.

    A checkout may be told to write none, and would then be compiled again at every start.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(BYTECODE)}


class Notebook:
    """A kernel (``wirebook_kernel`` or ``ipykernel_launcher``) with cells to run; a context manager."""

    def __init__(self, module: str) -> None:
        specs = OneKernelSpec()
        specs.module = module
        self.manager = KernelManager(kernel_name=module, kernel_spec_manager=specs)
        started = time.perf_counter()
        with on_server_cores():
            self.manager.start_kernel(env={**compiled_code(), **ENVIRONMENT}, stderr=subprocess.DEVNULL)
        self._client = self._open()
        try:
            self.run("pass")
        except ChildError:
            self._end()
            raise
        # From the command to the first cell's reply; clients that wait for silence have not begun to.
        self.start_seconds = time.perf_counter() - started

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _open(self) -> BlockingKernelClient:
        # Not manager.client(): its clients share one identity, so replies to one would reach another.
        client = BlockingKernelClient(connection_file=self.manager.connection_file)
        client.load_connection_file()
        # A client that has come too early tries again after 100 ms, which would round the time of a start to steps.
        client.context.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        # Without the heartbeat, which takes a kernel that needs over a second to start on a busy machine for dead.
        client.start_channels(hb=False)
        return client

    def connect(self) -> BlockingKernelClient:
        """Another client, ready. Kills the kernel and raises `ChildError` if it does not answer."""
        client = self._open()
        try:
            client.wait_for_ready(timeout=READY_SECONDS)
        except RuntimeError as error:
            client.stop_channels()
            self.manager.shutdown_kernel(now=True)
            raise ChildError(f"the kernel {self.manager.kernel_name} does not start: {error}") from error
        return client

    def run(self, code: str, result: str = "None") -> Any:
        """Run a cell to its end and return the literal value of the expression `result`."""
        return self.finish(self.start(code, result))

    def round_trip(self) -> float:
        """Seconds from sending a cell that does nothing to its reply."""
        started = time.perf_counter()
        self._reply(self._client.execute("pass"))
        return time.perf_counter() - started

    def start(self, code: str, result: str = "None") -> str:
        """Start a cell and return the id of its request."""
        # After an error ipykernel leaves out what comes next, a moment longer than until there is a reply.
        return str(self._client.execute(code, user_expressions={"result": result}, stop_on_error=False))

    def finish(self, request: str) -> Any:
        """Wait for the end of a cell; its result. Raises `ChildError` with its error."""
        content = self._reply(request)
        if content["status"] != "ok":
            raise ChildError(f"a cell failed: {content.get('ename')}: {content.get('evalue')}")
        return ast.literal_eval(content["user_expressions"]["result"]["data"]["text/plain"])

    @contextmanager
    def spinning(self) -> Iterator[None]:
        """A cell runs ``while True: pass`` meanwhile; it is interrupted afterwards."""
        request = self.start("while True: pass")
        time.sleep(0.3)  # nothing tells when the loop has begun
        try:
            yield
        finally:
            self.manager.interrupt_kernel()
            self._reply(request)

    def _reply(self, request: str) -> dict[str, Any]:
        deadline = time.monotonic() + CELL_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._client.get_shell_msg(timeout=left)
            except Empty:
                break
            if message["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = message["content"]
                return content
        raise ChildError(f"a cell did not end within {CELL_SECONDS:g} s")


class Page:
    """Looks at every live view that the kernel displays, and acknowledges what it gets, in a thread."""

    def __init__(self, notebook: Notebook) -> None:
        self._client = notebook.connect()
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self.deltas = 0  # updates that have come so far
        self._views: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="page", daemon=True)

    def __enter__(self) -> Page:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.stop_channels()

    def wait(self) -> None:
        """Wait for the first update of a view. Raises `ChildError` if none comes."""
        if not self._begun.wait(DELTA_SECONDS):
            raise ChildError(f"no view sent anything within {DELTA_SECONDS:g} s")

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hear(self._client.get_iopub_msg(timeout=0.1))
            except Empty:
                continue

    def _hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        data = content.get("data", {})
        if shown := data.get("application/vnd.jupyter.widget-view+json"):
            self._views.add(shown["model_id"])
            self._send(shown["model_id"], {"type": "look", "page": "bench", "seq": 0})
        elif message["msg_type"] == "comm_msg" and content["comm_id"] in self._views:
            delta = data.get("content", {})
            if delta.get("type") == "delta":
                self._take(content["comm_id"], delta["seq"])

    def _take(self, view: str, number: int) -> None:
        self.deltas += 1
        self._begun.set()
        self._send(view, {"type": "ack", "page": "bench", "seq": number})

    def _send(self, view: str, content: dict[str, Any]) -> None:
        data = {"comm_id": view, "data": {"method": "custom", "content": content}}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", data))
