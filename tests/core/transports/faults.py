"""Sockets whose n-th call fails: for tests that let every call of a transport's life fail once, with every errno."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

from wirebook.reactor.sockets import Sockets
from wirebook.transports.reactor import Reactor

ERRORS = (
    errno.EAGAIN,
    errno.EINTR,
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENOBUFS,
    errno.ECONNRESET,
    errno.EMFILE,
)


class Fault:
    """The call with the number `at` (from 0) fails with `error`; None counts only."""

    def __init__(self, at: int | None = None, error: int = 0) -> None:
        self.at = at
        self.error = error
        self.calls: list[str] = []

    def check(self, name: str) -> int:
        """Note a call; the errno with which it fails, or 0."""
        self.calls.append(name)
        return self.error if len(self.calls) - 1 == self.at else 0

    def meet(self, name: str) -> None:
        """Note a call, and fail if it is the one."""
        if error := self.check(name):
            raise OSError(error, f"injected {errno.errorcode[error]} in {name}")


class Faulty(Sockets):
    """Makes sockets whose calls all ask `fault` first."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(_kind(fault))


def _kind(fault: Fault) -> type[socket.socket]:
    def failing(name: str) -> Callable[..., Any]:
        real = getattr(socket.socket, name)

        def call(self: socket.socket, *args: Any, **kwargs: Any) -> Any:
            fault.meet(name)
            return real(self, *args, **kwargs)

        return call

    def make(self: socket.socket, *args: Any, **kwargs: Any) -> None:
        fault.meet("socket")
        socket.socket.__init__(self, *args, **kwargs)

    def connect_ex(self: socket.socket, address: Any) -> int:
        return fault.check("connect_ex") or socket.socket.connect_ex(self, address)

    names = ("bind", "listen", "_accept", "recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg",
             "setsockopt", "getsockopt", "getsockname", "shutdown", "setblocking")  # fmt: skip
    members = {"__init__": make, "connect_ex": connect_ex, "__slots__": ()}
    return type("FaultySocket", (socket.socket,), members | {name: failing(name) for name in names})


def descriptors() -> set[str]:
    """What this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name}: {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found


@contextmanager
def faulty_reactor(fault: Fault) -> Iterator[Reactor]:
    """A reactor of this thread's whose sockets meet `fault`; nothing may be open at the end, not even a timer."""
    before = descriptors()
    reactor = Reactor()
    reactor.sockets = Faulty(fault)
    try:
        yield reactor
        left = [repr(handle) for handle in reactor.handles]
        assert not left, f"after {fault.calls[-3:]} there were left: {left}"
    finally:
        for handle in list(reactor.handles):
            handle.closeHandle(abort=True)
        for _ in range(5):
            reactor.iterate(0)
        reactor.close()
    assert descriptors() == before, f"descriptors left after {fault.calls[-3:]}"


def run_with_every_fault(run: Callable[[Fault], None], forget_reports: Callable[[], object]) -> None:
    """First `run` without a fault, to count the calls; then with one fault for each call and each error."""
    counting = Fault()
    run(counting)
    for at, error in product(range(len(counting.calls)), ERRORS):
        fault = Fault(at, error)
        try:
            run(fault)
        except BaseException as found:
            name = fault.calls[at] if at < len(fault.calls) else "never"
            found.add_note(f"{errno.errorcode[error]} in call {at} ({name}); calls: {', '.join(fault.calls)}")
            raise
        forget_reports()
