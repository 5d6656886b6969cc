"""Certificates, requests, and certificates with their keys."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import crypto

from tests.core.ssl.test_keys import elliptic, rsa
from wirebook.ssl import DN, Certificate, CertificateError, CertificateRequest, PrivateCertificate, VerifyError


def mine() -> PrivateCertificate:
    """A certificate with its key."""
    return elliptic().selfSignedCert(9, CN="mine", O="home")


def test_a_certificate_survives_dumping() -> None:
    certificate = Certificate.load(mine().dump())
    assert Certificate.loadPEM(certificate.dumpPEM()) == certificate
    assert hash(Certificate.loadPEM(certificate.dumpPEM())) == hash(certificate)
    assert certificate != Certificate.load(rsa().selfSignedCert(9, CN="mine").dump())


def test_a_private_certificate_survives_dumping() -> None:
    pem = mine().dumpPEM()
    again = PrivateCertificate.loadPEM(pem)
    assert again.dumpPEM() == pem
    assert again.privateKey.matches(elliptic())


def test_a_key_that_does_not_fit_is_refused() -> None:
    certificate = Certificate.load(mine().dump())
    with pytest.raises(VerifyError, match="do not match: they have different public keys"):
        PrivateCertificate.fromCertificateAndKeyPair(certificate, rsa())


def test_a_certificate_shows_itself() -> None:
    certificate = Certificate.load(mine().dump())
    assert repr(certificate) == "<Certificate Subject=mine Issuer=mine>"
    assert repr(mine()).endswith(f" with <KeyPair {elliptic().keyHash()}>")
    lines = certificate.inspect().splitlines()
    assert lines[0] == "Certificate For Subject:"
    assert "               Common Name: mine" in lines
    assert "Serial Number: 9" in lines
    assert f"Digest: {certificate.digest().decode()}" in lines
    assert lines[-1] == f"Public Key with Hash: {elliptic().keyHash()}"


def test_the_digest_can_be_chosen() -> None:
    assert len(mine().digest("sha256").split(b":")) == 32


def test_a_request_survives_dumping() -> None:
    request = elliptic().requestObject(DN(CN="r"))
    for format in (crypto.FILETYPE_PEM, crypto.FILETYPE_ASN1):
        assert CertificateRequest.load(request.dump(format), format).getSubject() == DN(CN="r")


def test_a_request_that_was_changed_is_refused() -> None:
    data = bytearray(elliptic().certificateRequest(DN(CN="honest")))
    data[data.index(b"honest")] = ord("H")
    with pytest.raises(VerifyError, match="the request for 'CN=Honest' is not signed with its own key"):
        CertificateRequest.load(bytes(data))


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ValueError, match="FILETYPE_PEM or FILETYPE_ASN1, not 77"):
        CertificateRequest.load(b"", 77)
    with pytest.raises(ValueError, match="FILETYPE_PEM or FILETYPE_ASN1, not 77"):
        elliptic().dump(77)


def test_a_certificate_without_a_key_makes_no_options() -> None:
    with pytest.raises(NotImplementedError, match="use PrivateCertificate"):
        Certificate.load(mine().dump()).options()


class Handle:
    """What a transport of somebody else's has beneath."""

    def __init__(self, **certificates: Any) -> None:
        for name, certificate in certificates.items():
            setattr(self, f"get_{name}_certificate", lambda certificate=certificate: certificate)

    def getHandle(self) -> Handle:
        """Itself, for it is the transport too."""
        return self


def test_certificates_are_taken_from_any_transport() -> None:
    original = mine().original
    assert Certificate.peerFromTransport(Handle(peer=original)) == Certificate(original)
    assert Certificate.hostFromTransport(Handle(host=original)) == Certificate(original)


def test_a_transport_without_certificate_is_an_error() -> None:
    with pytest.raises(CertificateError, match=r"TLS transport .* has no peer certificate"):
        Certificate.peerFromTransport(Handle(peer=None))
    with pytest.raises(CertificateError, match=r"non-TLS transport .* has no host certificate"):
        Certificate.hostFromTransport(Handle(peer=None))
