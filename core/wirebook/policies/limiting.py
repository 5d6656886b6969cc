"""How many connections there may be: from one peer, and in all. More are closed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from wirebook.policies.wrapping import ProtocolWrapper, WrappingFactory
from wirebook.protocol import ServerFactory


class LimitConnectionsByPeer(WrappingFactory):
    """At most ``maxConnectionsPerPeer`` connections at a time from one host.

    ``peerConnections`` is how many each host has. Peers whose address has no host, those of a UNIX socket, are
    all on this machine and count as one (None).
    """

    maxConnectionsPerPeer = 5

    def __init__(self, wrappedFactory: Any, maxConnectionsPerPeer: int | None = None) -> None:
        super().__init__(wrappedFactory)
        if maxConnectionsPerPeer is not None:
            self.maxConnectionsPerPeer = maxConnectionsPerPeer
        self.peerConnections: Counter[Any] = Counter()
        self._hosts: dict[Any, Any] = {}

    def buildProtocol(self, addr: Any) -> Any:
        host = addr[0] if isinstance(addr, tuple) else getattr(addr, "host", None)
        if self.peerConnections[host] >= self.maxConnectionsPerPeer:
            return None
        wrapper = super().buildProtocol(addr)
        if wrapper is not None:
            self.peerConnections[host] += 1
            self._hosts[wrapper] = host
        return wrapper

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` has ended; called by it."""
        super().unregisterProtocol(p)
        host = self._hosts.pop(p)
        self.peerConnections[host] -= 1
        if not self.peerConnections[host]:
            del self.peerConnections[host]


class LimitTotalConnectionsFactory(ServerFactory):
    """A factory, to be used as any `ServerFactory`, with at most ``connectionLimit`` connections (None: any number).

    ``connectionCount`` is how many there are. A connection over the limit gets an ``overflowProtocol``, which may
    say so and close, and counts too; without one (None) it is closed at once.
    """

    connectionCount = 0
    connectionLimit: int | None = None
    overflowProtocol: Callable[[], Any] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        if self.connectionLimit is None or self.connectionCount < self.connectionLimit:
            wrapped = super().buildProtocol(addr)
        elif self.overflowProtocol is not None:
            wrapped = self.overflowProtocol()
            wrapped.factory = self
        else:
            return None
        if wrapped is None:
            return None
        self.connectionCount += 1
        return ProtocolWrapper(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` stands; called by it."""

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` has ended; called by it."""
        self.connectionCount -= 1
