"""The system's resolver, asked in threads: it knows the hosts file, DNS and all else that is set up, but it blocks.

A lookup cannot be stopped once the system does it. Cancelling or timing out therefore only stops the waiting; the
thread comes back to its pool when the system gives up, and whoever stops the pool does not wait for that.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from wirebook.address import IPv4Address, IPv6Address, TransportType, from_sockaddr
from wirebook.deferred import Deferred, fail, succeed
from wirebook.error import describe
from wirebook.failure import Failure
from wirebook.interfaces import IReactorThreads, IReactorTime, IResolutionReceiver, IThreadPool
from wirebook.logger import report_failure
from wirebook.reactor.names.spelling import SOCKET_TYPES, idna_bytes, ip_address
from wirebook.reactor.names.waiting import CHECK_SPELLING, HostResolution, limited, unknown_host, waits
from wirebook.reactor.pool import PoolStoppedError, not_waited_for
from wirebook.turn import in_turn

_FAMILIES = {
    frozenset([IPv4Address]): socket.AF_INET,
    frozenset([IPv6Address]): socket.AF_INET6,
    frozenset([IPv4Address, IPv6Address]): socket.AF_UNSPEC,
}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
T = TypeVar("T")


class GAIResolver:
    """Looks names up with ``getaddrinfo``, in the reactor's thread pool or in the one that `getThreadPool` returns.

    `getaddrinfo` is a function to use in the place of the system's. Addresses come in the system's order (RFC 6724).
    """

    def __init__(
        self,
        reactor: IReactorThreads,
        getThreadPool: Callable[[], IThreadPool] | None = None,
        getaddrinfo: Callable[..., Iterable[Any]] | None = None,
    ) -> None:
        self._reactor = reactor
        self._getThreadPool = getThreadPool or reactor.getThreadPool
        self._getaddrinfo = getaddrinfo

    @in_turn
    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: TransportType = "TCP",
    ) -> HostResolution:
        """Look `hostName` up; `resolutionReceiver` hears of it on the reactor. Any thread.

        A number is answered before this returns, and a name that does not exist has no addresses; the resolution's
        attribute ``reason`` then says why. After its ``cancel()`` the receiver hears nothing more. Raises
        `ValueError` when `addressTypes` are not `IPv4Address` and `IPv6Address`, or one of them, or
        `transportSemantics` is neither "TCP" nor "UDP".
        """
        query = _query(portNumber, addressTypes, transportSemantics)
        resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        number = ip_address(hostName, portNumber, transportSemantics)
        if number is not None:
            if addressTypes is None or type(number) in addressTypes:
                resolutionReceiver.addressResolved(number)
            resolutionReceiver.resolutionComplete()
        else:
            self._begin(resolution, resolutionReceiver, query)
        return resolution

    def _begin(self, resolution: HostResolution, receiver: IResolutionReceiver, query: tuple[int, int, int]) -> None:
        def hand_over(succeeded: bool, result: Any) -> None:
            self._reactor.callFromThread(_deliver, resolution, receiver, result)

        asking = partial(_ask, self._getaddrinfo or socket.getaddrinfo, resolution.name, *query)
        self._getThreadPool().callInThreadWithCallback(hand_over, asking)


def _query(port: int, types: Sequence[type] | None, transport: str) -> tuple[int, int, int]:
    family = socket.AF_UNSPEC if types is None else _FAMILIES.get(frozenset(types))
    if family is None:
        raise ValueError(f"addressTypes are IPv4Address and IPv6Address, or one of them, not {types!r}")
    if transport not in SOCKET_TYPES:
        raise ValueError(f"transportSemantics is 'TCP' or 'UDP', not {transport!r}")
    return port, family, SOCKET_TYPES[transport]


def _ask(function: Callable[..., T], name: str, *rest: Any) -> T:
    """Ask the system, in a thread."""
    with not_waited_for():
        try:
            return function(idna_bytes(name).decode("ascii"), *rest)
        except socket.gaierror:
            # When descriptors have run out it knows no name, for it cannot open its files. This says so.
            with socket.socket():
                raise


def _deliver(resolution: HostResolution, receiver: IResolutionReceiver, result: Any) -> None:
    """Tell `receiver` what came out; in the turn."""
    if isinstance(result, Failure):
        resolution.reason = _reason(result, resolution.name)
        result = ()
    for _, kind, _, _, sockaddr in result:
        if not resolution.cancelled:
            receiver.addressResolved(from_sockaddr(sockaddr, "UDP" if kind == socket.SOCK_DGRAM else "TCP"))
    if not resolution.cancelled:
        receiver.resolutionComplete()


def _reason(failure: Failure, name: str) -> str:
    """Why the system does not know `name`; what is no such answer is reported."""
    error = failure.value
    if not isinstance(error, (OSError, ValueError, PoolStoppedError)):
        report_failure(failure, f"looking up {name!r} raised")
    reason = describe(error) if isinstance(error, OSError) else str(error)
    misspelt = isinstance(error, ValueError) or getattr(error, "errno", None) in _NO_SUCH_NAME
    return f"{reason}; {CHECK_SPELLING}" if misspelt else reason


class _Clocked(IReactorThreads, IReactorTime, Protocol):
    """A reactor with threads and timers."""


class ThreadedResolver:
    """Looks up one IPv4 address for a name with ``gethostbyname``, in the thread pool of `reactor`."""

    def __init__(self, reactor: _Clocked) -> None:
        self.reactor = reactor

    def getHostByName(self, name: str, timeout: Sequence[float] = (1, 3, 11, 45)) -> Deferred[str]:
        """The address of the host `name`, as text. Any thread.

        Fails with `DNSLookupError`, also when it takes longer than the sum of `timeout` in seconds (60 when it is
        empty). Cancelling forgets the answer.
        """
        each = waits(timeout)
        number = ip_address(name)
        if number is not None:
            return succeed(number.host) if isinstance(number, IPv4Address) else fail(unknown_host(name, "it is IPv6"))
        found: Deferred[str] = Deferred(lambda _: None)

        def hand_over(succeeded: bool, result: Any) -> None:
            self.reactor.callFromThread(deliver, result)

        def deliver(result: Any) -> None:
            if isinstance(result, Failure):
                result = Failure(unknown_host(name, _reason(result, name)))
            if not found.called:
                found.callback(result)

        self.reactor.getThreadPool().callInThreadWithCallback(hand_over, _ask, socket.gethostbyname, name)
        return limited(found, name, sum(each) if each else 60, self.reactor)
