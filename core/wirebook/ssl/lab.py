"""A certificate authority for an afternoon: certificates for labs and tests, good ones and bad ones on purpose."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from wirebook.ssl.certificates import Certificate, PrivateCertificate
from wirebook.ssl.client import ClientTLSOptions, optionsForClientTLS
from wirebook.ssl.keys import KeyPair

_DAY = timedelta(days=1)
_CLOCKS_DIFFER = timedelta(minutes=5)


class LabAuthority:
    """An authority that nobody trusts but those whom you tell to; its certificates are good for `days`.

    ``certificate`` is its own one, for ``trustRoot`` and for others' tools (``certificate.dumpPEM()``)::

        ca = LabAuthority()
        port = reactor.listenSSL(0, factory, ca.server("localhost", "127.0.0.1").options())
        reactor.connectSSL("localhost", port.port, clients, ca.clientOptions("localhost"))

    A server that lets in only this authority's clients has ``ca.server("localhost").options(ca.certificate)``, and a
    client that shows a certificate ``ca.clientOptions("localhost", ca.client("alice"))``. For what must fail:
    ``ca.server("localhost", expired=True)``, a server for another name, a second authority, `selfSigned`.
    """

    def __init__(self, name: str = "Wirebook lab authority", days: int = 7) -> None:
        self.days = days
        self._key = _new_key()
        self._name = _name(name)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self._name, self._key, self._key).add_extension(usage, critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = Certificate(self._signed(builder))

    def server(self, *names: str, expired: bool = False, notYetValid: bool = False) -> PrivateCertificate:
        """A certificate for a server that has these names and IP addresses. Raises `ValueError` without any."""
        if not names:
            raise ValueError('a server needs a name: server("localhost", "127.0.0.1")')
        return self._issue(names[0], ExtendedKeyUsageOID.SERVER_AUTH, names, expired, notYetValid)

    def client(self, name: str, expired: bool = False, notYetValid: bool = False) -> PrivateCertificate:
        """A certificate for the client called `name`."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, (), expired, notYetValid)

    def selfSigned(self, *names: str) -> PrivateCertificate:
        """A server's certificate that nobody else has signed."""
        key = _new_key()
        builder = self._builder(_name(names[0]), key, key, issuer=_name(names[0]))
        return _together(builder.add_extension(_alternatives(names), critical=False), key, key)

    def clientOptions(
        self, hostname: str, clientCertificate: PrivateCertificate | None = None, **extra: Any
    ) -> ClientTLSOptions:
        """Options for a client of a server of this authority called `hostname`; see `optionsForClientTLS`.

        `extra` are its further arguments.
        """
        return optionsForClientTLS(hostname, self.certificate, clientCertificate, **extra)

    def _issue(
        self, subject: str, purpose: Any, names: tuple[str, ...], expired: bool, not_yet: bool
    ) -> PrivateCertificate:
        key = _new_key()
        shift = -2 * self.days * _DAY if expired else self.days * _DAY if not_yet else timedelta()
        builder = self._builder(_name(subject), key, self._key, shift)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(_alternatives(names), critical=False)
        return _together(builder, key, self._key)

    def _builder(
        self,
        subject: x509.Name,
        key: KeyPair,
        signer: KeyPair,
        shift: timedelta = timedelta(),
        issuer: x509.Name | None = None,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC) + shift
        public, authority = (pair.original.to_cryptography_key().public_key() for pair in (key, signer))  # type: ignore[union-attr]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + self.days * _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> crypto.X509:
        return _sign(builder, self._key)


def _new_key() -> KeyPair:
    return KeyPair.generate(crypto.TYPE_EC, 256)


def _sign(builder: x509.CertificateBuilder, signer: KeyPair) -> crypto.X509:
    key: Any = signer.original.to_cryptography_key()
    return crypto.X509.from_cryptography(builder.sign(key, hashes.SHA256()))


def _together(builder: x509.CertificateBuilder, key: KeyPair, signer: KeyPair) -> PrivateCertificate:
    return PrivateCertificate.fromCertificateAndKeyPair(Certificate(_sign(builder, signer)), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative(name) for name in names])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
