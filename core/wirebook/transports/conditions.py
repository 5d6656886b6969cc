"""Networks as they are: slow, narrow, uneven, broken off; on any transport, the same every time.

`conditions` puts a short piece of simulated network between a protocol and its real transport::

    protocol  <->  ConditionedTransport  <->  two links  <->  Relay  <->  the real transport

The protocol's own transport is a stream over a memory channel, so producers, half-close, the backlog limit and the end
are those of every stream. The relay is the real transport's protocol. Between them each direction has a `Link`:
a queue whose bytes arrive when its `Conditions` let them. A full link stops whoever fills it: incoming, the real
transport is paused; outgoing, the memory channel fills up, and so in the end the protocol's producer is paused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeVar, Unpack, cast

from wirebook.deferred import Deferred
from wirebook.error import ConnectionLost
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IReactorTime
from wirebook.protocol import Protocol, build_protocol, connectionDone
from wirebook.transports._channel import CAPACITY, MemoryChannel, channel_pair
from wirebook.transports._link import Conditions as Conditions
from wirebook.transports._link import Fields, Link
from wirebook.transports.memory import MemoryNetwork, MemoryTransport

T = TypeVar("T")

# --- between the protocol and the real transport ---------------------------------------------------------


class _Outgoing(Link):
    """From the protocol to the real transport."""

    def __init__(self, relay: Relay, *how: Any) -> None:
        super().__init__(*how)
        self._relay = relay

    def deliver(self, data: bytes) -> int:
        return self._relay.write(data)

    def moved(self) -> None:
        self._relay.pull()

    def half_close(self) -> None:
        self._relay.half_close_beneath()

    def reset(self) -> None:
        self._relay.reset(self._passed)


class _Incoming(Link):
    """From the real transport to the protocol."""

    def __init__(self, relay: Relay, *how: Any) -> None:
        super().__init__(*how)
        self._relay = relay

    def deliver(self, data: bytes) -> int:
        try:
            return self._relay.channel.send(data)
        except BlockingIOError:
            return 0

    def moved(self) -> None:
        self._relay.keep_pace()

    def half_close(self) -> None:
        self._relay.channel.finish()

    def reset(self) -> None:
        self._relay.reset(self._passed)


class ConditionedTransport(MemoryTransport):
    """What a protocol under `conditions` writes to; ``beneath`` is the real transport.

    What only the real one can do (``getTcpNoDelay``, say) is passed on to it.
    """

    __slots__ = ("beneath", "transportName")
    port = None

    def __init__(self, reactor: Any, channel: MemoryChannel, beneath: Any) -> None:
        self.beneath = beneath
        name = getattr(beneath, "transportName", None) or type(beneath).__name__
        self.transportName = f"{name} under conditions"
        super().__init__(reactor, channel, None, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "beneath":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.beneath, name)

    @property
    def role(self) -> str:  # type: ignore[override]
        """The real transport's."""
        return getattr(self.beneath, "role", "")

    def getHost(self) -> Any:
        """The address of this end."""
        return self.beneath.getHost()

    def getPeer(self) -> Any:
        """The address of the other end."""
        return self.beneath.getPeer()

    def beneath_ended(self, reason: Failure) -> None:
        """The real transport has ended, and all that had come before is in our channel."""
        if self.disconnected:
            return
        if self._read_closed:
            self._end(reason)
        else:
            self._reason = reason
            self._below.peer.close()


class Relay(Protocol):
    """The real transport's protocol: passes bytes and ends on, through a link in each direction.

    ``protocol`` is the one that the program wrote, ``held`` whether the real transport wants no more for now.
    """

    transport: Any
    channel: MemoryChannel
    stream: ConditionedTransport

    def __init__(self, protocol: Any, setting: Setting) -> None:
        self.protocol = protocol
        self.held = False
        self._setting = setting
        self._number = setting.next_number()
        self._reading = True
        self._half_closing = False
        self._closing = False

    def makeConnection(self, transport: Any) -> None:
        """Take the real transport; the protocol gets one that is under conditions."""
        super().makeConnection(transport)
        stage = _stage(transport, self._setting.clock)
        theirs, self.channel = channel_pair()
        self._open_links(stage, theirs)
        self.channel.changed = self.pull
        self.stream = ConditionedTransport(stage, theirs, transport)
        self.stream.begin(self.protocol)
        # They may begin with an end.
        self.outgoing.go()
        self.incoming.go()

    def _open_links(self, stage: Any, theirs: MemoryChannel) -> None:
        setting, clock = self._setting, self._setting.clock or stage
        self.outgoing = _Outgoing(self, setting.outgoing, setting.dice(self._number, "outgoing"), clock)
        self.incoming = _Incoming(self, setting.incoming, setting.dice(self._number, "incoming"), clock)
        theirs.largest = setting.incoming.fragment or CAPACITY

    @property
    def stands_for(self) -> Any:
        """The program's own protocol, which is what an endpoint announces."""
        return getattr(self.protocol, "stands_for", self.protocol)

    def handshakeCompleted(self) -> None:
        """TLS beneath is ready: the protocol hears of it."""
        completed = getattr(self.protocol, "handshakeCompleted", None)
        if completed is not None:
            completed()

    # --- outgoing

    def pull(self) -> None:
        """Something happened at the protocol's end: it wrote, read, or ended."""
        if self.channel.was_reset:
            self._stop()
            self._detach("abortConnection")
            return
        while not self.outgoing.full:
            try:
                data = self.channel.recv(CAPACITY)
            except BlockingIOError:
                break
            if not data:
                self._protocol_finished()
                break
            self.outgoing.put(data)
        self.incoming.go()

    def _protocol_finished(self) -> None:
        if self.channel.peer.closed:
            if not self._closing:
                self._closing = True
                self.incoming.stop()
                self.outgoing.finish(partial(self._detach, "loseConnection"))
        elif not self._half_closing:
            self._half_closing = True
            self.outgoing.finish(self.half_close_beneath)

    def half_close_beneath(self) -> None:
        """End the outgoing direction, where the real transport can."""
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if half_close is not None:
            half_close()

    def _detach(self, ending: str) -> None:
        if self.connected:
            self.connected = 0
            if self.held:
                self.transport.unregisterProducer()
            getattr(self.transport, ending, self.transport.loseConnection)()

    def write(self, data: bytes) -> int:
        """Write to the real transport, unless it wants no more for now; how many bytes it took."""
        if self.held:
            return 0
        # Only for this moment: an end that the real transport is asked for would wait for its producer.
        self.transport.registerProducer(self, True)
        self.transport.write(data)
        if not self.held:
            self.transport.unregisterProducer()
        return len(data)

    def pauseProducing(self) -> None:
        """The real transport wants no more for now."""
        self.held = True

    def resumeProducing(self) -> None:
        """The real transport has room again."""
        self.held = False
        self.transport.unregisterProducer()
        self.outgoing.go()

    def stopProducing(self) -> None:
        """The real transport wants no more: `connectionLost` follows."""

    # --- incoming

    def dataReceived(self, data: bytes) -> None:
        self.incoming.put(data)
        self.keep_pace()

    def keep_pace(self) -> None:
        """Read from the real transport as fast as the link lets through."""
        if not self.connected:
            return
        if self._reading and self.incoming.full:
            self._reading = False
            self.transport.pauseProducing()
        elif not self._reading and self.incoming.roomy:
            self._reading = True
            self.transport.resumeProducing()

    def readConnectionLost(self) -> None:
        """The peer sends nothing more."""
        self.incoming.finish(self.channel.finish)

    def writeConnectionLost(self) -> None:
        """Only what the protocol asked for: it was told already."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self.outgoing.stop()
        self.incoming.finish(partial(self.stream.beneath_ended, reason))

    # --- both

    def reset(self, after: int) -> None:
        """The conditions break the connection."""
        self._stop()
        self._detach("abortConnection")
        reason = f"the connection was lost: its conditions reset it after {after} bytes"
        self.stream.beneath_ended(Failure(ConnectionLost(reason)))

    def _stop(self) -> None:
        self.incoming.stop()
        self.outgoing.stop()


def _stage(transport: Any, clock: IReactorTime | None) -> Any:
    """What serves the memory channel: the real transport's reactor, where it has one."""
    stage = getattr(transport, "reactor", None) or clock or the_reactor()
    return stage if hasattr(stage, "call_soon") else MemoryNetwork(stage)


# --- the wrapper -----------------------------------------------------------------------------------------


class Setting:
    """What all connections of one `conditions` share."""

    def __init__(self, incoming: Conditions, outgoing: Conditions, seed: int | str, clock: IReactorTime | None) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.clock = clock
        self._seed = seed
        self.next_number = count(1).__next__

    def dice(self, number: int, direction: str) -> Random:
        """The same numbers in every run, and others for every connection and direction."""
        return Random(f"{self._seed}/{number}/{direction}")

    def apply(self, target: Any) -> Any:
        """`target` under these conditions."""
        if not isinstance(target, type):
            for method, wrapper in _WRAPPERS.items():
                if callable(getattr(target, method, None)):
                    return wrapper(target, self)
        raise TypeError(f"conditions() takes a factory, an endpoint or a protocol object, not {target!r}")


class _Wrapper:
    """Stands for `wrapped`, and passes on what it does not do itself."""

    def __init__(self, wrapped: Any, setting: Setting) -> None:
        self.wrapped = wrapped
        self._setting = setting

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "wrapped":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.wrapped, name)

    def __repr__(self) -> str:
        return f"<{self.wrapped!r} under conditions>"


class ConditionedFactory(_Wrapper):
    """A factory whose connections are under conditions."""

    def buildProtocol(self, addr: Any) -> Any:
        """As `wrapped` does, under conditions."""
        protocol = build_protocol(self.wrapped, addr)
        return None if protocol is None else Relay(protocol, self._setting)


class ConditionedServerEndpoint(_Wrapper):
    """An endpoint that serves connections under conditions."""

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """As `wrapped` does, under conditions."""
        listening: Deferred[Any] = self.wrapped.listen(ConditionedFactory(protocolFactory, self._setting))
        return listening


class ConditionedClientEndpoint(_Wrapper):
    """An endpoint that makes connections under conditions."""

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """As `wrapped` does, under conditions."""
        connected: Deferred[Any] = self.wrapped.connect(ConditionedFactory(protocolFactory, self._setting))
        return connected.addCallback(lambda protocol: getattr(protocol, "stands_for", protocol))


_WRAPPERS: dict[str, Callable[[Any, Setting], Any]] = {
    "buildProtocol": ConditionedFactory,
    "connect": ConditionedClientEndpoint,
    "listen": ConditionedServerEndpoint,
    "makeConnection": Relay,
}


def conditions(
    target: T,
    *,
    incoming: Conditions | None = None,
    outgoing: Conditions | None = None,
    seed: int | str = 0,
    clock: IReactorTime | None = None,
    **both: Unpack[Fields],
) -> T:
    """Put what `target` connects under these network conditions; use the result in its place.

    `target` is a factory (for ``listenTCP``, ``connectTCP``, ...), a server or client endpoint, or a protocol object.
    The further arguments are those of `Conditions`, for both directions; `incoming` and `outgoing` stand for one.
    `seed` makes jitter the same in every run; each connection and direction has its own. `clock` is the time that
    passes, by default that of the transport's reactor.

    Small pieces are sure to arrive as such where they are incoming; outgoing ones are written as such, and what is
    beneath may join them. `TypeError` and `ValueError` name what is wrong.
    """
    unknown = both.keys() - Conditions.__slots__
    if unknown:
        raise TypeError(f"there is no condition {min(unknown)!r}: choose from {', '.join(Conditions.__slots__)}")
    for name, one in (("incoming", incoming), ("outgoing", outgoing)):
        if not isinstance(one, Conditions | None):
            raise TypeError(f"{name} is {one!r}, and should be a Conditions(...), or None for what holds for both")
    if clock is not None and not hasattr(clock, "callLater"):
        raise TypeError(f"a clock has callLater(), as a reactor or a Clock() has; {clock!r} has not")
    shape = Conditions(**both)
    setting = Setting(incoming or shape, outgoing or shape, seed, clock)
    return cast("T", setting.apply(target))
