"""TLS against the programs that people use: openssl s_client and s_server, socat, curl, asyncio."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Recorders, free_port
from tests.core.tls_kit import (
    Secured,
    SecuredEcho,
    authority,
    client_context,
    connecting_tls,
    localhost,
    pem_file,
    serving_tls,
)
from tests.interop.peers import Web, talk
from wirebook.endpoints import ProcessEndpoint, connectProtocol, wrapClientTLS
from wirebook.error import ConnectionDone
from wirebook.ssl import CertificateOptions, LabAuthority, TLSError, TLSVersion, VerificationError, optionsByServerName
from wirebook.transports.reactor import Reactor

# Enough to fill every buffer on the way.
DATA = random.Random(7).randbytes(1 << 20)
Peer = Callable[[str], str]


class Program:
    """A program that is talked to line by line; everything it says is kept."""

    def __init__(self, command: list[str]) -> None:
        self._said = TemporaryFile()  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.STDOUT)

    def say(self, line: bytes) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    @property
    def said(self) -> bytes:
        """What it has said so far."""
        # The program writes where this file stands, so its position must not be moved.
        return os.pread(self._said.fileno(), 1 << 20, 0)

    def hears(self, text: bytes) -> None:
        """Wait until it has said `text`. From OpenSSL 3.2 on it puts no blanks around the ``=`` of names."""
        said = eventually(lambda: text in self.said.replace(b" = ", b"="), PATIENCE)
        assert said, f"never said {text!r}, but: {self.said!r}"

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._said.close()


@contextmanager
def running(*command: str) -> Iterator[Program]:
    """A program that is ended at the end of the block."""
    program = Program(list(command))
    try:
        yield program
    finally:
        program.close()


def s_client(peer: Peer, port: int, *options: str) -> Any:
    """openssl's client, connected to `port`."""
    return running(peer("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *options)


@contextmanager
def s_server(peer: Peer, folder: Path, *options: str, certificate: Any = None) -> Iterator[tuple[Program, int]]:
    """openssl's server, which listens, and its port."""
    port = free_port()
    cert = pem_file(folder, certificate or localhost())
    command = [peer("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", cert, *options]
    with running(*command) as server:
        server.hears(b"ACCEPT")
        yield server, port


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")])
def test_s_client_talks_to_our_server(any_reactor: Reactor, peer: Peer, option: str, version: bytes) -> None:
    factory = Recorders(SecuredEcho)
    with serving_tls(any_reactor, factory) as port, s_client(peer, port.port, option) as client:
        client.say(b"hello, openssl\n")
        assert eventually(lambda: factory.number(0).data == b"hello, openssl\n", PATIENCE)
        client.hears(version)
        client.hears(b"\nhello, openssl")
        # Its command to end the connection in order.
        client.say(b"Q\n")
        assert isinstance(factory.number(0).end(), ConnectionDone)


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_s_client_cannot_talk_an_outdated_version(reactor: Reactor, peer: Peer, option: str) -> None:
    factory = Recorders(SecuredEcho)
    outdated = (option, "-cipher", "ALL:@SECLEVEL=0")
    with serving_tls(reactor, factory) as port, s_client(peer, port.port, *outdated) as client:
        client.hears(b"alert protocol version")
        assert "no TLS version that both sides allow" in str(factory.number(0).end())


def test_s_client_may_talk_an_outdated_version_where_it_is_allowed(reactor: Reactor, peer: Peer) -> None:
    options = CertificateOptions(
        privateKey=localhost().privateKey,
        certificate=localhost(),
        insecurelyLowerMinimumTo=TLSVersion.TLSv1_0,
    )
    factory = Recorders(SecuredEcho)
    outdated = ("-tls1", "-cipher", "ALL:@SECLEVEL=0")
    with serving_tls(reactor, factory, options) as port, s_client(peer, port.port, *outdated) as client:
        client.hears(b"Protocol  : TLSv1\n")


def test_s_client_agrees_on_an_application_protocol(reactor: Reactor, peer: Peer) -> None:
    options = CertificateOptions(localhost().privateKey, localhost(), acceptableProtocols=[b"h2", b"http/1.1"])
    with serving_tls(reactor, Recorders(Secured), options) as port:
        with s_client(peer, port.port, "-alpn", "http/1.1,h2") as client:
            client.hears(b"ALPN protocol: h2")
        with s_client(peer, port.port, "-alpn", "smtp") as client:
            client.hears(b"alert no application protocol")


def test_s_client_gets_the_certificate_of_the_name_it_asks_for(reactor: Reactor, peer: Peer) -> None:
    ca = authority()
    names = {name: ca.server(name).options() for name in ("one.example", "*.two.example")}
    options = optionsByServerName(names, localhost().options())
    expected = {"one.example": b"one.example", "a.two.example": b"*.two.example", "three.example": b"localhost"}
    with serving_tls(reactor, Recorders(Secured), options) as port:
        for asked, subject in expected.items():
            with s_client(peer, port.port, "-servername", asked) as client:
                client.hears(b"subject=CN=" + subject)


def test_s_client_resumes_its_session(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    options = CertificateOptions(localhost().privateKey, localhost(), enableSessions=True, enableSessionTickets=True)
    kept = str(tmp_path / "session")
    with serving_tls(reactor, Recorders(SecuredEcho), options) as port:
        for version in ("-tls1_2", "-tls1_3"):
            with s_client(peer, port.port, version, "-sess_out", kept) as client:
                client.say(b"hello\n")
                client.hears(b"\nhello")
                client.say(b"Q\n")
                client.process.wait(PATIENCE)
            with s_client(peer, port.port, version, "-sess_in", kept) as client:
                client.hears(b"Reused, TLSv1." + version[-1].encode())


def test_s_client_shows_a_certificate_that_is_required(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    factory = Recorders(SecuredEcho)
    options = localhost().options(authority().certificate)
    alice = pem_file(tmp_path, authority().client("alice"))
    with serving_tls(reactor, factory, options) as port:
        with s_client(peer, port.port, "-cert", alice, "-key", alice) as client:
            client.say(b"it is me\n")
            client.hears(b"\nit is me")
        with s_client(peer, port.port, "-tls1_2") as client:
            client.hears(b"handshake failure")
        assert "showed no certificate" in str(factory.number(1).end())


def test_s_client_verifies_our_chain(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    ca = pem_file(tmp_path, authority().certificate)
    with serving_tls(reactor, Recorders(Secured)) as port:
        strict = ("-CAfile", ca, "-verify_return_error", "-verify_hostname", "localhost", "-x509_strict")
        with s_client(peer, port.port, *strict) as client:
            client.hears(b"Verify return code: 0 (ok)")


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")])
def test_our_client_talks_to_s_server(
    any_reactor: Reactor, peer: Peer, tmp_path: Path, option: str, version: bytes
) -> None:
    with (
        s_server(peer, tmp_path, option, "-rev") as (_, port),
        connecting_tls(any_reactor, port, Secured) as (client, _),
    ):
        client.transport.write(b"hello\n")
        assert eventually(lambda: client.data == b"olleh\n", PATIENCE), client.data
        assert client.safe().transport.getHandle().get_protocol_version_name().encode() == version
        client.transport.loseConnection()
        assert isinstance(client.end(), ConnectionDone)


def test_our_client_agrees_with_s_server_on_a_protocol(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    options = authority().clientOptions("localhost", acceptableProtocols=[b"h2", b"http/1.1"])
    with (
        s_server(peer, tmp_path, "-alpn", "http/1.1") as (_, port),
        connecting_tls(reactor, port, Secured, options) as (client, _),
    ):
        assert client.safe().transport.negotiatedProtocol == b"http/1.1"


def test_our_client_shows_s_server_its_certificate(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    ca = pem_file(tmp_path, authority().certificate)
    required = ("-Verify", "1", "-verify_return_error", "-CAfile", ca)
    options = authority().clientOptions("localhost", authority().client("alice"))
    with s_server(peer, tmp_path, *required) as (server, port):
        with connecting_tls(reactor, port, Secured, options) as (client, _):
            client.safe()
            server.hears(b"CN=alice")
        with connecting_tls(reactor, port, Secured) as (client, _):
            error = client.end()
            assert isinstance(error, TLSError)
            assert "it requires a client certificate, and this side showed none" in str(error)


BAD: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "expired": (lambda: authority().server("localhost", expired=True), TLSError, "it expired on"),
    "not-yet": (lambda: authority().server("localhost", notYetValid=True), TLSError, "it is valid from .* on"),
    "wrong-name": (lambda: authority().server("other.example"), VerificationError, "is for other.example, not for loc"),
    "self-signed": (lambda: authority().selfSigned("localhost"), TLSError, "it is self-signed"),
}


@pytest.mark.parametrize("kind", BAD)
def test_our_client_refuses_a_bad_certificate_of_s_server(
    reactor: Reactor, peer: Peer, tmp_path: Path, kind: str
) -> None:
    make, error, words = BAD[kind]
    with s_server(peer, tmp_path, certificate=make()) as (server, port):
        with connecting_tls(reactor, port, Secured) as (client, _):
            with pytest.raises(error, match=words):
                raise client.end()
            assert not client.secured.is_set()
        server.hears(b"alert")


def test_socat_gets_its_bytes_back(any_reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    ca = pem_file(tmp_path, authority().certificate)
    with serving_tls(any_reactor, Recorders(SecuredEcho)) as port:
        target = f"OPENSSL:127.0.0.1:{port.port},cafile={ca},commonname=localhost"
        assert talk([peer("socat"), "-t5", "-", target], DATA) == DATA


def test_our_client_talks_to_socat(reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    cert = pem_file(tmp_path, localhost())
    port = free_port()
    listen = f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,cert={cert},verify=0"
    with running(peer("socat"), "-d", "-d", listen, "PIPE") as server:
        server.hears(b"listening on")
        with connecting_tls(reactor, port, Secured) as (client, _):
            client.transport.write(b"hello, socat")
            assert eventually(lambda: client.data == b"hello, socat", PATIENCE)
            client.transport.loseConnection()
            assert isinstance(client.end(), ConnectionDone)


def test_our_client_goes_through_a_program(reactor: Reactor, peer: Peer) -> None:
    with serving_tls(reactor, Recorders(SecuredEcho)) as port:
        way = ProcessEndpoint(reactor, peer("socat"), ["socat", "-", f"TCP:127.0.0.1:{port.port}"])
        client = connectProtocol(wrapClientTLS(authority().clientOptions("localhost"), way), Secured()).wait(PATIENCE)
        client.transport.write(DATA)
        assert eventually(lambda: client.data == DATA, PATIENCE)
        # A process has no address.
        assert client.transport.describe() == "TLS None -> None"
        client.transport.loseConnection()
        assert isinstance(client.end(), ConnectionDone)


def test_a_refusal_through_a_program_says_why(reactor: Reactor, peer: Peer) -> None:
    with serving_tls(reactor, Recorders(SecuredEcho), LabAuthority().server("localhost").options()) as port:
        way = ProcessEndpoint(reactor, peer("socat"), ["socat", "-", f"TCP:127.0.0.1:{port.port}"])
        client = connectProtocol(wrapClientTLS(authority().clientOptions("localhost"), way), Secured()).wait(PATIENCE)
        error = client.end()
        assert isinstance(error, TLSError)
        assert "whoever signed it is not trusted" in str(error)


def test_curl_gets_an_answer_over_https(any_reactor: Reactor, peer: Peer, tmp_path: Path) -> None:
    ca = pem_file(tmp_path, authority().certificate)
    with serving_tls(any_reactor, Recorders(Web)) as port:
        command = [peer("curl"), "-sS", "--cacert", ca, "--noproxy", "*"]
        assert talk([*command, f"https://127.0.0.1:{port.port}/"]) == Web.body
        # Every certificate is for localhost and 127.0.0.1, so another name is refused.
        elsewhere = ["--resolve", f"other.example:{port.port}:127.0.0.1", f"https://other.example:{port.port}/"]
        assert subprocess.run([*command, *elsewhere], capture_output=True, timeout=20).returncode == 60


def test_asyncio_talks_to_our_server(reactor: Reactor) -> None:
    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        writer.write(DATA)
        got = await reader.readexactly(len(DATA))
        writer.close()
        await writer.wait_closed()
        return got

    factory = Recorders(SecuredEcho)
    with serving_tls(reactor, factory) as port:
        assert asyncio.run(client(port.port)) == DATA
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_our_client_talks_to_asyncio(reactor: Reactor, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem_file(tmp_path, localhost()))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
        async with server:
            await asyncio.to_thread(check, server.sockets[0].getsockname()[1])

    def check(port: int) -> None:
        with connecting_tls(reactor, port, Secured) as (client, _):
            client.transport.write(DATA)
            assert eventually(lambda: client.data == DATA, PATIENCE)
            client.transport.loseConnection()
            assert isinstance(client.end(), ConnectionDone)

    asyncio.run(serve())
