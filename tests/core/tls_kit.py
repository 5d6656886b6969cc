"""What the tests of TLS share: an authority, servers and clients on it, and Python's own ssl as the peer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.core.net_kit import PATIENCE, P, Recorder, Recorders
from wirebook.ssl import CertificateOptions, LabAuthority, PrivateCertificate
from wirebook.transports.reactor import Reactor
from wirebook.transports.secured import SecurePort


@cache
def authority() -> LabAuthority:
    """The authority of all tests."""
    return LabAuthority()


@cache
def localhost() -> PrivateCertificate:
    """A good certificate for this machine."""
    return authority().server("localhost", "127.0.0.1")


@cache
def server_options() -> CertificateOptions:
    """Options with it."""
    return localhost().options()


class Secured(Recorder):
    """Remembers that the handshake was completed."""

    def __init__(self) -> None:
        super().__init__()
        self.secured = threading.Event()

    def handshakeCompleted(self) -> None:
        self.secured.set()

    def safe(self) -> Secured:
        """Wait for the handshake; itself."""
        assert self.secured.wait(PATIENCE), "the handshake was not completed"
        return self


class SecuredEcho(Secured):
    """Sends everything back."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


@contextmanager
def serving_tls(reactor: Reactor, factory: Any, options: Any = None) -> Iterator[SecurePort]:
    """A port that is closed, and its connections aborted, at the end of the block."""
    port = reactor.listenSSL(0, factory, options or server_options())
    try:
        yield port
    finally:
        port.stopListening()
        for connection in reactor.handles.of("connection"):
            connection.closeHandle(abort=True)


@contextmanager
def connecting_tls(
    reactor: Reactor, port: int, kind: Callable[[], P], options: Any = None
) -> Iterator[tuple[P, Recorders[P]]]:
    """A client of this kind, connected to `port`, with its factory; ended at the end of the block."""
    factory = Recorders(kind)
    connector = reactor.connectSSL("127.0.0.1", port, factory, options or authority().clientOptions("localhost"))
    try:
        yield factory.number(0), factory
    finally:
        if connector.transport is not None:
            connector.transport.abortConnection()


def client_context(**how: Any) -> ssl.SSLContext:
    """Python's own client, which trusts the authority."""
    context = ssl.create_default_context(cadata=authority().certificate.dumpPEM().decode())
    for name, value in how.items():
        setattr(context, name, value)
    return context


@contextmanager
def python_client(port: int, context: ssl.SSLContext | None = None, name: str = "localhost") -> Iterator[ssl.SSLSocket]:
    """Python's own client, connected and past the handshake."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock,
        (context or client_context()).wrap_socket(sock, server_hostname=name) as secured,
    ):
        yield secured


@contextmanager
def tls_pair(reactor: Reactor, kind: Callable[[], P], options: Any = None) -> Iterator[tuple[P, ssl.SSLSocket]]:
    """A served protocol of this kind, and Python's own client at the other end."""
    factory = Recorders(kind)
    with serving_tls(reactor, factory, options) as port, python_client(port.port) as sock:
        yield factory.number(0), sock


@contextmanager
def python_server(context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], object]) -> Iterator[int]:
    """Python's own server, which serves one connection with ``talk(socket)``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            try:
                sock, _ = listener.accept()
                sock.settimeout(PATIENCE)
                with context.wrap_socket(sock, server_side=True) as secured:
                    talk(secured)
            except OSError:
                # Clients that refuse this server are what some tests are about.
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


def pem_file(folder: Path, certificate: Any) -> str:
    """The certificate, with its key if it has one, as a PEM file; its path."""
    path = folder / f"{certificate.serialNumber()}.pem"
    path.write_bytes(certificate.dumpPEM())
    return str(path)


def server_context(folder: Path, certificate: PrivateCertificate | None = None) -> ssl.SSLContext:
    """Python's own server with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem_file(folder, certificate or localhost()))
    return context
