"""Transports: what carries a protocol's bytes, and the reactor that opens them."""

from wirebook.transports._state import WriteLimits
from wirebook.transports.connecting import Connector
from wirebook.transports.listening import Port
from wirebook.transports.multicast import MulticastPort
from wirebook.transports.reactor import Reactor
from wirebook.transports.stream import StreamTransport
from wirebook.transports.tcp import Client, Server
from wirebook.transports.udp import UDPPort
from wirebook.transports.unixdatagram import ConnectedUNIXDatagramPort, UNIXDatagramPort

__all__ = [
    "Client",
    "ConnectedUNIXDatagramPort",
    "Connector",
    "MulticastPort",
    "Port",
    "Reactor",
    "Server",
    "StreamTransport",
    "UDPPort",
    "UNIXDatagramPort",
    "WriteLimits",
]
