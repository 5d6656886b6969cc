"""Whom to trust."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL, crypto

from tests.core.tls_kit import authority, localhost
from wirebook.ssl import LabAuthority, platformTrust, trustRootFromCertificates
from wirebook.ssl.trust import as_trust_root


def trusted_by(root: object) -> list[str]:
    """The subjects of the authorities that a context trusts which was given `root`."""
    context = SSL.Context(SSL.TLS_METHOD)
    as_trust_root(root)._addCACertsToContext(context)
    store = context.get_cert_store()
    assert store is not None
    # pyOpenSSL has no way to list a store; verifying says what is in it.
    found = []
    for one in (authority(), OTHER):
        with suppress(crypto.X509StoreContextError):
            crypto.X509StoreContext(store, one.certificate.original).verify_certificate()
            found.append(one.certificate.original.to_cryptography().subject.rfc4514_string())
    return found


OTHER = LabAuthority("the other one")
LAB = "CN=Wirebook lab authority"


def test_one_certificate_or_several_are_a_root() -> None:
    assert trusted_by(authority().certificate) == [LAB]
    assert trusted_by(trustRootFromCertificates([authority().certificate, OTHER.certificate])) == [
        LAB,
        "CN=the other one",
    ]


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(TypeError, match=r"trust is made of wirebook\.ssl\.Certificate objects, not 'ca\.pem'"):
        trustRootFromCertificates(["ca.pem"])
    with pytest.raises(TypeError, match=r"trustRoot is a Certificate, .* not 'ca\.pem'"):
        as_trust_root("ca.pem")


def test_a_private_certificate_can_be_trusted_too() -> None:
    assert trustRootFromCertificates([localhost()])


def test_the_platform_trusts_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority().certificate.dumpPEM())
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    assert trusted_by(platformTrust()) == [LAB]


def test_the_platform_does_not_trust_a_lab() -> None:
    assert trusted_by(platformTrust()) == []
