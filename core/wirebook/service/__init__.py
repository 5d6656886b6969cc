"""Services: parts of a program that are started and stopped together, each with what it needs of the network."""

from wirebook.service.client import ClientService, backoffPolicy
from wirebook.service.server import StreamServerEndpointService
from wirebook.service.timer import TimerService
from wirebook.service.tree import MultiService, Service

__all__ = [
    "ClientService",
    "MultiService",
    "Service",
    "StreamServerEndpointService",
    "TimerService",
    "backoffPolicy",
]
