"""What a reactor does with names."""

from __future__ import annotations

import socket
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, serving
from tests.core.reactor.names.resolvers import Answering, Waiting
from wirebook.address import IPv4Address, IPv6Address
from wirebook.deferred import CancelledError, Deferred, succeed
from wirebook.endpoints import TCP4ClientEndpoint, connectProtocol
from wirebook.error import DNSLookupError
from wirebook.reactor.names import ComplexResolverSimplifier, GAIResolver, SimpleResolverComplexifier
from wirebook.transports.reactor import Reactor


class Fixed:
    """A resolver of one address for all names."""

    def getHostByName(self, name: str, timeout: Any = ()) -> Deferred[str]:
        return succeed("127.0.0.1")


def test_the_system_s_resolver_is_the_default(reactor: Reactor) -> None:
    assert isinstance(reactor.nameResolver, GAIResolver)
    assert isinstance(reactor.resolver, ComplexResolverSimplifier)
    assert reactor.nameResolver is reactor.nameResolver


def test_installing_returns_the_one_before(reactor: Reactor) -> None:
    simple, names = reactor.resolver, reactor.nameResolver
    mine, my_names = Fixed(), Answering([])
    assert reactor.installResolver(mine) is simple
    assert reactor.resolver is mine
    wrapped = reactor.nameResolver
    assert isinstance(wrapped, SimpleResolverComplexifier)
    assert reactor.installNameResolver(my_names) is wrapped
    assert reactor.nameResolver is my_names
    assert reactor.installNameResolver(names) is my_names


@pytest.mark.parametrize("wrong", [None, Fixed, object()])
def test_what_is_no_resolver_is_refused(reactor: Reactor, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"a method getHostByName\(\)"):
        reactor.installResolver(wrong)
    with pytest.raises(TypeError, match=r"a method resolveHostName\(\)"):
        reactor.installNameResolver(wrong)


@pytest.mark.parametrize(("name", "address"), [("", "0.0.0.0"), ("192.0.2.7", "192.0.2.7"), ("::1", "::1")])
def test_what_is_no_name_is_its_own_address(reactor: Reactor, name: str, address: str) -> None:
    assert outcome(reactor.resolve(name)) == address


def test_resolving_something_else_than_a_name_is_refused(reactor: Reactor) -> None:
    wrong: Any = b"localhost"
    with pytest.raises(TypeError, match="as a str"):
        reactor.resolve(wrong)


def test_resolving_may_take_the_sum_of_the_timeouts(reactor: Reactor) -> None:
    reactor.installNameResolver(Waiting())
    with pytest.raises(DNSLookupError, match=r"within 0\.03 s"):
        reactor.resolve("slow.example", (0.01, 0.02)).wait(PATIENCE)


def test_one_number_is_a_timeout(reactor: Reactor) -> None:
    reactor.installNameResolver(Waiting())
    with pytest.raises(DNSLookupError, match=r"within 0\.02 s"):
        reactor.resolve("slow.example", 0.02).wait(PATIENCE)


def test_a_resolver_is_given_one_number_as_a_sequence(reactor: Reactor) -> None:
    class Listening:
        def getHostByName(self, name: str, timeout: Any = ()) -> Deferred[str]:
            return succeed(repr(timeout))

    reactor.installResolver(Listening())
    assert outcome(reactor.resolve("some.example", timeout=5)) == "(5,)"
    assert outcome(reactor.resolve("some.example", timeout=[1, 2])) == "(1, 2)"


@pytest.mark.parametrize("timeout", [-1, "5", (1, "x"), object(), float("nan")])
def test_what_is_no_timeout_is_refused(reactor: Reactor, timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"a lookup's timeout is a number of seconds, or several .* not "):
        reactor.resolve("some.example", timeout)


def test_a_number_is_known_without_descriptors() -> None:
    program = """
        import os, resource
        from wirebook.reactor.names import ip_address
        used = max(map(int, os.listdir("/dev/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
        print(ip_address("127.0.0.1"))
    """
    # A Python of its own: what it loads when it first reads an address would be loaded here already.
    done = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "127.0.0.1:0\n"


def test_a_number_is_looked_up_at_once(reactor: Reactor) -> None:
    assert outcome(reactor.lookUp("192.0.2.1", 80)) == [(socket.AF_INET, ("192.0.2.1", 80))]
    assert outcome(reactor.lookUp("::1", 80)) == [(socket.AF_INET6, ("::1", 80, 0, 0))]


def test_version_four_comes_before_version_six(reactor: Reactor) -> None:
    reactor.installNameResolver(Answering([IPv6Address("TCP", "::1", 80), IPv4Address("TCP", "127.0.0.1", 80)]))
    assert [family for family, _ in outcome(reactor.lookUp("both", 80))] == [socket.AF_INET, socket.AF_INET6]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70, "nul\0"])
def test_a_name_that_does_not_resolve_says_so(reactor: Reactor, host: str) -> None:
    with pytest.raises(DNSLookupError, match=r"does not resolve: .+; check its spelling"):
        reactor.lookUp(host, 80).wait(PATIENCE)


def test_cancelling_a_lookup_cancels_the_resolution(reactor: Reactor) -> None:
    names = Waiting()
    reactor.installNameResolver(names)
    found = reactor.lookUp("slow.example", 80)
    found.cancel()
    error_of(found, CancelledError)
    assert names.resolution.cancelled


def test_connecting_uses_the_installed_resolver(any_reactor: Reactor) -> None:
    any_reactor.installResolver(Fixed())
    with serving(any_reactor, Recorders(Echo)) as port:
        client = connectProtocol(TCP4ClientEndpoint(any_reactor, "server.lab", port.port), Recorder()).wait(PATIENCE)
        client.transport.loseConnection()
        client.end()


@pytest.mark.parametrize("install", ["installResolver", "installNameResolver"])
def test_an_error_of_the_resolver_fails_the_attempt(reactor: Reactor, reported: Reports, install: str) -> None:
    class Broken:
        def getHostByName(self, *args: Any) -> Any:
            raise RuntimeError("broken")

        resolveHostName = getHostByName

    getattr(reactor, install)(Broken())
    factory = Recorders(Echo)
    reactor.connectTCP("some.example", 80, factory)
    assert isinstance(factory.error(), RuntimeError if install == "installNameResolver" else DNSLookupError)
    assert not reactor.getDelayedCalls()
    assert len(reported()) == (install == "installResolver")


def test_a_connection_that_is_given_up_stops_its_lookup(reactor: Reactor) -> None:
    names = Waiting()
    reactor.installNameResolver(names)
    factory = Recorders(Echo)
    reactor.connectTCP("slow.example", 80, factory).stopConnecting()
    assert names.resolution.cancelled
    assert factory.events[-2:] == ["failed", "stop"]
