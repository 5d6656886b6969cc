"""Clients that know whom they talk to: the server's certificate must be for its name (RFC 9525)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import idna
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID
from service_identity.hazmat import verify_service_identity as verify_identity

from wirebook.failure import Failure
from wirebook.logger import report_failure
from wirebook.ssl.errors import PeerNameError
from wirebook.ssl.options import CertificateOptions, note_refusal
from wirebook.ssl.trust import platformTrust


def optionsForClientTLS(
    hostname: str,
    trustRoot: Any = None,
    clientCertificate: Any = None,
    acceptableProtocols: Sequence[bytes] | None = None,
    *,
    extraCertificateOptions: dict[str, Any] | None = None,
    sendServerName: bool | None = None,
) -> ClientTLSOptions:
    """The options for a client of the server called `hostname`, a name or an IP address; it is asked for by name.

    The server must show a certificate for this name, signed by whom `trustRoot` trusts (a `Certificate`,
    `trustRootFromCertificates`, default: `platformTrust`). `clientCertificate`: the `PrivateCertificate` to show, if
    the server asks for one. `acceptableProtocols`: for ALPN, the preferred one first. `extraCertificateOptions`:
    further arguments for `CertificateOptions`. `sendServerName`: whether the server hears the name (SNI); by default
    it does unless it is an address (RFC 6066, section 3).

    A wrong name ends the connection with a `PeerNameError`, which is a `VerificationError`. Raises `TypeError` when
    `hostname` is not text, `ValueError` when it cannot be a host's name.
    """
    if not isinstance(hostname, str):
        raise TypeError(f"optionsForClientTLS() takes the host name as a str, not {hostname!r}")
    extra = dict(extraCertificateOptions or {})
    if clientCertificate is not None:
        extra.update(privateKey=clientCertificate.privateKey.original, certificate=clientCertificate.original)
    options = CertificateOptions(
        trustRoot=platformTrust() if trustRoot is None else trustRoot,
        acceptableProtocols=acceptableProtocols,
        **extra,
    )
    return ClientTLSOptions(options, hostname, sendServerName)


class ClientTLSOptions:
    """What `optionsForClientTLS` makes. It keeps the last session when its options allow sessions or tickets."""

    def __init__(self, options: CertificateOptions, hostname: str, sendServerName: bool | None = None) -> None:
        self.options = options
        self.hostname = hostname
        self._ascii = _address(hostname) or _ascii_name(hostname)
        self._is_address = _address(hostname) is not None
        self._send_name = not self._is_address if sendServerName is None else sendServerName
        self._keeps_session = options.enableSessions or options.enableSessionTickets
        self._session: SSL.Session | None = None

    @property
    def handshakeTimeout(self) -> float | None:
        """Seconds that a handshake may take."""
        return self.options.handshakeTimeout

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection for the client's side of the layer `tlsProtocol`."""
        connection = self.options.clientConnectionForTLS(tlsProtocol)
        if self._send_name:
            connection.set_tlsext_host_name(self._ascii.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        if self._keeps_session:
            tlsProtocol.farewell = self._remember
            if self._session is not None:
                connection.set_session(self._session)
        return connection

    def _remember(self, connection: SSL.Connection) -> None:
        self._session = connection.get_session()

    def _verify(self, connection: SSL.Connection, cert: crypto.X509, code: int, depth: int, ok: int) -> bool:
        if not note_refusal(connection, cert, code, depth, ok):
            return False
        if depth:
            return True
        try:
            self._check_name(cert)
        except Exception as error:
            if not isinstance(error, PeerNameError):
                report_failure(Failure(error), f"verifying the certificate of {self.hostname} raised")
            connection.get_app_data().failVerification(Failure(error))
            return False
        return True

    def _check_name(self, cert: crypto.X509) -> None:
        """Raise `PeerNameError` unless the certificate is for the name."""
        patterns = extract_patterns(cert.to_cryptography())
        wanted = IPAddress_ID(self._ascii) if self._is_address else DNS_ID(self._ascii)
        try:
            verify_identity(patterns, [wanted], [])
        except VerificationError as error:
            raise PeerNameError(self._mismatch(cert), error.errors) from None
        except Exception as error:
            # The package's error for a certificate without any name.
            raise PeerNameError(f"{self._mismatch(cert)} ({error})") from None

    def _mismatch(self, cert: crypto.X509) -> str:
        names = ", ".join(_names(cert)) or "no name at all"
        return f"the server's certificate is for {names}, not for {self.hostname}"


def _names(cert: crypto.X509) -> list[str]:
    from cryptography import x509

    try:
        found = cert.to_cryptography().extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


def _address(hostname: str) -> str | None:
    try:
        return str(ipaddress.ip_address(hostname))
    except ValueError:
        return None


def _ascii_name(hostname: str) -> str:
    if hostname.isascii():
        return hostname
    try:
        return idna.encode(hostname, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{hostname!r} cannot be a host name: {error}") from error
