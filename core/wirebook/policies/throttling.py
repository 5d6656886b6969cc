"""How fast the connections of a factory may be, all together.

Once a second it is seen how much has passed. When that was too much, everything stands still for as long as the
excess would have taken: reading by pausing the transports, so that TCP slows the peers down, and writing by pausing
the producers. What a protocol writes of its own accord is counted, but cannot be held back.

Pausing has two causes here, the limit and whoever pauses anyway: the protocol its transport, the full transport its
producer. So each pause is held by its cause, and ends with the last one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IDelayedCall
from wirebook.logger import report_event, report_failure
from wirebook.policies.wrapping import ProtocolWrapper, WrappingFactory
from wirebook.protocol import connectionDone
from wirebook.turn import in_turn

# Seconds between two looks at how much has passed.
_PERIOD: Final = 1
# Who may hold a valve or the reading of a connection.
_LIMIT, _TRANSPORT, _PROTOCOL = "the limit", "the transport", "the protocol"


class _Valve:
    """A producer between a transport and the producer of its protocol: it is open while nobody holds it.

    A pull producer is asked here, once per round of the clock, because a transport would go on asking it.
    """

    def __init__(self, owner: ThrottlingProtocol, producer: Any, streaming: bool) -> None:
        self.producer = producer
        self._owner = owner
        self._streaming = streaming
        self._held: set[str] = set()
        self._call: IDelayedCall | None = None
        self._ask()

    def hold(self, cause: str) -> None:
        """Close it."""
        was_open = not self._held
        self._held.add(cause)
        if was_open and self._streaming:
            self._owner.attempt(self.producer.pauseProducing)

    def release(self, cause: str) -> None:
        """Open it, unless something else holds it too."""
        if cause not in self._held:
            return
        self._held.remove(cause)
        if self._held:
            return
        if self._streaming:
            self._owner.attempt(self.producer.resumeProducing)
        else:
            self._ask()

    def _ask(self) -> None:
        if self._call is None and not (self._streaming or self._held):
            self._call = self._owner.factory.callLater(0, self._pull)

    def _pull(self) -> None:
        self._call = None
        if not self._held:
            # First, so that a producer that finishes can take it back.
            self._ask()
            self._owner.attempt(self.producer.resumeProducing)

    def close(self) -> None:
        """It is of no more use."""
        self._held.add("the end")
        if self._call is not None and self._call.active():
            self._call.cancel()

    def pauseProducing(self) -> None:
        """The transport is full."""
        self.hold(_TRANSPORT)

    def resumeProducing(self) -> None:
        """The transport has room."""
        self.release(_TRANSPORT)

    def stopProducing(self) -> None:
        """The transport has ended."""
        self.close()
        self.producer.stopProducing()


class ThrottlingProtocol(ProtocolWrapper):
    """A connection of a `ThrottlingFactory`."""

    _valve: _Valve | None = None

    def __init__(self, factory: Any, wrappedProtocol: Any) -> None:
        super().__init__(factory, wrappedProtocol)
        self._read_holds: set[str] = set()

    def attempt(self, call: Callable[[], object]) -> None:
        """Make a call that came from no transport; what it raises ends this connection and no other."""
        try:
            call()
        except SystemExit:
            raise
        except BaseException:
            report_failure(Failure(), f"{call!r} raised; the connection of {self!r} is aborted")
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    # --- counting

    def write(self, data: bytes) -> None:
        self.factory.registerWritten(len(data))
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        pieces = list(data)
        self.factory.registerWritten(sum(map(len, pieces)))
        super().writeSequence(pieces)

    def dataReceived(self, data: bytes) -> None:
        self.factory.registerRead(len(data))
        super().dataReceived(data)

    # --- reading

    @in_turn
    def pauseProducing(self) -> None:
        """As the transport's."""
        self._hold_reading(_PROTOCOL)

    @in_turn
    def resumeProducing(self) -> None:
        """As the transport's, except that the limit may hold it still."""
        self._release_reading(_PROTOCOL)

    def throttleReads(self) -> None:
        """Receive nothing until `unthrottleReads`; called by the factory."""
        self._hold_reading(_LIMIT)

    def unthrottleReads(self) -> None:
        """Receive again, unless the protocol has paused; called by the factory."""
        if _LIMIT in self._read_holds:
            self._release_reading(_LIMIT)

    def _hold_reading(self, cause: str) -> None:
        self._read_holds.add(cause)
        self.transport.pauseProducing()

    def _release_reading(self, cause: str) -> None:
        self._read_holds.discard(cause)
        if not self._read_holds:
            self.transport.resumeProducing()

    # --- writing

    @property
    def producer(self) -> Any:
        """The producer that the limit holds back, None while there is none."""
        return None if self._valve is None else self._valve.producer

    @producer.setter
    def producer(self, producer: Any) -> None:
        self._valve = _Valve(self, producer, True)

    @in_turn
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As the transport's."""
        if self.factory.writeLimit is None:
            super().registerProducer(producer, streaming)
            return
        valve = _Valve(self, producer, streaming)
        try:
            super().registerProducer(valve, True)
        except BaseException:
            valve.close()
            raise
        self._valve = valve
        if self.factory.holds_writes:
            valve.hold(_LIMIT)

    @in_turn
    def unregisterProducer(self) -> None:
        """As the transport's."""
        self._close_valve()
        super().unregisterProducer()

    def throttleWrites(self) -> None:
        """Let the producer wait until `unthrottleWrites`; called by the factory."""
        if self._valve is not None:
            self._valve.hold(_LIMIT)

    def unthrottleWrites(self) -> None:
        """Let the producer go on, unless the transport is full; called by the factory."""
        if self._valve is not None:
            self._valve.release(_LIMIT)

    def _close_valve(self) -> None:
        valve, self._valve = self._valve, None
        if valve is not None:
            valve.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._close_valve()
        super().connectionLost(reason)


class ThrottlingFactory(WrappingFactory):
    """Lets its connections, all together, read and write only so many bytes per second, and limits their number.

    `readLimit` and `writeLimit` are in bytes per second (None: no limit); a connection more than
    `maxConnectionCount` is closed at once. Writing is held back where a producer is registered.
    ``connectionCount``, ``readThisSecond`` and ``writtenThisSecond`` tell how things are; ``holds_reads`` and
    ``holds_writes`` whether they stand still.
    """

    protocol: Callable[..., Any] = ThrottlingProtocol

    def __init__(
        self,
        wrappedFactory: Any,
        maxConnectionCount: int = sys.maxsize,
        readLimit: float | None = None,
        writeLimit: float | None = None,
    ) -> None:
        super().__init__(wrappedFactory)
        for name, limit in (("readLimit", readLimit), ("writeLimit", writeLimit)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} is {limit!r}: choose a number of bytes per second above 0, or None")
        self.maxConnectionCount = maxConnectionCount
        self.readLimit = readLimit
        self.writeLimit = writeLimit
        self.connectionCount = 0
        self.readThisSecond = 0
        self.writtenThisSecond = 0
        self.holds_reads = False
        self.holds_writes = False
        self.checkReadBandwidthID: IDelayedCall | None = None
        self.unthrottleReadsID: IDelayedCall | None = None
        self.checkWriteBandwidthID: IDelayedCall | None = None
        self.unthrottleWritesID: IDelayedCall | None = None

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """Schedule a call on the process's reactor. Override it for another clock."""
        return the_reactor().callLater(period, func)

    # --- the connections

    def buildProtocol(self, addr: Any) -> Any:
        if self.connectionCount >= self.maxConnectionCount:
            report_event(
                f"{self.logPrefix()} refuses a connection from {addr}: it has {self.connectionCount} of at most "
                f"{self.maxConnectionCount}",
                level=logging.INFO,
            )
            return None
        wrapper = super().buildProtocol(addr)
        if wrapper is not None:
            self.connectionCount += 1
            if self.connectionCount == 1:
                self._begin()
        return wrapper

    def registerProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` stands; called by it."""
        super().registerProtocol(p)
        if self.holds_reads:
            p.throttleReads()

    def unregisterProtocol(self, p: Any) -> None:
        """The connection of the wrapper `p` has ended; called by it."""
        super().unregisterProtocol(p)
        self.connectionCount -= 1
        if self.connectionCount == 0:
            self._end()

    def _begin(self) -> None:
        self.readThisSecond = self.writtenThisSecond = 0
        if self.readLimit is not None:
            self.checkReadBandwidthID = self.callLater(_PERIOD, self.checkReadBandwidth)
        if self.writeLimit is not None:
            self.checkWriteBandwidthID = self.callLater(_PERIOD, self.checkWriteBandwidth)

    def _end(self) -> None:
        self.holds_reads = self.holds_writes = False
        for name in ("checkReadBandwidthID", "unthrottleReadsID", "checkWriteBandwidthID", "unthrottleWritesID"):
            call = getattr(self, name)
            setattr(self, name, None)
            if call is not None and call.active():
                call.cancel()

    # --- reading

    @in_turn
    def registerRead(self, length: int) -> None:
        """So many bytes were received; called by the connections."""
        self.readThisSecond += length

    @in_turn
    def checkReadBandwidth(self) -> None:
        """See how much was received in the last second; called by the clock."""
        passed, self.readThisSecond = self.readThisSecond, 0
        if self.readLimit is not None and passed > self.readLimit:
            self.throttleReads()
            wait = passed / self.readLimit - 1
            self.unthrottleReadsID = self._after(wait, self.unthrottleReads, self.unthrottleReadsID)
        self.checkReadBandwidthID = self.callLater(_PERIOD, self.checkReadBandwidth)

    @in_turn
    def throttleReads(self) -> None:
        """Receive nothing on all connections until `unthrottleReads`. Any thread."""
        self._tell("throttling reads")
        self.holds_reads = True
        for connection in list(self.protocols):
            connection.attempt(connection.throttleReads)

    @in_turn
    def unthrottleReads(self) -> None:
        """Receive again on all connections. Any thread."""
        self._tell("no longer throttling reads")
        self.holds_reads = False
        self.unthrottleReadsID = None
        for connection in list(self.protocols):
            connection.attempt(connection.unthrottleReads)

    # --- writing

    @in_turn
    def registerWritten(self, length: int) -> None:
        """So many bytes were written; called by the connections."""
        self.writtenThisSecond += length

    @in_turn
    def checkWriteBandwidth(self) -> None:
        """See how much was written in the last second; called by the clock."""
        passed, self.writtenThisSecond = self.writtenThisSecond, 0
        if self.writeLimit is not None and passed > self.writeLimit:
            self.throttleWrites()
            wait = passed / self.writeLimit - 1
            self.unthrottleWritesID = self._after(wait, self.unthrottleWrites, self.unthrottleWritesID)
        self.checkWriteBandwidthID = self.callLater(_PERIOD, self.checkWriteBandwidth)

    @in_turn
    def throttleWrites(self) -> None:
        """Let the producers of all connections wait until `unthrottleWrites`. Any thread."""
        self._tell("throttling writes")
        self.holds_writes = True
        for connection in list(self.protocols):
            connection.attempt(connection.throttleWrites)

    @in_turn
    def unthrottleWrites(self) -> None:
        """Let the producers of all connections go on. Any thread."""
        self._tell("no longer throttling writes")
        self.holds_writes = False
        self.unthrottleWritesID = None
        for connection in list(self.protocols):
            connection.attempt(connection.unthrottleWrites)

    # --- both

    def _after(self, seconds: float, func: Callable[[], object], pending: IDelayedCall | None) -> IDelayedCall:
        """Call `func` so many seconds later than it would be called anyway."""
        if pending is not None and pending.active():
            pending.delay(seconds)
            return pending
        call: IDelayedCall = self.callLater(seconds, func)
        return call

    def _tell(self, what: str) -> None:
        report_event(f"{self.logPrefix()}: {what}", level=logging.INFO)
