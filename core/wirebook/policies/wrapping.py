"""A protocol between a transport and a protocol: to each of them it looks like the other.

    transport  <->  ProtocolWrapper  <->  protocol

So a policy is written once, for every transport and every protocol: override what passes, `write` or `dataReceived`
for example, and hand it on. Whatever is not overridden passes as if the wrapper were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wirebook.failure import Failure
from wirebook.protocol import ClientFactory, Protocol, check_protocol, connectionDone

# What transports call on a protocol only if it has it.
_OPTIONAL_EVENTS = frozenset(
    {"readConnectionLost", "writeConnectionLost", "handshakeCompleted", "fileDescriptorReceived"}
)
# What sends bytes without `write`.
_OTHER_WAYS_TO_WRITE = frozenset({"writeFile"})


def _wrapped_prefix(wrapper: object, wrapped: Any) -> str:
    """A name for logs, of a wrapper and of what it wraps."""
    prefix = getattr(wrapped, "logPrefix", None)
    name = prefix() if callable(prefix) else type(wrapped).__name__
    return f"{name} ({type(wrapper).__name__})"


class _Beneath:
    """An attribute of the transport that can be set through the wrapper as well."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, wrapper: ProtocolWrapper | None, owner: type) -> Any:
        return self if wrapper is None else getattr(wrapper.transport, self._name)

    def __set__(self, wrapper: ProtocolWrapper, value: Any) -> None:
        setattr(wrapper.transport, self._name, value)


class ProtocolWrapper(Protocol):
    """The protocol of the transport beneath, and the transport of ``wrappedProtocol``.

    ``factory`` is the `WrappingFactory` that made it. The wrapped protocol may be exchanged, as with every
    transport, by setting ``protocol``; after ``connectionLost`` there is none.
    """

    factory: Any
    transport: Any = None
    wrappedProtocol: Any = None
    tap = _Beneath("tap")
    writeLimits = _Beneath("writeLimits")
    _disconnecting: Any = 0
    _was_connected: Any = 0

    def __init__(self, factory: Any, wrappedProtocol: Any) -> None:
        self.factory = factory
        self.wrappedProtocol = wrappedProtocol

    def __getattr__(self, name: str) -> Any:
        if name in _OPTIONAL_EVENTS:
            return getattr(self.wrappedProtocol, name)
        past_write = name in _OTHER_WAYS_TO_WRITE and type(self).write is not ProtocolWrapper.write
        if past_write or name.startswith("_") or self.transport is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.transport, name)

    def __repr__(self) -> str:
        return f"<{self.logPrefix()} over {self.transport!r}>"

    def logPrefix(self) -> str:
        """A short name for logs, of both protocols."""
        return _wrapped_prefix(self, self.wrappedProtocol)

    # --- as a transport

    @property
    def protocol(self) -> Any:
        """The wrapped protocol."""
        return self.wrappedProtocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self.wrappedProtocol = protocol

    @property
    def connected(self) -> Any:
        """Whether the connection stands; for a transport that does not tell, whether it was made."""
        return getattr(self.transport, "connected", self._was_connected)

    @connected.setter
    def connected(self, connected: Any) -> None:
        self._was_connected = connected

    @property
    def disconnecting(self) -> Any:
        """Whether an end was asked for."""
        return self._disconnecting or getattr(self.transport, "disconnecting", 0)

    @disconnecting.setter
    def disconnecting(self, disconnecting: Any) -> None:
        self._disconnecting = disconnecting

    def write(self, data: bytes) -> None:
        """As the transport's."""
        self.transport.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As the transport's."""
        self.transport.writeSequence(data)

    def loseConnection(self) -> None:
        """As the transport's."""
        self._disconnecting = 1
        self.transport.loseConnection()

    def getPeer(self) -> Any:
        """As the transport's."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """As the transport's."""
        return self.transport.getHost()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As the transport's."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """As the transport's."""
        self.transport.unregisterProducer()

    def stopConsuming(self) -> None:
        """As the transport's."""
        self.transport.stopConsuming()

    # --- as a protocol

    def makeConnection(self, transport: Any) -> None:
        """Take the transport, tell the factory, and be the transport of the wrapped protocol."""
        super().makeConnection(transport)
        self.factory.registerProtocol(self)
        # Not when it is built: only now there is an end to come, at which factories that count let go of it.
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        self.wrappedProtocol = check_protocol(wrapped, getattr(self.factory, "wrappedFactory", self.factory))
        self.wrappedProtocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        self.wrappedProtocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # The two hold each other.
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        try:
            self.factory.unregisterProtocol(self)
        finally:
            if wrapped is not None:
                wrapped.connectionLost(reason)


class WrappingFactory(ClientFactory):
    """A factory around ``wrappedFactory``: each protocol of that one gets a wrapper, made by ``protocol``.

    ``protocols`` has the wrappers whose connections stand, as its keys. Where the wrapped factory refuses a
    connection, so does this one.
    """

    protocol: Callable[..., Any] = ProtocolWrapper

    def __init__(self, wrappedFactory: Any) -> None:
        self.wrappedFactory = wrappedFactory
        self.protocols: dict[Any, int] = {}

    def logPrefix(self) -> str:
        """A short name for logs, of both factories."""
        return _wrapped_prefix(self, self.wrappedFactory)

    def doStart(self) -> None:
        self.wrappedFactory.doStart()
        super().doStart()

    def doStop(self) -> None:
        self.wrappedFactory.doStop()
        super().doStop()

    def startedConnecting(self, connector: Any) -> None:
        self.wrappedFactory.startedConnecting(connector)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.wrappedFactory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.wrappedFactory.clientConnectionLost(connector, reason)

    def buildProtocol(self, addr: Any) -> Any:
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.wrap(wrapped)

    def wrap(self, protocol: Any) -> Any:
        """The wrapper for `protocol`; factories whose wrappers take more than two arguments override it."""
        return self.protocol(self, protocol)

    def registerProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` stands; called by it."""
        self.protocols[p] = 1

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` has ended; called by it."""
        self.protocols.pop(p, None)
