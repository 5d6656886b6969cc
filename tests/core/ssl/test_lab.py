"""The authority for an afternoon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import crypto

from tests.core.net_kit import Recorders
from tests.core.tls_kit import Secured, authority, connecting_tls, serving_tls
from wirebook.ssl import Certificate, LabAuthority
from wirebook.transports.reactor import Reactor


def verify(certificate: Certificate, ca: LabAuthority) -> None:
    """Raise unless `ca` vouches for it."""
    store = crypto.X509Store()
    store.add_cert(ca.certificate.original)
    crypto.X509StoreContext(store, certificate.original).verify_certificate()


def test_its_certificates_are_valid_and_have_the_names() -> None:
    server = authority().server("localhost", "127.0.0.1", "::1", "*.example.org")
    verify(server, authority())
    names = server.original.to_cryptography().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    verify(authority().client("alice"), authority())


def test_another_authority_does_not_vouch_for_them() -> None:
    with pytest.raises(crypto.X509StoreContextError):
        verify(LabAuthority().server("localhost"), authority())


@pytest.mark.parametrize("how", [{"expired": True}, {"notYetValid": True}])
def test_bad_ones_are_made_on_purpose(how: Any) -> None:
    with pytest.raises(crypto.X509StoreContextError, match=r"has expired|not yet valid"):
        verify(authority().server("localhost", **how), authority())
    with pytest.raises(crypto.X509StoreContextError, match=r"has expired|not yet valid"):
        verify(authority().client("alice", **how), authority())


def test_a_self_signed_one_has_no_authority() -> None:
    certificate = authority().selfSigned("localhost")
    assert certificate.getIssuer() == certificate.getSubject()
    with pytest.raises(crypto.X509StoreContextError):
        verify(certificate, authority())


def test_they_last_for_days() -> None:
    certificate = LabAuthority(days=3).server("localhost").original.to_cryptography()
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


def test_a_server_needs_a_name() -> None:
    with pytest.raises(ValueError, match=r'a server needs a name: server\("localhost"'):
        authority().server()


def test_a_clients_certificate_does_not_make_a_server(reactor: Reactor) -> None:
    options = authority().client("localhost").options()
    with (
        serving_tls(reactor, Recorders(Secured), options) as port,
        connecting_tls(reactor, port.port, Secured) as (client, _),
    ):
        assert "'CN=localhost' was refused: it is not for this purpose" in str(client.end())
