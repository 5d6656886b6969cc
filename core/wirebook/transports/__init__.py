"""Transports: what carries a protocol's bytes, and the reactor that opens them."""

from wirebook.transports.reactor import Reactor
from wirebook.transports.stream import StreamTransport
from wirebook.transports.tcp import Client, Connector, Port, Server

__all__ = ["Client", "Connector", "Port", "Reactor", "Server", "StreamTransport"]
