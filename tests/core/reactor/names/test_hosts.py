"""Names from a hosts file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, serving
from tests.core.reactor.names.resolvers import Answering, Receiver
from wirebook.address import IPv4Address, IPv6Address
from wirebook.endpoints import HostnameEndpoint, connectProtocol
from wirebook.error import DNSLookupError
from wirebook.reactor.names import HostsResolver, parse_hosts
from wirebook.transports.reactor import Reactor

HOSTS = """
# a lab
192.0.2.1   one One.Example   # the first
2001:db8::1 one
192.0.2.2\tone two
192.0.2.1   one
not-an-address three
192.0.2.3
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return path


def test_a_hosts_file_is_read() -> None:
    assert parse_hosts(HOSTS) == {
        "one": ["192.0.2.1", "2001:db8::1", "192.0.2.2"],
        "one.example": ["192.0.2.1"],
        "two": ["192.0.2.2"],
    }


def test_all_addresses_of_a_name_come_in_the_file_s_order(hosts: Path) -> None:
    receiver = Receiver()
    HostsResolver(hosts).resolveHostName(receiver, "ONE", 80)
    assert [address.host for address in receiver.addresses] == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    assert receiver.completed == 1


def test_only_those_that_are_wanted_come(hosts: Path) -> None:
    receiver = Receiver()
    HostsResolver(hosts).resolveHostName(receiver, "one", 80, [IPv6Address])
    assert receiver.addresses == [IPv6Address("TCP", "2001:db8::1", 80)]


def test_one_address_is_the_first_one(hosts: Path) -> None:
    assert outcome(HostsResolver(hosts).getHostByName("one")) == "192.0.2.1"
    assert outcome(HostsResolver(hosts).getHostByName("192.0.2.9")) == "192.0.2.9"


def test_a_name_that_is_not_there_is_named_with_the_file(hosts: Path) -> None:
    error = error_of(HostsResolver(hosts).getHostByName("three"), DNSLookupError)
    assert f"'three' does not resolve: it is not in {hosts}; check its spelling" in str(error)


def test_names_that_are_not_there_go_elsewhere(hosts: Path) -> None:
    elsewhere = Answering([IPv4Address("TCP", "192.0.2.7", 80)])
    resolver = HostsResolver(hosts, elsewhere)
    assert outcome(resolver.getHostByName("three")) == "192.0.2.7"
    assert outcome(resolver.getHostByName("two")) == "192.0.2.2"
    assert [name for name, _ in elsewhere.asked] == ["three"]


def test_a_file_that_has_changed_is_read_again(hosts: Path) -> None:
    resolver = HostsResolver(hosts)
    hosts.write_text("192.0.2.8 three")
    os.utime(hosts, (1, 1))
    assert outcome(resolver.getHostByName("three")) == "192.0.2.8"


def test_while_the_file_is_gone_what_was_read_last_counts(hosts: Path) -> None:
    resolver = HostsResolver(hosts)
    hosts.unlink()
    assert outcome(resolver.getHostByName("two")) == "192.0.2.2"
    hosts.write_text("192.0.2.8 two")
    assert outcome(resolver.getHostByName("two")) == "192.0.2.8"


def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HostsResolver(tmp_path / "none")


def test_the_system_s_file_is_the_default() -> None:
    assert outcome(HostsResolver().getHostByName("localhost")) == "127.0.0.1"


@pytest.mark.parametrize("install", ["installResolver", "installNameResolver"])
def test_a_reactor_connects_by_it(any_reactor: Reactor, tmp_path: Path, install: str) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 server.lab")
    getattr(any_reactor, install)(HostsResolver(path))
    assert any_reactor.resolve("server.lab").wait(PATIENCE) == "127.0.0.1"
    with serving(any_reactor, Recorders(Echo)) as port:
        client = connectProtocol(HostnameEndpoint(any_reactor, "server.lab", port.port), Recorder()).wait(PATIENCE)
        client.transport.loseConnection()
        client.end()
