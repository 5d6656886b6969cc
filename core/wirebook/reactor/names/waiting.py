"""Waiting for a lookup: what stands for one under way, how long it may take, and how its failure reads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wirebook.address import IPAddress, IPv4Address, IPv6Address
from wirebook.deferred import Deferred
from wirebook.error import DNSLookupError
from wirebook.failure import Failure
from wirebook.reactor.timers import check_delay
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.interfaces import IHostResolution, IReactorTime


# What helps when a name has no address.
CHECK_SPELLING = "check its spelling"


class HostResolution:
    """A lookup under way: ``name`` is the host's, ``reason`` says why there is no address ("" while unknown).

    A reason has in it what helps, as far as that is known.
    """

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
            self.found.errback(unresolved(self.name, self.resolution))

    def _cancel(self, _: Deferred[Any]) -> None:
        stop_resolution(self.resolution)


def stop_resolution(resolution: IHostResolution | None) -> None:
    """Cancel it, if it has begun."""
    if resolution is not None:
        # Some resolvers cannot be stopped; what they find later is not looked at.
        with suppress(NotImplementedError):
            resolution.cancel()


def unknown_host(name: str, reason: str) -> DNSLookupError:
    """The error for a host name without an address, for this reason."""
    return DNSLookupError(f"the host name {name!r} does not resolve: {reason}")


def unresolved(name: str, resolution: IHostResolution | None) -> DNSLookupError:
    """The error for a host name that `resolution` found no address for; with its ``reason``, if it has one."""
    return unknown_host(name, getattr(resolution, "reason", "") or f"it has no address; {CHECK_SPELLING}")


def waits(timeout: Any) -> tuple[float, ...]:
    """A lookup's timeouts, in seconds; none when `timeout` is empty or None. `ValueError` for what are none."""
    try:
        each = (timeout,) if isinstance(timeout, int | float) else tuple(timeout or ())
        return tuple(map(check_delay, each))
    except (TypeError, ValueError):
        raise ValueError(
            f"a lookup's timeout is a number of seconds, or several that are added, like (1, 3), not {timeout!r}"
        ) from None


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
