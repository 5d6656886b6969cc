"""Our classes are what the interfaces say: the type checker proves it here, and the names are checked at run time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import Recorder, Recorders, serving
from wirebook import interfaces
from wirebook.address import HostnameAddress, IPv4Address, IPv6Address
from wirebook.endpoints import IStreamClientEndpoint, IStreamServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from wirebook.protocol import ClientFactory, Factory, Protocol
from wirebook.reactor.poller import Poller, best_poller
from wirebook.reactor.select_ import SelectPoller
from wirebook.reactor.timers import DelayedCall
from wirebook.service import MultiService, Service
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.transports.reactor import Reactor
from wirebook.transports.tcp import Connection
from wirebook.transports.unix import UNIXConnection

if TYPE_CHECKING:

    def accepts(
        address: interfaces.IAddress,
        transport: interfaces.ITCPTransport,
        protocol: interfaces.IProtocol,
        factory: interfaces.IProtocolFactory,
        client_factory: interfaces.IClientFactory,
        port: interfaces.IListeningPort,
        connector: interfaces.IConnector,
    ) -> None: ...

    def accepts_too(
        reactor: interfaces.IReactorTCP,
        call: interfaces.IDelayedCall,
        handles: list[interfaces.IHandle],
        poller: Poller,
        server: IStreamServerEndpoint,
        client: IStreamClientEndpoint,
    ) -> None: ...

    def accepts_more(
        core: interfaces.IReactorCore,
        descriptors: interfaces.IReactorFDSet,
        local: interfaces.IReactorUNIX,
        local_transport: interfaces.IUNIXTransport,
        service: interfaces.IService,
        services: interfaces.IServiceCollection,
    ) -> None: ...

    def the_type_checker_agrees(
        connection: Connection, port: Port, connector: Connector, reactor: Reactor, call: DelayedCall
    ) -> None:
        address = IPv4Address("TCP", "", 0)
        accepts(address, connection, Protocol(), Factory(), ClientFactory(), port, connector)
        server, client = TCP4ServerEndpoint(reactor, 0), TCP4ClientEndpoint(reactor, "", 0)
        accepts_too(reactor, call, [connection, port, call], SelectPoller(), server, client)

    def it_agrees_about_these(reactor: Reactor, local: UNIXConnection) -> None:
        accepts_more(reactor, reactor, reactor, local, Service(), MultiService())


PROMISES = {
    interfaces.IAddress: ["IPv4Address", "IPv6Address", "HostnameAddress"],
    interfaces.ITCPTransport: ["Server", "Client"],
    interfaces.IProtocol: ["Protocol"],
    interfaces.IProtocolFactory: ["Factory", "ClientFactory"],
    interfaces.IClientFactory: ["ClientFactory"],
    interfaces.IListeningPort: ["Port"],
    interfaces.IConnector: ["Connector"],
    interfaces.IReactorTCP: ["Reactor"],
    interfaces.IReactorThreads: ["Reactor"],
    interfaces.IReactorCore: ["Reactor"],
    interfaces.IReactorFDSet: ["Reactor"],
    interfaces.IReactorUNIX: ["Reactor"],
    interfaces.ILoggingContext: ["Server", "Client", "Protocol", "Factory"],
    interfaces.ISystemHandle: ["Server", "Client"],
    interfaces.IService: ["Service", "MultiService"],
    interfaces.IServiceCollection: ["MultiService"],
    interfaces.IDelayedCall: ["DelayedCall"],
    interfaces.IHandle: ["Port", "Server", "Client", "DelayedCall"],
    Poller: ["SelectPoller", type(best_poller()).__name__],
}


@pytest.fixture
def ours(reactor: Reactor) -> Iterator[dict[str, Any]]:
    """One object of each of our classes, by the name of the class."""
    factory, call = Recorders(Recorder), reactor.callLater(60, int)
    with serving(reactor, Recorders(Recorder)) as port:
        connector = reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
        client = factory.number(0).transport
        assert eventually(lambda: len(reactor.handles.of("connection")) == 2)
        (server,) = (handle for handle in reactor.handles.of("connection") if handle is not client)
        address = client.getHost()
        others = [IPv6Address("TCP", "::1", 1), HostnameAddress(b"a", 1), Protocol(), Factory(), ClientFactory()]
        pollers = [SelectPoller(), reactor.poller]
        services = [Service(), MultiService()]
        objects = [address, server, client, port, connector, reactor, call, *others, *pollers, *services]
        yield {type(thing).__name__: thing for thing in objects}
        client.loseConnection()
        call.cancel()


def promised(interface: type) -> set[str]:
    """The names that an interface and its bases define."""
    bases = [base for base in interface.__mro__ if getattr(base, "_is_protocol", False)]
    names = {name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("interface", PROMISES, ids=lambda interface: str(interface.__name__))
def test_our_objects_have_every_name_of_their_interface(interface: type[object], ours: dict[str, Any]) -> None:
    for kind in PROMISES[interface]:
        missing = [name for name in promised(interface) if not hasattr(ours[kind], name)]
        assert not missing, f"{kind} is no {interface.__name__}"


def test_a_protocol_is_half_closeable_when_it_has_the_two_methods() -> None:
    class HalfCloseable(Recorder):
        def readConnectionLost(self) -> None: ...

        def writeConnectionLost(self) -> None: ...

    assert isinstance(HalfCloseable(), interfaces.IHalfCloseableProtocol)
    assert not isinstance(Recorder(), interfaces.IHalfCloseableProtocol)
