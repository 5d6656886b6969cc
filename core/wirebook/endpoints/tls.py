"""TLS: over TCP in one piece, or around any other endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wirebook.deferred import Deferred
from wirebook.endpoints.tcp import ClientOverTCP, ServerOverTCP
from wirebook.interfaces import IProtocolFactory, IReactorTime, IStreamClientEndpoint, IStreamServerEndpoint


class SSL4ServerEndpoint(ServerOverTCP):
    """A TCP port that speaks TLS; parameters as for ``reactor.listenSSL``, whose `backlog` it is when it is None."""

    def __init__(
        self, reactor: Any, port: int, sslContextFactory: Any, backlog: int | None = None, interface: str = ""
    ) -> None:
        super().__init__(reactor, port, backlog, interface)
        self._sslContextFactory = sslContextFactory

    def _begin(self, *what: Any, **how: Any) -> Any:
        return self._reactor.listenSSL(*what, contextFactory=self._sslContextFactory, **how)


class SSL4ClientEndpoint(ClientOverTCP):
    """A TCP server that speaks TLS; parameters as for ``reactor.connectSSL``.

    ``connect()`` fires when TCP stands; the handshake follows.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        sslContextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(reactor, host, port, timeout, bindAddress)
        self._sslContextFactory = sslContextFactory

    def _begin(self, *what: Any, **how: Any) -> Any:
        return self._reactor.connectSSL(*what, self._sslContextFactory, **how)


class WrapperClientEndpoint:
    """`endpoint`, with `wrap` put around every factory; its protocols have the program's as ``wrappedProtocol``."""

    def __init__(self, endpoint: IStreamClientEndpoint, wrap: Callable[[Any], Any]) -> None:
        self.endpoint = endpoint
        self.wrap = wrap

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once. Fires with the program's protocol, not the wrapper."""
        return self.endpoint.connect(self.wrap(protocolFactory)).addCallback(lambda outer: outer.wrappedProtocol)


class WrapperServerEndpoint:
    """`endpoint`, with `wrap` put around every factory."""

    def __init__(self, endpoint: IStreamServerEndpoint, wrap: Callable[[Any], Any]) -> None:
        self.endpoint = endpoint
        self.wrap = wrap

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Begin to listen; fires with the port."""
        return self.endpoint.listen(self.wrap(protocolFactory))


def wrapClientTLS(
    connectionCreator: Any, wrappedEndpoint: IStreamClientEndpoint, clock: IReactorTime | None = None
) -> WrapperClientEndpoint:
    """An endpoint that speaks TLS as soon as `wrappedEndpoint` has connected.

    `connectionCreator` are the options, made with ``wirebook.ssl.optionsForClientTLS(name)``; `clock` measures the
    handshake's time, the process's reactor when it is None. It fires when the connection stands; the handshake follows.
    """
    return WrapperClientEndpoint(wrappedEndpoint, _tls_around(connectionCreator, True, clock))


def wrapServerTLS(
    connectionCreator: Any, wrappedEndpoint: IStreamServerEndpoint, clock: IReactorTime | None = None
) -> WrapperServerEndpoint:
    """An endpoint that speaks TLS on all connections to `wrappedEndpoint`.

    `connectionCreator` are the options, such as ``wirebook.ssl.CertificateOptions``; `clock` as for `wrapClientTLS`.
    """
    return WrapperServerEndpoint(wrappedEndpoint, _tls_around(connectionCreator, False, clock))


def _tls_around(options: Any, is_client: bool, clock: IReactorTime | None) -> Callable[[Any], Any]:
    # Here, for OpenSSL takes its time to load and many programs never need it.
    from wirebook.transports.wrapping import TLSMemoryBIOFactory

    return lambda factory: TLSMemoryBIOFactory(options, is_client, factory, clock=clock)
