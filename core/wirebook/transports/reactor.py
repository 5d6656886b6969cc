"""The reactor with its transports: what ``from wirebook import reactor`` gives."""

from __future__ import annotations

from typing import Any

from wirebook.deferred import Deferred
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.protocol import check_factory
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.resolver import look_up
from wirebook.reactor.timers import check_delay
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.turn import in_turn

LOOPBACK = "127.0.0.1"


class Reactor(ReactorBase):
    """Everything `ReactorBase` does, and opens ports and connections. Any thread may call any method."""

    @in_turn
    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 1024, interface: str = "") -> Port:
        """Listen for TCP connections and serve each with a protocol from `factory`.

        `port` is 0 (any free one; ask ``getHost().port``) to 65535. `interface` is an address of this machine;
        without one only this machine itself is served (127.0.0.1), "0.0.0.0" and "::" serve all interfaces.
        `backlog` is how many connections the system keeps waiting. Raises `CannotListenError`, `ValueError`
        for a port out of range, `TypeError` for what is not a factory.
        """
        check_factory(factory, "listenTCP")
        listening = Port(self, check_port(port, 0), factory, backlog, interface or LOOPBACK)
        listening.startListening()
        return listening

    @in_turn
    def connectTCP(
        self,
        host: str,
        port: int,
        factory: IClientFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect to `host` (name or address; the first address is tried, IPv4 before IPv6) and `port`.

        `factory` is told how it goes (`ClientFactory`); a failure arrives there within `timeout` seconds (None:
        whenever the system gives up). `bindAddress` is the local (host, port). Raises `ValueError` for a port or
        a timeout out of range, `TypeError` for what is not a client factory.
        """
        check_factory(factory, "connectTCP", client=True)
        if not isinstance(host, str) or not host:
            raise TypeError(f"connectTCP() takes a host name or address as a str, not {host!r}")
        if timeout is not None:
            check_delay(timeout)
        if bindAddress is not None:
            _check_address(bindAddress)
        connector = Connector(self, host, check_port(port, 1), factory, timeout, bindAddress)
        connector.connect()
        return connector

    def lookUp(self, host: str, port: int) -> Deferred[list[tuple[int, Any]]]:
        """The (family, sockaddr) pairs of `host`, IPv4 first. Fails with `DNSLookupError`."""
        return look_up(self, host, port)

    def resolve(self, name: str) -> Deferred[str]:
        """The first address of the host `name`, IPv4 before IPv6, as text. Fails with `DNSLookupError`."""
        return self.lookUp(name, 0).addCallback(lambda found: str(found[0][1][0]))


def check_port(port: Any, lowest: int) -> int:
    """`port` if it is a port number; otherwise the error names it and what would be right."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"a port is an int from {lowest} to 65535, not {port!r}")
    if not lowest <= port <= 65535:
        free = " (0 means any free one)" if lowest == 0 else ""
        raise ValueError(f"port {port} is out of range: choose {lowest} to 65535{free}")
    return port


def _check_address(address: Any) -> None:
    if not (isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str)):
        raise TypeError(f'bindAddress is a pair like ("127.0.0.1", 0), not {address!r}')
    check_port(address[1], 0)
