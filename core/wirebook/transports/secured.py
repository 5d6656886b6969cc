"""Ports and connectors that speak TLS from the first byte: ``listenSSL`` and ``connectSSL``."""

from __future__ import annotations

import socket
from typing import Any

from wirebook.address import IPAddress
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory, IProtocolFactory
from wirebook.logger import report_failure
from wirebook.protocol import check_factory
from wirebook.reactor.loop import ReactorBase
from wirebook.transports._checks import LOOPBACK, check_destination, check_tcp_port
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.transports.tcp import Client, Server
from wirebook.turn import in_turn


def _put_tls_on(connection: Server | Client, options: Any) -> Failure | None:
    """Put TLS on a connection that is about to begin. What that raises is reported, and returned."""
    from wirebook.transports.tls import secure

    try:
        secure(connection, options, connection.role == "client", connection.factory)
    except SystemExit:
        raise
    except BaseException:
        failure = Failure()
        report_failure(failure, f"{options!r} gave no TLS for {connection.describe()}", connection.context)
        return failure
    return None


class SecureServer(Server):
    """The server's end of a connection that began with TLS."""

    __slots__ = ()
    transportName = "TLS"

    def begin(self, protocol: Any) -> None:
        """As for every stream, with TLS in place."""
        if failure := _put_tls_on(self, self.port.contextFactory):  # type: ignore[attr-defined]
            self._end(failure)
        else:
            super().begin(protocol)


class SecureClient(Client):
    """The client's end of a connection that begins with TLS."""

    __slots__ = ()
    transportName = "TLS"

    def begin(self, protocol: Any) -> None:
        """As for every stream, with TLS in place."""
        if failure := _put_tls_on(self, self.connector.contextFactory):  # type: ignore[attr-defined]
            self._end(failure)
        else:
            super().begin(protocol)


class SecurePort(Port):
    """A listening TCP socket whose connections begin with TLS; see `Port`."""

    transportName = "TLS"

    def __init__(
        self,
        reactor: ReactorBase,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int,
        interface: str,
    ) -> None:
        super().__init__(reactor, port, factory, backlog, interface)
        self.contextFactory = contextFactory

    def _new_connection(self, sock: socket.socket, peer: IPAddress) -> SecureServer:
        return SecureServer(self, sock, peer)


class SecureConnector(Connector):
    """Makes the connections of one ``connectSSL``; see `Connector`."""

    contextFactory: Any

    def _new_client(self) -> SecureClient:
        return SecureClient(self)


class TLSMethods(ReactorBase):
    """The part of a reactor that opens ports and connections with TLS."""

    @in_turn
    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = 1024,
        interface: str = "",
    ) -> SecurePort:
        """As ``listenTCP``, with TLS; `contextFactory` are the options, with the certificate.

        They are ``PrivateCertificate.options()``, ``CertificateOptions`` or what else makes connections or
        contexts. ``connectionMade`` is called before the handshake, ``handshakeCompleted``, where a protocol has
        it, after it. Also raises `TypeError` for what are no options, and what making the context raises.
        """
        from wirebook.transports.tls import check_options

        check_factory(factory, "listenSSL")
        check_options(contextFactory, is_client=False)
        listening = SecurePort(self, check_tcp_port(port, 0), factory, contextFactory, backlog, interface or LOOPBACK)
        listening.startListening()
        return listening

    @in_turn
    def connectSSL(
        self,
        host: str,
        port: int,
        factory: IClientFactory,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> SecureConnector:
        """As ``connectTCP``, with TLS; `contextFactory` are the options, as from ``optionsForClientTLS(host)``.

        `timeout` is for the TCP connection; the handshake has the options' own. A handshake that fails ends an
        established connection, so it arrives in ``connectionLost`` and ``clientConnectionLost``.
        """
        from wirebook.transports.tls import check_options

        check_factory(factory, "connectSSL", client=True)
        check_options(contextFactory, is_client=True)
        number = check_destination("connectSSL", host, port, timeout, bindAddress)
        connector = SecureConnector(self, host, number, factory, timeout, bindAddress)
        connector.contextFactory = contextFactory
        connector.connect()
        return connector
