"""Run by an interpreter that has Wirebook installed: an echo round trip, then a cell in its kernel.

Not a test by itself: ``test_interpreters.py`` starts it with every newer interpreter of the machine.
"""

from __future__ import annotations

import socket

from jupyter_client.manager import start_new_kernel

from wirebook import Factory, Protocol, reactor

SECONDS = 30


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        """Send `data` back."""
        assert self.transport is not None
        self.transport.write(data)


def echo_round_trip() -> None:
    """Send bytes to an echo server on a hosted reactor and get them back."""
    reactor.runInThread()
    port = reactor.listenTCP(0, Factory.forProtocol(Echo))
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=SECONDS) as client:
        client.sendall(b"hello")
        assert client.recv(5, socket.MSG_WAITALL) == b"hello"
    reactor.shutDown()


def one_cell() -> None:
    """Start the kernel by its name, run a cell that listens, and end the kernel."""
    manager, client = start_new_kernel(startup_timeout=SECONDS, kernel_name="wirebook")
    outputs: list[str] = []

    def keep(message: dict[str, dict[str, str]]) -> None:
        outputs.append(str(message["content"]))

    code = "from wirebook import Factory\nprint(reactor.listenTCP(0, Factory()).getHost().host)"
    reply = client.execute_interactive(code, timeout=SECONDS, output_hook=keep)
    client.stop_channels()
    manager.shutdown_kernel()
    assert reply["content"]["status"] == "ok", outputs
    assert any("127.0.0.1" in output for output in outputs), outputs


if __name__ == "__main__":
    echo_round_trip()
    one_cell()
