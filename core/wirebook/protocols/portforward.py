"""A port that is somewhere else: every connection to it is carried on to another host and port.

Each of the two connections is the other one's producer, so a side that reads slowly slows the other one down, and no
more than a buffer waits here. Ends are carried on as they are: of one direction, or of both.
"""

from __future__ import annotations

from typing import Any

from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IReactorTCP
from wirebook.protocol import ClientFactory, Factory, Protocol, connectionDone


class Proxy(Protocol):
    """One of the two connections; ``peer`` is the other one, while there is one."""

    peer: Proxy | None = None
    _coupled = False

    def setPeer(self, peer: Proxy | None) -> None:
        """Pass on to `peer` what is received from now on."""
        self.peer = peer

    def dataReceived(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)

    def readConnectionLost(self) -> None:
        """This side sends nothing more: the other one hears of it when it has got the rest."""
        if self.peer is not None:
            transport = self.peer.transport
            self._finish(transport)
            getattr(transport, "loseWriteConnection", transport.loseConnection)()

    def writeConnectionLost(self) -> None:
        """Only what the other side asked for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            self._finish(peer.transport)
            peer.transport.loseConnection()

    def _finish(self, transport: Any) -> None:
        """The producer of `transport` is this side, which will produce nothing any more."""
        if self._coupled:
            self._coupled = False
            transport.unregisterProducer()

    def couple(self, peer: Proxy) -> None:
        """Let each side pass on what it receives as fast as the other one takes it."""
        for one, other in ((self, peer), (peer, self)):
            one.setPeer(other)
            one.transport.registerProducer(other.transport, True)
            one._coupled = True


class ProxyClient(Proxy):
    """The connection to where it is carried on to."""

    def connectionMade(self) -> None:
        assert self.peer is not None, "ProxyClientFactory.buildProtocol() sets it"
        self.couple(self.peer)
        self.peer.transport.resumeProducing()


class ProxyClientFactory(ClientFactory):
    """Makes the connection that belongs to ``server``, a `ProxyServer`."""

    protocol = ProxyClient
    server: ProxyServer
    noisy = False

    def setServer(self, server: ProxyServer) -> None:
        """Carry on what `server` receives."""
        self.server = server

    def buildProtocol(self, addr: Any) -> Any:
        client = super().buildProtocol(addr)
        client.setPeer(self.server)
        return client

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.server.transport.loseConnection()


class ProxyServer(Proxy):
    """The connection that came in. It is read from when the other one stands.

    ``reactor`` makes the other one; None means the factory's.
    """

    clientProtocolFactory: Any = ProxyClientFactory
    reactor: IReactorTCP | None = None
    factory: Any
    _connector: Any = None

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        client = self.clientProtocolFactory()
        client.setServer(self)
        if self.reactor is None:
            self.reactor = self.factory.reactor or the_reactor()
        self._connector = self.reactor.connectTCP(self.factory.host, self.factory.port, client)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.peer is None and self._connector is not None:
            # Nobody waits any more for the attempt that is under way.
            self._connector.disconnect()
        super().connectionLost(reason)


class ProxyFactory(Factory):
    """Carries the connections of a port on to `host` and `port`, connecting with `reactor` (None: the process's).

    For example ``reactor.listenTCP(8080, ProxyFactory("127.0.0.1", 80))``.
    """

    protocol = ProxyServer

    def __init__(self, host: str, port: int, reactor: IReactorTCP | None = None) -> None:
        self.host = host
        self.port = port
        self.reactor = reactor
