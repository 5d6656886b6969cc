"""Certificates and requests for them, alone and together with their private key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from wirebook.error import CertificateError, VerifyError
from wirebook.ssl.keys import ONE_YEAR, KeyPair, PublicKey
from wirebook.ssl.names import DistinguishedName
from wirebook.ssl.options import CertificateOptions
from wirebook.ssl.trust import OpenSSLCertificateAuthorities


class CertBase:
    """What certificates, with and without a key, and requests have in common: ``original``, the object beneath."""

    original: Any

    def __init__(self, original: Any) -> None:
        self.original = original

    def getSubject(self) -> DistinguishedName:
        """Who it is about; a copy."""
        return DistinguishedName.fromX509Name(self._parsed().subject)

    def _parsed(self) -> Any:
        return self.original


class Certificate(CertBase):
    """An X.509 certificate. ``original`` is the ``OpenSSL.crypto.X509``."""

    original: crypto.X509

    @classmethod
    def load(cls, requestData: bytes, format: int = crypto.FILETYPE_ASN1, args: tuple[Any, ...] = ()) -> Self:
        """Read a certificate, in the given format of ``OpenSSL.crypto``."""
        return cls(crypto.load_certificate(format, requestData), *args)

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Read the first certificate in PEM text."""
        return cls.load(data, crypto.FILETYPE_PEM)

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """The certificate in the given format."""
        return crypto.dump_certificate(format, self.original)

    def dumpPEM(self) -> bytes:
        """The certificate as PEM text."""
        return self.dump(crypto.FILETYPE_PEM)

    @classmethod
    def peerFromTransport(cls, transport: Any) -> Self:
        """The certificate that the other end of `transport` has shown. Raises `CertificateError` without one."""
        return cls._from(transport, "peer", "get_peer_certificate")

    @classmethod
    def hostFromTransport(cls, transport: Any) -> Self:
        """The certificate of this end of `transport`. Raises `CertificateError` without one."""
        return cls._from(transport, "host", "get_host_certificate", "get_certificate")

    @classmethod
    def _from(cls, transport: Any, side: str, *methods: str) -> Self:
        handle = transport.getHandle()
        ask = next((getattr(handle, name) for name in methods if hasattr(handle, name)), None)
        if ask is None:
            raise CertificateError(f"non-TLS transport {transport!r} has no {side} certificate")
        certificate = ask()
        if certificate is None:
            raise CertificateError(f"TLS transport {transport!r} has no {side} certificate")
        return cls(certificate)

    def getIssuer(self) -> DistinguishedName:
        """Who has signed it; a copy."""
        return DistinguishedName.fromX509Name(self._parsed().issuer)

    def getPublicKey(self) -> PublicKey:
        """The key that it certifies."""
        return PublicKey(self.original.get_pubkey())

    def serialNumber(self) -> int:
        """The number that its issuer has given it."""
        return self.original.get_serial_number()

    def digest(self, method: str = "md5") -> bytes:
        """The fingerprint, as pairs of hexadecimal digits with colons; `method` as "md5", "sha1" or "sha256"."""
        return self.original.digest(method)

    def inspect(self) -> str:
        """What is in it, in several lines for people."""
        return "\n".join((self._inspected(), self.getPublicKey().inspect()))

    def _inspected(self) -> str:
        lines = ["Certificate For Subject:", self.getSubject().inspect()]
        lines += ["\nIssuer:", self.getIssuer().inspect()]
        lines += [f"\nSerial Number: {self.serialNumber()}", f"Digest: {self.digest().decode()}"]
        return "\n".join(lines)

    def options(self, *authorities: Certificate) -> CertificateOptions:
        """Not possible without a private key: `PrivateCertificate.options` is what makes options."""
        raise NotImplementedError("TLS with a certificate needs its private key too: use PrivateCertificate")

    def _parsed(self) -> x509.Certificate:
        return self.original.to_cryptography()

    def __eq__(self, other: object) -> bool:
        return self.dump() == other.dump() if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.dump())

    def __repr__(self) -> str:
        subject, issuer = (dn.get("commonName", b"").decode() for dn in (self.getSubject(), self.getIssuer()))
        return f"<{type(self).__name__} Subject={subject} Issuer={issuer}>"


class CertificateRequest(CertBase):
    """A request to certify a key. ``original`` is a ``cryptography.x509.CertificateSigningRequest``."""

    original: x509.CertificateSigningRequest

    @classmethod
    def load(cls, requestData: bytes, requestFormat: int = crypto.FILETYPE_ASN1) -> Self:
        """Read a request. Raises `VerifyError` when it is not signed with the key that it is about."""
        if requestFormat not in _ENCODINGS:
            raise ValueError(f"a request has the format FILETYPE_PEM or FILETYPE_ASN1, not {requestFormat!r}")
        read = x509.load_pem_x509_csr if requestFormat == crypto.FILETYPE_PEM else x509.load_der_x509_csr
        request = read(requestData)
        if not request.is_signature_valid:
            raise VerifyError(f"the request for {request.subject.rfc4514_string()!r} is not signed with its own key")
        return cls(request)

    def getSubject(self) -> DistinguishedName:
        """Who it is about; a copy. Raises `ValueError` rather than to leave something out: it is to be agreed to."""
        return DistinguishedName.fromX509Name(self.original.subject, strict=True)

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """The request in the given format."""
        if format not in _ENCODINGS:
            raise ValueError(f"a request has the format FILETYPE_PEM or FILETYPE_ASN1, not {format!r}")
        return self.original.public_bytes(_ENCODINGS[format])


_ENCODINGS = {crypto.FILETYPE_PEM: Encoding.PEM, crypto.FILETYPE_ASN1: Encoding.DER}


class PrivateCertificate(Certificate):
    """A certificate with its private key, ``privateKey``: what a server, or a client that shows one, needs."""

    privateKey: KeyPair

    @classmethod
    def load(  # type: ignore[override]
        cls, data: bytes, privateKey: KeyPair, format: int = crypto.FILETYPE_ASN1
    ) -> Self:
        """Read a certificate for `privateKey`. Raises `VerifyError` when it is for another key."""
        return cls(crypto.load_certificate(format, data))._with_key(privateKey)

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Read the certificate and the private key from one PEM text."""
        return cls.load(data, KeyPair.load(data, crypto.FILETYPE_PEM), crypto.FILETYPE_PEM)

    @classmethod
    def fromCertificateAndKeyPair(cls, certificateInstance: Certificate, privateKey: KeyPair) -> Self:
        """Put the two together. Raises `VerifyError` when they do not belong together."""
        return cls(certificateInstance.original)._with_key(privateKey)

    def _with_key(self, key: KeyPair) -> Self:
        if not key.matches(self.getPublicKey()):
            raise VerifyError("the certificate and the private key do not match: they have different public keys")
        self.privateKey = key
        return self

    def newCertificate(self, newCertData: bytes, format: int = crypto.FILETYPE_ASN1) -> Self:
        """Another certificate for the same key, for example one that was renewed."""
        return self.load(newCertData, self.privateKey, format)

    def dumpPEM(self) -> bytes:
        """The certificate and the private key, not encrypted, as one PEM text."""
        return self.dump(crypto.FILETYPE_PEM) + self.privateKey.dump(crypto.FILETYPE_PEM)

    def inspect(self) -> str:
        """What is in it, in several lines for people."""
        return "\n".join((self._inspected(), self.privateKey.inspect()))

    def options(self, *authorities: Certificate) -> CertificateOptions:
        """Options for a server, or a client, with this certificate.

        With `authorities` the peer too must show a certificate, signed by one of them.
        """
        return CertificateOptions(
            privateKey=self.privateKey.original,
            certificate=self.original,
            trustRoot=OpenSSLCertificateAuthorities([one.original for one in authorities]) if authorities else None,
        )

    def certificateRequest(self, format: int = crypto.FILETYPE_ASN1, digestAlgorithm: str = "sha256") -> bytes:
        """A request for a certificate with the same subject."""
        return self.privateKey.certificateRequest(self.getSubject(), format, digestAlgorithm)

    def signCertificateRequest(
        self,
        requestData: bytes,
        verifyDNCallback: Callable[[DistinguishedName], Any],
        serialNumber: int,
        requestFormat: int = crypto.FILETYPE_ASN1,
        certificateFormat: int = crypto.FILETYPE_ASN1,
    ) -> Any:
        """As an authority, sign a request; see `KeyPair.signCertificateRequest`."""
        return self.privateKey.signCertificateRequest(
            self.getSubject(), requestData, verifyDNCallback, serialNumber, requestFormat, certificateFormat
        )

    def signRequestObject(
        self,
        certificateRequest: CertificateRequest,
        serialNumber: int,
        secondsToExpiry: int = ONE_YEAR,
        digestAlgorithm: str = "sha256",
    ) -> Certificate:
        """As an authority, sign a request; see `KeyPair.signRequestObject`."""
        return self.privateKey.signRequestObject(
            self.getSubject(), certificateRequest, serialNumber, secondsToExpiry, digestAlgorithm
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()} with {self.privateKey!r}"
