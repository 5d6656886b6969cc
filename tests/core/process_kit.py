"""What the tests of processes share: a protocol that remembers, ways to run a program, and what must not be left."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from typing import Any

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE
from wirebook.error import ProcessDone, ProcessTerminated
from wirebook.failure import Failure
from wirebook.protocol import ProcessProtocol
from wirebook.transports.reactor import Reactor


class Watcher(ProcessProtocol):
    """Remembers what happened to its process."""

    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.data: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.reasons: list[Any] = []
        self.exited = threading.Event()
        self.ended = threading.Event()

    def connectionMade(self) -> None:
        self.events.append("made")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        assert "ended" not in self.events
        self.data[childFD] += data
        super().childDataReceived(childFD, data)

    def childConnectionLost(self, childFD: int) -> None:
        self.events.append(childFD)
        super().childConnectionLost(childFD)

    def processExited(self, reason: Failure) -> None:
        self.events.append("exited")
        self.reasons.append(reason)
        self.exited.set()

    def processEnded(self, reason: Failure) -> None:
        self.events.append("ended")
        self.reasons.append(reason)
        self.ended.set()

    def has(self, data: bytes, descriptor: int = 1) -> bool:
        """Wait until the process has written `data`; whether it has."""
        return eventually(lambda: data in self.data[descriptor], PATIENCE)

    def end(self) -> ProcessDone | ProcessTerminated:
        """Wait for the end; the reason."""
        assert self.ended.wait(PATIENCE), f"{self.transport!r} has not ended; so far {self.events}"
        assert self.events[0] == "made"
        assert (self.events.count("exited"), self.events.count("ended")) == (1, 1)
        assert self.events[-1] == "ended"
        reason: ProcessDone | ProcessTerminated = self.reasons[-1].value
        return reason


def run(reactor: Reactor, *words: Any, **how: Any) -> Watcher:
    """Start a program, found in our PATH and with our environment unless `how` says otherwise."""
    watcher = Watcher()
    reactor.spawnProcess(watcher, words[0], words, **{"env": None, **how})
    return watcher


def shell(reactor: Reactor, script: str, **how: Any) -> Watcher:
    """Run a script of the shell."""
    return run(reactor, "sh", "-c", script, **how)


def output_of(reactor: Reactor, *words: Any, **how: Any) -> bytes:
    """Run a program to its end; what it has written. It must not fail."""
    watcher = run(reactor, *words, **how)
    reason = watcher.end()
    assert isinstance(reason, ProcessDone), (reason, bytes(watcher.data[2]))
    return bytes(watcher.data[1])


def children() -> set[int]:
    """The processes, zombies included, whose parent this one is."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == os.getpid():
                found.add(int(name))
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
