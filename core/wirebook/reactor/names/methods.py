"""What a reactor does with names: it has one resolver, which programs may exchange."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from wirebook.address import IPAddress, IPv4Address
from wirebook.deferred import Deferred, fail, succeed
from wirebook.interfaces import IHostnameResolver, IResolverSimple
from wirebook.reactor.names.adapters import ComplexResolverSimplifier, SimpleResolverComplexifier
from wirebook.reactor.names.spelling import ip_address
from wirebook.reactor.names.threaded import GAIResolver
from wirebook.reactor.names.waiting import AddressCollector, waits
from wirebook.turn import in_turn


class NameMethods:
    """The part of a reactor that looks names up; the rest of the reactor gives it threads and timers."""

    _resolvers: tuple[IResolverSimple, IHostnameResolver] | None = None

    @in_turn
    def _current(self) -> tuple[IResolverSimple, IHostnameResolver]:
        if self._resolvers is None:
            me: Any = self
            names = GAIResolver(me)
            self._resolvers = ComplexResolverSimplifier(names, me), names
        return self._resolvers

    @property
    def resolver(self) -> IResolverSimple:
        """What `resolve` asks: the resolver installed last."""
        return self._current()[0]

    @property
    def nameResolver(self) -> IHostnameResolver:
        """What connections ask: the resolver installed last, a `GAIResolver` from the start."""
        return self._current()[1]

    @in_turn
    def installResolver(self, resolver: IResolverSimple) -> IResolverSimple:
        """Look names up with `resolver`, an object with ``getHostByName``; returns the one before."""
        _check_resolver(resolver, "getHostByName")
        before, _ = self._current()
        self._resolvers = resolver, SimpleResolverComplexifier(resolver)
        return before

    @in_turn
    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Look names up with `resolver`, an object with ``resolveHostName``; returns the one before."""
        _check_resolver(resolver, "resolveHostName")
        _, before = self._current()
        me: Any = self
        self._resolvers = ComplexResolverSimplifier(resolver, me), resolver
        return before

    def resolve(self, name: str, timeout: Sequence[float] | float = (1, 3, 11, 45)) -> Deferred[str]:
        """The first IPv4 address of the host `name`, as text; "0.0.0.0" for an empty name, a number as it is.

        Fails with `DNSLookupError`, also when it takes longer than `timeout` in seconds, or the sum of several. Raises
        `TypeError` for what is no name, and `ValueError` for what is no timeout.
        """
        if not isinstance(name, str):
            raise TypeError(f"resolve() takes a host name as a str, not {name!r}")
        each = waits(timeout)
        if not name:
            return succeed("0.0.0.0")
        if ip_address(name) is not None:
            return succeed(name)
        return self.resolver.getHostByName(name, each)

    @in_turn
    def lookUp(self, host: str, port: int) -> Deferred[list[tuple[int, Any]]]:
        """The (family, sockaddr) pairs of `host` for TCP, IPv4 first; for transports.

        A number is answered at once. Fails with `DNSLookupError`, or what the resolver raises; cancelling cancels the
        resolution.
        """
        number = ip_address(host, port)
        if number is not None:
            return succeed([_sockaddr(number)])
        collector = AddressCollector(host)
        try:
            self.nameResolver.resolveHostName(collector, host, port)
        except Exception:
            return fail()
        return collector.found.addCallback(_sockaddrs)


def _check_resolver(resolver: Any, method: str) -> None:
    if isinstance(resolver, type) or not callable(getattr(resolver, method, None)):
        raise TypeError(f"a resolver here is an object with a method {method}(), not {resolver!r}")


def _sockaddrs(addresses: list[IPAddress]) -> list[tuple[int, Any]]:
    return [_sockaddr(address) for address in sorted(addresses, key=lambda one: not isinstance(one, IPv4Address))]


def _sockaddr(address: IPAddress) -> tuple[int, Any]:
    if isinstance(address, IPv4Address):
        return socket.AF_INET, (address.host, address.port)
    return socket.AF_INET6, (address.host, address.port, address.flowInfo, address.scopeID)
