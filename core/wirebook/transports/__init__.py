"""Transports: what carries a protocol's bytes, and the reactor that opens them."""

from wirebook.transports._state import WriteLimits
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.transports.reactor import Reactor
from wirebook.transports.stream import StreamTransport
from wirebook.transports.tcp import Client, Server

__all__ = ["Client", "Connector", "Port", "Reactor", "Server", "StreamTransport", "WriteLimits"]
