"""Endpoints: where to listen or connect, apart from what is spoken there. Deferreds say how it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from wirebook.deferred import Deferred, execute
from wirebook.interfaces import IProtocolFactory, IReactorTCP
from wirebook.protocol import Factory, OneConnection


class IStreamServerEndpoint(Protocol):
    """A place to listen."""

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Begin to listen; fires with the port."""


class IStreamClientEndpoint(Protocol):
    """A place to connect to."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once; fires with the connected protocol."""


class TCP4ServerEndpoint:
    """A TCP port over IPv4; parameters as for ``reactor.listenTCP``."""

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int = 1024, interface: str = "") -> None:
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Listen. Fires with the `Port`; fails with what ``listenTCP`` raises."""
        return execute(
            self._reactor.listenTCP,
            self._port,
            protocolFactory,
            backlog=self._backlog,
            interface=self._interface,
        )


class TCP4ClientEndpoint:
    """A TCP server to connect to; `timeout` in seconds, `bindAddress` the local (host, port)."""

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bindAddress = bindAddress

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once. Fires with the protocol after its ``connectionMade``; cancelling ends the attempt.

        Raises `TypeError` for what is not a factory.
        """
        factory = OneConnection(protocolFactory)
        try:
            self._reactor.connectTCP(
                self._host, self._port, factory, timeout=self._timeout, bindAddress=self._bindAddress
            )
        except Exception:
            factory.connected.errback()
        return factory.connected


def connectProtocol(endpoint: IStreamClientEndpoint, protocol: Any) -> Deferred[Any]:
    """Connect this one protocol object to `endpoint`. Fires with it once it is connected."""
    return endpoint.connect(_Holder(lambda: protocol))


class _Holder(Factory):
    """A factory for a protocol that exists already."""

    noisy = False

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build

    def buildProtocol(self, addr: Any) -> Any:
        return self._build()
