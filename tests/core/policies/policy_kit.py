"""What the tests of policies share: a connected wrapper over a transport that records, and a protocol that does too."""

from __future__ import annotations

from typing import Any

from wirebook.address import IPv4Address
from wirebook.failure import Failure
from wirebook.protocol import Factory, Protocol, connectionDone
from wirebook.testing import StringTransportWithDisconnection

PEER = IPv4Address("TCP", "127.0.0.1", 50000)


class Noting(Protocol):
    """Remembers what happened to it, and what was asked of it as a producer."""

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.asked: list[str] = []
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)

    def pauseProducing(self) -> None:
        """Asked to wait."""
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        """Asked to go on, or for one piece."""
        self.asked.append("resume")

    def stopProducing(self) -> None:
        """Asked to give up."""
        self.asked.append("stop")


class Server(Factory):
    """Serves `Noting` protocols."""

    protocol = Noting


def connect(factory: Any) -> tuple[Any, Any]:
    """A connection to what `factory` serves: the wrapper, and the transport beneath it."""
    wrapper = factory.buildProtocol(PEER)
    transport = StringTransportWithDisconnection()
    transport.protocol = wrapper
    wrapper.makeConnection(transport)
    return wrapper, transport
