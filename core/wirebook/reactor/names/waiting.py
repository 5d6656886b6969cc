"""Waiting for a lookup: what stands for one under way, how long it may take, and how its failure reads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wirebook.address import IPAddress, IPv4Address, IPv6Address
from wirebook.deferred import Deferred
from wirebook.error import DNSLookupError
from wirebook.failure import Failure
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.interfaces import IHostResolution, IReactorTime


class HostResolution:
    """A lookup under way: ``name`` is the host's, ``reason`` says why there is no address ("" while unknown)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reason = ""
        self.cancelled = False

    @in_turn
    def cancel(self) -> None:
        """Stop it: its receiver hears nothing more. Any thread."""
        self.cancelled = True

    def __repr__(self) -> str:
        return f"<HostResolution of {self.name!r}{', cancelled' if self.cancelled else ''}>"


class AddressCollector:
    """A receiver that collects all addresses; ``found`` fires with them, or fails with `DNSLookupError`.

    Cancelling ``found`` cancels the resolution.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.addresses: list[IPAddress] = []
        self.resolution: IHostResolution | None = None
        self.found: Deferred[list[IPAddress]] = Deferred(self._cancel)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The lookup has begun."""
        self.resolution = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        """One address; kinds that cannot be connected to over TCP or UDP are left out."""
        if isinstance(address, (IPv4Address, IPv6Address)):
            self.addresses.append(address)

    def resolutionComplete(self) -> None:
        """These were all."""
        if self.found.called:
            return
        if self.addresses:
            self.found.callback(self.addresses)
        else:
            self.found.errback(unknown_host(self.name, getattr(self.resolution, "reason", "")))

    def _cancel(self, _: Deferred[Any]) -> None:
        stop_resolution(self.resolution)


def stop_resolution(resolution: IHostResolution | None) -> None:
    """Cancel it, if it has begun."""
    if resolution is not None:
        # Some resolvers cannot be stopped; what they find later is not looked at.
        with suppress(NotImplementedError):
            resolution.cancel()


def unknown_host(name: str, reason: str = "") -> DNSLookupError:
    """The error for a host name without an address, with the resolver's own reason."""
    return DNSLookupError(f"the host name {name!r} does not resolve ({reason or 'no address'}): check its spelling")


def limited(found: Deferred[str], name: str, seconds: float, clock: IReactorTime) -> Deferred[str]:
    """`found`, which fails with `DNSLookupError`, and is cancelled, when it has nothing within `seconds`."""
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        found.cancel()

    def settle(result: str | Failure) -> str | Failure:
        if timer.active():
            timer.cancel()
        if late and isinstance(result, Failure):
            return Failure(DNSLookupError(f"the host name {name!r} was not resolved within {seconds:g} s"))
        return result

    timer = clock.callLater(seconds, give_up)
    return found.addBoth(settle)
