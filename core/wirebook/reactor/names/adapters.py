"""The two shapes that resolvers have, each made of the other: one address in a Deferred, or all as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wirebook.address import IPv4Address, TransportType
from wirebook.deferred import Deferred, maybeDeferred
from wirebook.error import DNSLookupError
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IHostnameResolver, IReactorTime, IResolutionReceiver, IResolverSimple
from wirebook.logger import report_failure
from wirebook.reactor.names.spelling import idna_bytes, ip_address
from wirebook.reactor.names.waiting import AddressCollector, HostResolution, limited, waits
from wirebook.turn import in_turn


class ComplexResolverSimplifier:
    """Makes an `IResolverSimple` of `nameResolver`: the first IPv4 address that it finds.

    `clock` measures the time that a lookup takes; the process's reactor when it is None.
    """

    def __init__(self, nameResolver: IHostnameResolver, clock: IReactorTime | None = None) -> None:
        self._nameResolver = nameResolver
        self._clock = clock

    @in_turn
    def getHostByName(self, name: str, timeout: Sequence[float] = ()) -> Deferred[str]:
        """The address of the host `name`, as text. Any thread.

        Fails with `DNSLookupError`, also when it takes longer than the sum of `timeout` in seconds (when that is
        empty: as long as the resolver takes). Cancelling cancels the resolution.
        """
        each = waits(timeout)
        collector = AddressCollector(name)
        self._nameResolver.resolveHostName(collector, name, 0, [IPv4Address])
        found: Deferred[Any] = collector.found.addCallback(lambda addresses: addresses[0].host)
        if each and not found.called:
            return limited(found, name, sum(each), self._clock or the_reactor())
        return found


class SimpleResolverComplexifier:
    """Makes an `IHostnameResolver` of `simpleResolver`: it finds one address, or none."""

    def __init__(self, simpleResolver: IResolverSimple) -> None:
        self._simpleResolver = simpleResolver

    @in_turn
    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: TransportType = "TCP",
    ) -> HostResolution:
        """Ask for `hostName`; errors other than `DNSLookupError` are reported and count as no address. Any thread."""
        ascii_name = idna_bytes(hostName).decode("ascii")
        resolution = _Asking(ascii_name)
        resolutionReceiver.resolutionBegan(resolution)

        def found(text: str) -> None:
            address = ip_address(text, portNumber, transportSemantics)
            if address is not None and (addressTypes is None or type(address) in addressTypes):
                resolutionReceiver.addressResolved(address)

        def failed(failure: Failure) -> None:
            resolution.reason = failure.getErrorMessage()
            if not failure.check(DNSLookupError):
                report_failure(failure, f"{self._simpleResolver!r}.getHostByName({ascii_name!r}) failed")

        def complete(_: object) -> None:
            if not resolution.cancelled:
                resolutionReceiver.resolutionComplete()

        resolution.asked = maybeDeferred(self._simpleResolver.getHostByName, ascii_name)
        resolution.asked.addCallback(lambda text: None if resolution.cancelled else found(text))
        resolution.asked.addErrback(lambda failure: None if resolution.cancelled else failed(failure))
        resolution.asked.addCallback(complete)
        return resolution


class _Asking(HostResolution):
    """A resolution that somebody else's Deferred stands for."""

    asked: Deferred[Any] | None = None

    @in_turn
    def cancel(self) -> None:
        super().cancel()
        if self.asked is not None:
            self.asked.cancel()
