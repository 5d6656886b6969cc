"""Child processes: what ``reactor.spawnProcess`` returns and what its protocols are told."""

from wirebook.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from wirebook.protocol import ProcessProtocol
from wirebook.transports.process import Process, ProcessAddress, PTYProcess

__all__ = [
    "PTYProcess",
    "Process",
    "ProcessAddress",
    "ProcessDone",
    "ProcessExitedAlready",
    "ProcessProtocol",
    "ProcessTerminated",
]
