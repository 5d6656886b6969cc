"""Whom to trust: the authorities whose certificates are believed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from OpenSSL import SSL, crypto

# Where systems keep their roots that neither OpenSSL nor pyOpenSSL looks for by itself (macOS, the BSDs).
_FURTHER_ROOTS = ("/etc/ssl/cert.pem", "/usr/local/etc/ssl/cert.pem")


class IOpenSSLTrustRoot(Protocol):
    """Puts the authorities that are trusted into a context."""

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        """Have the connections of `context` trust them."""


class OpenSSLCertificateAuthorities:
    """Trusts these certificates (``OpenSSL.crypto.X509``) and no others."""

    def __init__(self, caCerts: Sequence[crypto.X509]) -> None:
        self._certificates = list(caCerts)

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        store = context.get_cert_store()
        if store is None:
            raise RuntimeError(f"{context!r} has no certificate store")
        for certificate in self._certificates:
            store.add_cert(certificate)


class OpenSSLDefaultPaths:
    """Trusts whom this machine trusts. SSL_CERT_FILE and SSL_CERT_DIR take the place of the machine's files."""

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        context.set_default_verify_paths()
        if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
            for path in filter(os.path.exists, _FURTHER_ROOTS):
                context.load_verify_locations(path)


def platformTrust() -> OpenSSLDefaultPaths:
    """The authorities that the machine's owner, or its system, trusts: right for clients on the open internet."""
    return OpenSSLDefaultPaths()


def trustRootFromCertificates(certificates: Iterable[Any]) -> OpenSSLCertificateAuthorities:
    """Trust several `Certificate`s (or `PrivateCertificate`s), and nobody else. Raises `TypeError` for others."""
    originals = []
    for certificate in certificates:
        original = getattr(certificate, "original", None)
        if not isinstance(original, crypto.X509):
            raise TypeError(f"trust is made of wirebook.ssl.Certificate objects, not {certificate!r}")
        originals.append(original)
    return OpenSSLCertificateAuthorities(originals)


def as_trust_root(trusted: Any) -> IOpenSSLTrustRoot:
    """What is meant by a ``trustRoot`` argument: a root, or a single certificate. Raises `TypeError`."""
    if hasattr(trusted, "_addCACertsToContext"):
        root: IOpenSSLTrustRoot = trusted
        return root
    if isinstance(getattr(trusted, "original", None), crypto.X509):
        return trustRootFromCertificates([trusted])
    raise TypeError(f"trustRoot is a Certificate, trustRootFromCertificates(...) or platformTrust(), not {trusted!r}")
