"""Key pairs, and the requests and certificates that they sign."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from OpenSSL import crypto

from wirebook.deferred import Deferred
from wirebook.error import VerifyError
from wirebook.ssl.names import DistinguishedName

if TYPE_CHECKING:
    from wirebook.ssl.certificates import Certificate, CertificateRequest, PrivateCertificate

ONE_YEAR = 365 * 24 * 60 * 60
_DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_CURVES: dict[int, Callable[[], ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
_FORMATS = {
    crypto.FILETYPE_PEM: (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8),
    crypto.FILETYPE_ASN1: (serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL),
}
_KINDS = {crypto.TYPE_RSA: "RSA", crypto.TYPE_DSA: "DSA", crypto.TYPE_EC: "EC"}


class PublicKey:
    """The public part of a key pair. ``original`` is the ``OpenSSL.crypto.PKey``."""

    def __init__(self, osslpkey: crypto.PKey) -> None:
        self.original = osslpkey

    def matches(self, otherKey: PublicKey) -> bool:
        """Whether the other key, or key pair, has the same public part."""
        return self.keyHash() == otherKey.keyHash()

    def keyHash(self) -> str:
        """32 hexadecimal digits that tell public keys apart; no fingerprint for security."""
        public = crypto.dump_publickey(crypto.FILETYPE_ASN1, self.original)
        return hashlib.md5(public, usedforsecurity=False).hexdigest()

    def inspect(self) -> str:
        """A line for people."""
        return f"Public Key with Hash: {self.keyHash()}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.keyHash()}>"


class KeyPair(PublicKey):
    """A private key with its public part."""

    @classmethod
    def load(cls, data: bytes, format: int = crypto.FILETYPE_ASN1) -> Self:
        """Read a private key, in the given format of ``OpenSSL.crypto``. `ValueError` for one with a passphrase."""
        passphrase = _refuse_passphrase if format == crypto.FILETYPE_PEM else None
        return cls(crypto.load_privatekey(format, data, passphrase))

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """The private key, not encrypted: PKCS #8 as PEM, the traditional form as ASN.1."""
        if format not in _FORMATS:
            raise ValueError(f"a key has the format FILETYPE_PEM or FILETYPE_ASN1, not {format!r}")
        dumped: bytes = self._signer().private_bytes(*_FORMATS[format], serialization.NoEncryption())
        return dumped

    @classmethod
    def generate(cls, kind: int = crypto.TYPE_RSA, size: int = 2048) -> Self:
        """A new key of `size` bits. `kind` is TYPE_RSA, TYPE_DSA or TYPE_EC (256, 384 or 521) of ``OpenSSL.crypto``."""
        return cls(crypto.PKey.from_cryptography_key(_new_key(kind, size)))

    def inspect(self) -> str:
        """A line for people."""
        kind = _KINDS.get(self.original.type(), "(unknown type)")
        return f"{self.original.bits()}-bit {kind} Key Pair with Hash: {self.keyHash()}"

    def newCertificate(self, newCertData: bytes, format: int = crypto.FILETYPE_ASN1) -> PrivateCertificate:
        """The certificate in `newCertData`, which must be for this key, together with the key."""
        from wirebook.ssl.certificates import PrivateCertificate

        return PrivateCertificate.load(newCertData, self, format)

    def requestObject(
        self, distinguishedName: DistinguishedName, digestAlgorithm: str = "sha256"
    ) -> CertificateRequest:
        """A request to certify this key for `distinguishedName`."""
        from wirebook.ssl.certificates import CertificateRequest

        builder = x509.CertificateSigningRequestBuilder().subject_name(distinguishedName.toX509Name())
        return CertificateRequest(builder.sign(self._signer(), self._digest(digestAlgorithm)))

    def certificateRequest(
        self,
        distinguishedName: DistinguishedName,
        format: int = crypto.FILETYPE_ASN1,
        digestAlgorithm: str = "sha256",
    ) -> bytes:
        """As `requestObject`, as bytes in the given format."""
        return self.requestObject(distinguishedName, digestAlgorithm).dump(format)

    def signCertificateRequest(
        self,
        issuerDistinguishedName: DistinguishedName,
        requestData: bytes,
        verifyDNCallback: Callable[[DistinguishedName], Any],
        serialNumber: int,
        requestFormat: int = crypto.FILETYPE_ASN1,
        certificateFormat: int = crypto.FILETYPE_ASN1,
        secondsToExpiry: int = ONE_YEAR,
        digestAlgorithm: str = "sha256",
    ) -> bytes | Deferred[bytes]:
        """Sign the request in `requestData` if ``verifyDNCallback(subject)`` agrees; the certificate as bytes.

        When the callback gives a Deferred, so does this, and it fails with `VerifyError` where this would raise it.
        """
        from wirebook.ssl.certificates import CertificateRequest

        request = CertificateRequest.load(requestData, requestFormat)
        subject = request.getSubject()

        def signed(agreed: Any) -> bytes:
            if not agreed:
                raise VerifyError(f"the DN callback {verifyDNCallback!r} refused the request for {subject!r}")
            certificate = self.signRequestObject(
                issuerDistinguishedName, request, serialNumber, secondsToExpiry, digestAlgorithm
            )
            return certificate.dump(certificateFormat)

        answer = verifyDNCallback(subject)
        return answer.addCallback(signed) if isinstance(answer, Deferred) else signed(answer)

    def signRequestObject(
        self,
        issuerDistinguishedName: DistinguishedName,
        requestObject: CertificateRequest,
        serialNumber: int,
        secondsToExpiry: int = ONE_YEAR,
        digestAlgorithm: str = "sha256",
    ) -> Certificate:
        """A certificate for the request, valid from now on for `secondsToExpiry`. No extension is taken over.

        `serialNumber` is above 0 (RFC 5280, section 4.1.2.2); 0 stands for a random one. The request is not asked
        about: see `signCertificateRequest`.
        """
        from wirebook.ssl.certificates import Certificate

        request = requestObject.original
        own = self.original.to_cryptography_key().public_key()  # type: ignore[union-attr]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuerDistinguishedName.toX509Name())
            .public_key(request.public_key())
            .serial_number(serialNumber or x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(seconds=secondsToExpiry))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )
        if request.public_key() == own:
            # Who signs for himself may sign for others: without this nobody would accept what he signs.
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return Certificate(crypto.X509.from_cryptography(builder.sign(self._signer(), self._digest(digestAlgorithm))))

    def selfSignedCert(self, serialNumber: int, **kw: str | bytes) -> PrivateCertificate:
        """A certificate for this key, signed with it. `kw` are the fields of its `DistinguishedName`."""
        from wirebook.ssl.certificates import PrivateCertificate

        dn = DistinguishedName(**kw)
        certificate = self.signRequestObject(dn, self.requestObject(dn), serialNumber)
        return PrivateCertificate.fromCertificateAndKeyPair(certificate, self)

    def _signer(self) -> Any:
        return self.original.to_cryptography_key()

    def _digest(self, name: str) -> Any:
        if isinstance(self._signer(), ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
            return None
        if name not in _DIGESTS:
            raise ValueError(f"the digest {name!r} is not known; choose one of {', '.join(_DIGESTS)}")
        return _DIGESTS[name]()


def _refuse_passphrase(*_: object) -> bytes:
    # OpenSSL itself would ask for it, on the terminal.
    raise ValueError("the private key is encrypted: take its passphrase off first, with openssl pkey -in OLD -out NEW")


def _new_key(kind: int, size: int) -> Any:
    if kind == crypto.TYPE_RSA:
        return rsa.generate_private_key(65537, size)
    if kind == crypto.TYPE_DSA:
        return dsa.generate_private_key(size)
    if kind != crypto.TYPE_EC:
        raise ValueError(f"a key is of the kind TYPE_RSA, TYPE_DSA or TYPE_EC, not {kind!r}")
    if size not in _CURVES:
        raise ValueError(f"an EC key has 256, 384 or 521 bits, not {size!r}")
    return ec.generate_private_key(_CURVES[size]())
