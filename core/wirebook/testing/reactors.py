"""Reactors for tests that only want to know what a program asked for: they open nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from wirebook.address import IPv4Address, IPv6Address, UNIXAddress
from wirebook.error import UnsupportedAddressFamily
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.task import Clock
from wirebook.transports.tcp import family_of


class FakePort:
    """The port that a `MemoryReactor` gives: it has an address."""

    def __init__(self, hostAddress: Any) -> None:
        self._hostAddress = hostAddress

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> None:
        """Do nothing."""

    def getHost(self) -> Any:
        """The address."""
        return self._hostAddress


class FakeConnector:
    """The connector that a `MemoryReactor` gives: ``stoppedConnecting`` says whether it was asked to stop."""

    stoppedConnecting = False
    _disconnected = False

    def __init__(self, address: Any) -> None:
        self._address = address

    def connect(self) -> None:
        """Do nothing."""

    def stopConnecting(self) -> None:
        """Set ``stoppedConnecting``."""
        self.stoppedConnecting = True

    def disconnect(self) -> None:
        """Remember that it was asked."""
        self._disconnected = True

    def getDestination(self) -> Any:
        """The address."""
        return self._address


@dataclass
class _Resolution:
    name: str

    def cancel(self) -> NoReturn:
        raise RuntimeError(f"{self.name!r} was resolved at once: there is nothing to cancel")


class SynchronousResolver:
    """A name resolver that finds every name, at once, at 127.0.0.1."""

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Tell `resolutionReceiver` the address, with `portNumber`."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


class _Resolving:
    """The part of a reactor that holds a name resolver."""

    def __init__(self) -> None:
        self.nameResolver: Any = SynchronousResolver()

    def installNameResolver(self, resolver: Any) -> Any:
        """Use `resolver`; returns the one before."""
        before, self.nameResolver = self.nameResolver, resolver
        return before


class _RecordingCore:
    """The part of `MemoryReactor` that runs, stops, and watches descriptors."""

    def __init__(self) -> None:
        self.hasInstalled = False
        self.running: bool | None = False
        self.hasRun = False
        self.hasStopped = False
        self.hasCrashed = False
        self.whenRunningHooks: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.triggers: dict[str, dict[str, list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]]] = {}
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def install(self) -> None:
        """Set ``hasInstalled``."""
        self.hasInstalled = True

    def run(self) -> None:
        """Make the calls of `callWhenRunning`, then stop, all before this returns."""
        if self.running:
            raise AssertionError("this reactor runs already")
        self.running = True
        self.hasRun = True
        for function, args, kw in self.whenRunningHooks:
            function(*args, **kw)
        self.stop()

    def stop(self) -> None:
        """Set ``hasStopped``."""
        self.running = False
        self.hasStopped = True

    def crash(self) -> None:
        """Set ``hasCrashed``, and ``running`` to None."""
        self.running = None
        self.hasCrashed = True

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call it in `run`, or now when that was before."""
        if self.running or self.hasRun:
            callable(*args, **kw)
        else:
            self.whenRunningHooks.append((callable, args, kw))

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Record the call in ``triggers[phase][eventType]``."""
        self.triggers.setdefault(phase, {}).setdefault(eventType, []).append((callable, args, kw))

    def removeSystemEventTrigger(self, triggerID: Any) -> NoReturn:
        """Not in this reactor: raises `NotImplementedError`."""
        raise NotImplementedError("a MemoryReactor keeps its triggers: look at its attribute `triggers`")

    def fireSystemEvent(self, eventType: str) -> NoReturn:
        """Not in this reactor: raises `NotImplementedError`."""
        raise NotImplementedError("a MemoryReactor fires no events: call what its attribute `triggers` holds")

    def iterate(self, delay: float = 0) -> NoReturn:
        """Not in this reactor: raises `NotImplementedError`."""
        raise NotImplementedError("a MemoryReactor has nothing to iterate")

    def resolve(self, name: str, timeout: float = 10) -> NoReturn:
        """Not in this reactor: raises `NotImplementedError`."""
        raise NotImplementedError("a MemoryReactor looks no names up: use its nameResolver")

    def addReader(self, reader: Any) -> None:
        """Record it in ``readers``."""
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        """Take it out of ``readers``."""
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        """Record it in ``writers``."""
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        """Take it out of ``writers``."""
        self.writers.discard(writer)

    def getReaders(self) -> list[Any]:
        """What was added with `addReader`."""
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        """What was added with `addWriter`."""
        return list(self.writers)

    def removeAll(self) -> list[Any]:
        """Take out all readers and writers; returns them."""
        removed = list(self.readers | self.writers)
        self.readers.clear()
        self.writers.clear()
        return removed


class MemoryReactor(_RecordingCore, _Resolving):
    """A reactor that records what it is asked for, and opens nothing.

    Lists of what was asked for, each entry the tuple of the arguments: ``tcpServers``, ``tcpClients``, ``sslServers``,
    ``sslClients``, ``unixServers``, ``unixClients``, ``adoptedPorts``, ``adoptedStreamConnections``. ``connectors``
    are the `FakeConnector` objects it gave; a test plays the network by calling the factories in those lists.
    ``running``, ``hasInstalled``, ``hasRun``, ``hasStopped``, ``hasCrashed``, ``whenRunningHooks``, ``triggers``,
    ``readers`` and ``writers`` tell the rest.
    """

    def __init__(self) -> None:
        _RecordingCore.__init__(self)
        _Resolving.__init__(self)
        self.tcpServers: list[tuple[int, IProtocolFactory, int, str]] = []
        self.tcpClients: list[tuple[str, int, IClientFactory, float | None, Any]] = []
        self.sslServers: list[tuple[int, IProtocolFactory, Any, int, str]] = []
        self.sslClients: list[tuple[str, int, IClientFactory, Any, float | None, Any]] = []
        self.unixServers: list[tuple[Any, IProtocolFactory, int, int, Any]] = []
        self.unixClients: list[tuple[Any, IClientFactory, float | None, Any]] = []
        self.adoptedPorts: list[tuple[Any, ...]] = []
        self.adoptedStreamConnections: list[tuple[int, int, IProtocolFactory]] = []
        self.connectors: list[FakeConnector] = []

    def _connector(self, address: Any, factory: IClientFactory) -> FakeConnector:
        connector = FakeConnector(address)
        factory.startedConnecting(connector)
        self.connectors.append(connector)
        return connector

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> FakePort:
        """Record it in ``tcpServers``."""
        self.tcpServers.append((port, factory, backlog, interface))
        return FakePort(_address(interface, port) if _is_ipv6(interface) else _address("0.0.0.0", port))

    def connectTCP(
        self, host: str, port: int, factory: IClientFactory, timeout: float | None = 30, bindAddress: Any = None
    ) -> FakeConnector:
        """Record it in ``tcpClients``, and tell the factory that an attempt begins."""
        self.tcpClients.append((host, port, factory, timeout, bindAddress))
        return self._connector(_address(host, port), factory)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> FakePort:
        """Record it in ``sslServers``."""
        self.sslServers.append((port, factory, contextFactory, backlog, interface))
        return FakePort(IPv4Address("TCP", "0.0.0.0", port))

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: IClientFactory,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: Any = None,
    ) -> FakeConnector:
        """Record it in ``sslClients``, and tell the factory that an attempt begins."""
        self.sslClients.append((host, port, factory, contextFactory, timeout, bindAddress))
        return self._connector(IPv4Address("TCP", host, port), factory)

    def listenUNIX(
        self, address: Any, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0
    ) -> FakePort:
        """Record it in ``unixServers``."""
        self.unixServers.append((address, factory, backlog, mode, wantPID))
        return FakePort(UNIXAddress(address))

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = 30, checkPID: Any = 0
    ) -> FakeConnector:
        """Record it in ``unixClients``, and tell the factory that an attempt begins."""
        self.unixClients.append((address, factory, timeout, checkPID))
        return self._connector(UNIXAddress(address), factory)

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: IProtocolFactory) -> FakePort:
        """Record it in ``adoptedPorts``. Raises `UnsupportedAddressFamily`."""
        address = _any_address("TCP", addressFamily)
        self.adoptedPorts.append((fileno, addressFamily, factory))
        return FakePort(address)

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> None:
        """Record it in ``adoptedStreamConnections``."""
        self.adoptedStreamConnections.append((fileDescriptor, addressFamily, factory))

    def adoptDatagramPort(self, fileno: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192) -> FakePort:
        """Record it in ``adoptedPorts``. Raises `UnsupportedAddressFamily`."""
        address = _any_address("UDP", addressFamily)
        self.adoptedPorts.append((fileno, addressFamily, protocol, maxPacketSize))
        return FakePort(address)


def _is_ipv6(host: str) -> bool:
    return family_of(host) == socket.AF_INET6


def _address(host: str, port: int) -> IPv4Address | IPv6Address:
    return IPv6Address("TCP", host, port) if _is_ipv6(host) else IPv4Address("TCP", host, port)


def _any_address(kind: Any, family: int) -> IPv4Address | IPv6Address:
    if family == socket.AF_INET:
        return IPv4Address(kind, "0.0.0.0", 1234)
    if family == socket.AF_INET6:
        return IPv6Address(kind, "::", 1234)
    raise UnsupportedAddressFamily(f"the address family is {family!r}, and should be socket.AF_INET or AF_INET6")


class MemoryReactorClock(MemoryReactor, Clock):
    """A `MemoryReactor` whose time is a `Clock`'s."""

    def __init__(self) -> None:
        MemoryReactor.__init__(self)
        Clock.__init__(self)


class RaisingMemoryReactor(_Resolving):
    """A reactor that opens nothing: listening raises `listenException`, connecting `connectException`."""

    def __init__(self, listenException: Exception | None = None, connectException: Exception | None = None) -> None:
        super().__init__()
        self._listenException = listenException
        self._connectException = connectException

    def _refuse_to_listen(self, *args: Any, **kw: Any) -> NoReturn:
        raise self._listenException or TypeError("no listenException was given to this RaisingMemoryReactor")

    def _refuse_to_connect(self, *args: Any, **kw: Any) -> NoReturn:
        raise self._connectException or TypeError("no connectException was given to this RaisingMemoryReactor")

    listenTCP = listenSSL = listenUNIX = adoptStreamPort = _refuse_to_listen
    connectTCP = connectSSL = connectUNIX = adoptDatagramPort = adoptStreamConnection = _refuse_to_connect
