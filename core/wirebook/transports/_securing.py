"""TLS on a stream that stands: starting it, and asking what was agreed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from wirebook.error import NotSecuredError
from wirebook.transports._writing import Writing
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.transports.tls import TLSLayer


class Securing(Writing):
    """The part of `StreamTransport` that puts TLS between itself and the protocol."""

    __slots__ = ()

    @in_turn
    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Go on in TLS: what was written before goes out as it is, everything after it encrypted.

        `contextFactory` are the options: ``optionsForClientTLS(name)`` for a client, ``CertificateOptions`` or
        ``PrivateCertificate.options()`` for a server. With `normal` the side that connected is TLS's client too.
        Returns at once. ``handshakeCompleted()`` of the protocol, if it has it, is called when the handshake is
        done; a failure arrives in ``connectionLost``. Raises `TypeError` for what are no options, RuntimeError
        when there is TLS already, `NotConnectedError`. Any thread.
        """
        # Here, for OpenSSL takes its time to load and many programs never need it.
        from wirebook.transports.tls import secure

        secure(self, contextFactory, (self.role == "client") == bool(normal), getattr(self.protocol, "factory", None))
        self._require_layer("start TLS").start()

    @in_turn
    def loseConnection(self) -> None:
        """Close after what is queued was sent, and after a registered producer has finished.

        With TLS, what is written after this is dropped, unless it comes from that producer.
        """
        super().loseConnection()
        self._drop_what_follows()

    @in_turn
    def unregisterProducer(self) -> None:
        """The producer has finished; a `loseConnection` that waited for it goes on."""
        super().unregisterProducer()
        self._drop_what_follows()

    def _drop_what_follows(self) -> None:
        if self._layer is not None and self.disconnecting and self._producer is None:
            self._write_closed = True
            self._direct = False

    def _secured(self) -> None:
        """The handshake is done: tell, and send what waited for it. Called by the layer."""
        if self.tap is not None:
            self.tap.event("secured")
        if hasattr(self.protocol, "handshakeCompleted"):
            self._tell("handshakeCompleted")
        if self.disconnected:
            return
        self._update_interest()
        if self._out:
            self.doWrite()
        elif self._producer is not None and not self._write_closed:
            self._drained()

    def _deliver(self, data: bytes) -> None:
        """Hand plaintext to the protocol, when one event has brought several records. Called by the layer."""
        self.bytesReceived += len(data)
        if self.tap is not None:
            self.tap.data("received", data)
        try:
            self.context.copy().run(self.protocol.dataReceived, data)
        except SystemExit:
            raise
        except BaseException:
            self._protocol_raised("dataReceived")

    @property
    def getPeerCertificate(self) -> Any:
        """A method that returns the peer's certificate (``OpenSSL.crypto.X509``), None if it showed none.

        Without TLS even the attribute is missing, so ``hasattr()`` tells; reading it raises `NotSecuredError`.
        """
        return self._require_layer("have a certificate of the peer").connection.get_peer_certificate

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The application protocol agreed on (ALPN, RFC 7301), None if none was. Without TLS: `NotSecuredError`."""
        return self._require_layer("have a negotiated protocol").negotiated_protocol

    def _require_layer(self, wish: str) -> TLSLayer:
        if self._layer is None:
            self._refuse(wish)
        return self._layer

    def _refuse(self, wish: str) -> NoReturn:
        raise NotSecuredError(
            f"{self.describe()} cannot {wish}: it has no TLS; use listenSSL or connectSSL, or call startTLS() first"
        )
