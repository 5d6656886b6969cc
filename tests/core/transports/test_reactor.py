"""listenTCP and connectTCP refuse bad input, naming the value and what would be right."""

from __future__ import annotations

import math
import socket
from typing import Any

import pytest

from tests.core.net_kit import Echo, Recorder, Recorders, serving
from wirebook.error import CannotListenError, ConnectionDone, DNSLookupError, ServiceNameUnknownError
from wirebook.protocol import Factory
from wirebook.transports.reactor import Reactor


@pytest.fixture(autouse=True)
def nothing_half_open(any_reactor: Reactor) -> Any:
    """What was refused leaves nothing behind."""
    yield
    assert not list(any_reactor.handles)


def test_a_taken_port_is_refused(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        with pytest.raises(CannotListenError) as caught:
            any_reactor.listenTCP(port.port, Recorders(Echo))
        assert list(any_reactor.handles) == [port]
    assert str(caught.value).startswith(f"cannot listen on 127.0.0.1:{port.port}: address already in use (EADDRINUSE)")
    assert "or 0 for any free one" in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536, 10**20])
def test_a_port_out_of_range_is_refused(any_reactor: Reactor, port: int) -> None:
    with pytest.raises(ValueError, match=rf"port {port} is out of range: choose 0 to 65535 \(0 means any free one\)"):
        any_reactor.listenTCP(port, Recorders(Echo))
    with pytest.raises(ValueError, match=rf"port {port} is out of range: choose 1 to 65535$"):
        any_reactor.connectTCP("127.0.0.1", port, Recorders(Recorder))


def test_port_zero_cannot_be_connected_to(any_reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="port 0 is out of range: choose 1 to 65535"):
        any_reactor.connectTCP("127.0.0.1", 0, Recorders(Recorder))


@pytest.mark.parametrize("port", [True, b"http", 80.0, None])
def test_what_is_no_port_is_refused(any_reactor: Reactor, port: Any) -> None:
    with pytest.raises(TypeError, match=f"a port is an int from 0 to 65535, not {port!r}"):
        any_reactor.listenTCP(port, Recorders(Echo))
    with pytest.raises(TypeError, match=f"a port is an int from 1 to 65535, not {port!r}"):
        any_reactor.connectTCP("127.0.0.1", port, Recorders(Recorder))


def test_a_port_may_be_the_name_of_a_service(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {("any", "tcp"): 0}
    monkeypatch.setattr(socket, "getservbyname", lambda *service: ports[service])
    clients = Recorders(Recorder)
    port = reactor.listenTCP("any", Recorders(Echo))
    ports["found", "tcp"] = port.getHost().port
    connector = reactor.connectTCP("127.0.0.1", "found", clients)
    assert connector.getDestination().port == port.getHost().port
    clients.number(0)
    connector.disconnect()
    assert isinstance(clients.error(), ConnectionDone)
    port.stopListening()


@pytest.mark.parametrize("port", ["no-such-service", "80", ""])
def test_a_service_that_is_not_known_is_named(reactor: Reactor, port: str) -> None:
    with pytest.raises(ServiceNameUnknownError, match=f"the port '{port}' is the name of no service"):
        reactor.listenTCP(port, Recorders(Echo))
    with pytest.raises(ServiceNameUnknownError, match=f"the port '{port}' is the name of no service"):
        reactor.connectTCP("127.0.0.1", port, Recorders(Recorder))


def test_a_protocol_class_is_no_factory(any_reactor: Reactor) -> None:
    factory: Any = Echo
    with pytest.raises(TypeError, match=r"listenTCP\(\) takes a factory, .*Factory\.forProtocol\(Echo\)"):
        any_reactor.listenTCP(0, factory)
    with pytest.raises(TypeError, match=r"connectTCP\(\) takes a factory, .*ClientFactory\.forProtocol\(Echo\)"):
        any_reactor.connectTCP("127.0.0.1", 80, factory)


@pytest.mark.parametrize("factory", [Factory, None, 5, Echo()], ids=["class", "None", "number", "protocol"])
def test_what_is_no_factory_is_refused(any_reactor: Reactor, factory: Any) -> None:
    with pytest.raises(TypeError, match=r"listenTCP\(\) takes a factory, not "):
        any_reactor.listenTCP(0, factory)


def test_a_server_s_factory_cannot_connect(any_reactor: Reactor) -> None:
    factory: Any = Factory.forProtocol(Echo)
    with pytest.raises(TypeError, match=r"for example ClientFactory\.forProtocol"):
        any_reactor.connectTCP("127.0.0.1", 80, factory)


@pytest.mark.parametrize("host", [None, b"127.0.0.1", ""])
def test_what_is_no_host_is_refused(any_reactor: Reactor, host: Any) -> None:
    with pytest.raises(TypeError, match="a host name or address as a str"):
        any_reactor.connectTCP(host, 80, Recorders(Recorder))


@pytest.mark.parametrize("timeout", [-1, math.nan, "5"])
def test_a_timeout_that_cannot_be_waited_for_is_refused(any_reactor: Reactor, timeout: Any) -> None:
    with pytest.raises(ValueError, match="a number of seconds, 0 or more"):
        any_reactor.connectTCP("127.0.0.1", 80, Recorders(Recorder), timeout=timeout)


@pytest.mark.parametrize("address", ["127.0.0.1", ("127.0.0.1",), (1, 2), ("127.0.0.1", "80")])
def test_a_local_address_that_is_none_is_refused(any_reactor: Reactor, address: Any) -> None:
    with pytest.raises(TypeError):
        any_reactor.connectTCP("127.0.0.1", 80, Recorders(Recorder), bindAddress=address)


@pytest.mark.parametrize(
    ("interface", "hint"),
    [("192.0.2.1", "must be an address of this machine"), ("nowhere.invalid", "cannot listen on nowhere.invalid")],
)
def test_an_interface_that_is_not_here_is_refused(any_reactor: Reactor, interface: str, hint: str) -> None:
    with pytest.raises(CannotListenError, match=hint):
        any_reactor.listenTCP(0, Recorders(Echo), interface=interface)


def test_without_an_interface_only_this_machine_is_served(any_reactor: Reactor) -> None:
    with serving(any_reactor, Recorders(Echo)) as port:
        assert port.getHost().host == "127.0.0.1"
    with serving(any_reactor, Recorders(Echo), interface="0.0.0.0") as port:
        assert port.getHost().host == "0.0.0.0"


def test_a_name_can_be_resolved(any_reactor: Reactor) -> None:
    assert any_reactor.resolve("localhost").wait(5) in ("127.0.0.1", "::1")
    assert any_reactor.resolve("192.0.2.7").wait(5) == "192.0.2.7"
    with pytest.raises(DNSLookupError, match=r"'nowhere\.invalid' does not resolve"):
        any_reactor.resolve("nowhere.invalid").wait(5)
