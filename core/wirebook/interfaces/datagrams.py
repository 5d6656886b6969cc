"""What datagrams are made of, and child processes."""

from __future__ import annotations

from typing import Any, Protocol

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.interfaces.streams import IConsumer, IPushProducer, ITransport


class IProcessTransport(ITransport, IConsumer, IPushProducer, Protocol):
    """A child process. ``pid`` is None once it has exited."""

    pid: int | None

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to one of its descriptors. `KeyError` when that is none that we write to."""

    def closeStdin(self) -> None:
        """Close its standard input after what is pending was written."""

    def closeStdout(self) -> None:
        """Close its standard output."""

    def closeStderr(self) -> None:
        """Close its standard error output."""

    def closeChildFD(self, descriptor: int) -> None:
        """Close what leads to one of its descriptors, after what is pending was written."""

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, "KILL", "TERM", "INT" or a number. Raises `ProcessExitedAlready`."""


class IProcessProtocol(Protocol):
    """What a process transport calls."""

    def makeConnection(self, process: Any) -> None:
        """Take the transport `process`: it runs."""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It has written to its descriptor `childFD`."""

    def childConnectionLost(self, childFD: int) -> None:
        """The pipe to its descriptor `childFD` is closed."""

    def processExited(self, reason: Failure) -> None:
        """It has exited."""

    def processEnded(self, reason: Failure) -> None:
        """It has exited and all its pipes are closed."""


class IDatagramProtocol(Protocol):
    """What a datagram transport calls; `wirebook.protocol.DatagramProtocol` is the one to subclass."""

    def makeConnection(self, transport: Any) -> None:
        """Take `transport`: the port is open."""

    def doStop(self) -> None:
        """The port has closed."""


class IUDPTransport(Protocol):
    """A UDP port. Every method may be called from any thread."""

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send one datagram to (IP address, port); in connected mode the address may be left out."""

    def connect(self, host: str, port: int) -> None:
        """Send to this IP address only, and receive from it only."""

    def getHost(self) -> Any:
        """The address of this end."""

    def stopListening(self) -> Deferred[None] | None:
        """Close it. Fires when the protocol has been told."""

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Allow to send to everybody on a network."""

    def getBroadcastAllowed(self) -> bool:
        """Whether that is allowed."""


class IMulticastTransport(IUDPTransport, Protocol):
    """A UDP port that can join groups."""

    def getOutgoingInterface(self) -> str | int:
        """Which interface datagrams to groups leave through: its address (IPv4) or index (IPv6)."""

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Set it. Fires with 1."""

    def getLoopbackMode(self) -> bool:
        """Whether members on this machine get what this port sends."""

    def setLoopbackMode(self, mode: bool) -> None:
        """Set that."""

    def getTTL(self) -> int:
        """How many networks datagrams to groups may cross (the hop limit with IPv6)."""

    def setTTL(self, ttl: int) -> None:
        """Set that."""

    def joinGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """Receive what is sent to the group `addr`. Fires when it is joined."""

    def leaveGroup(self, addr: str, interface: str | int = "") -> Deferred[None]:
        """No longer receive it. Fires when it is left."""


class IUNIXDatagramTransport(Protocol):
    """A UNIX datagram socket."""

    def write(self, packet: bytes, addr: str) -> None:
        """Send one datagram to the socket with this path."""

    def getHost(self) -> Any:
        """The address of this end."""


class IUNIXDatagramConnectedTransport(Protocol):
    """A UNIX datagram socket with one peer."""

    def write(self, packet: bytes) -> None:
        """Send the peer one datagram."""

    def getHost(self) -> Any:
        """The address of this end."""

    def getPeer(self) -> Any:
        """The address of the peer."""
