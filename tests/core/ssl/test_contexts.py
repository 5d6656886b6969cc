"""Context factories of the older kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL

from tests.core.net_kit import receive_exactly
from tests.core.tls_kit import SecuredEcho, localhost, pem_file, tls_pair
from wirebook.ssl import ClientContextFactory, ContextFactory, DefaultOpenSSLContextFactory
from wirebook.transports.reactor import Reactor


def test_a_server_works_from_two_files(reactor: Reactor, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    pem = Path(pem_file(tmp_path, localhost())).read_text()
    begin = pem.index("-----BEGIN PRIVATE KEY")
    certificate.write_text(pem[:begin])
    key.write_text(pem[begin:])
    with tls_pair(reactor, SecuredEcho, DefaultOpenSSLContextFactory(str(key), str(certificate))) as (_, sock):
        sock.sendall(b"files")
        assert receive_exactly(sock, 5) == b"files"


def test_a_file_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SSL.Error, match=r"cannot use '.*nothing\.pem' for TLS: the file cannot be read"):
        DefaultOpenSSLContextFactory(pem_file(tmp_path, localhost()), str(tmp_path / "nothing.pem"))


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(SSL.Error, match=r"cannot use '.*test_contexts\.py' for TLS: the file has no such thing in PEM"):
        DefaultOpenSSLContextFactory(pem_file(tmp_path, localhost()), __file__)


def test_a_key_with_a_passphrase_is_named_and_nobody_is_asked(tmp_path: Path) -> None:
    key: Any = localhost().privateKey.original.to_cryptography_key()
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(ValueError, match=r"cannot use '.*encrypted\.pem' for TLS: the private key is encrypted: take"):
        DefaultOpenSSLContextFactory(str(encrypted), pem_file(tmp_path, localhost()))


def test_the_context_is_made_once(tmp_path: Path) -> None:
    pem = pem_file(tmp_path, localhost())
    factory = DefaultOpenSSLContextFactory(pem, pem)
    assert factory.getContext() is factory.getContext()
    assert factory.isClient == 0


def test_a_client_gets_a_new_context_each_time() -> None:
    factory = ClientContextFactory()
    assert factory.getContext() is not factory.getContext()
    assert factory.isClient == 1


def test_the_base_class_makes_none() -> None:
    with pytest.raises(NotImplementedError, match=r"ContextFactory\.getContext\(\) has to return"):
        ContextFactory().getContext()
