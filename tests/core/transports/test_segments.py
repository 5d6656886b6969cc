"""Replies that go together under load: when they do, that their order is kept, and what is done where it fails."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.net_kit import PATIENCE, drive
from tests.core.transports.datagram_kit import Answerer, DatagramTap, Listener, address, closing, plain_socket
from wirebook.reactor.sockets import Sockets
from wirebook.transports._segments import FEW, LONGEST, MOST
from wirebook.transports.reactor import Reactor
from wirebook.transports.udp import UDPPort

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT is Linux's")

SEGMENT = (17, 103)
MANY = 40
LOOPBACKS = pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"]
)


class Clock:
    """Stands still until it is moved, however slow the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Noting(Sockets):
    """Sockets whose sending calls are noted with how many datagrams they sent, or fail with an error from a list."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.together_fails: list[int] = []
        self.alone_fails: list[int] = []
        super().__init__(self._kind())

    def _kind(self) -> type[socket.socket]:
        def sendto(sock: socket.socket, *args: Any) -> int:
            fail_with(self.alone_fails)
            self.calls.append(1)
            return socket.socket.sendto(sock, *args)

        def sendmsg(sock: socket.socket, datagrams: list[bytes], *args: Any) -> int:
            fail_with(self.together_fails)
            self.calls.append(len(datagrams))
            return socket.socket.sendmsg(sock, datagrams, *args)

        return type("NotingSocket", (socket.socket,), {"sendto": sendto, "sendmsg": sendmsg, "__slots__": ()})


def fail_with(errors: list[int]) -> None:
    """Raise the next of `errors`, if there is one."""
    if errors:
        raise OSError(errors.pop(0), "injected")


@pytest.fixture
def clock() -> Clock:
    """The reactor's."""
    return Clock()


@pytest.fixture
def sockets() -> Noting:
    """The reactor's."""
    return Noting()


@pytest.fixture
def own_reactor(clock: Clock, sockets: Noting) -> Iterator[Reactor]:
    """A reactor that this thread drives."""
    reactor = Reactor(now=clock)
    reactor.sockets = sockets
    yield reactor
    ended = [handle.closeHandle() for handle in list(reactor.handles)]
    drive(reactor, lambda: all(deferred.called for deferred in ended))
    reactor.close()


def flood(port: UDPPort, sock: socket.socket, datagrams: list[bytes]) -> None:
    """Let `port` read these in one event."""
    for datagram in datagrams:
        sock.sendto(datagram, address(port))
    with port.reactor.turn():
        port.doRead()


def numbered(count: int, width: int = 3) -> list[bytes]:
    """Datagrams of one length, no two alike."""
    return [b"%0*d" % (width, number) for number in range(count)]


def warm(port: UDPPort, sock: socket.socket) -> None:
    """Bring `port` under load, as it will be at the next event."""
    flood(port, sock, [b"?"] * (FEW + 1))


def received(sock: socket.socket, count: int) -> list[bytes]:
    """The next datagrams that `sock` gets, and no more than these."""
    got = [sock.recv(65536) for _ in range(count)]
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    sock.settimeout(PATIENCE)
    return got


class Warm(Listener):
    """Answers nothing, until its port is under load; then `answer` does."""

    answer: Callable[[bytes, Any], None]

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        super().datagramReceived(datagram, addr)
        if datagram != b"?":
            self.answer(datagram, addr)


@pytest.fixture
def protocol() -> Warm:
    """A protocol that sends everything back, unless its ``answer`` is replaced."""
    warm = Warm()
    warm.answer = lambda datagram, addr: warm.transport.write(datagram, addr)
    return warm


@pytest.fixture
def port(own_reactor: Reactor, protocol: Warm) -> UDPPort:
    """A port under load."""
    return own_reactor.listenUDP(0, protocol)


@pytest.fixture
def sock(port: UDPPort) -> Iterator[socket.socket]:
    """Its client; `port` is under load."""
    with plain_socket() as client:
        warm(port, client)
        yield client


# --- when they go together


@LOOPBACKS
def test_under_load_replies_go_together_after_the_first(
    own_reactor: Reactor, sockets: Noting, protocol: Warm, family: int, host: str
) -> None:
    port = own_reactor.listenUDP(0, protocol, host)
    with plain_socket(family, host) as sock:
        warm(port, sock)
        flood(port, sock, numbered(MANY))
        assert received(sock, MANY) == numbered(MANY)
    assert sockets.calls == [1, MOST, MOST, MANY - 2 * MOST - 1]
    assert (port.datagramsSent, port.bytesSent) == (MANY, 3 * MANY)


def test_without_load_each_reply_goes_at_once(own_reactor: Reactor, sockets: Noting) -> None:
    port = own_reactor.listenUDP(0, Answerer())
    with plain_socket() as sock:
        for _ in range(3):
            flood(port, sock, numbered(FEW))
            assert received(sock, FEW) == numbered(FEW)
    assert set(sockets.calls) == {1}


def test_the_load_is_over_when_an_event_brings_few(port: UDPPort, sockets: Noting, sock: socket.socket) -> None:
    flood(port, sock, numbered(2))
    flood(port, sock, numbered(2))
    assert received(sock, 4) == numbered(2) * 2
    assert sockets.calls == [1, 1, 1, 1]


def test_a_single_held_reply_is_sent_plainly(port: UDPPort, sockets: Noting, sock: socket.socket) -> None:
    sockets.together_fails.append(errno.EIO)
    flood(port, sock, numbered(2))
    assert received(sock, 2) == numbered(2)
    assert sockets.together_fails


def test_what_is_written_between_two_events_goes_at_once(
    port: UDPPort, sockets: Noting, protocol: Warm, sock: socket.socket
) -> None:
    flood(port, sock, numbered(5))
    assert received(sock, 5) == numbered(5)
    for text in numbered(3):
        port.write(text, protocol.datagrams[-1][1])
    assert received(sock, 3) == numbered(3)
    assert sockets.calls[-3:] == [1, 1, 1]


def test_replies_of_other_lengths_go_alone_and_in_order(port: UDPPort, sockets: Noting, sock: socket.socket) -> None:
    mixed = [b"1", b"2", b"three", b"four!", b"5", b"", b"", b"", b"9"]
    flood(port, sock, mixed)
    assert received(sock, len(mixed)) == mixed
    assert sockets.calls == [1] * len(mixed)


@pytest.mark.parametrize(("length", "calls"), [(LONGEST, [1, 2]), (LONGEST + 1, [1, 1, 1])])
def test_what_may_not_fit_into_a_packet_goes_alone(
    port: UDPPort, sockets: Noting, sock: socket.socket, length: int, calls: list[int]
) -> None:
    flood(port, sock, numbered(3, length))
    assert received(sock, 3) == numbered(3, length)
    assert sockets.calls == calls


def test_every_client_gets_its_own_replies(port: UDPPort, sock: socket.socket) -> None:
    with plain_socket() as other:
        for number, text in enumerate(numbered(20)):
            (other if number % 3 else sock).sendto(text, address(port))
        port.doRead()
        assert received(sock, 7) == numbered(20)[::3]
        assert received(other, 13) == [text for number, text in enumerate(numbered(20)) if number % 3]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_may_change_later_is_not_held(
    port: UDPPort, sockets: Noting, protocol: Warm, sock: socket.socket, kind: Callable[[bytes], Any]
) -> None:
    protocol.answer = lambda datagram, addr: protocol.transport.write(kind(datagram), addr)
    flood(port, sock, numbered(5))
    assert received(sock, 5) == numbered(5)
    assert sockets.calls == [1] * 5


def test_what_is_no_bytes_is_refused_under_load_too(port: UDPPort, protocol: Warm, sock: socket.socket) -> None:
    refused: list[TypeError] = []

    def answer(datagram: bytes, addr: Any) -> None:
        protocol.transport.write(datagram, addr)
        with pytest.raises(TypeError) as caught:
            protocol.transport.write("abc", addr)
        refused.append(caught.value)

    protocol.answer = answer
    flood(port, sock, numbered(5))
    assert received(sock, 5) == numbered(5)
    assert len(refused) == 5


# --- what ends a run early


def test_a_slow_callback_delays_the_reply_before_it_only(
    port: UDPPort, protocol: Warm, clock: Clock, sock: socket.socket
) -> None:
    behind: list[int] = []

    def answer(datagram: bytes, addr: Any) -> None:
        clock.now += 0.5
        behind.append(int(datagram) - port.datagramsSent)
        protocol.transport.write(datagram, addr)

    protocol.answer = answer
    flood(port, sock, numbered(10))
    assert received(sock, 10) == numbered(10)
    assert behind == [0] * 10


def test_a_callback_that_closes_the_port_has_answered(port: UDPPort, protocol: Warm, sock: socket.socket) -> None:
    def answer(datagram: bytes, addr: Any) -> None:
        protocol.transport.write(datagram, addr)
        if datagram == b"005":
            protocol.transport.stopListening()

    protocol.answer = answer
    flood(port, sock, numbered(9))
    assert received(sock, 6) == numbered(6)
    assert port.datagramsSent == 6


def test_a_callback_that_iterates_the_reactor_has_answered(
    own_reactor: Reactor, port: UDPPort, protocol: Warm, sock: socket.socket
) -> None:
    sent: list[int] = []

    def answer(datagram: bytes, addr: Any) -> None:
        protocol.transport.write(datagram, addr)
        if datagram == b"005":
            sent.append(port.datagramsSent)
            own_reactor.iterate(0)
            sent.append(port.datagramsSent)

    protocol.answer = answer
    flood(port, sock, numbered(6))
    assert sent == [1, 6]
    assert received(sock, 6) == numbered(6)


def test_a_callback_that_raises_takes_no_reply_with_it(
    port: UDPPort, protocol: Warm, sock: socket.socket, reported: Any
) -> None:
    def answer(datagram: bytes, addr: Any) -> None:
        protocol.transport.write(datagram, addr)
        raise ValueError("a mistake in the program")

    protocol.answer = answer
    flood(port, sock, numbered(6))
    assert received(sock, 6) == numbered(6)
    assert len(reported()) == 6


@pytest.mark.parametrize("other", ["another receiver", "the socket itself", "connected", "tapped", "paused"])
def test_what_else_is_done_with_the_port_comes_after_the_replies_before_it(
    port: UDPPort, protocol: Warm, sock: socket.socket, other: str
) -> None:
    with plain_socket() as third:
        steps: dict[str, Callable[[], Any]] = {
            "another receiver": lambda: port.write(b"aside", third.getsockname()),
            "the socket itself": lambda: port.getHandle().sendto(b"aside", third.getsockname()),
            "connected": lambda: port.connect(*third.getsockname()),
            "tapped": lambda: setattr(port, "tap", DatagramTap()),
            "paused": port.pauseProducing,
        }
        sent: list[int] = []

        def answer(datagram: bytes, addr: Any) -> None:
            if datagram == b"004":
                steps[other]()
                sent.append(port.datagramsSent)
            else:
                protocol.transport.write(datagram, addr)

        protocol.answer = answer
        flood(port, sock, numbered(5))
        assert received(sock, 4) == numbered(4)
    assert sent == [5 if other == "another receiver" else 4]


def test_a_tap_sees_every_reply(port: UDPPort, sock: socket.socket) -> None:
    tap = DatagramTap()
    port.tap = tap
    flood(port, sock, numbered(5))
    passed = [(direction, data) for data in numbered(5) for direction in ("received", "sent")]
    assert [(direction, data) for direction, data, _ in tap.seen] == passed


# --- where it fails


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EIO, errno.EMSGSIZE])
def test_where_the_way_takes_no_segments_replies_go_one_by_one_from_then_on(
    port: UDPPort, sockets: Noting, sock: socket.socket, error: int
) -> None:
    sockets.together_fails.append(error)
    for _ in range(2):
        flood(port, sock, numbered(MANY))
        assert received(sock, MANY) == numbered(MANY)
    assert set(sockets.calls) == {1}
    assert (port.datagramsSent, port.datagramsDropped) == (2 * MANY, 0)


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS])
def test_a_full_system_is_asked_for_segments_again(
    port: UDPPort, sockets: Noting, sock: socket.socket, error: int
) -> None:
    sockets.together_fails.append(error)
    flood(port, sock, numbered(MANY))
    flood(port, sock, numbered(MANY))
    assert received(sock, 2 * MANY) == numbered(MANY) * 2
    assert MOST in sockets.calls


def test_held_replies_that_find_no_room_wait_in_order(
    own_reactor: Reactor, port: UDPPort, sockets: Noting, protocol: Warm, sock: socket.socket
) -> None:
    def no_room_after_the_first(datagram: bytes, addr: Any) -> None:
        port.write(datagram, addr)
        if datagram == b"000":
            sockets.together_fails.append(errno.EAGAIN)
            sockets.alone_fails.append(errno.EAGAIN)

    protocol.answer = no_room_after_the_first
    flood(port, sock, numbered(10))
    assert port.datagramsSent == 1
    drive(own_reactor, lambda: port.datagramsSent == 10)
    assert received(sock, 10) == numbered(10)
    assert port.datagramsDropped == 0


def test_held_replies_that_cannot_be_sent_are_dropped_counted_and_reported_once(
    port: UDPPort, sockets: Noting, protocol: Warm, sock: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden_after_the_first(datagram: bytes, addr: Any) -> None:
        protocol.transport.write(datagram, addr)
        if datagram == b"000":
            sockets.together_fails.append(errno.EPERM)
            sockets.alone_fails.extend([errno.EPERM] * 3)

    protocol.answer = forbidden_after_the_first
    flood(port, sock, numbered(6))
    assert received(sock, 3) == [b"000", b"004", b"005"]
    assert (port.datagramsSent, port.datagramsDropped) == (3, 3)
    said = [record.getMessage() for record in caplog.records if "dropped a datagram" in record.getMessage()]
    assert len(said) == 1
    assert "(EPERM)" in said[0]


class Ignorant(socket.socket):
    """A socket of a system without segments."""

    def getsockopt(self, *args: Any) -> Any:
        if args[:2] == SEGMENT:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        return super().getsockopt(*args)

    def sendmsg(self, *args: Any) -> int:
        raise AssertionError("would send one long datagram")


def test_a_system_without_segments_is_not_given_any(own_reactor: Reactor, protocol: Warm) -> None:
    own_reactor.sockets = Sockets(Ignorant)
    port = own_reactor.listenUDP(0, protocol)
    with plain_socket() as sock:
        warm(port, sock)
        flood(port, sock, numbered(MANY))
        assert received(sock, MANY) == numbered(MANY)


def test_an_adopted_socket_s_own_segments_are_left_alone(own_reactor: Reactor, sockets: Noting, protocol: Warm) -> None:
    with plain_socket() as bound, plain_socket() as sock:
        bound.setsockopt(*SEGMENT, 2)
        assert struct.unpack("i", bound.getsockopt(*SEGMENT, 4)) == (2,)
        port = own_reactor.adoptDatagramPort(bound.fileno(), socket.AF_INET, protocol)
        warm(port, sock)
        flood(port, sock, [b"1234"] * 3)
        assert received(sock, 6) == [b"12", b"34"] * 3
    assert sockets.calls == [1, 1, 1]


# --- on a running reactor


@LOOPBACKS
def test_a_flood_is_answered_whole_and_in_order(any_reactor: Reactor, family: int, host: str) -> None:
    with closing(any_reactor.listenUDP(0, Answerer(), host)) as port, plain_socket(family, host) as sock:
        for _ in range(20):
            for text in numbered(50):
                sock.sendto(text, address(port))
            assert received(sock, 50) == numbered(50)
        assert port.datagramsDropped == 0
