"""TCP, at an address of a known family."""

from __future__ import annotations

from typing import Any

from wirebook.address import IPv6Address
from wirebook.deferred import Deferred, execute
from wirebook.endpoints.connecting import connect_once, name_resolver
from wirebook.interfaces import IProtocolFactory
from wirebook.reactor.names import ip_address
from wirebook.reactor.names.waiting import AddressCollector
from wirebook.turn import in_turn


class ServerOverTCP:
    """A port of `reactor` over TCP; parameters as for ``reactor.listenTCP``, whose `backlog` it is when it is None."""

    def __init__(self, reactor: Any, port: int, backlog: int | None, interface: str) -> None:
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Listen. Fires with the port; fails with what the reactor raises. Any thread."""
        how = given(backlog=self._backlog)
        return execute(self._begin, self._port, protocolFactory, interface=self._interface, **how)

    def _begin(self, *what: Any, **how: Any) -> Any:
        return self._reactor.listenTCP(*what, **how)


class TCP4ServerEndpoint(ServerOverTCP):
    """A TCP port over IPv4.

    `interface` is an address of this machine; without one the port serves this machine itself, "0.0.0.0" serves
    everybody. `backlog` is how many connections the system keeps waiting (None: what is good for the reactor).
    """

    def __init__(self, reactor: Any, port: int, backlog: int | None = None, interface: str = "") -> None:
        super().__init__(reactor, port, backlog, interface)


class TCP6ServerEndpoint(ServerOverTCP):
    """A TCP port over IPv6: as `TCP4ServerEndpoint`, but "::" serves everybody."""

    def __init__(self, reactor: Any, port: int, backlog: int | None = None, interface: str = "::1") -> None:
        super().__init__(reactor, port, backlog, interface)


class ClientOverTCP:
    """A server to connect to over TCP; parameters as for ``reactor.connectTCP``."""

    def __init__(
        self, reactor: Any, host: str, port: int, timeout: float | None, bindAddress: tuple[str, int] | None
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bindAddress = bindAddress

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once. Fires with the protocol after its ``connectionMade``. Any thread.

        Cancelling ends the attempt: it fails with `ConnectingCancelledError`. Fails with `NoProtocol` when the factory
        gives None, with `TypeError` when it is no factory.
        """
        return self._connect_to(self._host, protocolFactory)

    def _connect_to(self, host: str, factory: IProtocolFactory) -> Deferred[Any]:
        how = {"timeout": self._timeout, "bindAddress": self._bindAddress}
        return connect_once(factory, lambda once: self._begin(host, self._port, once, **how))

    def _begin(self, *what: Any, **how: Any) -> Any:
        return self._reactor.connectTCP(*what, **how)


class TCP4ClientEndpoint(ClientOverTCP):
    """A TCP server to connect to; `timeout` in seconds, `bindAddress` the local (host, port)."""

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(reactor, host, port, timeout, bindAddress)


class TCP6ClientEndpoint(TCP4ClientEndpoint):
    """As `TCP4ClientEndpoint`, over IPv6: `host` is an IPv6 address, or a name that has one."""

    @in_turn
    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """As `TCP4ClientEndpoint.connect`; fails with `DNSLookupError` when the name has no IPv6 address."""
        if ip_address(self._host) is not None:
            return self._connect_to(self._host, protocolFactory)
        collector = AddressCollector(self._host)
        name_resolver(self._reactor).resolveHostName(collector, self._host, self._port, [IPv6Address])
        return collector.found.addCallback(lambda found: self._connect_to(numeric_host(found[0]), protocolFactory))


def numeric_host(address: Any) -> str:
    """The host of an address in numbers; with its scope, where IPv6 needs one (RFC 4007, section 11)."""
    host: str = address.host
    scope = getattr(address, "scopeID", 0)
    return f"{host}%{scope}" if scope and "%" not in host else host


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None: the others are left to whom they are passed on to."""
    return {name: value for name, value in arguments.items() if value is not None}
