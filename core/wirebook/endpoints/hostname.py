"""Connecting to a name, whichever of its addresses answers: Happy Eyeballs, version 2 (RFC 8305).

A name often has several addresses, and some of them lead nowhere: an IPv6 address on a network without IPv6, a
machine that is down. To try them one after the other costs a timeout for each; to try them all at once is rude. So
they are tried in the order that the system recommends, the families taking turns, each a moment after the one
before, and the first that answers wins.
"""

from __future__ import annotations

from typing import Any
from unicodedata import normalize

from wirebook.address import HostnameAddress, IPAddress, IPv4Address, IPv6Address
from wirebook.deferred import Deferred, fail
from wirebook.endpoints.connecting import name_resolver
from wirebook.endpoints.tcp import TCP4ClientEndpoint, TCP6ClientEndpoint, numeric_host
from wirebook.error import ConnectingCancelledError, DNSLookupError
from wirebook.failure import Failure
from wirebook.interfaces import IHostResolution, IProtocolFactory
from wirebook.reactor.names import idna_bytes, idna_text, ip_address
from wirebook.reactor.names.waiting import stop_resolution, unresolved
from wirebook.transports._checks import check_tcp_port
from wirebook.turn import in_turn

# Seconds between two attempts (RFC 8305, section 5).
ATTEMPT_DELAY = 0.25
# Seconds that an IPv4 address waits for an IPv6 address to be found, too (RFC 8305, section 3).
RESOLUTION_DELAY = 0.05


class HostnameEndpoint:
    """A TCP server known by `host`, a name (IDNA is applied to what is not ASCII) or an address, and `port`.

    Its addresses are raced. `timeout`, in seconds, limits the lookup and then each attempt (None: no limit).
    `bindAddress` is the local address, or (address, port). `attemptDelay` is how many seconds lie between the starts of
    two attempts; by default 0.25, or less when an attempt fails earlier.
    """

    def __init__(
        self,
        reactor: Any,
        host: str | bytes,
        port: int,
        timeout: float | None = 30,
        bindAddress: Any = None,
        attemptDelay: float | None = None,
    ) -> None:
        self._reactor = reactor
        self._invalid, self._name, self._ascii_name = _read_host(host)
        self._port = port
        self._timeout = timeout
        self._bindAddress = _read_bind_address(bindAddress)
        self._attemptDelay = attemptDelay

    def __repr__(self) -> str:
        address = None if self._invalid else ip_address(self._name)
        host = f"[{self._name}]" if isinstance(address, IPv6Address) else self._ascii_name
        return f"<HostnameEndpoint {host}:{self._port}>"

    @in_turn
    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect to the address that answers first. Fires with the protocol after its ``connectionMade``. Any thread.

        Fails with `DNSLookupError` when no address is found, with `ValueError` when `host` can be no name or `port` or
        `timeout` is out of range, and when no attempt succeeds with the error of the last one, which has the others'
        as notes. Cancelling ends lookup and attempts: it fails with `ConnectingCancelledError`.
        """
        if self._invalid:
            return fail(ValueError(f"invalid hostname: {self._name}"))
        return _Contest(self, protocolFactory).begin()

    def _endpoint(self, address: IPAddress) -> TCP4ClientEndpoint:
        kind = TCP4ClientEndpoint if isinstance(address, IPv4Address) else TCP6ClientEndpoint
        return kind(self._reactor, numeric_host(address), address.port, self._timeout, self._bindAddress)


class _Contest:
    """One connecting: it hears of addresses as they are found, and starts one attempt after the other. In the turn."""

    def __init__(self, endpoint: HostnameEndpoint, factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._reactor = endpoint._reactor
        self._name = endpoint._name
        self._resolution: IHostResolution | None = None
        self._complete = self._over = False
        self._known: set[IPAddress] = set()
        self._waiting: list[IPAddress] = []
        self._last: IPAddress | None = None
        self._next_at = 0.0
        self._running: list[Deferred[Any]] = []
        self._failures: list[Failure] = []
        self._step: Any = None
        self._limit: Any = None
        self._winner: Deferred[Any] = Deferred(self._cancelled)

    def begin(self) -> Deferred[Any]:
        """Look the name up; what follows follows from that."""
        timeout = self._endpoint._timeout
        try:
            # The system would take a port that is too large modulo 65536.
            port = check_tcp_port(self._endpoint._port, 0)
            name_resolver(self._reactor).resolveHostName(self, self._name, portNumber=port)
            if timeout is not None and not self._complete and not self._over:
                self._limit = self._reactor.callLater(timeout, self._lookup_timed_out, timeout)
        except Exception:
            self._end(Failure())
        return self._winner

    # --- what the resolver tells ---------------------------------------------------------------------

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The lookup begins."""
        self._resolution = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        """An address; kinds that TCP does not have are left out."""
        if self._over or not isinstance(address, (IPv4Address, IPv6Address)) or address in self._known:
            return
        self._known.add(address)
        self._waiting.append(address)
        if self._last is None:
            self._schedule(0 if isinstance(address, IPv6Address) else RESOLUTION_DELAY)
        else:
            self._schedule(self._next_at - self._reactor.seconds())

    def resolutionComplete(self) -> None:
        """There are no more addresses."""
        self._complete = True
        self._limit = _stopped(self._limit)
        if self._over:
            return
        if self._last is None:
            self._start_next()
        else:
            self._end_if_lost()

    def _lookup_timed_out(self, seconds: float) -> None:
        self._limit = None
        stop_resolution(self._resolution)
        self._complete = True
        if self._last is None:
            self._end(Failure(DNSLookupError(f"the host name {self._name!r} was not resolved within {seconds:g} s")))
        else:
            self._end_if_lost()

    # --- attempts ------------------------------------------------------------------------------------

    def _schedule(self, delay: float) -> None:
        """Start the next attempt after `delay` seconds, unless one is to start earlier."""
        delay = max(0.0, delay)
        if self._step is not None:
            if self._step.active() and self._step.getTime() <= self._reactor.seconds() + delay:
                return
            self._step = _stopped(self._step)
        self._step = self._reactor.callLater(delay, self._start_next)

    def _start_next(self) -> None:
        self._step = _stopped(self._step)
        if self._over or not self._waiting:
            self._end_if_lost()
            return
        address = self._last = self._choose()
        self._waiting.remove(address)
        delay = self._endpoint._attemptDelay
        delay = ATTEMPT_DELAY if delay is None else delay
        self._next_at = self._reactor.seconds() + delay
        attempt = self._endpoint._endpoint(address).connect(self._factory)
        self._running.append(attempt)
        attempt.addCallbacks(self._won, self._lost, callbackArgs=(attempt,), errbackArgs=(attempt,))
        if self._waiting and not self._over:
            self._schedule(self._next_at - self._reactor.seconds())

    def _choose(self) -> IPAddress:
        """The first of the other family than the last one; IPv6 to begin with, if the order is not known yet."""
        if self._last is not None:
            wanted = IPv4Address if isinstance(self._last, IPv6Address) else IPv6Address
        elif self._complete:
            return self._waiting[0]
        else:
            wanted = IPv6Address
        return next((address for address in self._waiting if isinstance(address, wanted)), self._waiting[0])

    def _won(self, protocol: Any, attempt: Deferred[Any]) -> None:
        self._running.remove(attempt)
        self._end(protocol)

    def _lost(self, failure: Failure, attempt: Deferred[Any]) -> None:
        self._running.remove(attempt)
        if self._over:
            return
        self._failures.append(failure)
        if self._waiting and self._endpoint._attemptDelay is None:
            self._schedule(0)
        self._end_if_lost()

    # --- the end -------------------------------------------------------------------------------------

    def _end_if_lost(self) -> None:
        if self._over or self._running or self._waiting or not self._complete:
            return
        if not self._failures:
            self._end(Failure(unresolved(self._name, self._resolution)))
            return
        *others, last = self._failures
        for other in others:
            last.value.add_note(f"before that: {other.getErrorMessage()}")
        self._end(last)

    def _end(self, outcome: Any) -> None:
        """Stop all that goes on, and fire."""
        if self._over:
            return
        self._over = True
        self._step = _stopped(self._step)
        self._limit = _stopped(self._limit)
        if not self._complete:
            stop_resolution(self._resolution)
        for attempt in [*self._running]:
            attempt.cancel()
        if not self._winner.called:
            self._winner.callback(outcome)

    def _cancelled(self, winner: Deferred[Any]) -> None:
        endpoint = self._endpoint
        self._end(Failure(ConnectingCancelledError(HostnameAddress(endpoint._ascii_name.encode(), endpoint._port))))


def _stopped(timer: Any) -> Any:
    """None, in the place of `timer`, which is cancelled."""
    if timer is not None and timer.active():
        timer.cancel()


def _read_host(host: str | bytes) -> tuple[bool, str, str]:
    """Whether `host` can be none, how people read it, and how it is sent."""
    if not isinstance(host, str | bytes):
        raise TypeError(f"a host is a name or an address, a str or bytes, not {host!r}")
    try:
        text = idna_text(host) if isinstance(host, bytes) else normalize("NFC", host)
        return False, text, idna_bytes(text).decode("ascii")
    except UnicodeError:
        text = host.decode("latin-1") if isinstance(host, bytes) else host
        shown = text.encode("ascii", "backslashreplace").decode("ascii")
        return True, shown, shown


def _read_bind_address(address: Any) -> Any:
    if isinstance(address, (str, bytes)):
        address = (address, 0)
    if isinstance(address, tuple) and isinstance(address[0], bytes):
        address = (address[0].decode("ascii"), *address[1:])
    return address
