"""The reactor with its transports: what ``from wirebook import reactor`` gives."""

from __future__ import annotations

from wirebook.error import ConnectionLost
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.protocol import check_factory
from wirebook.reactor.names import NameMethods
from wirebook.transports._checks import LOOPBACK, check_destination, check_tcp_port
from wirebook.transports.adopting import AdoptingMethods
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.transports.memory import MemoryMethods
from wirebook.transports.multicast import MulticastMethods
from wirebook.transports.process import ProcessMethods
from wirebook.transports.secured import TLSMethods
from wirebook.transports.udp import UDPMethods
from wirebook.transports.unix import UNIXMethods
from wirebook.transports.unixdatagram import UNIXDatagramMethods
from wirebook.turn import in_turn


class Reactor(
    MulticastMethods,
    UDPMethods,
    UNIXDatagramMethods,
    UNIXMethods,
    TLSMethods,
    AdoptingMethods,
    ProcessMethods,
    MemoryMethods,
    NameMethods,
):
    """Everything `ReactorBase` does, and opens ports and connections. Any thread may call any method."""

    def disconnect_all(self) -> None:
        """Close the ports and end the connections that are still open: the reactor stops."""
        for port in self.handles.of("port"):
            port.closeHandle()
        for connection in self.handles.of("connection"):
            connection._end(Failure(ConnectionLost("the reactor was stopped")))  # type: ignore[attr-defined]
        super().disconnect_all()

    @in_turn
    def listenTCP(self, port: int | str, factory: IProtocolFactory, backlog: int = 1024, interface: str = "") -> Port:
        """Listen for TCP connections and serve each with a protocol from `factory`.

        `port` is 0 (any free one; ask ``getHost().port``) to 65535, or a service's name ("http"). `interface` is an
        address of this machine; without one only this machine itself is served (127.0.0.1), "0.0.0.0" serves all
        interfaces over IPv4, "::" over IPv6.
        `backlog` is how many connections the system keeps waiting. Raises `CannotListenError`, `ValueError`
        for a port out of range, `ServiceNameUnknownError`, `TypeError` for what is not a factory.
        """
        check_factory(factory, "listenTCP")
        listening = Port(self, check_tcp_port(port, 0), factory, backlog, interface or LOOPBACK)
        listening.startListening()
        return listening

    @in_turn
    def connectTCP(
        self,
        host: str,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect to `host` (name or address; the first address is tried, IPv4 before IPv6) and `port`, a number
        or a service's name ("http").

        `factory` is told how it goes (`ClientFactory`); a failure arrives there within `timeout` seconds (None:
        whenever the system gives up). `bindAddress` is the local (host, port). Raises `ValueError` for a port or
        a timeout out of range, `ServiceNameUnknownError`, `TypeError` for what is not a client factory.
        """
        check_factory(factory, "connectTCP", client=True)
        number = check_destination("connectTCP", host, port, timeout, bindAddress)
        connector = Connector(self, host, number, factory, timeout, bindAddress)
        connector.connect()
        return connector
