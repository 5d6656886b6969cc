"""Descriptors from elsewhere: a socket that listens already, such as those that systemd hands to a service.

The protocol is that of sd_listen_fds(3): LISTEN_PID says for which process the descriptors are meant, LISTEN_FDS how
many there are, from 3 on, and LISTEN_FDNAMES what they are called.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Any

from wirebook.deferred import Deferred, execute, fail
from wirebook.error import AlreadyListened
from wirebook.interfaces import IProtocolFactory
from wirebook.turn import in_turn

FIRST_DESCRIPTOR = 3


class AdoptedStreamServerEndpoint:
    """The listening stream socket with the descriptor `fileno`, of the family `addressFamily`. It can be used once.

    The descriptor belongs to this endpoint: it is closed when the port has its own.
    """

    def __init__(self, reactor: Any, fileno: int, addressFamily: int) -> None:
        self.reactor = reactor
        self.fileno = fileno
        self.addressFamily = addressFamily
        self._used = False

    @in_turn
    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Serve it. Fires with the port; fails with what ``adoptStreamPort`` raises, or `AlreadyListened`."""
        if self._used:
            return fail(AlreadyListened())
        self._used = True
        return execute(self._adopt, protocolFactory)

    def _adopt(self, factory: IProtocolFactory) -> Any:
        os.set_blocking(self.fileno, False)
        port = self.reactor.adoptStreamPort(self.fileno, self.addressFamily, factory)
        os.close(self.fileno)
        return port


def family_of_descriptor(descriptor: int) -> int:
    """The address family of a socket. Raises OSError when `descriptor` is none."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.family


class ListenFDs:
    """The descriptors that this process has inherited, and what they are called."""

    def __init__(self, descriptors: Sequence[int], names: Sequence[str] = ()) -> None:
        self._descriptors = list(descriptors)
        self._names = list(names)

    @classmethod
    def fromEnvironment(cls, environ: MutableMapping[str, str] | None = None, start: int | None = None) -> ListenFDs:
        """What `environ` (default: the process's) says; the first descriptor is `start` (default: 3).

        The variables are removed, so that neither a child process nor a second call takes them for its own. None are
        found when they are meant for another process, or contradict each other.
        """
        environ = os.environ if environ is None else environ
        start = FIRST_DESCRIPTOR if start is None else start
        if environ.get("LISTEN_PID") != str(os.getpid()):
            return cls([])
        count = environ.get("LISTEN_FDS", "")
        if not count.isdecimal():
            return cls([])
        names = environ.pop("LISTEN_FDNAMES", None)
        del environ["LISTEN_PID"], environ["LISTEN_FDS"]
        descriptors = range(start, start + int(count))
        found = [] if names is None else names.split(":")
        return cls(descriptors, found) if len(found) == len(descriptors) else cls([])

    def inheritedDescriptors(self) -> list[int]:
        """The descriptors, in the order in which they were handed over."""
        return [*self._descriptors]

    def inheritedNamedDescriptors(self) -> dict[str, int]:
        """The descriptors by name; the last one where several have the same."""
        return dict(zip(self._names, self._descriptors, strict=False))
