"""Services: parts of a program that are started and stopped together, each with what it needs of the network."""

from wirebook.interfaces import IService, IServiceCollection
from wirebook.service.client import ClientService, backoffPolicy
from wirebook.service.cooperator import CooperatorService
from wirebook.service.server import StreamServerEndpointService
from wirebook.service.sockets import (
    MulticastServer,
    SSLClient,
    SSLServer,
    TCPClient,
    TCPServer,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from wirebook.service.timer import TimerService
from wirebook.service.tree import MultiService, Service

__all__ = [
    "ClientService",
    "CooperatorService",
    "IService",
    "IServiceCollection",
    "MultiService",
    "MulticastServer",
    "SSLClient",
    "SSLServer",
    "Service",
    "StreamServerEndpointService",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "UDPServer",
    "UNIXClient",
    "UNIXDatagramClient",
    "UNIXDatagramServer",
    "UNIXServer",
    "backoffPolicy",
]
