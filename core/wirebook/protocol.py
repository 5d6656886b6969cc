"""Protocols and factories: the part that a program writes.

A protocol never opens a socket and a transport never parses. The two meet in ``makeConnection``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from wirebook.deferred import Deferred
from wirebook.error import ConnectionDone
from wirebook.failure import Failure

if TYPE_CHECKING:
    from wirebook.interfaces import IAddress, IConnector, IReactorTCP, ITCPTransport

connectionDone = Failure(ConnectionDone())


class BaseProtocol:
    """What every protocol has: a transport, once it is connected."""

    connected = 0
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and call `connectionMade`. Called by the transport, on the reactor."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """Called when the connection stands: the place for a greeting. Override it."""


class Protocol(BaseProtocol):
    """A protocol over a stream of bytes: subclass it and override the three events."""

    factory: Factory | None = None
    transport: ITCPTransport

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived, in order, in pieces of any size. TCP keeps no message boundaries."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called once, at the end. `reason` wraps `ConnectionDone`, `ConnectionLost` or what was raised."""


class Factory:
    """Makes a protocol for every connection, and holds what they share.

    Set ``protocol`` to a class (or any callable that returns a protocol), or override `buildProtocol`.
    """

    protocol: Callable[..., Any] | None = None
    numPorts = 0
    noisy = True

    @classmethod
    def forProtocol(cls, protocol: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """A factory of this class, made with the further arguments, whose connections get `protocol`."""
        if not callable(protocol):
            raise TypeError(
                f"forProtocol() takes a Protocol class or a callable that returns a protocol, not {protocol!r}"
            )
        factory = cls(*args, **kwargs)
        factory.protocol = protocol
        return factory

    def doStart(self) -> None:
        """Count one more port or connector that uses this factory; the first one calls `startFactory`."""
        if self.numPorts == 0:
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """Count one less; the last one calls `stopFactory`."""
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            self.stopFactory()

    def startFactory(self) -> None:
        """Called before the first port or connector starts. Override it."""

    def stopFactory(self) -> None:
        """Called after the last port or connector stopped. Override it."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The protocol for a new connection from `addr`, or None to refuse it (it is closed at once)."""
        if self.protocol is None:
            raise TypeError(
                f"{type(self).__name__}.protocol is not set: assign a Protocol class, "
                "use Factory.forProtocol(YourProtocol), or override buildProtocol()"
            )
        protocol = self.protocol()
        protocol.factory = self
        return protocol

    def logPrefix(self) -> str:
        """A short name for logs."""
        return type(self).__name__


class ServerFactory(Factory):
    """A factory for servers: the name that older programs use."""


class ClientFactory(Factory):
    """A factory for ``connectTCP``: also told of how the attempt goes."""

    def startedConnecting(self, connector: IConnector) -> None:
        """Called when an attempt begins; ``connector.stopConnecting()`` would end it."""

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Called when an attempt failed; ``connector.connect()`` tries again."""

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Called when an established connection ended; ``connector.connect()`` makes a new one."""


_FACTORY_METHODS = ("buildProtocol", "doStart", "doStop")
_CLIENT_METHODS = (*_FACTORY_METHODS, "startedConnecting", "clientConnectionFailed", "clientConnectionLost")


def check_factory(factory: Any, verb: str, client: bool = False) -> None:
    """Raise `TypeError` unless `factory` is one, or a client's one; `verb` is what was called with it."""
    methods = _CLIENT_METHODS if client else _FACTORY_METHODS
    # A class has the methods of its instances, so it must be caught on its own.
    if isinstance(factory, type) or not all(callable(getattr(factory, name, None)) for name in methods):
        name = factory.__name__ if isinstance(factory, type) else "YourProtocol"
        raise TypeError(
            f"{verb}() takes a factory, not {factory!r}: wrap the protocol class, "
            f"for example {'ClientFactory' if client else 'Factory'}.forProtocol({name})"
        )


class OneConnection(ClientFactory):
    """A client factory for one connection, which reports how it went through the Deferred ``connected``.

    The protocol comes from `factory`. Cancelling the Deferred ends the attempt.
    """

    noisy = False

    def __init__(self, factory: Any) -> None:
        check_factory(factory, "connect")
        self.factory = factory
        self.connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def doStart(self) -> None:
        self.factory.doStart()

    def doStop(self) -> None:
        self.factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self.connector = connector

    def _cancel(self, _: Deferred[Any]) -> None:
        if self.connector is not None:
            self.connector.stopConnecting()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol = self.factory.buildProtocol(addr)
        return None if protocol is None else _Announcing(protocol, self.connected)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        # Only if the protocol raised in makeConnection, so that the Deferred has not fired.
        self.clientConnectionFailed(connector, reason)


class _Announcing:
    """Stands in for a protocol until it is connected, then steps aside and fires the Deferred.

    The Deferred fires after ``connectionMade``, so its callbacks may use the transport at once.
    """

    def __init__(self, protocol: Any, connected: Deferred[Any]) -> None:
        self.protocol = protocol
        self.connected = connected

    def makeConnection(self, transport: Any) -> None:
        transport.protocol = self.protocol
        self.protocol.makeConnection(transport)
        self.connected.callback(self.protocol)


class _Anonymous(Factory):
    """Builds protocols that know no factory: what `ClientCreator` promises."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self.protocol() if self.protocol is not None else None


class ClientCreator:
    """Connects protocols that need no factory; each ``connect...`` call makes one connection.

    `protocolClass` is called with the further arguments for each. See `wirebook.endpoints` for more.
    """

    def __init__(self, reactor: IReactorTCP, protocolClass: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.reactor = reactor
        self.protocolClass = protocolClass
        self.args = args
        self.kwargs = kwargs

    def connectTCP(
        self, host: str, port: int, timeout: float = 30, bindAddress: tuple[str, int] | None = None
    ) -> Deferred[Any]:
        """Connect to `host`:`port` within `timeout` seconds. Fires with the connected protocol."""
        factory = OneConnection(_Anonymous.forProtocol(partial(self.protocolClass, *self.args, **self.kwargs)))
        self.reactor.connectTCP(host, port, factory, timeout=timeout, bindAddress=bindAddress)
        return factory.connected
