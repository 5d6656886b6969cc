"""Wirebook: an event-driven networking reactor for notebooks and programs.

``from wirebook import reactor, Deferred, Protocol, Factory`` is all that a first server needs.
"""

from typing import TYPE_CHECKING

from wirebook import faces
from wirebook.deferred import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    succeed,
)
from wirebook.failure import Failure
from wirebook.installed import install
from wirebook.logger import Logger
from wirebook.protocol import (
    ClientCreator,
    ClientFactory,
    DatagramProtocol,
    Factory,
    ProcessProtocol,
    Protocol,
    ServerFactory,
)
from wirebook.transports import Reactor

if TYPE_CHECKING:
    from wirebook.endpoints import (
        HostnameEndpoint,
        TCP4ClientEndpoint,
        TCP4ServerEndpoint,
        clientFromString,
        connectProtocol,
        serverFromString,
    )
    from wirebook.task import Clock, LoopingCall, deferLater
    from wirebook.threads import deferToThread
    from wirebook.trace import TurnTrace, tracing
    from wirebook.transports.conditions import Conditions, conditions
    from wirebook.transports.memory import memory_pair
else:
    # What a server or a kernel needs not at its start is loaded when it is first asked for.
    _LATER = {
        "wirebook.endpoints": (
            "HostnameEndpoint",
            "TCP4ClientEndpoint",
            "TCP4ServerEndpoint",
            "clientFromString",
            "connectProtocol",
            "serverFromString",
        ),
        "wirebook.task": ("Clock", "LoopingCall", "deferLater"),
        "wirebook.threads": ("deferToThread",),
        "wirebook.trace": ("TurnTrace", "tracing"),
        "wirebook.transports.conditions": ("Conditions", "conditions"),
        "wirebook.transports.memory": ("memory_pair",),
    }

    def __getattr__(name):
        """A name of `_LATER`, or one of its modules."""
        return faces.load(__name__, name, _LATER)

    def __dir__():
        """Everything that can be asked for, loaded or not."""
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

# The process's reactor. The name is also that of the package wirebook.reactor, which the imports above have
# loaded: from here on the attribute is the instance, and modules below it import the package by its full name.
reactor = Reactor()
install(reactor)

__all__ = [
    "AlreadyCalledError",
    "CancelledError",
    "ClientCreator",
    "ClientFactory",
    "Clock",
    "Conditions",
    "DatagramProtocol",
    "Deferred",
    "DeferredList",
    "Factory",
    "Failure",
    "HostnameEndpoint",
    "Logger",
    "LoopingCall",
    "ProcessProtocol",
    "Protocol",
    "Reactor",
    "ServerFactory",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TimeoutError",
    "TurnTrace",
    "clientFromString",
    "conditions",
    "connectProtocol",
    "deferLater",
    "deferToThread",
    "ensureDeferred",
    "fail",
    "gatherResults",
    "inlineCallbacks",
    "maybeDeferred",
    "memory_pair",
    "race",
    "reactor",
    "serverFromString",
    "succeed",
    "tracing",
]
