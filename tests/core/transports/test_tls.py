"""The TLS layer on real sockets: records, goodbyes, cuts, alerts, timeouts, and what is left afterwards."""

from __future__ import annotations

import gc
import logging
import os
import random
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from tests.conftest import Reports, eventually
from tests.core.net_kit import (
    PATIENCE,
    Recorder,
    Recorders,
    dial,
    on_reactor,
    receive_all,
    receive_exactly,
    send_reset,
)
from tests.core.tls_kit import (
    Secured,
    SecuredEcho,
    authority,
    client_context,
    connecting_tls,
    localhost,
    python_client,
    server_context,
    server_options,
    serving_tls,
    tls_pair,
)
from tests.core.transports.test_stream import HalfCloseable
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost, NotConnectedError
from wirebook.ssl import CertificateOptions, PrivateCertificate, TLSError
from wirebook.transports._state import WriteLimits
from wirebook.transports.reactor import Reactor
from wirebook.transports.tls import TLSLayer

LARGE = random.Random(1).randbytes(3 << 20)


class HalfOpen(HalfCloseable, Secured):
    """Lives on when one direction was closed."""


class Tap:
    """Keeps what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.events: list[str] = []

    def data(self, direction: str, data: bytes) -> None:
        self.seen.append((direction, bytes(data)))

    def event(self, name: str) -> None:
        self.events.append(name)


def records(sock: socket.socket, context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """TLS by hand: the object, what it reads from and what it writes to."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_hostname="localhost"), incoming, outgoing


def shake_hands(
    sock: socket.socket, send: Callable[[bytes], None]
) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A handshake by hand, with every message going out through `send`."""
    tls, incoming, outgoing = records(sock, client_context())
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            send(outgoing.read())
            incoming.write(sock.recv(65536))
    send(outgoing.read())
    return tls, incoming, outgoing


# --- data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_what_is_sent_comes_back_whole(any_reactor: Reactor, version: ssl.TLSVersion) -> None:
    with serving_tls(any_reactor, Recorders(SecuredEcho)) as port:
        context = client_context(minimum_version=version, maximum_version=version)
        with python_client(port.port, context) as sock:
            for start in range(0, len(LARGE), 300_000):
                piece = LARGE[start : start + 300_000]
                sock.sendall(piece)
                assert receive_exactly(sock, len(piece)) == piece
            assert sock.version() == version.name.replace("_", ".")


def test_every_size_of_message_arrives(reactor: Reactor) -> None:
    with tls_pair(reactor, SecuredEcho) as (_, sock):
        for size in (1, 2, 5, 1024, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 200_000):
            sock.sendall(LARGE[:size])
            assert receive_exactly(sock, size) == LARGE[:size]


def test_much_to_a_peer_that_reads_late_arrives_whole_and_in_order(any_reactor: Reactor) -> None:
    with tls_pair(any_reactor, Secured) as (protocol, sock):
        transport = protocol.safe().transport
        for start in range(0, len(LARGE), 100_000):
            transport.write(LARGE[start : start + 100_000])
        transport.write(b"the end")
        assert transport.bytesSent < len(LARGE)
        assert receive_exactly(sock, len(LARGE) + 7) == LARGE + b"the end"
        assert eventually(lambda: transport.bytesSent == len(LARGE) + 7)


def test_what_is_written_before_the_handshake_waits_for_it(reactor: Reactor) -> None:
    class Greeter(Secured):
        def connectionMade(self) -> None:
            self.transport.write(b"welcome ")
            self.transport.writeSequence([b"to ", b"TLS"])
            super().connectionMade()

    with tls_pair(reactor, Greeter) as (_, sock):
        assert receive_exactly(sock, 14) == b"welcome to TLS"


def test_the_counters_and_the_tap_see_plaintext(reactor: Reactor) -> None:
    tap = Tap()

    class Tapped(SecuredEcho):
        def connectionMade(self) -> None:
            self.transport.tap = tap
            super().connectionMade()

    with tls_pair(reactor, Tapped) as (protocol, sock):
        sock.sendall(b"plain")
        assert receive_exactly(sock, 5) == b"plain"
        transport = protocol.transport
        assert eventually(lambda: (transport.bytesReceived, transport.bytesSent) == (5, 5))
    assert tap.seen == [("received", b"plain"), ("sent", b"plain")]
    assert eventually(lambda: tap.events == ["secured", "closed"])


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_peer_may_deliver_its_records_in_pieces(any_reactor: Reactor, size: int) -> None:
    factory = Recorders(SecuredEcho)
    with serving_tls(any_reactor, factory) as port, dial(port) as sock:

        def in_pieces(data: bytes) -> None:
            for start in range(0, len(data), size):
                sock.sendall(data[start : start + size])

        tls, incoming, outgoing = shake_hands(sock, in_pieces)
        for message in (b"a", b"b" * 300, b"c" * 20_000 if size > 1 else b"c" * 700):
            tls.write(message)
            in_pieces(outgoing.read())
            got = bytearray()
            while len(got) < len(message):
                incoming.write(sock.recv(65536))
                with suppress(ssl.SSLWantReadError):
                    while True:
                        got += tls.read()
            assert got == message


def test_several_records_in_one_segment_are_delivered_in_order(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, _, outgoing = shake_hands(sock, sock.sendall)
        for number in range(50):
            tls.write(b"%02d " % number)
        sock.sendall(outgoing.read())
        protocol = factory.number(0)
        assert eventually(lambda: len(protocol.data) == 150)
        assert protocol.data == b"".join(b"%02d " % number for number in range(50))


@pytest.mark.parametrize("seed", range(4))
def test_records_may_be_cut_anywhere(reactor: Reactor, seed: int) -> None:
    dice = random.Random(seed)
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, _, outgoing = shake_hands(sock, sock.sendall)
        protocol = factory.number(0)
        wanted = b""
        for _ in range(20):
            for size in dice.choices((1, 5, 300, 16383, 16384, 50_000), k=dice.randrange(1, 9)):
                tls.write(LARGE[:size])
                wanted += LARGE[:size]
            sent = outgoing.read()
            for start, end in pairwise([0, *sorted(dice.sample(range(len(sent)), 5)), len(sent)]):
                sock.sendall(sent[start:end])
                on_reactor(reactor, int)
            # All of it, without anything that comes after.
            assert eventually(lambda: len(protocol.data) == len(wanted))  # noqa: B023 - called at once
        assert protocol.data == wanted


def test_messages_of_tls_itself_among_the_records_of_a_segment_hide_no_data(reactor: Reactor, tmp_path: Path) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server_context(tmp_path).wrap_bio(incoming, outgoing, server_side=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connecting_tls(reactor, listener.getsockname()[1], Secured) as (client, _),
        listener.accept()[0] as sock,
    ):
        while True:
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
        # The session tickets, which follow the handshake, have not been sent yet.
        tls.write(b"hello, ")
        tls.write(b"client")
        sock.sendall(outgoing.read())
        assert eventually(lambda: client.data == b"hello, client")


def test_pausing_holds_the_other_records_of_the_same_segment_back(reactor: Reactor) -> None:
    class OneByOne(Secured):
        def has(self, count: int) -> bool:
            return len(self.data) == count

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.pauseProducing()

    factory = Recorders(OneByOne)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, _, outgoing = shake_hands(sock, sock.sendall)
        for letter in (b"a", b"b", b"c"):
            tls.write(letter)
        tls_goodbye(tls)
        sock.sendall(outgoing.read())
        protocol = factory.number(0)
        for count in (1, 2, 3):
            assert eventually(partial(protocol.has, count))
            for _ in range(3):
                on_reactor(reactor, int)
            assert bytes(protocol.data) == b"abc"[:count]
            assert not protocol.lost.is_set()
            protocol.transport.resumeProducing()
        assert isinstance(protocol.end(), ConnectionDone)


def tls_goodbye(tls: ssl.SSLObject) -> None:
    """Say it, without waiting for the answer."""
    with suppress(ssl.SSLWantReadError):
        tls.unwrap()


def test_the_handshake_goes_on_while_the_protocol_is_paused(reactor: Reactor) -> None:
    class Patient(SecuredEcho):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()
            super().connectionMade()

    with tls_pair(reactor, Patient) as (protocol, sock):
        protocol.safe()
        sock.sendall(b"waiting")
        for _ in range(3):
            on_reactor(reactor, int)
        assert not protocol.data
        protocol.transport.resumeProducing()
        assert receive_exactly(sock, 7) == b"waiting"


def test_a_key_update_is_answered_and_the_data_goes_on(reactor: Reactor, peer: Callable[[str], str]) -> None:
    from tests.interop.test_tls_peers import s_client

    with serving_tls(reactor, Recorders(SecuredEcho)) as port, s_client(peer, port.port) as client:
        client.say(b"one\n")
        client.hears(b"one")
        # s_client's command: update its own keys, and ask for ours to be updated.
        client.say(b"K\n")
        client.hears(b"KEYUPDATE")
        client.say(b"two\n")
        client.hears(b"two")


# --- producers and backpressure


def test_a_push_producer_is_paused_while_the_peer_does_not_read(reactor: Reactor) -> None:
    class Source:
        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.left = LARGE * 6
            self.paused = 0
            self.going = True

        def resumeProducing(self) -> None:
            self.going = True
            while self.left and self.going:
                piece, self.left = self.left[:50_000], self.left[50_000:]
                self.transport.write(piece)
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def pauseProducing(self) -> None:
            self.paused += 1
            self.going = False

        def stopProducing(self) -> None:
            self.going = False

    class Serving(Secured):
        def handshakeCompleted(self) -> None:
            self.source = Source(self.transport)
            self.transport.registerProducer(self.source, True)
            self.source.resumeProducing()
            super().handshakeCompleted()

    with tls_pair(reactor, Serving) as (protocol, sock):
        protocol.safe()
        assert eventually(lambda: protocol.source.paused > 0)
        assert protocol.source.left
        assert receive_all(sock) == LARGE * 6


def test_a_pull_producer_registered_before_the_handshake_is_asked_when_it_is_done(reactor: Reactor) -> None:
    class Pulled(Secured):
        left = 20

        def connectionMade(self) -> None:
            self.transport.registerProducer(self, False)
            super().connectionMade()

        def resumeProducing(self) -> None:
            self.left -= 1
            self.transport.write(b"x" * 1000)
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def stopProducing(self) -> None:
            """Nothing to stop."""

    with tls_pair(reactor, Pulled) as (_, sock):
        assert receive_all(sock) == b"x" * 20_000


def test_a_file_is_sent_encrypted(reactor: Reactor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    with tls_pair(reactor, Secured) as (protocol, sock), path.open("rb") as file:
        protocol.safe().transport.writeFile(file, 10, len(LARGE) - 10)
        protocol.transport.write(b"after")
        assert receive_exactly(sock, len(LARGE) - 5) == LARGE[10:] + b"after"


def test_the_limit_on_what_waits_counts_with_tls_too(reactor: Reactor, reported: Reports) -> None:
    with tls_pair(reactor, Secured) as (protocol, _):
        protocol.safe().transport.writeLimits = WriteLimits(1 << 20, 8 << 20)
        for _number in range(40):
            with suppress(NotConnectedError):
                protocol.transport.write(bytes(1 << 20))
        assert isinstance(protocol.end(), ConnectionAborted)
    assert "writeLimits.abort is 8388608" in reported.wait()[0].getMessage()


# --- the end


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_losing_the_connection_says_goodbye_and_waits_for_the_answer(reactor: Reactor, version: Any) -> None:
    factory = Recorders(Secured)
    context = client_context(minimum_version=version, maximum_version=version)
    with serving_tls(reactor, factory) as port, python_client(port.port, context) as sock:
        protocol = factory.number(0).safe()
        protocol.transport.write(b"last words")
        protocol.transport.loseConnection()
        assert receive_all(sock) == b"last words"
        assert not protocol.lost.is_set()
        assert protocol.transport.state == "closing"
        sock.unwrap().close()
        assert isinstance(protocol.end(), ConnectionDone)


def test_a_peers_goodbye_is_answered(reactor: Reactor) -> None:
    with tls_pair(reactor, Secured) as (protocol, sock):
        protocol.safe()
        # Returns only when the answer has come.
        sock.unwrap().close()
        assert isinstance(protocol.end(), ConnectionDone)


def test_data_and_goodbye_in_one_segment_are_both_seen(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, _, outgoing = shake_hands(sock, sock.sendall)
        tls.write(b"bye")
        tls_goodbye(tls)
        sock.sendall(outgoing.read())
        protocol = factory.number(0)
        assert isinstance(protocol.end(), ConnectionDone)
        assert protocol.data == b"bye"


def test_a_goodbye_nobody_answers_is_not_waited_for_long(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirebook.transports.tls.GOODBYE_TIMEOUT", 0.05)
    with tls_pair(reactor, Secured) as (protocol, sock):
        protocol.safe().transport.loseConnection()
        assert isinstance(protocol.end(), ConnectionDone)
        assert receive_all(sock) == b""


def test_a_connection_cut_without_goodbye_is_lost_and_says_why(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, _, outgoing = shake_hands(sock, sock.sendall)
        tls.write(b"half of the trut")
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        error = factory.number(0).end()
        assert factory.number(0).data == b"half of the trut"
    assert type(error) is ConnectionLost
    assert "without a TLS goodbye (close_notify), so what it sent may be cut short" in str(error)


def test_a_record_that_is_cut_is_not_delivered(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port:
        with dial(port) as sock:
            tls, _, outgoing = shake_hands(sock, sock.sendall)
            tls.write(b"x" * 1000)
            sock.sendall(outgoing.read()[:-1])
        protocol = factory.number(0)
        assert isinstance(protocol.end(), ConnectionLost)
        assert not protocol.data


def test_a_record_that_was_changed_ends_the_connection_with_an_alert(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, incoming, outgoing = shake_hands(sock, sock.sendall)
        tls.write(b"x" * 1000)
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        sock.sendall(record)
        error = factory.number(0).end()
        assert isinstance(error, SSL.Error)
        assert isinstance(error, ConnectionLost)
        assert "TLS broke" in str(error)
        incoming.write(receive_all(sock))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            tls.read()


def test_a_reset_is_a_lost_connection(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port:
        sock = dial(port)
        shake_hands(sock, sock.sendall)
        factory.number(0).safe()
        send_reset(sock)
        assert isinstance(factory.number(0).end(), ConnectionLost)


def test_aborting_says_no_goodbye(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        shake_hands(sock, sock.sendall)
        factory.number(0).safe().transport.abortConnection()
        assert isinstance(factory.number(0).end(), ConnectionAborted)
        with pytest.raises(ConnectionResetError):
            receive_all(sock)


def test_a_protocol_that_raises_ends_without_a_goodbye_and_tells_the_peer_nothing(
    reactor: Reactor, reported: Reports
) -> None:
    class Broken(Secured):
        def dataReceived(self, data: bytes) -> None:
            raise ValueError("the secret of the house")

    factory = Recorders(Broken)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, incoming, outgoing = shake_hands(sock, sock.sendall)
        tls.write(b"x")
        sock.sendall(outgoing.read())
        assert isinstance(factory.number(0).end(), ValueError)
        incoming.write(receive_all(sock))
        incoming.write_eof()
        with pytest.raises(ssl.SSLEOFError):
            tls.read()
    assert len(reported.wait()) == 1


def test_half_close_sends_a_goodbye_and_goes_on_reading(reactor: Reactor) -> None:
    with tls_pair(reactor, HalfOpen) as (protocol, sock):
        protocol.safe().transport.write(b"all I had to say")
        protocol.transport.loseWriteConnection()
        assert receive_all(sock) == b"all I had to say"
        assert protocol.write_lost.wait(PATIENCE)
        assert protocol.transport.state == "half-closed"
        sock.sendall(b"and this is mine")
        assert eventually(lambda: protocol.data == b"and this is mine")
        sock.unwrap().close()
        assert isinstance(protocol.end(), ConnectionDone)


def test_after_the_peers_half_close_writing_goes_on(reactor: Reactor) -> None:
    factory = Recorders(HalfOpen)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        tls, incoming, outgoing = shake_hands(sock, sock.sendall)
        tls_goodbye(tls)
        sock.sendall(outgoing.read())
        protocol = factory.number(0)
        assert protocol.read_lost.wait(PATIENCE)
        protocol.transport.write(b"still here")
        protocol.transport.loseConnection()
        incoming.write(receive_all(sock))
        assert tls.read() == b"still here"
        assert isinstance(protocol.end(), ConnectionDone)


def test_half_close_before_the_handshake_is_done_waits_for_it(reactor: Reactor) -> None:
    class Brief(HalfOpen):
        def connectionMade(self) -> None:
            self.transport.loseWriteConnection()
            super().connectionMade()

    with tls_pair(reactor, Brief) as (protocol, sock):
        assert receive_all(sock) == b""
        sock.sendall(b"heard")
        assert eventually(lambda: protocol.data == b"heard")


def test_losing_the_connection_in_the_handshake_waits_for_it_and_says_goodbye(reactor: Reactor) -> None:
    class Short(Secured):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.loseConnection()

    factory = Recorders(Short)
    with serving_tls(reactor, factory) as port, python_client(port.port) as sock:
        assert receive_all(sock) == b""
        sock.unwrap().close()
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_losing_the_connection_in_a_handshake_that_stalls_ends_it(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wirebook.transports.tls.GOODBYE_TIMEOUT", 0.05)
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        factory.number(0).transport.loseConnection()
        assert isinstance(factory.number(0).end(), ConnectionDone)
        assert sock.recv(1) == b""


# --- handshakes that fail


def test_garbage_gets_an_alert_and_a_reason(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        sock.sendall(b"\x16\x03\x01\x00\x20" + b"garbage, and not a client hello!")
        answer = receive_all(sock)
        # A record of type alert, level fatal (RFC 8446, section 6).
        assert answer[0] == 21
        assert answer[5] == 2
        error = factory.number(0).end()
    assert isinstance(error, TLSError)
    assert error.args[0], "OpenSSL's reasons are there for programs"
    assert "TLS handshake with 127.0.0.1" in str(error)


def test_what_is_no_tls_at_all_is_named(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        sock.sendall(b"EHLO mail.example\r\n")
        assert "what arrived is not TLS" in str(factory.number(0).end())


def test_plain_http_on_a_tls_port_is_named(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert "speaks plain HTTP" in str(factory.number(0).end())


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("sent", [0, 100], ids=["nothing", "half-a-hello"])
def test_a_handshake_that_stalls_times_out(reactor: Reactor, sent: int) -> None:
    options = localhost().options()
    options.handshakeTimeout = 0.05
    factory = Recorders(Secured)
    with serving_tls(reactor, factory, options) as port, dial(port) as sock:
        tls, _, outgoing = records(sock, client_context())
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read()[:sent])
        error = factory.number(0).end()
        assert isinstance(error, TLSError)
        assert "was not done within 0.05 s" in str(error)
        assert sock.recv(1) == b""


def test_handshakes_time_out_by_default_and_within_thirty_seconds(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port, dial(port):
        transport = factory.number(0).transport
        (timer,) = reactor.getDelayedCalls()
        assert 0 < timer.getTime() - reactor.seconds() <= 30
        transport.abortConnection()
        assert eventually(lambda: not reactor.getDelayedCalls())


def test_a_handshake_that_is_done_leaves_no_timer(reactor: Reactor) -> None:
    with tls_pair(reactor, Secured) as (protocol, _):
        protocol.safe()
        assert not reactor.getDelayedCalls()


def test_a_peer_that_leaves_in_the_handshake_is_a_lost_connection(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    with serving_tls(reactor, factory) as port:
        dial(port).close()
        assert "closed the connection during the TLS handshake" in str(factory.number(0).end())


def test_renegotiation_is_refused(reactor: Reactor) -> None:
    factory = Recorders(SecuredEcho)
    options = CertificateOptions(
        privateKey=localhost().privateKey.original,
        certificate=localhost().original,
        lowerMaximumSecurityTo=None,
    )
    with serving_tls(reactor, factory, options) as port, dial(port) as sock:
        context = SSL.Context(SSL.TLSv1_2_METHOD)
        client = SSL.Connection(context, sock)
        sock.settimeout(None)
        client.set_connect_state()
        client.do_handshake()
        client.send(b"before")
        assert client.recv(6) == b"before"
        client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.do_handshake()
        assert factory.number(0).transport.bytesReceived <= 11


# --- what is left


def test_a_connection_that_ended_needs_no_garbage_collector(reactor: Reactor) -> None:
    with tls_pair(reactor, SecuredEcho) as (protocol, sock):
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
        gc.collect()
        gc.disable()
        try:
            sock.unwrap().close()
            protocol.end()
            protocol.transport = None
            assert eventually(lambda: not any(isinstance(thing, TLSLayer) for thing in gc.get_objects()))
        finally:
            gc.enable()


def test_many_connections_leave_no_descriptor_timer_or_handle(reactor: Reactor) -> None:
    factory = Recorders(SecuredEcho)
    with serving_tls(reactor, factory) as port:
        before = open_descriptors()
        for number in range(60):
            with python_client(port.port) as sock:
                sock.sendall(b"%d" % number)
                assert sock.recv(10) == b"%d" % number
        assert eventually(lambda: len(reactor.handles) == 1)
        assert open_descriptors() == before
        assert not reactor.getDelayedCalls()


def test_both_sides_may_be_ours(any_reactor: Reactor) -> None:
    factory = Recorders(SecuredEcho)
    with serving_tls(any_reactor, factory) as port, connecting_tls(any_reactor, port.port, Secured) as (client, _):
        client.transport.write(LARGE)
        assert eventually(lambda: client.data == LARGE, PATIENCE)
        client.transport.loseConnection()
        assert isinstance(client.end(), ConnectionDone)
        assert isinstance(factory.number(0).end(), ConnectionDone)


def test_a_refusal_has_the_reason_on_both_sides(reactor: Reactor) -> None:
    factory = Recorders(Secured)
    expired = authority().server("localhost", expired=True).options()
    with serving_tls(reactor, factory, expired) as port, connecting_tls(reactor, port.port, Secured) as (client, _):
        assert "'CN=localhost' was refused: it expired on" in str(client.end())
        assert "alert 'certificate expired': this side's certificate has expired" in str(factory.number(0).end())


def test_a_certificate_of_a_private_key_works_as_the_documentation_shows(reactor: Reactor) -> None:
    pem = localhost().dumpPEM()
    with tls_pair(reactor, SecuredEcho, PrivateCertificate.loadPEM(pem).options()) as (_, sock):
        sock.sendall(b"hello")
        assert receive_exactly(sock, 5) == b"hello"


def test_a_half_finished_write_costs_no_warning(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with tls_pair(reactor, Secured) as (protocol, sock):
        protocol.safe().transport.write(LARGE)
        assert receive_exactly(sock, len(LARGE)) == LARGE
    assert not caplog.records


def test_a_recorder_without_a_handshake_method_is_served_too(reactor: Reactor) -> None:
    with tls_pair(reactor, Recorder) as (protocol, sock):
        sock.sendall(b"plain protocol")
        assert eventually(lambda: protocol.data == b"plain protocol")


def test_the_options_of_the_tests_are_shared(reactor: Reactor) -> None:
    assert server_options().getContext() is server_options().getContext()
