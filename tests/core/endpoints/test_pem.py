"""TLS options from files, as descriptions name them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL, crypto

from tests.core.net_kit import PATIENCE, Echo, Recorder
from tests.core.tls_kit import authority, localhost
from wirebook.endpoints import (
    EndpointStringError,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
)
from wirebook.endpoints.pem import CertificateDirectory, options_of_directory
from wirebook.protocol import Factory
from wirebook.ssl import Certificate, CertificateOptions
from wirebook.testing import MemoryReactor
from wirebook.transports.reactor import Reactor

FACTORY = Factory.forProtocol(Echo)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a server's key and certificate, in one file and in two, and whom to trust."""
    mine = localhost()
    (tmp_path / "both.pem").write_bytes(mine.dumpPEM().rstrip(b"\n"))
    (tmp_path / "certificate").write_bytes(mine.dump(1).rstrip(b"\n"))
    (tmp_path / "key").write_bytes(mine.privateKey.dump(1).rstrip(b"\n"))
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "ca.pem").write_bytes(authority().certificate.dumpPEM())
    (roots / "broken.PEM").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (roots / "README").write_bytes(b"not a certificate")
    return tmp_path


def quoted(path: Path) -> str:
    return quoteStringArgument(str(path))


def echoed(reactor: Reactor, server: str, client: Callable[[int], str]) -> bytes:
    """What comes back of a word, from the one to the other."""
    port = serverFromString(reactor, server).listen(FACTORY).wait(PATIENCE)
    try:
        protocol = Speaker()
        connectProtocol(clientFromString(reactor, client(port.port)), protocol).wait(PATIENCE)
        protocol.end()
        return bytes(protocol.data)
    finally:
        port.stopListening()


class Speaker(Recorder):
    """Says a word, and ends when it comes back."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"word")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.data == b"word":
            self.transport.loseConnection()


@pytest.mark.parametrize("names", ["privateKey={0}/both.pem", "privateKey={0}/key:certKey={0}/certificate"])
def test_a_server_with_its_certificate_from_files(reactor: Reactor, files: Path, names: str) -> None:
    server = f"ssl:0:{names.format(quoted(files))}"
    client = f":hostname=localhost:caCertsDir={quoted(files / 'roots')}"
    assert echoed(reactor, server, lambda port: f"ssl:127.0.0.1:{port}{client}") == b"word"


def test_a_directory_of_certificates_and_a_client_that_checks_the_name(reactor: Reactor, files: Path) -> None:
    shown = files / "shown"
    shown.mkdir()
    (files / "both.pem").rename(shown / "both.pem")
    server = f"tls:{quoted(shown)}:0"
    client = f"tls:localhost:443:trustRoots={quoted(files / 'roots')}:endpoint="
    assert echoed(reactor, server, lambda port: client + quoteStringArgument(f"tcp:\\:\\:1:{port}")) == b"word"


def test_a_client_shows_its_certificate(files: Path) -> None:
    reactor = MemoryReactor()
    clientFromString(reactor, f"ssl:h:443:certKey={quoted(files)}/certificate:privateKey={quoted(files)}/key").connect(
        FACTORY
    )
    options = reactor.sslClients[0][3]
    assert isinstance(options, CertificateOptions)
    assert options.certificate is not None
    plain = MemoryReactor()
    clientFromString(plain, "ssl:h:443").connect(FACTORY)
    assert plain.sslClients[0][3].certificate is None


def test_a_chain_is_read(files: Path) -> None:
    reactor = MemoryReactor()
    name = f"ssl:443:{quoted(files)}/both.pem:extraCertChain={quoted(files)}/roots/ca.pem"
    serverFromString(reactor, name).listen(FACTORY)
    assert len(reactor.sslServers[0][2].extraCertChain) == 1


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("both.pem:extraCertChain={0}/key", "key' holds no certificate in PEM format"),
        ("both.pem:extraCertChain={0}/roots/broken.PEM", "the certificate in the file .*broken.PEM' cannot be read: "),
        ("both.pem:sslmethod=MAGIC", "the sslmethod is 'MAGIC', and should be a name like TLS_METHOD"),
        ("certificate", "certificate' holds no private key in PEM format"),
        ("key:certKey={0}/key", "key' holds no certificate in PEM format"),
        ("encrypted:certKey={0}/certificate", "encrypted' cannot be read: the private key is encrypted"),
    ],
)
def test_files_that_do_not_fit_are_pointed_at(files: Path, more: str, problem: str) -> None:
    key: Any = localhost().privateKey.original.to_cryptography_key()
    secret = BestAvailableEncryption(b"secret")
    (files / "encrypted").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    with pytest.raises(EndpointStringError, match=problem):
        serverFromString(MemoryReactor(), f"ssl:443:{quoted(files)}/{more.format(quoted(files))}")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"/no/such\.pem"):
        serverFromString(MemoryReactor(), "ssl:443:/no/such.pem")


def test_what_cannot_be_trusted_is_left_out_and_said(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    clientFromString(MemoryReactor(), f"tls:h:443:trustRoots={quoted(files / 'roots')}")
    assert "broken.PEM is left out of those whom TLS trusts" in caplog.text


# --- a directory of certificates --------------------------------------------------------------------------


def write(directory: Path, *names: str) -> None:
    (directory / f"{names[0].strip('*.')}.pem").write_bytes(authority().server(*names).dumpPEM())


def subject(context: Any) -> str:
    certificate = SSL.Connection(context).get_certificate()
    assert certificate is not None
    return Certificate(certificate).getSubject()["commonName"].decode()


def test_the_name_decides_which_certificate_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "one.example", "uno.example")
    write(tmp_path, "*.two.example")
    directory = CertificateDirectory(str(tmp_path))
    for name, shown in [(b"one.example", "one.example"), (b"UNO.example", "one.example")]:
        assert subject(directory.context_for(name)) == shown
    assert subject(directory.context_for(b"a.two.example")) == "*.two.example"
    assert directory.context_for(None) is None


def test_a_certificate_that_is_added_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    directory = CertificateDirectory(str(tmp_path))
    assert directory.context_for(b"one.example") is None
    assert "no certificate in" in caplog.text
    write(tmp_path, "one.example")
    assert subject(directory.context_for(b"one.example")) == "one.example"


def test_a_broken_file_that_is_added_changes_nothing(tmp_path: Path, reported: Any) -> None:
    write(tmp_path, "one.example")
    directory = CertificateDirectory(str(tmp_path))
    (tmp_path / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert directory.context_for(b"two.example") is None
    assert subject(directory.context_for(b"one.example")) == "one.example"
    (record,) = reported()
    assert "again raised" in record.getMessage()


def test_a_broken_file_is_named(files: Path) -> None:
    with pytest.raises(crypto.Error) as caught:
        serverFromString(MemoryReactor(), f"tls:{quoted(files)}:443")
    assert caught.value.__notes__ == [f"while reading {files}/roots/broken.PEM"]


def test_who_asks_for_no_name_gets_the_first_certificate(tmp_path: Path) -> None:
    assert options_of_directory(str(tmp_path)).certificate is None
    write(tmp_path, "one.example")
    assert subject(options_of_directory(str(tmp_path)).getContext()) == "one.example"
