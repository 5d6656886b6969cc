"""For tests of what is built on Wirebook: transports and reactors that only record, virtual time, in-memory streams.

`StreamConformance` is for those who write a transport of their own.
"""

from wirebook.task import Clock
from wirebook.testing.conformance import StreamConformance
from wirebook.testing.lines import LineSendingProtocol
from wirebook.testing.observing import EventLoggingObserver
from wirebook.testing.reactors import (
    FakeConnector,
    FakePort,
    MemoryReactor,
    MemoryReactorClock,
    RaisingMemoryReactor,
    SynchronousResolver,
)
from wirebook.testing.transports import (
    AccumulatingProtocol,
    FakeDatagramTransport,
    NonStreamingProducer,
    StringIOWithoutClosing,
    StringTransport,
    StringTransportWithDisconnection,
    waitUntilAllDisconnected,
)
from wirebook.transports.memory import MemoryNetwork, memory_pair

# The names that tests written for Twisted use.
_FakeConnector = FakeConnector
_FakePort = FakePort

__all__ = [
    "AccumulatingProtocol",
    "Clock",
    "EventLoggingObserver",
    "FakeConnector",
    "FakeDatagramTransport",
    "FakePort",
    "LineSendingProtocol",
    "MemoryNetwork",
    "MemoryReactor",
    "MemoryReactorClock",
    "NonStreamingProducer",
    "RaisingMemoryReactor",
    "StreamConformance",
    "StringIOWithoutClosing",
    "StringTransport",
    "StringTransportWithDisconnection",
    "SynchronousResolver",
    "memory_pair",
    "waitUntilAllDisconnected",
]
