"""UDP ports: addresses, connected mode, refusals, broadcast, IPv6, adopted sockets, and every fault of a socket."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, drive
from tests.core.transports.datagram_kit import Answerer, Listener, address, closing, plain_socket
from tests.core.transports.faults import Fault, faulty_reactor, run_with_every_fault
from wirebook.address import IPv4Address, IPv6Address
from wirebook.error import (
    CannotListenError,
    InvalidAddressError,
    MessageLengthError,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from wirebook.transports.reactor import Reactor


def free_udp_port() -> int:
    """A port that nobody has."""
    with plain_socket() as sock:
        return int(sock.getsockname()[1])


def test_a_datagram_is_received_with_its_sender_and_can_be_answered(any_reactor: Reactor) -> None:
    answerer = Answerer()
    with closing(any_reactor.listenUDP(0, answerer)) as port, plain_socket() as sock:
        sock.sendto(b"hello", address(port))
        assert sock.recvfrom(99) == (b"hello", address(port))
        assert answerer.datagrams == [(b"hello", sock.getsockname())]


def test_without_an_interface_the_port_is_on_loopback(any_reactor: Reactor) -> None:
    number = free_udp_port()
    with closing(any_reactor.listenUDP(number, Listener())) as port:
        assert port.getHost() == IPv4Address("UDP", "127.0.0.1", number)
        assert (port.port, port.interface, port.addressFamily) == (number, "127.0.0.1", socket.AF_INET)
    with closing(any_reactor.listenUDP(0, Listener(), interface="0.0.0.0")) as port:
        assert port.getHost().host == "0.0.0.0"


def test_the_number_is_free_as_soon_as_the_port_is_closed(any_reactor: Reactor) -> None:
    for _ in range(20):
        port = any_reactor.listenUDP(0, Listener())
        with plain_socket() as sock:
            sock.sendto(b"x", address(port))
            assert port.protocol.wait(1)
        # By now the reactor mostly waits in its poller, which must not keep the socket.
        with any_reactor.turn():
            closed = port.stopListening()
            again = any_reactor.listenUDP(port.port, Listener())
        closed.wait(PATIENCE)
        again.stopListening().wait(PATIENCE)


def test_a_taken_port_is_refused(any_reactor: Reactor) -> None:
    with plain_socket() as sock:
        number = sock.getsockname()[1]
        with pytest.raises(CannotListenError, match=f"127.0.0.1:{number}: address already in use.*0 for any free one"):
            any_reactor.listenUDP(number, Listener())
    assert not list(any_reactor.handles)


@pytest.mark.parametrize("interface", ["example.com", "localhost", "127.0.0", "::g", 5, b"127.0.0.1"])
def test_what_is_no_interface_is_refused(any_reactor: Reactor, interface: Any) -> None:
    with pytest.raises(InvalidAddressError, match=r"of this machine, like") as it:
        any_reactor.listenUDP(0, Listener(), interface=interface)
    assert it.value.address == interface


def test_an_interface_of_another_machine_is_refused(any_reactor: Reactor) -> None:
    with pytest.raises(CannotListenError, match=r"192\.0\.2\.77:0: .*must be an address of this machine"):
        any_reactor.listenUDP(0, Listener(), interface="192.0.2.77")


@pytest.mark.parametrize(("port", "error"), [(-1, ValueError), (65536, ValueError), ("80", TypeError)])
def test_what_is_no_port_is_refused(any_reactor: Reactor, port: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{port}"):
        any_reactor.listenUDP(port, Listener())


# --- writing to an address


@pytest.mark.parametrize("host", ["localhost", "example.invalid", "", "127.0.1", None, 5, b"127.0.0.1"])
def test_a_host_name_is_no_address(any_reactor: Reactor, host: Any) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port:
        with pytest.raises(
            InvalidAddressError, match=r"host name is to be looked up first.*reactor\.resolve"
        ) as caught:
            port.write(b"x", (host, 9))
        assert caught.value.address == host
        with pytest.raises(InvalidAddressError):
            port.connect(host, 9)
        assert (port.datagramsSent, port.state) == (0, "listening")


@pytest.mark.parametrize("addr", [None, "127.0.0.1", ("127.0.0.1",), 5])
def test_what_is_no_pair_is_refused(any_reactor: Reactor, addr: Any) -> None:
    with (
        closing(any_reactor.listenUDP(0, Listener())) as port,
        pytest.raises(InvalidAddressError, match="give a pair like"),
    ):
        port.write(b"x", addr)


@pytest.mark.parametrize(("number", "error"), [(0, ValueError), (65536, ValueError), ("9", TypeError)])
def test_a_port_that_nobody_can_have_is_refused(any_reactor: Reactor, number: Any, error: type[Exception]) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port, pytest.raises(error, match="1 to 65535"):
        port.write(b"x", ("127.0.0.1", number))


def test_the_families_do_not_mix(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener()), any_reactor.listenUDP(0, Listener(), "::1")) as (four, six):
        with pytest.raises(InvalidAddressError, match="'::1': this is an IPv6 address, and the port speaks IPv4"):
            four.write(b"x", ("::1", 9))
        for host in ("127.0.0.1", "<broadcast>"):
            with pytest.raises(InvalidAddressError, match="this is an IPv4 address, and the port speaks IPv6"):
                six.write(b"x", (host, 9))


def test_an_unreachable_address_says_what_would_reach_it(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port:
        with pytest.raises(OSError, match=r"192\.0\.2\.77 port 9: .*reaches this machine only.*0\.0\.0\.0") as caught:
            port.write(b"x", ("192.0.2.77", 9))
        assert caught.value.errno in (errno.EINVAL, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
        with pytest.raises(OSError, match="reaches this machine only"):
            port.connect("192.0.2.77", 9)
        assert port.peerAddress is None


def test_a_list_is_as_good_as_a_pair(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port, plain_socket() as sock:
        to: Any = list(sock.getsockname())
        port.write(b"x", to)
        port.write(b"y", to)
        assert sock.recv(9) + sock.recv(9) == b"xy"


def test_thousands_of_receivers_are_written_to(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port:
        for number in range(5000):
            port.write(b"x", (f"127.0.{number // 250}.{1 + number % 250}", 9))
        assert port.datagramsSent == 5000
        assert len(port._destinations) <= 1024


# --- connected mode


def test_a_connected_port_sends_to_its_peer_only(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener(), "0.0.0.0")) as port, plain_socket() as sock:
        port.connect(*sock.getsockname())
        assert port.state == "connected"
        assert port.peerAddress == IPv4Address("UDP", *sock.getsockname())
        assert port.getHost().host == "127.0.0.1"
        port.write(b"a")
        port.write(b"b", None)
        port.write(b"c", sock.getsockname())
        assert [sock.recv(9) for _ in range(3)] == [b"a", b"b", b"c"]
        with pytest.raises(InvalidAddressError, match=r"connected to 127\.0\.0\.1 port \d+ and sends there only"):
            port.write(b"d", ("127.0.0.1", 9))
        with pytest.raises(RuntimeError, match="has a peer already"):
            port.connect(*sock.getsockname())


def test_a_connected_port_answers_its_peer_with_or_without_the_address(any_reactor: Reactor) -> None:
    answerer = Answerer()
    with closing(any_reactor.listenUDP(0, answerer)) as port, plain_socket() as sock:
        port.connect(*sock.getsockname())
        sock.sendto(b"hi", address(port))
        assert sock.recv(9) == b"hi"


def test_a_connected_port_receives_from_its_peer_only(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as peer, plain_socket() as stranger:
        port.connect(*peer.getsockname())
        stranger.sendto(b"no", address(port))
        peer.sendto(b"yes", address(port))
        assert listener.wait(1) == [b"yes"]


def test_a_connected_port_is_told_that_nobody_is_there(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port:
        port.connect("127.0.0.1", free_udp_port())
        port.write(b"anybody?")
        assert eventually(lambda: "refused" in listener.events)


def test_a_refusal_does_not_swallow_the_next_datagram(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port:
        number = free_udp_port()
        with any_reactor.turn():
            port.connect("127.0.0.1", number)
            port.write(b"anybody?")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                late.bind(("127.0.0.1", number))
                late.settimeout(2)
                port.write(b"now?")
                assert late.recv(9) == b"now?"
            assert listener.events == ["start"], "not from inside write()"
        assert eventually(lambda: "refused" in listener.events)
        assert port.datagramsDropped == 0


def test_a_paused_port_is_told_of_a_refusal_too(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port:
        port.pauseProducing()
        port.connect("127.0.0.1", free_udp_port())
        port.write(b"anybody?")
        # select() tells of errors only where something is asked for.
        port.resumeProducing()
        assert eventually(lambda: "refused" in listener.events)


def test_without_a_peer_a_refusal_is_nobody_s(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        port.write(b"anybody?", ("127.0.0.1", free_udp_port()))
        port.write(b"you?", sock.getsockname())
        assert sock.recv(9) == b"you?"
        assert listener.events == ["start"]


# --- broadcast


def test_broadcast_has_to_be_allowed(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener(), "0.0.0.0")) as port:
        assert port.getBroadcastAllowed() is False
        with pytest.raises(PermissionError, match=r"setBroadcastAllowed\(True\)"):
            port.write(b"all", ("127.255.255.255", 9))
        port.setBroadcastAllowed(True)
        assert port.getBroadcastAllowed() is True
        port.write(b"all", ("127.255.255.255", 9))
        port.setBroadcastAllowed(False)
        assert port.getBroadcastAllowed() is False


def test_everybody_on_loopback_gets_a_broadcast(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener, "0.0.0.0"), any_reactor.listenUDP(0, Listener())) as (all_, one):
        one.setBroadcastAllowed(True)
        one.write(b"all", ("127.255.255.255", all_.port))
        assert listener.wait(1) == [b"all"]


# --- IPv6


def test_an_ipv6_sender_is_a_pair_too(any_reactor: Reactor) -> None:
    answerer = Answerer()
    with closing(any_reactor.listenUDP(0, answerer, "::1")) as port, plain_socket(socket.AF_INET6, "::1") as sock:
        assert port.getHost() == IPv6Address("UDP", "::1", port.port)
        sock.sendto(b"hello", address(port))
        assert sock.recv(9) == b"hello"
        assert answerer.datagrams == [(b"hello", sock.getsockname()[:2])]


def test_an_ipv6_port_can_be_connected(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener(), "::1")) as port, plain_socket(socket.AF_INET6, "::1") as sock:
        host, number = sock.getsockname()[:2]
        port.connect(host, number)
        port.write(b"hi", (host, number))
        assert sock.recv(9) == b"hi"
        assert port.peerAddress == IPv6Address("UDP", host, number)
        with pytest.raises(MessageLengthError, match="65527 are possible"):
            port.write(bytes(70_000))


def test_a_sender_s_link_is_put_into_its_address_and_taken_out_again(any_reactor: Reactor) -> None:
    index, name = socket.if_nameindex()[0]
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener, "::1")) as port:
        port._receiver.datagramReceived(b"x", ("fe80::1", 9, 0, index))
        assert listener.datagrams == [(b"x", (f"fe80::1%{name}", 9))]
        for host in (f"fe80::1%{name}", f"fe80::1%{index}"):
            assert port._destination((host, 9)) == ("fe80::1", 9, 0, index)


def test_a_link_that_is_not_there_is_refused(any_reactor: Reactor) -> None:
    with (
        closing(any_reactor.listenUDP(0, Listener(), "::1")) as port,
        pytest.raises(InvalidAddressError, match="this machine has no interface 'nowhere'"),
    ):
        port.write(b"x", ("fe80::1%nowhere", 9))


# --- sockets from elsewhere


def test_a_bound_socket_can_be_adopted(any_reactor: Reactor) -> None:
    with plain_socket() as bound, plain_socket() as sock:
        port = any_reactor.adoptDatagramPort(bound.fileno(), socket.AF_INET, Answerer())
        where = bound.getsockname()
        bound.close()
        with closing(port):
            assert port.getHost() == IPv4Address("UDP", *where)
            sock.sendto(b"hello", where)
            assert sock.recv(9) == b"hello"


def test_a_socket_of_another_kind_is_not_adopted(any_reactor: Reactor) -> None:
    with plain_socket() as datagrams, socket.socket() as stream:
        with pytest.raises(UnsupportedAddressFamily, match="AF_INET or AF_INET6"):
            any_reactor.adoptDatagramPort(datagrams.fileno(), socket.AF_UNIX, Listener())
        with pytest.raises(UnsupportedAddressFamily, match="the socket is of the family"):
            any_reactor.adoptDatagramPort(datagrams.fileno(), socket.AF_INET6, Listener())
        with pytest.raises(UnsupportedSocketType, match="a datagram socket is needed"):
            any_reactor.adoptDatagramPort(stream.fileno(), socket.AF_INET, Listener())
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        any_reactor.adoptDatagramPort(-1, socket.AF_INET, Listener())
    assert not list(any_reactor.handles)


# --- every call fails once


def converse(fault: Fault) -> None:
    """Two ports, one of them connected, that send each other something on a reactor whose sockets meet `fault`."""
    with faulty_reactor(fault) as reactor, plain_socket() as third:
        ports = []
        listener, answerer = Listener(), Answerer()
        try:
            ports = [reactor.listenUDP(0, answerer), reactor.listenUDP(0, listener)]
            server, client = ports
            client.connect(*address(server))
            client.setBroadcastAllowed(True)
            client.write(b"question")
            server.write(b"aside", third.getsockname())
        except (OSError, CannotListenError):
            pass
        for _ in range(10):
            reactor.iterate(0.001)
        counted = [(port.datagramsSent, port.datagramsDropped) for port in ports]
        handles = list(reactor.handles)
        ended = [handle.closeHandle() for handle in handles]
        drive(reactor, lambda: all(deferred.called for deferred in ended))
        if fault.at is None:
            assert listener.datagrams == [(b"question", ("127.0.0.1", server.port))], counted


@pytest.mark.timeout(120)
def test_a_conversation_survives_any_error_in_any_call(reported: Reports) -> None:
    run_with_every_fault(converse, reported)
