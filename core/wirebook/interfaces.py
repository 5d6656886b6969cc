"""The written API between the parts, as ``typing.Protocol`` classes.

Nothing has to inherit from these: an object that has the methods is one. Names are Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, Literal, Protocol, runtime_checkable

from wirebook.deferred import Deferred
from wirebook.failure import Failure


class IAddress(Protocol):
    """An end of a transport; ``str()`` gives the form people write, for example ``127.0.0.1:8007``."""

    def __str__(self) -> str: ...


# --- producers and consumers -----------------------------------------------------------------------------


class IPullProducer(Protocol):
    """Produces one piece each time it is asked."""

    def resumeProducing(self) -> None:
        """Write one piece to the consumer."""

    def stopProducing(self) -> None:
        """Stop for ever: nobody wants more."""


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


# --- transports ------------------------------------------------------------------------------------------


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
        """Send what is pending, then close this direction only."""

    def getTcpNoDelay(self) -> bool:
        """Whether small segments are sent at once (Nagle's algorithm off)."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Switch TCP_NODELAY."""

    def getTcpKeepAlive(self) -> bool:
        """Whether an idle connection is probed."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Switch SO_KEEPALIVE."""


class IProtocol(Protocol):
    """What a stream transport calls."""

    def makeConnection(self, transport: Any) -> None:
        """Take `transport`: the connection stands."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes arrived."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection ended."""


@runtime_checkable
class IHalfCloseableProtocol(Protocol):
    """A protocol that lives on when one direction was closed."""

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


# --- the reactor -----------------------------------------------------------------------------------------


class IFileDescriptor(Protocol):
    """Something with a descriptor number."""

    def fileno(self) -> int:
        """The descriptor's number, -1 when it is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """The descriptor is of no more use."""


class IReadDescriptor(IFileDescriptor, Protocol):
    """Something that wants to know when it can read."""

    def doRead(self) -> BaseException | None:
        """There is something to read; an exception that is returned ends the descriptor."""


class IWriteDescriptor(IFileDescriptor, Protocol):
    """Something that wants to know when it can write."""

    def doWrite(self) -> BaseException | None:
        """There is room to write; an exception that is returned ends the descriptor."""


class IDelayedCall(Protocol):
    """A call that ``callLater`` has scheduled."""

    def getTime(self) -> float:
        """When it is due, on the scale of ``reactor.seconds()``."""

    def cancel(self) -> None:
        """Do not call it."""

    def delay(self, secondsLater: float) -> None:
        """Move it by so many seconds."""

    def reset(self, secondsFromNow: float) -> None:
        """Move it to so many seconds from now."""

    def active(self) -> bool:
        """Whether it is still to come."""


class IReactorTime(Protocol):
    """A clock with timers: the reactor, or a virtual clock in tests."""

    def seconds(self) -> float:
        """The time now, in seconds on a scale of its own that never goes back."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call it after `delay` seconds."""


class IReactorTCP(IReactorTime, Protocol):
    """A reactor that speaks TCP."""

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = ..., interface: str = ...) -> Any:
        """Listen; see `wirebook.transports.reactor.Reactor.listenTCP`."""

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IClientFactory,
        timeout: float | None = ...,
        bindAddress: tuple[str, int] | None = ...,
    ) -> Any:
        """Connect; see `wirebook.transports.reactor.Reactor.connectTCP`."""


# --- the seams that observers use ------------------------------------------------------------------------

HandleEvent = Literal["opened", "closed"]
Direction = Literal["received", "sent"]


class IHandle(Protocol):
    """Something open: a port, a connection, a delayed call. Attributes may be read from any thread."""

    @property
    def handleId(self) -> int:
        """Unique in this process, growing."""

    @property
    def kind(self) -> str:
        """ "port", "connection" or "timer"."""

    @property
    def transportName(self) -> str:
        """ "TCP" and so on; empty for a timer."""

    @property
    def context(self) -> Context:
        """The context of its birth."""

    @property
    def born(self) -> float:
        """When, on the scale of ``reactor.seconds()``."""

    @property
    def state(self) -> str:
        """One word, as the handle's class documents."""

    @property
    def localAddress(self) -> Any:
        """The address of this end, or None."""

    @property
    def peerAddress(self) -> Any:
        """The address of the other end, or None."""

    @property
    def label(self) -> str:
        """The name of the protocol class or of the function."""

    @property
    def bytesReceived(self) -> int:
        """How many bytes came in so far."""

    @property
    def bytesSent(self) -> int:
        """How many bytes the operating system took so far."""

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Close it, at once and without ceremony with `abort`. Fires when it is closed."""


class IWiretap(Protocol):
    """Sees what passes a transport, after TLS is taken off. Called in the turn; must be quick."""

    def data(self, direction: Direction, data: bytes) -> None:
        """These bytes passed."""

    def event(self, name: str) -> None:
        """Something happened: "opened", "half-closed", "closed"."""


class ITurnTrace(Protocol):
    """Sees every callback of the reactor. Called in the turn; must be quick."""

    def begin(self, cause: str, subject: object) -> None:
        """A callback begins: `cause` is "read", "write", "timer" or "call", `subject` what it is about."""

    def end(self) -> None:
        """The callback has returned or raised."""
