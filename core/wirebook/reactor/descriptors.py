"""Which object a descriptor's events go to.

The run loop knows one object per descriptor, with doRead, doWrite and hungUp. Our transports are such
objects; foreign readers and writers (``addReader``, ``addWriter``), which may be two objects for one
descriptor, share one `Watched`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Protocol

from wirebook.error import ConnectionDone, ConnectionFdescWentAway, ConnectionLost
from wirebook.failure import Failure
from wirebook.interfaces import IHalfCloseableDescriptor
from wirebook.logger import report_failure
from wirebook.reactor.poller import READ, WRITE, Poller
from wirebook.turn import in_turn


class Descriptor(Protocol):
    """What the run loop dispatches to."""

    def doRead(self) -> object:
        """The descriptor is readable."""

    def doWrite(self) -> object:
        """The descriptor is writable."""

    def hungUp(self) -> object:
        """The peer is gone while nothing was asked for: take the descriptor out, or epoll spins."""


class Watched:
    """The foreign reader and writer of one descriptor; their methods run in the context in which it was made."""

    __slots__ = ("_drop", "context", "reader", "writer")

    def __init__(self, drop: Callable[[Any, str], None]) -> None:
        self._drop = drop
        self.context = copy_context()
        self.reader: Any = None
        self.writer: Any = None

    @property
    def mask(self) -> int:
        """What the two ask for."""
        return (READ if self.reader is not None else 0) | (WRITE if self.writer is not None else 0)

    def doRead(self) -> None:
        if self.reader is not None:
            self._call(self.reader, "doRead")

    def doWrite(self) -> None:
        if self.writer is not None:
            self._call(self.writer, "doWrite")

    def hungUp(self) -> None:
        for party in {self.reader, self.writer} - {None}:
            self._end(party, ConnectionLost())

    def _call(self, party: Any, method: str) -> None:
        try:
            why = self.context.copy().run(getattr(party, method))
            if why is None and (party is self.reader or party is self.writer) and party.fileno() < 0:
                why = ConnectionFdescWentAway()
        except Exception as error:
            what = f"{method}() of {party!r} raised; it is removed from the reactor"
            report_failure(Failure(), what, self.context)
            why = error
        if why is None:
            return
        if method == "doRead" and isinstance(why, ConnectionDone) and isinstance(party, IHalfCloseableDescriptor):
            self._drop(party, "reader")
            self.context.copy().run(party.readConnectionLost, Failure(why))
        else:
            self._end(party, why)

    def _end(self, party: Any, why: BaseException) -> None:
        self._drop(party, "reader")
        self._drop(party, "writer")
        self.context.copy().run(party.connectionLost, Failure(why))


class DescriptorSet:
    """The descriptors that a poller watches, and who is told."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self._descriptors: dict[int, Descriptor] = {}

    def wake(self) -> None:
        """End the wait in the poller; the reactor overrides it."""
        raise NotImplementedError

    def watch(self, fd: int, descriptor: Descriptor, mask: int) -> None:
        """Dispatch `fd` to `descriptor`; for transports, in the turn."""
        self.poller.add(fd, mask)
        self._descriptors[fd] = descriptor
        if self.poller.needs_wake:
            self.wake()

    def rewatch(self, fd: int, mask: int) -> None:
        """Change what `fd` is watched for."""
        self.poller.change(fd, mask)
        if self.poller.needs_wake:
            self.wake()

    def unwatch(self, fd: int) -> None:
        """Forget `fd`, which must still be open."""
        del self._descriptors[fd]
        # First, for the poller may keep `fd` as long as it waits.
        if self.poller.needs_wake:
            self.wake()
        self.poller.remove(fd)

    @in_turn
    def addReader(self, reader: Any) -> None:
        """Call ``reader.doRead()`` whenever its ``fileno()`` is readable."""
        self._set_party(reader.fileno(), "reader", reader)

    @in_turn
    def addWriter(self, writer: Any) -> None:
        """Call ``writer.doWrite()`` whenever its ``fileno()`` is writable."""
        self._set_party(writer.fileno(), "writer", writer)

    @in_turn
    def removeReader(self, reader: Any) -> None:
        """Undo `addReader`; harmless when it is not there."""
        self._drop_party(reader, "reader")

    @in_turn
    def removeWriter(self, writer: Any) -> None:
        """Undo `addWriter`; harmless when it is not there."""
        self._drop_party(writer, "writer")

    @in_turn
    def getReaders(self) -> list[Any]:
        """What is watched for something to read: what was added with `addReader`, ports and connections."""
        return self._watched_for(READ, "reader")

    @in_turn
    def getWriters(self) -> list[Any]:
        """What is watched for room to write: what was added with `addWriter`, and connections."""
        return self._watched_for(WRITE, "writer")

    def _watched_for(self, event: int, role: str) -> list[Any]:
        # What belongs to the reactor itself has no mask.
        watched = (found for found in self._descriptors.values() if getattr(found, "mask", 0) & event)
        return [getattr(found, role, found) for found in watched]

    @in_turn
    def removeAll(self) -> list[Any]:
        """Undo every `addReader` and `addWriter`; returns what was there. Ports and connections stay."""
        both = (party for watched in self._watched() for party in (watched.reader, watched.writer))
        parties = [party for party in dict.fromkeys(both) if party is not None]
        for party in parties:
            self._drop_party(party, "reader")
            self._drop_party(party, "writer")
        return parties

    def _disconnect_parties(self) -> None:
        """Tell every reader and writer that it is over."""
        for watched in self._watched():
            watched.hungUp()

    def _watched(self) -> list[Watched]:
        return [found for found in self._descriptors.values() if isinstance(found, Watched)]

    def _set_party(self, fd: int, role: str, party: Any) -> None:
        if fd < 0:
            raise ValueError(f"{party!r} has no open descriptor: its fileno() returned {fd}")
        watched = self._descriptors.get(fd)
        if watched is None:
            watched = Watched(self._drop_party)
            setattr(watched, role, party)
            self.watch(fd, watched, watched.mask)
        elif isinstance(watched, Watched):
            setattr(watched, role, party)
            self.rewatch(fd, watched.mask)
        else:
            raise ValueError(f"descriptor {fd} belongs to {watched!r} already")

    def _drop_party(self, party: Any, role: str) -> None:
        # By identity, not by fileno(): the party may have closed its descriptor already.
        for fd, watched in list(self._descriptors.items()):
            if isinstance(watched, Watched) and getattr(watched, role) is party:
                setattr(watched, role, None)
                # A closed descriptor has left the poller by itself.
                with suppress(OSError):
                    if watched.mask:
                        self.rewatch(fd, watched.mask)
                    else:
                        self.unwatch(fd)
