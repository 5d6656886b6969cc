"""Wirebook: an event-driven networking reactor for notebooks and programs.

``from wirebook import reactor, Deferred, Protocol, Factory`` is all that a first server needs.
"""

from wirebook.deferred import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    TimeoutError,
    ensureDeferred,
    fail,
    maybeDeferred,
    succeed,
)
from wirebook.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from wirebook.failure import Failure
from wirebook.installed import install
from wirebook.protocol import ClientCreator, ClientFactory, Factory, Protocol, ServerFactory
from wirebook.transports import Reactor

# The process's reactor. The name is also that of the package wirebook.reactor, which the imports above have
# loaded: from here on the attribute is the instance, and modules below it import the package by its full name.
reactor = Reactor()
install(reactor)

__all__ = [
    "AlreadyCalledError",
    "CancelledError",
    "ClientCreator",
    "ClientFactory",
    "Deferred",
    "Factory",
    "Failure",
    "Protocol",
    "Reactor",
    "ServerFactory",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TimeoutError",
    "connectProtocol",
    "ensureDeferred",
    "fail",
    "maybeDeferred",
    "reactor",
    "succeed",
]
