"""What reactors and clocks can do, and the names they look up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.interfaces.datagrams import IDatagramProtocol
from wirebook.interfaces.streams import IClientFactory, IProtocolFactory


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


class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor, Protocol):
    """Something that wants to know both."""


@runtime_checkable
class IHalfCloseableDescriptor(Protocol):
    """A reader that wants to know when its peer has closed one direction.

    When ``doRead`` returns `wirebook.error.ConnectionDone`, `readConnectionLost` is called in place of
    ``connectionLost``, and it remains a writer.
    """

    def readConnectionLost(self, reason: Failure) -> None:
        """Nothing more can be read; it is a reader no longer."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Nothing more can be written."""


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


class IReactorCore(Protocol):
    """What every reactor can do."""

    running: bool

    def run(self) -> None:
        """Run until `stop`."""

    def stop(self) -> None:
        """Fire the shutdown event and end `run`. Raises `ReactorNotRunning`."""

    def crash(self) -> None:
        """End `run` without a shutdown event."""

    def iterate(self, delay: float = ...) -> None:
        """Run one iteration, waiting at most `delay` seconds."""

    def resolve(self, name: str, timeout: Sequence[float] = ...) -> Deferred[str]:
        """The IPv4 address of a host; see `IResolverSimple.getHostByName`."""

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call it now if the reactor runs, otherwise when it starts."""

    def addSystemEventTrigger(
        self, phase: Any, eventType: str, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> Any:
        """Call it "before", "during" or "after" the event; the result is what `removeSystemEventTrigger` takes."""

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take it back."""

    def fireSystemEvent(self, eventType: str) -> Any:
        """Run the triggers of an event."""


class IReactorFDSet(Protocol):
    """A reactor that watches descriptors for others."""

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call ``reader.doRead()`` whenever there is something to read."""

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Call ``writer.doWrite()`` whenever there is room to write."""

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Undo `addReader`; harmless when it is not there."""

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Undo `addWriter`; harmless when it is not there."""

    def removeAll(self) -> list[Any]:
        """Undo every `addReader` and `addWriter`; returns what was there."""

    def getReaders(self) -> list[Any]:
        """What is watched for something to read."""

    def getWriters(self) -> list[Any]:
        """What is watched for room to write."""


class IReactorTime(Protocol):
    """A clock with timers: the reactor, or a virtual clock in tests."""

    def seconds(self) -> float:
        """The time now, in seconds on a scale of its own that never goes back."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call it after `delay` seconds."""

    def getDelayedCalls(self) -> Sequence[Any]:
        """The calls that are still to come."""


class IThreadPool(Protocol):
    """Runs calls in threads."""

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], /, *args: Any, **kw: Any
    ) -> None:
        """Call `func` in a thread, then there ``onResult(True, result)`` or ``onResult(False, failure)``."""


class IReactorFromThreads(Protocol):
    """A reactor that other threads can hand calls to."""

    def callFromThread(self, callable: Callable[..., Any], /, *args: Any, **kw: Any) -> None:
        """Call it on the reactor, soon. The calls of one thread are made in the order in which they came."""


class IReactorInThreads(Protocol):
    """A reactor that can have calls made in threads."""

    def callInThread(self, callable: Callable[..., Any], /, *args: Any, **kw: Any) -> None:
        """Call it in a thread; an error is reported to the log."""


class IResolverSimple(Protocol):
    """Looks up one address of a host."""

    def getHostByName(self, name: str, timeout: Sequence[float] = ...) -> Deferred[str]:
        """The IPv4 address of the host `name`, as text.

        Fails with `DNSLookupError`, also when it takes longer than the sum of `timeout` in seconds.
        """


class IHostResolution(Protocol):
    """A lookup under way."""

    @property
    def name(self) -> str:
        """The host's name."""

    def cancel(self) -> None:
        """Stop it."""


class IResolutionReceiver(Protocol):
    """Hears of a lookup as it goes."""

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The lookup begins."""

    def addressResolved(self, address: Any) -> None:
        """The host has this address, an `IPv4Address` or `IPv6Address`."""

    def resolutionComplete(self) -> None:
        """There are no more addresses."""


class IHostnameResolver(Protocol):
    """Looks up all addresses of a host."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = ...,
        addressTypes: Sequence[type] | None = ...,
        transportSemantics: Literal["TCP", "UDP"] = ...,
    ) -> IHostResolution:
        """Look up `hostName` and tell `resolutionReceiver` its addresses, each with `portNumber`.

        `addressTypes` are the kinds of addresses that are wanted, `IPv4Address` and `IPv6Address` (None: both). A host
        that does not exist has none.
        """


class IReactorPluggableResolver(Protocol):
    """A reactor that looks names up with a resolver of one's own; IPv4 only."""

    def installResolver(self, resolver: IResolverSimple) -> IResolverSimple:
        """Use `resolver`; returns the one before."""


class IReactorPluggableNameResolver(Protocol):
    """A reactor that looks names up with a resolver of one's own."""

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The one in use."""

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Use `resolver`; returns the one before."""


class IReactorThreads(IReactorFromThreads, IReactorInThreads, Protocol):
    """A reactor with threads for work that blocks."""

    def getThreadPool(self) -> IThreadPool:
        """The pool that ``callInThread`` uses."""

    def suggestThreadPoolSize(self, size: int) -> None:
        """Let the pool have `size` threads at most."""


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


class IReactorUNIX(Protocol):
    """A reactor that speaks UNIX-domain streams; see `wirebook.transports.unix.UNIXMethods`."""

    def listenUNIX(
        self, address: Any, factory: IProtocolFactory, backlog: int = ..., mode: int = ..., wantPID: bool = ...
    ) -> Any:
        """Listen on the socket `address`."""

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = ..., checkPID: bool = ...
    ) -> Any:
        """Connect to the socket `address`."""


class IReactorUDP(Protocol):
    """A reactor that speaks UDP."""

    def listenUDP(self, port: int, protocol: IDatagramProtocol, interface: str = ..., maxPacketSize: int = ...) -> Any:
        """Open a port; see `wirebook.transports.udp.UDPMethods.listenUDP`."""


class IReactorProcess(Protocol):
    """A reactor that starts processes."""

    def spawnProcess(  # noqa: PLR0913  # the signature is Twisted's
        self,
        processProtocol: Any,
        executable: Any,
        args: Sequence[Any] = ...,
        env: Mapping[Any, Any] | None = ...,
        path: Any = ...,
        uid: int | None = ...,
        gid: int | None = ...,
        usePTY: Any = ...,
        childFDs: Any = ...,
    ) -> Any:
        """Start one; see `wirebook.transports.process.ProcessMethods.spawnProcess`."""


class IReactorMulticast(Protocol):
    """A reactor that speaks UDP with groups."""

    def listenMulticast(
        self,
        port: int,
        protocol: IDatagramProtocol,
        interface: str = ...,
        maxPacketSize: int = ...,
        listenMultiple: bool = ...,
    ) -> Any:
        """Open a port; see `wirebook.transports.multicast.MulticastMethods.listenMulticast`."""


class IReactorUNIXDatagram(Protocol):
    """A reactor with UNIX datagram sockets; see `wirebook.transports.unixdatagram.UNIXDatagramMethods`."""

    def listenUNIXDatagram(
        self, address: Any, protocol: IDatagramProtocol, maxPacketSize: int = ..., mode: int = ...
    ) -> Any:
        """Open a socket with the path `address`."""

    def connectUNIXDatagram(
        self, address: Any, protocol: Any, maxPacketSize: int = ..., mode: int = ..., bindAddress: Any = ...
    ) -> Any:
        """Open a socket whose peer is the one with the path `address`."""


class IReactorSocket(Protocol):
    """A reactor that takes over sockets from elsewhere; see `wirebook.transports.adopting.AdoptingMethods`."""

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Serve a socket that is listening already."""

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Serve a connection that stands already."""

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = ...
    ) -> Any:
        """Serve a datagram socket that is bound already."""
