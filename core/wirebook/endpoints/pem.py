"""TLS options from files: what descriptions of endpoints name by their paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto

from wirebook.endpoints.description import refusal
from wirebook.failure import Failure
from wirebook.logger import report_event, report_failure
from wirebook.ssl import (
    Certificate,
    CertificateOptions,
    DiffieHellmanParameters,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from wirebook.ssl.errors import in_words, reasons

T = TypeVar("T")

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.+?-----END \1-----", re.DOTALL)


def server_options(key: str, certificate: str, method: str | None, chain: str | None, dh: str | None) -> Any:
    """The options of a server whose key and certificate are in these files."""
    private = _private_certificate(certificate, key)
    more: dict[str, Any] = {}
    if method is not None:
        if not method.endswith("_METHOD") or not hasattr(SSL, method):
            raise refusal(method, f"the sslmethod is {str(method)!r}, and should be a name like TLS_METHOD")
        more["method"] = getattr(SSL, method)
    if chain is not None:
        more["extraCertChain"] = [one.original for one in _read(chain, "certificate", _certificates)]
    if dh is not None:
        more["dhParameters"] = DiffieHellmanParameters.fromFile(dh)
    return CertificateOptions(privateKey=private.privateKey.original, certificate=private.original, **more)


def _private_certificate(certificate: str, key: str) -> PrivateCertificate:
    mine = _read(certificate, "certificate", _certificates)[0]
    return PrivateCertificate.fromCertificateAndKeyPair(mine, _read(key, "private key", _keys)[0])


def _read(path: str, what: str, read: Callable[[Path], list[T]]) -> list[T]:
    """What `read` finds in the file `path`, one at least: if there is none, the error points at the path."""
    try:
        found = read(Path(path))
    except (ValueError, crypto.Error) as error:
        raise refusal(path, f"the {what} in the file {str(path)!r} cannot be read: {_in_words(error)}") from error
    if not found:
        raise refusal(path, f"the file {str(path)!r} holds no {what} in PEM format")
    return found


def _in_words(error: ValueError | crypto.Error) -> str:
    return in_words(reasons(error)) if isinstance(error, crypto.Error) else str(error)


def client_options(host: str | None, roots: str | None, certificate: str | None, key: str | None) -> Any:
    """The options of a client of `host`, which is not verified when it is None.

    It trusts the certificates in the directory `roots` (None: those that the system trusts).
    """
    trust = None if roots is None else trustRootFromCertificates(_trusted(roots))
    mine = None if certificate is None else _private_certificate(certificate, key or certificate)
    if host is not None:
        return optionsForClientTLS(str(host), trustRoot=trust, clientCertificate=mine)
    if mine is None:
        return CertificateOptions(trustRoot=trust)
    return CertificateOptions(trustRoot=trust, privateKey=mine.privateKey.original, certificate=mine.original)


def _trusted(directory: str) -> list[Certificate]:
    """The certificates in the PEM files of a directory; what cannot be read is reported and left out."""
    found: dict[str, Certificate] = {}
    for path in _pem_files(directory):
        try:
            certificates = _certificates(path)
        except (OSError, ValueError, crypto.Error) as error:
            report_event(f"{path} is left out of those whom TLS trusts: {error}")
            continue
        found |= {certificate.digest("sha256").decode(): certificate for certificate in certificates}
    return list(found.values())


def _pem_files(directory: str) -> list[Path]:
    """The PEM files of a directory, also below it, in order. Raises OSError when it cannot be read."""
    if not Path(directory).is_dir():
        raise refusal(directory, f"{str(directory)!r} is no directory; it should be one with *.pem files")
    return sorted(path for path in Path(directory).rglob("*") if path.suffix.lower() == ".pem" and path.is_file())


def _certificates(path: Path) -> list[Certificate]:
    return _blocks(path, b"CERTIFICATE", Certificate.loadPEM)


def _keys(path: Path) -> list[KeyPair]:
    return _blocks(path, b"PRIVATE KEY", lambda block: KeyPair.load(block, crypto.FILETYPE_PEM))


def _blocks(path: Path, kind: bytes, load: Callable[[bytes], T]) -> list[T]:
    """What is in the blocks of a PEM file that are of this kind. Errors name the file."""
    try:
        return [load(match[0]) for match in _BLOCK.finditer(path.read_bytes()) if match[1].endswith(kind)]
    except Exception as error:
        error.add_note(f"while reading {path}")
        raise


# --- a directory with certificates for several names ------------------------------------------------------


class CertificateDirectory:
    """The PEM files in and below the directory `path`: certificates, those that lead to their roots, and keys.

    ``names`` has the options of the certificate for each name. Raises OSError when it cannot be read, and what broken
    files raise.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: dict[str, CertificateOptions] = {}
        self.read()

    def read(self) -> None:
        """Read the directory again."""
        files = _pem_files(self.path)
        certificates = [certificate for file in files for certificate in _certificates(file)]
        keys = {key.keyHash(): key for file in files for key in _keys(file)}
        by_subject = {_parsed(one).subject: one for one in certificates}
        self.names = {}
        for certificate in certificates:
            key = keys.get(certificate.getPublicKey().keyHash())
            if key is not None:
                chain = [one.original for one in _issuers(certificate, by_subject)]
                options = CertificateOptions(
                    privateKey=key.original, certificate=certificate.original, extraCertChain=chain
                )
                self.names |= dict.fromkeys(_names(certificate), options)

    def context_for(self, name: bytes | None) -> SSL.Context | None:
        """The context for the name that a client asks for; it reads the directory again for one that is new."""
        asked = (name or b"").decode("ascii", "replace").lower()
        options = self._find(asked)
        if options is None and asked:
            self._read_or_report()
            options = self._find(asked)
            if options is None:
                report_event(f"no certificate in {self.path} is for {asked!r}, which a client asked for")
        return None if options is None else options.getContext()

    def _find(self, name: str) -> CertificateOptions | None:
        return self.names.get(name) or self.names.get("*." + name.partition(".")[2])

    def _read_or_report(self) -> None:
        before = self.names
        try:
            self.read()
        except Exception:
            self.names = before
            report_failure(Failure(), f"reading the certificates in {self.path} again raised")


def options_of_directory(path: str) -> CertificateOptions:
    """The options of a server with the certificates of a directory; clients that ask for none get the first one."""
    directory = CertificateDirectory(path)
    first = next(iter(directory.names.values()), None)
    if first is None:
        return CertificateOptions(contextForServerName=directory.context_for)
    return CertificateOptions(
        privateKey=first.privateKey,
        certificate=first.certificate,
        extraCertChain=first.extraCertChain,
        contextForServerName=directory.context_for,
    )


def _parsed(certificate: Certificate) -> x509.Certificate:
    return certificate.original.to_cryptography()


def _names(certificate: Certificate) -> list[str]:
    """The host names that a certificate is for."""
    try:
        found = _parsed(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]


def _issuers(certificate: Certificate, by_subject: dict[x509.Name, Certificate]) -> Iterator[Certificate]:
    """Who has signed `certificate`, who has signed that one, and so on, without the root."""
    seen = {_parsed(certificate).subject}
    issuer = by_subject.get(_parsed(certificate).issuer)
    while issuer is not None and _parsed(issuer).subject not in seen:
        if _parsed(issuer).subject == _parsed(issuer).issuer:
            return
        yield issuer
        seen.add(_parsed(issuer).subject)
        issuer = by_subject.get(_parsed(issuer).issuer)
