"""What streams are made of: transports, producers and consumers, protocols, factories, ports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from wirebook.deferred import Deferred
from wirebook.failure import Failure


class IAddress(Protocol):
    """An end of a transport; ``str()`` gives the form people write, for example ``127.0.0.1:8007``."""

    def __str__(self) -> str: ...


class ILoggingContext(Protocol):
    """Something that has a name in logs."""

    def logPrefix(self) -> str:
        """A short name."""


class ISystemHandle(Protocol):
    """Something around an object of the operating system."""

    def getHandle(self) -> Any:
        """That object, a socket for example; what is done with it is at one's own risk."""


class IProducer(Protocol):
    """Produces for a consumer."""

    def stopProducing(self) -> None:
        """Stop for ever: nobody wants more."""


class IPullProducer(IProducer, Protocol):
    """Produces one piece each time it is asked."""

    def resumeProducing(self) -> None:
        """Write one piece to the consumer."""


class IPushProducer(IPullProducer, Protocol):
    """Produces on its own until it is told to pause."""

    def pauseProducing(self) -> None:
        """Stop until `resumeProducing`."""


class IConsumer(Protocol):
    """Takes bytes and tells a producer when it has enough."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach a push producer (`streaming`) or a pull producer; one at a time."""

    def unregisterProducer(self) -> None:
        """Detach the producer: it has finished."""

    def write(self, data: bytes) -> None:
        """Take `data`."""


class ITransport(Protocol):
    """A stream of bytes to a peer. Every method may be called from any thread."""

    disconnecting: bool

    def write(self, data: bytes) -> None:
        """Send `data` after all that was written before; returns at once."""

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as if they were one."""

    def loseConnection(self) -> None:
        """Send what is pending, then close."""

    def getPeer(self) -> Any:
        """The address of the other end."""

    def getHost(self) -> Any:
        """The address of this end."""


class ITCPTransport(ITransport, IConsumer, IPushProducer, Protocol):
    """A TCP connection."""

    def abortConnection(self) -> None:
        """Close at once, without sending what is pending; the peer sees a reset."""

    def loseWriteConnection(self) -> None:
        """Send what is pending, let a registered producer finish, then close this direction only."""

    def getTcpNoDelay(self) -> bool:
        """Whether small segments are sent at once (Nagle's algorithm off)."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Switch TCP_NODELAY."""

    def getTcpKeepAlive(self) -> bool:
        """Whether an idle connection is probed."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Switch SO_KEEPALIVE."""


class IUNIXTransport(ITransport, Protocol):
    """A UNIX-domain connection."""

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a duplicate of `descriptor`, with the first byte that is written next."""


class IFileDescriptorReceiver(Protocol):
    """A protocol that takes descriptors which come over a UNIX-domain connection."""

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """`descriptor` came, before the bytes that it came with; it belongs to the protocol now."""


class IProtocol(Protocol):
    """What a stream transport calls."""

    def makeConnection(self, transport: Any) -> None:
        """Take `transport`: the connection stands. Calls `connectionMade`."""

    def connectionMade(self) -> None:
        """The connection stands."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection ended."""


@runtime_checkable
class IHalfCloseableProtocol(Protocol):
    """A protocol that lives on when one direction was closed; when both are, the connection ends."""

    def readConnectionLost(self) -> None:
        """The peer will send nothing more; writing still works."""

    def writeConnectionLost(self) -> None:
        """Nothing more can be written; reading still works."""


class IProtocolFactory(Protocol):
    """What ``listenTCP`` takes."""

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol for a connection from `addr`, or None to refuse it."""

    def doStart(self) -> None:
        """A port or connector begins to use the factory."""

    def doStop(self) -> None:
        """It no longer does."""


class IClientFactory(IProtocolFactory, Protocol):
    """What ``connectTCP`` takes."""

    def startedConnecting(self, connector: Any) -> None:
        """An attempt begins."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """The attempt failed."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The connection ended."""


class IListeningPort(Protocol):
    """A port that listens."""

    def startListening(self) -> None:
        """Open the port again after `stopListening`."""

    def stopListening(self) -> Deferred[None] | None:
        """Close it; open connections stay."""

    def getHost(self) -> Any:
        """The address it listens on."""


class IConnector(Protocol):
    """Makes a connection, and makes it again when asked."""

    def connect(self) -> None:
        """Begin an attempt."""

    def disconnect(self) -> None:
        """End the attempt or the connection."""

    def stopConnecting(self) -> None:
        """End the attempt under way."""

    def getDestination(self) -> Any:
        """The address that it connects to."""
