"""Endpoints: where to listen or connect, apart from what is spoken there. Deferreds say how it went."""

from wirebook.endpoints.connecting import connectProtocol
from wirebook.endpoints.description import EndpointArgumentError, EndpointStringError, quoteStringArgument
from wirebook.endpoints.hostname import HostnameEndpoint
from wirebook.endpoints.processes import ProcessEndpoint, StandardErrorBehavior, StandardIOEndpoint
from wirebook.endpoints.strings import clientFromString, serverFromString
from wirebook.endpoints.systemd import AdoptedStreamServerEndpoint, ListenFDs
from wirebook.endpoints.tcp import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ClientEndpoint, TCP6ServerEndpoint
from wirebook.endpoints.tls import SSL4ClientEndpoint, SSL4ServerEndpoint, wrapClientTLS, wrapServerTLS
from wirebook.endpoints.unix import UNIXClientEndpoint, UNIXServerEndpoint
from wirebook.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from wirebook.transports.memory import MemoryClientEndpoint, MemoryServerEndpoint

__all__ = [
    "AdoptedStreamServerEndpoint",
    "EndpointArgumentError",
    "EndpointStringError",
    "HostnameEndpoint",
    "IStreamClientEndpoint",
    "IStreamServerEndpoint",
    "ListenFDs",
    "MemoryClientEndpoint",
    "MemoryServerEndpoint",
    "ProcessEndpoint",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "StandardErrorBehavior",
    "StandardIOEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
    "UNIXClientEndpoint",
    "UNIXServerEndpoint",
    "clientFromString",
    "connectProtocol",
    "quoteStringArgument",
    "serverFromString",
    "wrapClientTLS",
    "wrapServerTLS",
]
