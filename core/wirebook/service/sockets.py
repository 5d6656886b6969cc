"""Services that open a port or make a connection with one of the reactor's own methods.

Each is named after the method that it calls, with the arguments that it was made with: ``TCPServer(8007, factory)``
calls ``reactor.listenTCP(8007, factory)`` when it starts. The argument ``reactor`` says which reactor, by default the
process's. Streams are better served through endpoints (`StreamServerEndpointService`, `ClientService`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from wirebook.deferred import Deferred
from wirebook.installed import the_reactor
from wirebook.service.tree import Service
from wirebook.turn import in_turn


class _Socket(Service):
    """What all of them share. ``method`` is the end of the name of the reactor's method."""

    method: ClassVar[str]
    # What belongs to a running service, so that no copy by pickle has it.
    volatile: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, reactor: Any = None, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.reactor = reactor

    def _open(self, verb: str) -> Any:
        reactor = the_reactor() if self.reactor is None else self.reactor
        return getattr(reactor, verb + self.method)(*self.args, **self.kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in self.volatile}


class _Server(_Socket):
    """A port that is open while the service runs."""

    volatile = ("_port",)
    _port: Any = None

    @in_turn
    def privilegedStartService(self) -> None:
        """Open the port, while the program has the right to. Raises as the reactor's method. Any thread."""
        super().privilegedStartService()
        self._port = self._open("listen")

    @in_turn
    def startService(self) -> None:
        """Open the port, unless `privilegedStartService` has. Raises as the reactor's method. Any thread."""
        if self._port is None:
            self._port = self._open("listen")
        super().startService()

    @in_turn
    def stopService(self) -> Deferred[None] | None:
        """Close the port; its connections stay. Returns what its ``stopListening`` does. Any thread."""
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()


class _Client(_Socket):
    """A connection that is made when the service starts, once. `ClientService` would make it again."""

    volatile = ("_connection",)
    _connection: Any = None

    @in_turn
    def startService(self) -> None:
        """Connect. Raises as the reactor's method; what comes of it, the factory is told. Any thread."""
        self._connection = self._open("connect")
        super().startService()

    @in_turn
    def stopService(self) -> None:
        """Close the connection, or end the attempt. Any thread."""
        super().stopService()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


class TCPServer(_Server):
    """Listens for TCP connections: ``reactor.listenTCP``."""

    method = "TCP"


class TCPClient(_Client):
    """Makes a TCP connection: ``reactor.connectTCP``."""

    method = "TCP"


class UNIXServer(_Server):
    """Listens on a UNIX socket: ``reactor.listenUNIX``."""

    method = "UNIX"


class UNIXClient(_Client):
    """Makes a connection to a UNIX socket: ``reactor.connectUNIX``."""

    method = "UNIX"


class SSLServer(_Server):
    """Listens for TCP connections with TLS: ``reactor.listenSSL``."""

    method = "SSL"


class SSLClient(_Client):
    """Makes a TCP connection with TLS: ``reactor.connectSSL``."""

    method = "SSL"


class UDPServer(_Server):
    """Opens a UDP port: ``reactor.listenUDP``."""

    method = "UDP"


class MulticastServer(_Server):
    """Opens a UDP port that can join groups: ``reactor.listenMulticast``."""

    method = "Multicast"


class UNIXDatagramServer(_Server):
    """Opens a UNIX datagram socket: ``reactor.listenUNIXDatagram``."""

    method = "UNIXDatagram"


class UNIXDatagramClient(_Client):
    """Opens a UNIX datagram socket with one peer: ``reactor.connectUNIXDatagram``."""

    method = "UNIXDatagram"

    @in_turn
    def stopService(self) -> Deferred[None] | None:  # type: ignore[override]  # it has a port to close
        """Close the socket. Fires when the protocol was told. Any thread."""
        port, self._connection = self._connection, None
        super().stopService()
        return None if port is None else port.stopListening()
