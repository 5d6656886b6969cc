"""Policies: protocols around protocols, and factories around factories, that limit, throttle, time out and log.

Each wraps any factory, for servers and clients alike: ``reactor.listenTCP(8007, TimeoutFactory(factory, 60))``.
"""

from wirebook.policies.limiting import LimitConnectionsByPeer, LimitTotalConnectionsFactory
from wirebook.policies.throttling import ThrottlingFactory, ThrottlingProtocol
from wirebook.policies.timing_out import TimeoutFactory, TimeoutMixin, TimeoutProtocol
from wirebook.policies.traffic import SpewingFactory, SpewingProtocol, TrafficLoggingFactory, TrafficLoggingProtocol
from wirebook.policies.wrapping import ProtocolWrapper, WrappingFactory

__all__ = [
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "ProtocolWrapper",
    "SpewingFactory",
    "SpewingProtocol",
    "ThrottlingFactory",
    "ThrottlingProtocol",
    "TimeoutFactory",
    "TimeoutMixin",
    "TimeoutProtocol",
    "TrafficLoggingFactory",
    "TrafficLoggingProtocol",
    "WrappingFactory",
]
