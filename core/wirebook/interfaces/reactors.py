"""What reactors and clocks can do, and the names they look up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

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
