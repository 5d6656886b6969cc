"""What needs a link: addresses that are valid on one link only, and IPv6 multicast. Loopback has neither.

`test_links` runs these in a network of their own, where the link is called as `LINK` says.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders
from tests.core.transports.datagram_kit import Answerer, Listener, closing
from wirebook import Factory, Reactor

LINK = "here"
HOST = f"fe80::1%{LINK}"
GROUP = "ff02::4:5"


def test_a_datagram_port_serves_an_address_of_the_link(any_reactor: Reactor) -> None:
    answerer, asker = Answerer(), Listener()
    with closing(any_reactor.listenUDP(0, answerer, HOST), any_reactor.listenUDP(0, asker, HOST)) as (server, client):
        client.write(b"hi", (HOST, server.port))
        assert asker.wait(1) == [b"hi"]
        assert asker.datagrams == [(b"hi", (HOST, server.port))]


@pytest.mark.parametrize("adopt", [False, True], ids=["opened", "adopted"])
def test_a_stream_port_tells_where_on_the_link_it_can_be_reached(any_reactor: Reactor, adopt: bool) -> None:
    port: Any = any_reactor.listenTCP(0, Factory.forProtocol(Echo), interface=HOST)
    if adopt:
        opened = port
        port = any_reactor.adoptStreamPort(opened.fileno(), socket.AF_INET6, Factory.forProtocol(Echo))
        opened.stopListening().wait(PATIENCE)
    clients = Recorders(Recorder)
    assert port.getHost().host == HOST
    connector = any_reactor.connectTCP(HOST, port.getHost().port, clients, bindAddress=(HOST, 0))
    client = clients.number(0)
    assert client.transport.getHost().host == HOST
    assert client.transport.getPeer() == port.getHost()
    client.transport.write(b"x")
    assert eventually(lambda: client.data == b"x")
    connector.disconnect()
    client.end()
    port.stopListening().wait(PATIENCE)


@pytest.mark.parametrize("interface", [LINK, HOST, f"::%{LINK}", "index"])
def test_a_group_is_heard_on_the_link_it_was_joined_on(any_reactor: Reactor, interface: str) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener, "::", listenMultiple=True)) as port:
        on: Any = socket.if_nametoindex(LINK) if interface == "index" else interface
        port.joinGroup(GROUP, on).wait(PATIENCE)
        port.write(b"to the group", (f"{GROUP}%{LINK}", port.port))
        assert listener.wait(1) == [b"to the group"]
        assert listener.datagrams[0][1][0] == HOST


def test_a_group_is_sent_to_by_the_chosen_link(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener, "::", listenMultiple=True)) as port:
        port.joinGroup(GROUP, LINK).wait(PATIENCE)
        port.setOutgoingInterface(LINK).wait(PATIENCE)
        port.write(b"no link named", (GROUP, port.port))
        assert listener.wait(1) == [b"no link named"]


def test_without_loopback_mode_the_sender_hears_nothing_of_it(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener, "::", listenMultiple=True)) as port:
        port.joinGroup(GROUP, LINK).wait(PATIENCE)
        port.setLoopbackMode(False)
        port.write(b"unheard", (f"{GROUP}%{LINK}", port.port))
        port.setLoopbackMode(True)
        port.write(b"heard", (f"{GROUP}%{LINK}", port.port))
        assert listener.wait(1) == [b"heard"]


def test_a_group_that_was_left_is_not_heard(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenMulticast(0, listener, HOST.replace("fe80::1", "::"))) as port:
        for group in (GROUP, "ff02::4:6"):
            port.joinGroup(group, LINK).wait(PATIENCE)
        port.leaveGroup(GROUP, LINK).wait(PATIENCE)
        port.write(b"to the group left", (f"{GROUP}%{LINK}", port.port))
        port.write(b"to the other", (f"ff02::4:6%{LINK}", port.port))
        assert listener.wait(1) == [b"to the other"]
