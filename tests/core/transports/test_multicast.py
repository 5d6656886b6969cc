"""Multicast ports: joining and leaving, on loopback unless an interface is named, IPv4 and IPv6."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.net_kit import PATIENCE, drive, short_of_descriptors
from tests.core.transports.datagram_kit import Listener, closing, plain_socket
from tests.core.transports.faults import Fault, faulty_reactor, run_with_every_fault
from wirebook.address import IPv4Address
from wirebook.error import CannotListenError, InvalidAddressError, MulticastJoinError, NotListeningError
from wirebook.transports.multicast import LOOPBACK_DEVICE as LOOPBACK
from wirebook.transports.multicast import MulticastPort
from wirebook.transports.reactor import Reactor

GROUP, OTHER_GROUP, GROUP6 = "225.0.0.250", "225.0.0.251", "ff02::4:5"


@pytest.fixture
def members(any_reactor: Reactor) -> Iterator[tuple[MulticastPort, MulticastPort]]:
    """Two ports with the same number, on loopback."""
    first = any_reactor.listenMulticast(0, Listener(), listenMultiple=True)
    second = any_reactor.listenMulticast(first.port, Listener(), listenMultiple=True)
    with closing(first, second):
        yield first, second


def test_members_of_a_group_all_get_what_is_sent_to_it(members: tuple[MulticastPort, MulticastPort]) -> None:
    first, second = members
    for port in members:
        assert port.joinGroup(GROUP).wait(PATIENCE) is None
    first.write(b"hello, all", (GROUP, first.port))
    for port in members:
        assert port.protocol.wait(1) == [b"hello, all"]
    second.leaveGroup(GROUP).wait(PATIENCE)
    first.joinGroup(OTHER_GROUP).wait(PATIENCE)
    second.write(b"without me", (OTHER_GROUP, first.port))
    assert first.protocol.wait(2) == [b"hello, all", b"without me"]
    assert second.protocol.wait(1) == [b"hello, all"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the group is not told apart from other addresses")
def test_a_port_that_has_left_gets_nothing_more(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener)) as port:
        for group in (GROUP, OTHER_GROUP):
            port.joinGroup(group).wait(PATIENCE)
        port.leaveGroup(GROUP).wait(PATIENCE)
        port.write(b"gone", (GROUP, port.port))
        port.write(b"here", (OTHER_GROUP, port.port))
        assert listener.wait(1) == [b"here"]


def test_without_an_interface_the_port_is_tied_to_loopback(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener())) as port:
        assert port.getHost() == IPv4Address("UDP", "0.0.0.0", port.port)
        assert (port.device, port.getOutgoingInterface(), port.transportName) == (LOOPBACK, "0.0.0.0", "multicast")
        if hasattr(socket, "SO_BINDTODEVICE"):
            tied = port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            assert tied.rstrip(b"\0") == LOOPBACK.encode()
    with closing(any_reactor.listenMulticast(0, Listener(), "0.0.0.0")) as port:
        assert port.device == ""


def test_a_plain_sender_on_loopback_reaches_the_group(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener)) as port, plain_socket() as sock:
        port.joinGroup(GROUP).wait(PATIENCE)
        sock.sendto(b"from outside", (GROUP, port.port))
        assert listener.wait(1) == [b"from outside"]
        assert listener.datagrams[0][1] == sock.getsockname()


def test_a_port_for_which_there_is_no_descriptor_says_what_would_help(any_reactor: Reactor) -> None:
    with short_of_descriptors(), pytest.raises(CannotListenError, match=r"too many open files .* \(ulimit -n\)"):
        any_reactor.listenMulticast(0, Listener())


def test_a_device_can_be_named(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener(), f"0.0.0.0%{LOOPBACK}")) as port:
        port.joinGroup(GROUP).wait(PATIENCE)
        port.write(b"x", (GROUP, port.port))
        port.protocol.wait(1)
    with pytest.raises(CannotListenError, match="no such device"):
        any_reactor.listenMulticast(0, Listener(), "0.0.0.0%nowhere")


def test_a_taken_port_is_refused_unless_both_share_it(any_reactor: Reactor) -> None:
    with (
        closing(any_reactor.listenMulticast(0, Listener())) as port,
        pytest.raises(CannotListenError, match="address already in use"),
    ):
        any_reactor.listenMulticast(port.port, Listener())


@pytest.mark.parametrize("interface", ["127.0.0.1", 1, LOOPBACK, "localhost", ""])
def test_a_group_is_joined_by_address_index_or_name(any_reactor: Reactor, interface: Any) -> None:
    with closing(any_reactor.listenMulticast(0, Listener())) as port:
        if interface == 1:
            interface = socket.if_nametoindex(LOOPBACK)
        port.joinGroup(GROUP, interface).wait(PATIENCE)
        port.write(b"x", (GROUP, port.port))
        port.protocol.wait(1)
        port.leaveGroup(GROUP, interface).wait(PATIENCE)


@pytest.mark.parametrize(
    ("group", "interface", "why"),
    [
        ("127.0.0.1", "", r"cannot join 127\.0\.0\.1: invalid argument"),
        ("::1", "", "'::1': this port needs an IPv4 address"),
        (GROUP, "::1", "'::1': this port needs an IPv4 address|give an interface by index or name"),
        (GROUP, "192.0.2.77", r"on the interface '192\.0\.2\.77': no such device"),
        (GROUP, 9999, "on the interface 9999: no such device"),
        (GROUP, True, "give an interface by index or name"),
        (GROUP, 1.5, "give an interface by index or name"),
    ],
)
def test_what_cannot_be_joined_fails_and_says_why(any_reactor: Reactor, group: str, interface: Any, why: str) -> None:
    with (
        closing(any_reactor.listenMulticast(0, Listener())) as port,
        pytest.raises(MulticastJoinError, match=why),
    ):
        port.joinGroup(group, interface).wait(PATIENCE)


def test_a_group_cannot_be_left_that_was_not_joined(any_reactor: Reactor) -> None:
    with (
        closing(any_reactor.listenMulticast(0, Listener())) as port,
        pytest.raises(MulticastJoinError, match=f"cannot leave {GROUP}"),
    ):
        port.leaveGroup(GROUP).wait(PATIENCE)


def test_how_far_datagrams_go(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener())) as port:
        assert port.getTTL() == 1
        for ttl in (0, 2, 255):
            port.setTTL(ttl)
            assert port.getTTL() == ttl
        for wrong in (-1, 256, "1", True):
            bad: Any = wrong
            with pytest.raises(ValueError, match="a number from 0 to 255"):
                port.setTTL(bad)


def test_without_loopback_mode_this_machine_hears_nothing(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener)) as port:
        port.joinGroup(GROUP).wait(PATIENCE)
        assert port.getLoopbackMode() is True
        port.setLoopbackMode(False)
        assert port.getLoopbackMode() is False
        port.write(b"unheard", (GROUP, port.port))
        port.setLoopbackMode(True)
        port.write(b"heard", (GROUP, port.port))
        listener.wait(1)
        # What goes out through the loopback device itself may come back by it all the same.
        assert listener.datagrams[-1][0] == b"heard" or listener.wait(2)[-1] == b"heard"


def test_the_outgoing_interface_can_be_chosen(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener(), "0.0.0.0")) as port:
        assert port.getOutgoingInterface() == "0.0.0.0"
        for where in ("127.0.0.1", "localhost"):
            assert port.setOutgoingInterface(where).wait(PATIENCE) == 1
            assert port.getOutgoingInterface() == "127.0.0.1"
        port.setOutgoingInterface(socket.if_nametoindex(LOOPBACK)).wait(PATIENCE)
        port.setOutgoingInterface("0.0.0.0").wait(PATIENCE)
        assert port.getOutgoingInterface() == "0.0.0.0"
        with pytest.raises(OSError, match=r"assign requested address|No such device"):
            port.setOutgoingInterface("192.0.2.77").wait(PATIENCE)
        with pytest.raises(InvalidAddressError, match="needs an IPv4 address"):
            port.setOutgoingInterface("::1").wait(PATIENCE)


def test_a_closed_port_joins_nothing(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener())) as port:
        pass
    with pytest.raises(NotListeningError):
        port.joinGroup(GROUP).wait(PATIENCE)
    with pytest.raises(NotListeningError):
        port.getTTL()


# --- IPv6


def test_an_ipv6_group_can_be_joined_by_every_name_of_an_interface(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener(), f"::%{LOOPBACK}", listenMultiple=True)) as port:
        port.setOutgoingInterface(LOOPBACK).wait(PATIENCE)
        assert port.getOutgoingInterface() == socket.if_nametoindex(LOOPBACK)
        for interface in ("", "::1", LOOPBACK, f"::%{LOOPBACK}", socket.if_nametoindex(LOOPBACK)):
            port.joinGroup(GROUP6, interface).wait(PATIENCE)
            port.leaveGroup(GROUP6, interface).wait(PATIENCE)


def test_ipv6_counts_hops(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenMulticast(0, Listener(), "::")) as port:
        assert (port.getTTL(), port.getLoopbackMode(), port.getOutgoingInterface()) == (1, True, 0)
        port.setTTL(7)
        port.setLoopbackMode(False)
        assert (port.getTTL(), port.getLoopbackMode()) == (7, False)


@pytest.mark.parametrize(("group", "interface"), [("::1", ""), (GROUP, ""), (GROUP6, "127.0.0.1"), (GROUP6, "nowhere")])
def test_what_cannot_be_joined_with_ipv6_fails(any_reactor: Reactor, group: str, interface: str) -> None:
    with (
        closing(any_reactor.listenMulticast(0, Listener(), "::")) as port,
        pytest.raises(MulticastJoinError, match=f"cannot join .*{group}"),
    ):
        port.joinGroup(group, interface).wait(PATIENCE)


# --- every call fails once


def meet(fault: Fault) -> None:
    """Join, send to the group, leave, on a reactor whose sockets meet `fault`."""
    with faulty_reactor(fault) as reactor:
        listener = Listener()
        try:
            port = reactor.listenMulticast(0, listener, listenMultiple=True)
        except CannotListenError:
            return
        joined: list[Any] = []
        port.joinGroup(GROUP).addBoth(joined.append)
        drive(reactor, lambda: joined)
        try:
            port.setTTL(1)
            port.setLoopbackMode(True)
            port.write(b"hello", (GROUP, port.port))
        except OSError:
            pass
        for _ in range(10):
            reactor.iterate(0.001)
        if fault.at is None:
            assert [datagram for datagram, _ in listener.datagrams] == [b"hello"]
        port.leaveGroup(GROUP).addBoth(joined.append)
        ended = port.stopListening()
        drive(reactor, lambda: ended.called and len(joined) == 2)


@pytest.mark.timeout(120)
def test_a_member_survives_any_error_in_any_call(reported: Reports) -> None:
    run_with_every_fault(meet, reported)
