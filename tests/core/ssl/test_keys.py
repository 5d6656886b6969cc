"""Key pairs, and what they sign."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import crypto

from tests.core.deferred_kit import error_of, outcome
from wirebook.deferred import Deferred
from wirebook.ssl import DN, Certificate, CertificateRequest, KeyPair, PrivateCertificate, VerifyError


@cache
def rsa() -> KeyPair:
    """One key is enough."""
    return KeyPair.generate()


@cache
def elliptic() -> KeyPair:
    """Another one, which is quick to make."""
    return KeyPair.generate(crypto.TYPE_EC, 256)


def test_a_key_is_rsa_with_2048_bits_unless_said_otherwise() -> None:
    assert rsa().inspect() == f"2048-bit RSA Key Pair with Hash: {rsa().keyHash()}"
    assert elliptic().inspect().startswith("256-bit EC Key Pair")


@pytest.mark.parametrize("format", [crypto.FILETYPE_PEM, crypto.FILETYPE_ASN1])
def test_a_key_survives_dumping(format: int) -> None:
    for key in (rsa(), elliptic()):
        again = KeyPair.load(key.dump(format), format)
        assert again.matches(key)
        assert again.dump(format) == key.dump(format)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked() -> None:
    key: Any = elliptic().original.to_cryptography_key()
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(ValueError, match="the private key is encrypted"):
        KeyPair.load(encrypted, crypto.FILETYPE_PEM)


def test_different_keys_do_not_match() -> None:
    assert not rsa().matches(elliptic())
    assert repr(rsa()) == f"<KeyPair {rsa().keyHash()}>"


@pytest.mark.parametrize(
    ("kind", "size", "hint"),
    [(crypto.TYPE_EC, 255, "has 256, 384 or 521 bits, not 255"), (99, 1, "TYPE_EC, not 99")],
)
def test_what_is_no_key_is_named(kind: int, size: int, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        KeyPair.generate(kind, size)


def test_a_self_signed_certificate_is_its_own_issuer() -> None:
    certificate = elliptic().selfSignedCert(7, CN="me", O="home")
    assert certificate.getSubject() == certificate.getIssuer() == DN(CN="me", O="home")
    assert certificate.serialNumber() == 7
    assert certificate.privateKey.matches(elliptic())


def test_without_a_serial_number_a_certificate_gets_a_random_one() -> None:
    one, other = (elliptic().selfSignedCert(0, CN="me") for _ in range(2))
    assert 0 < one.serialNumber() != other.serialNumber() > 0


def test_a_request_is_signed_by_an_authority() -> None:
    authority = elliptic().selfSignedCert(1, CN="authority")
    request = rsa().certificateRequest(DN(CN="server"), crypto.FILETYPE_PEM)
    data = authority.signCertificateRequest(
        request, lambda dn: dn.commonName == b"server", 2, crypto.FILETYPE_PEM, crypto.FILETYPE_PEM
    )
    certificate = rsa().newCertificate(data, crypto.FILETYPE_PEM)
    assert (certificate.getSubject(), certificate.getIssuer()) == (DN(CN="server"), DN(CN="authority"))
    certificate.original.to_cryptography().verify_directly_issued_by(authority.original.to_cryptography())


def test_what_an_authority_signed_is_trusted_by_who_trusts_the_authority() -> None:
    authority = elliptic().selfSignedCert(1, CN="authority")
    signed = authority.signRequestObject(rsa().requestObject(DN(CN="server")), 2)
    store = crypto.X509Store()
    store.add_cert(authority.original)
    crypto.X509StoreContext(store, signed.original).verify_certificate()


def test_a_refused_name_gets_no_certificate() -> None:
    request = rsa().certificateRequest(DN(CN="impostor"))
    with pytest.raises(VerifyError, match="refused the request for <DN 'commonName': b'impostor'>"):
        elliptic().signCertificateRequest(DN(CN="authority"), request, lambda dn: False, 3)


def later(request: bytes, answer: Deferred[bool]) -> Any:
    """What comes of asking for a certificate, when the name is decided on later."""
    return elliptic().signCertificateRequest(DN(CN="authority"), request, lambda dn: answer, 3)


def test_the_answer_about_a_name_may_come_later() -> None:
    request = rsa().certificateRequest(DN(CN="server"))
    for agreed in (True, False):
        asked: Deferred[bool] = Deferred()
        signed = later(request, asked)
        asked.callback(agreed)
        if agreed:
            assert Certificate.load(outcome(signed)).getIssuer() == DN(CN="authority")
        else:
            error_of(signed, VerifyError)


def test_an_unknown_digest_is_named() -> None:
    with pytest.raises(ValueError, match="the digest 'md4' is not known; choose one of md5"):
        elliptic().requestObject(DN(CN="x"), "md4")


def test_a_certificate_expires_when_it_was_said() -> None:
    signed = elliptic().signRequestObject(DN(CN="a"), elliptic().requestObject(DN(CN="b")), 5, secondsToExpiry=60)
    found = signed.original.to_cryptography()
    assert (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() == 60


def test_a_request_knows_its_subject() -> None:
    request = elliptic().requestObject(DN(CN="subject"))
    assert isinstance(request, CertificateRequest)
    assert request.getSubject() == DN(CN="subject")
    assert isinstance(elliptic().selfSignedCert(1, CN="x"), PrivateCertificate)
