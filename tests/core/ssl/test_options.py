"""`CertificateOptions`: what goes together, safe defaults, sessions, names, key logs."""

from __future__ import annotations

import copy
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL, crypto

from tests.conftest import Reports, eventually
from tests.core.net_kit import Recorders, receive_exactly
from tests.core.tls_kit import (
    Secured,
    SecuredEcho,
    authority,
    client_context,
    connecting_tls,
    localhost,
    python_client,
    serving_tls,
    tls_pair,
)
from wirebook.ssl import (
    CertificateOptions,
    DiffieHellmanParameters,
    LabAuthority,
    TLSError,
    TLSVersion,
    optionsByServerName,
    trustRootFromCertificates,
)
from wirebook.ssl.options import version_range
from wirebook.transports.reactor import Reactor


def options(**how: Any) -> CertificateOptions:
    """Options with the certificate of this machine."""
    return CertificateOptions(localhost().privateKey.original, localhost().original, **how)


# --- what goes together


@pytest.mark.parametrize("alone", ["privateKey", "certificate"])
def test_a_key_and_a_certificate_go_together(alone: str) -> None:
    half: dict[str, Any] = {alone: object()}
    with pytest.raises(ValueError, match="privateKey and certificate go together"):
        CertificateOptions(**half)


def test_a_chain_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="extraCertChain leads to a certificate"):
        CertificateOptions(extraCertChain=[])


def test_verifying_needs_authorities() -> None:
    with pytest.raises(ValueError, match="verify needs caCerts"):
        CertificateOptions(verify=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trustRoot", "requireCertificate"),
        ("trustRoot", "verify"),
        ("trustRoot", "caCerts"),
        ("method", "raiseMinimumTo"),
        ("method", "insecurelyLowerMinimumTo"),
        ("method", "lowerMaximumSecurityTo"),
        ("raiseMinimumTo", "insecurelyLowerMinimumTo"),
    ],
)
@pytest.mark.parametrize("value", [False, None])
def test_some_arguments_exclude_each_other_whatever_they_are(one: str, other: str, value: bool | None) -> None:
    with pytest.raises(TypeError, match=f"{one} and {other} are mutually exclusive"):
        CertificateOptions(**{one: value, other: value})  # type: ignore[arg-type]


def test_a_certificate_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match=r"a certificate is an OpenSSL\.crypto\.X509 or .*, not 'cert\.pem'"):
        CertificateOptions("key.pem", "cert.pem").getContext()


def test_trust_may_be_a_single_certificate() -> None:
    made = CertificateOptions(trustRoot=authority().certificate)
    assert made.verify
    assert made.requireCertificate


def test_the_context_is_made_once() -> None:
    made = options()
    assert made.getContext() is made.getContext()


def test_a_method_is_outdated() -> None:
    with pytest.warns(DeprecationWarning, match="say raiseMinimumTo or lowerMaximumSecurityTo instead"):
        made = CertificateOptions(method=SSL.TLSv1_2_METHOD)
    assert isinstance(made.getContext(), SSL.Context)


# --- versions

OLD, V1_2, V1_3 = TLSVersion.TLSv1_0, TLSVersion.TLSv1_2, TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("at_least", "lowered", "at_most", "expected"),
    [
        (None, None, None, (V1_2, None)),
        (V1_3, None, None, (V1_3, None)),
        (OLD, None, None, (V1_2, None)),
        (None, OLD, None, (OLD, None)),
        (None, None, V1_2, (V1_2, V1_2)),
        (None, None, OLD, (OLD, OLD)),
        (V1_2, None, V1_3, (V1_2, V1_3)),
    ],
)
def test_the_versions_that_are_allowed(at_least: Any, lowered: Any, at_most: Any, expected: Any) -> None:
    assert version_range(at_least, lowered, at_most) == expected


def test_a_version_that_openssl_does_not_have_is_named() -> None:
    with pytest.raises(TLSError, match="this OpenSSL does not speak SSLv3"):
        CertificateOptions(lowerMaximumSecurityTo=TLSVersion.SSLv3).getContext()


def test_options_can_be_copied_without_their_context() -> None:
    made = options()
    context = made.getContext()
    assert copy.copy(made).getContext() is not context


def test_no_version_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"raiseMinimumTo \(TLSv1_3\) has to be lower than .* \(TLSv1_2\)"):
        CertificateOptions(raiseMinimumTo=V1_3, lowerMaximumSecurityTo=V1_2)
    with pytest.raises(ValueError, match=r"insecurelyLowerMinimumTo \(TLSv1_2\) has to be lower"):
        CertificateOptions(insecurelyLowerMinimumTo=V1_2, lowerMaximumSecurityTo=OLD)


@pytest.mark.parametrize(
    ("how", "spoken"), [({"raiseMinimumTo": V1_3}, "TLSv1.3"), ({"lowerMaximumSecurityTo": V1_2}, "TLSv1.2")]
)
def test_the_version_is_spoken_that_was_asked_for(reactor: Reactor, how: Any, spoken: str) -> None:
    with tls_pair(reactor, Secured, options(**how)) as (_, sock):
        assert sock.version() == spoken


# --- certificates


def test_objects_of_three_kinds_are_certificates(reactor: Reactor) -> None:
    own = localhost()
    for key, certificate in (
        (own.privateKey.original, own.original),
        (own.privateKey, own),
        (own.privateKey.original.to_cryptography_key(), own.original.to_cryptography()),
    ):
        with tls_pair(reactor, SecuredEcho, CertificateOptions(key, certificate)) as (_, sock):
            sock.sendall(b"x")
            assert receive_exactly(sock, 1) == b"x"


def test_the_older_way_to_verify_lets_clients_without_certificate_in(reactor: Reactor) -> None:
    made = options(verify=True, caCerts=[authority().certificate.original], requireCertificate=False)
    with tls_pair(reactor, SecuredEcho, made) as (protocol, _):
        assert protocol.safe().transport.getPeerCertificate() is None
    alice = authority().clientOptions("localhost", authority().client("alice"))
    factory = Recorders(SecuredEcho)
    with serving_tls(reactor, factory, made) as port, connecting_tls(reactor, port.port, Secured, alice):
        assert isinstance(factory.number(0).safe().transport.getPeerCertificate(), crypto.X509)


def test_a_client_of_another_authority_is_refused(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    made = options(trustRoot=trustRootFromCertificates([authority().certificate]))
    stranger = authority().clientOptions("localhost", LabAuthority("elsewhere").client("mallory"))
    with (
        serving_tls(reactor, factory, made) as port,
        connecting_tls(reactor, port.port, Secured, stranger) as (client, _),
    ):
        assert "'CN=mallory' was refused: whoever signed it is not trusted" in str(factory.number(0).end())
        assert "unknown ca" in str(client.end())


def test_classic_diffie_hellman_needs_a_group(reactor: Reactor, peer: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "dh.pem"
    # A known group (RFC 7919): to find one of its own would take openssl minutes.
    command = [
        peer("openssl"),
        "genpkey",
        "-genparam",
        "-algorithm",
        "DH",
        "-pkeyopt",
        "group:ffdhe2048",
        "-out",
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    made = options(dhParameters=DiffieHellmanParameters.fromFile(path))
    assert isinstance(made.getContext(), SSL.Context)


# --- sessions


@pytest.mark.parametrize("how", [{"enableSessions": True}, {"enableSessionTickets": True}], ids=["cache", "tickets"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_resumes_its_session(reactor: Reactor, how: Any, version: Any) -> None:
    context = client_context(minimum_version=version, maximum_version=version)
    assert two_visits(reactor, options(**how), context) == [False, True]


def test_no_session_is_resumed_by_default(reactor: Reactor) -> None:
    assert two_visits(reactor, options(), client_context()) == [False, False]


def two_visits(reactor: Reactor, made: CertificateOptions, context: ssl.SSLContext) -> list[bool | None]:
    """Whether each visit resumed the session of the one before."""
    found = []
    session = None
    with serving_tls(reactor, Recorders(SecuredEcho), made) as port:
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
            ):
                sock.sendall(b"x")
                assert receive_exactly(sock, 1) == b"x"
                session = sock.session
                found.append(sock.session_reused)
                sock.unwrap().close()
    return found


# --- names


def test_several_names_are_served_on_one_port(reactor: Reactor) -> None:
    ca = authority()
    names = {name: ca.server(name).options() for name in ("one.example", "*.two.example")}
    made = optionsByServerName(names, options())
    with serving_tls(reactor, Recorders(Secured), made) as port:
        for name in ("one.example", "x.two.example", "localhost"):
            # The client verifies that the certificate is for the name.
            with python_client(port.port, name=name) as sock:
                assert sock.version() == "TLSv1.3"
        refused = pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'x\.y\.two\.example'")
        with refused, python_client(port.port, name="x.y.two.example"):
            """It is not reached."""


def test_the_callback_for_names_hears_the_name(reactor: Reactor) -> None:
    heard: list[bytes | None] = []

    def look_up(name: bytes | None) -> None:
        heard.append(name)

    made = options(contextForServerName=look_up)
    with serving_tls(reactor, Recorders(Secured), made) as port, python_client(port.port):
        assert heard == [b"localhost"]


def test_a_callback_for_names_that_raises_refuses_the_connection(reactor: Reactor, reported: Reports) -> None:
    def look_up(name: bytes | None) -> None:
        raise KeyError(name)

    factory = Recorders(Secured)
    with serving_tls(reactor, factory, options(contextForServerName=look_up)) as port:
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)), python_client(port.port):
            """It is not reached."""
        assert "the options for the name b'localhost' could not be looked up" in str(factory.number(0).end())
    assert "looking up the options for b'localhost' raised" in reported.wait()[0].getMessage()


# --- application protocols


def test_a_peer_that_speaks_none_of_the_protocols_is_refused(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    context = client_context()
    context.set_alpn_protocols(["smtp"])
    with serving_tls(reactor, factory, options(acceptableProtocols=[b"h2"])) as port:
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"), python_client(port.port, context):
            """It is not reached."""
        assert "the peer speaks [b'smtp'], this side [b'h2']" in str(factory.number(0).end())


def test_a_peer_without_alpn_is_served(reactor: Reactor) -> None:
    with tls_pair(reactor, Secured, options(acceptableProtocols=[b"h2"])) as (protocol, _):
        assert protocol.safe().transport.negotiatedProtocol is None


# --- key logs


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_secrets_are_logged_for_wireshark(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = tmp_path / "keys.log"
    # Made first, for Python's own contexts would write there too.
    context = client_context()
    if how == "environment":
        monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    made = options(keylog=log if how == "option" else None)
    with serving_tls(reactor, Recorders(SecuredEcho), made) as port, python_client(port.port, context) as sock:
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
    labels = [line.split()[0] for line in log.read_text().splitlines()]
    # The format: label, client random (32 bytes), secret, in hexadecimal.
    assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= set(labels)
    assert all(len(line.split()[1]) == 64 for line in log.read_text().splitlines())
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_key_log_that_cannot_be_written_is_said_once(
    reactor: Reactor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = options(keylog=tmp_path / "no" / "such" / "folder")
    with tls_pair(reactor, SecuredEcho, made) as (_, sock):
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
    assert eventually(lambda: ["cannot write TLS secrets" in one.getMessage() for one in caplog.records] == [True])
