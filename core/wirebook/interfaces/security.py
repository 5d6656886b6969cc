"""TLS: transports that have it, protocols and factories that know of it, and what makes its connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from wirebook.interfaces.reactors import IReactorTime
from wirebook.interfaces.streams import IClientFactory, IProtocolFactory, ITCPTransport


class ITLSTransport(ITCPTransport, Protocol):
    """A stream that can go on in TLS."""

    def startTLS(self, contextFactory: Any, normal: bool = ...) -> None:
        """Begin TLS with these options; with `normal` the side that connected is TLS's client too."""


class ISSLTransport(ITCPTransport, Protocol):
    """A stream with TLS."""

    def getPeerCertificate(self) -> Any:
        """The peer's certificate (``OpenSSL.crypto.X509``), None if it showed none."""


class INegotiated(ISSLTransport, Protocol):
    """A stream with TLS, whose two sides may have agreed on what to speak on it."""

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The application protocol (ALPN), None without one and before the handshake is done."""


class IHandshakeListener(Protocol):
    """A protocol that wants to know when the connection is secured."""

    def handshakeCompleted(self) -> None:
        """The handshake is done; the transport can be asked for certificate and protocol."""


class IProtocolNegotiationFactory(Protocol):
    """A factory that names the application protocols of its connections."""

    def acceptableProtocols(self) -> list[bytes]:
        """Their names in the registry of ALPN, the preferred one first."""


class IOpenSSLContextFactory(Protocol):
    """Makes contexts."""

    def getContext(self) -> Any:
        """An ``OpenSSL.SSL.Context`` for a connection."""


class IOpenSSLServerConnectionCreator(Protocol):
    """Makes the server's side of TLS connections."""

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """An ``OpenSSL.SSL.Connection`` without a socket."""


class IOpenSSLClientConnectionCreator(Protocol):
    """Makes the client's side of TLS connections."""

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """An ``OpenSSL.SSL.Connection`` without a socket."""


class ICipher(Protocol):
    """A cipher suite."""

    @property
    def fullName(self) -> str:
        """OpenSSL's name for it."""


class IAcceptableCiphers(Protocol):
    """Cipher suites that are allowed."""

    def selectCiphers(self, availableCiphers: Iterable[ICipher]) -> tuple[ICipher, ...]:
        """Those of `availableCiphers` that are, the preferred ones first."""


class IReactorSSL(IReactorTime, Protocol):
    """A reactor that speaks TLS."""

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = ..., interface: str = ...
    ) -> Any:
        """Listen; see `wirebook.transports.secured.TLSMethods.listenSSL`."""

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: IClientFactory,
        contextFactory: Any,
        timeout: float | None = ...,
        bindAddress: tuple[str, int] | None = ...,
    ) -> Any:
        """Connect; see `wirebook.transports.secured.TLSMethods.connectSSL`."""
