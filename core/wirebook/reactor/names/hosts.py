"""A hosts file as a resolver (hosts(5)): names for a lab's machines, without a name server."""

from __future__ import annotations

import os
from collections.abc import Sequence

from wirebook.address import IPAddress, TransportType
from wirebook.deferred import Deferred
from wirebook.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from wirebook.reactor.names.adapters import ComplexResolverSimplifier
from wirebook.reactor.names.spelling import idna_bytes, ip_address
from wirebook.reactor.names.waiting import CHECK_SPELLING, HostResolution
from wirebook.turn import in_turn


def parse_hosts(text: str) -> dict[str, list[str]]:
    """The addresses of each name in a hosts file, in the file's order; names in lower case.

    A line holds an address and its names; ``#`` begins a comment. Lines without a valid address are left out.
    """
    hosts: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if ip_address(address) is None:
            continue
        for name in names:
            known = hosts.setdefault(name.lower(), [])
            if address not in known:
                known.append(address)
    return hosts


class HostsResolver:
    """Finds names in the hosts file at `path`; for ``installResolver`` and for ``installNameResolver``.

    It is read again when it has changed; while it is gone, as when an editor replaces it, what was read last counts.
    Names that are not in it go to `otherwise`, a resolver such as the reactor's own ``nameResolver``; without one they
    do not resolve. A file that cannot be read raises OSError now.
    """

    def __init__(self, path: str | os.PathLike[str] = "/etc/hosts", otherwise: IHostnameResolver | None = None) -> None:
        self.path = path
        self.otherwise = otherwise
        self._read_at: tuple[int, int, int] | None = None
        self._hosts: dict[str, list[str]] = {}
        self._refresh()

    def getHostByName(self, name: str, timeout: Sequence[float] = ()) -> Deferred[str]:
        """The first IPv4 address of `name`. Fails with `DNSLookupError`; `timeout` is `otherwise`'s. Any thread."""
        return ComplexResolverSimplifier(self).getHostByName(name, timeout)

    @in_turn
    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: TransportType = "TCP",
    ) -> IHostResolution:
        """Tell `resolutionReceiver` the addresses, in the file's order, before this returns. Any thread."""
        addresses = self._find(hostName, portNumber, transportSemantics)
        if not addresses and self.otherwise is not None:
            return self.otherwise.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolution = HostResolution(hostName)
        resolution.reason = "" if addresses else f"it is not in {os.fspath(self.path)}; {CHECK_SPELLING}"
        resolutionReceiver.resolutionBegan(resolution)
        for address in addresses:
            if not resolution.cancelled and (addressTypes is None or type(address) in addressTypes):
                resolutionReceiver.addressResolved(address)
        if not resolution.cancelled:
            resolutionReceiver.resolutionComplete()
        return resolution

    def _find(self, name: str, port: int, transport: TransportType) -> list[IPAddress]:
        number = ip_address(name, port, transport)
        if number is not None:
            return [number]
        self._refresh()
        found = self._hosts.get(idna_bytes(name).decode("ascii").lower(), [])
        addresses = (ip_address(text, port, transport) for text in found)
        return [address for address in addresses if address is not None]

    def _refresh(self) -> None:
        try:
            state = os.stat(self.path)
            now = (state.st_mtime_ns, state.st_size, state.st_ino)
            if now != self._read_at:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self._hosts = parse_hosts(file.read())
                self._read_at = now
        except OSError:
            if self._read_at is None:
                raise
