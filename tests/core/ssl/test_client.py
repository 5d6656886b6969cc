"""`optionsForClientTLS`: the server's name is verified."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import crypto

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Recorders
from tests.core.tls_kit import (
    Secured,
    SecuredEcho,
    authority,
    connecting_tls,
    localhost,
    python_server,
    server_context,
    serving_tls,
)
from wirebook.ssl import KeyPair, LabAuthority, PeerNameError, TLSError, VerificationError, optionsForClientTLS
from wirebook.transports.reactor import Reactor


def visit(reactor: Reactor, asked: str, *names: str, **extra: Any) -> Secured:
    """Connect to a server that has these names, asking for another one; the client's protocol."""
    certificate = authority().server(*names).options()
    options = authority().clientOptions(asked, **extra)
    with (
        serving_tls(reactor, Recorders(SecuredEcho), certificate) as port,
        connecting_tls(reactor, port.port, Secured, options) as (client, _),
    ):
        assert eventually(lambda: client.secured.is_set() or client.lost.is_set(), PATIENCE)
        return client


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("a.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_the_right_name_is_accepted(reactor: Reactor, asked: str, name: str) -> None:
    assert visit(reactor, asked, name).secured.is_set()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("example.com", "example.org"),
        ("a.b.example.com", "*.example.com"),
        ("example.com", "*.example.com"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "localhost"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_a_wrong_name_is_refused(reactor: Reactor, asked: str, name: str) -> None:
    client = visit(reactor, asked, name)
    error = client.end()
    assert isinstance(error, VerificationError)
    assert isinstance(error, TLSError)
    assert str(error) == f"the server's certificate is for {name}, not for {asked}"
    assert error.errors
    assert not client.secured.is_set()


def test_a_certificate_without_names_is_refused(reactor: Reactor) -> None:
    nameless = KeyPair.generate(crypto.TYPE_EC, 256).selfSignedCert(1, CN="localhost")
    options = optionsForClientTLS("localhost", trustRoot=nameless)
    with (
        serving_tls(reactor, Recorders(Secured), nameless.options()) as port,
        connecting_tls(reactor, port.port, Secured, options) as (client, _),
    ):
        assert isinstance(error := client.end(), PeerNameError)
        assert str(error).startswith("the server's certificate is for no name at all, not for localhost")


def test_an_authority_that_is_not_trusted_is_refused(reactor: Reactor) -> None:
    options = LabAuthority("another").clientOptions("localhost")
    with (
        serving_tls(reactor, Recorders(Secured)) as port,
        connecting_tls(reactor, port.port, Secured, options) as (client, _),
    ):
        assert "'CN=localhost' was refused: whoever signed it is not trusted" in str(client.end())


def test_by_default_whom_the_platform_trusts_is_trusted(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = optionsForClientTLS("localhost")
    with (
        serving_tls(reactor, Recorders(Secured)) as port,
        connecting_tls(reactor, port.port, Secured, options) as (client, _),
    ):
        assert isinstance(client.end(), TLSError)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority().certificate.dumpPEM())
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    options = optionsForClientTLS("localhost")
    with (
        serving_tls(reactor, Recorders(Secured)) as port,
        connecting_tls(reactor, port.port, Secured, options) as (client, _),
    ):
        client.safe()


@pytest.mark.parametrize(
    ("asked", "send", "heard"),
    [
        ("localhost", None, "localhost"),
        ("127.0.0.1", None, None),
        ("localhost", False, None),
    ],
)
def test_the_server_hears_the_name_unless_it_is_an_address(
    reactor: Reactor, tmp_path: Path, asked: str, send: bool | None, heard: str | None
) -> None:
    names: list[str | None] = []
    context = server_context(tmp_path)
    context.sni_callback = lambda sock, name, _: names.append(name)
    with python_server(context, lambda sock: sock.recv(1)) as port:
        options = authority().clientOptions(asked, sendServerName=send)
        with connecting_tls(reactor, port, Secured, options) as (client, _):
            client.safe()
    assert names == [heard]


@pytest.mark.parametrize("kept", ["enableSessions", "enableSessionTickets"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_the_last_session_is_resumed(reactor: Reactor, tmp_path: Path, kept: str, version: Any) -> None:
    context = server_context(tmp_path)
    context.minimum_version = context.maximum_version = version
    options = authority().clientOptions("localhost", extraCertificateOptions={kept: True})
    reused: list[bool | None] = []

    def talk(sock: ssl.SSLSocket) -> None:
        reused.append(sock.session_reused)
        sock.sendall(b"hello")
        sock.recv(1)
        sock.unwrap().close()

    for _ in range(2):
        with python_server(context, talk) as port, connecting_tls(reactor, port, Secured, options) as (client, _):
            client.safe()
            assert eventually(partial(client.data.startswith, b"hello"))
            client.transport.loseConnection()
            client.end()
    assert reused == [False, True]


def test_a_host_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(TypeError, match="takes the host name as a str, not b'localhost'"):
        optionsForClientTLS(b"localhost")  # type: ignore[arg-type]


def test_what_cannot_be_a_host_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'ü\.\.ü' cannot be a host name"):
        optionsForClientTLS("ü..ü")


def test_further_options_are_passed_on_and_left_alone() -> None:
    extra = {"handshakeTimeout": 3.0}
    options = optionsForClientTLS("localhost", clientCertificate=localhost(), extraCertificateOptions=extra)
    assert options.handshakeTimeout == 3.0
    assert extra == {"handshakeTimeout": 3.0}


def test_the_error_says_what_it_is() -> None:
    error = PeerNameError("not you", [1])
    assert str(error) == "not you"
    assert len(error.errors) == 1
    assert error.args == ([],)
