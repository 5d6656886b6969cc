"""What client endpoints share: one attempt, which ends in a Deferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wirebook.deferred import Deferred
from wirebook.installed import the_reactor
from wirebook.interfaces import IHostnameResolver, IProtocolFactory, IStreamClientEndpoint
from wirebook.protocol import Factory, OneConnection
from wirebook.turn import turn


def connect_once(protocolFactory: IProtocolFactory, connect: Callable[[Any], object]) -> Deferred[Any]:
    """Call `connect` with a client factory. Fires with the protocol, or fails as the attempt does."""
    factory = OneConnection(protocolFactory)
    with turn:
        try:
            connect(factory)
        except Exception:
            if not factory.connected.called:
                factory.connected.errback()
    return factory.connected


def name_resolver(reactor: Any) -> IHostnameResolver:
    """The resolver of `reactor`; of the process's reactor when it has none."""
    resolver: IHostnameResolver = getattr(reactor, "nameResolver", None) or the_reactor().nameResolver
    return resolver


def connectProtocol(endpoint: IStreamClientEndpoint, protocol: Any) -> Deferred[Any]:
    """Connect this one protocol object to `endpoint`. Fires with it once it is connected. Any thread.

    Raises `TypeError` for a protocol class.
    """
    if isinstance(protocol, type):
        raise TypeError(f"connectProtocol() takes a protocol object: {protocol.__name__}(), not the class")
    return endpoint.connect(_Holder(protocol))


class _Holder(Factory):
    """A factory for a protocol that exists already."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self._protocol
