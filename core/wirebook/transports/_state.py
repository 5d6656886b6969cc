"""What a stream knows: its state, what it asks the poller for, and how it looks as a handle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.interfaces import IWiretap
from wirebook.protocol import Protocol
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ, WRITE
from wirebook.transports._pieces import Piece
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.transports.tls import TLSLayer

UNWATCHED = -1
# There are objects, in tests, that have every attribute.
_MOST_WRAPPERS = 20


class _Nobody(Protocol):
    """Stands where the protocol was, once the connection has ended."""


NOBODY: Any = _Nobody()


@dataclass(frozen=True)
class WriteLimits:
    """How many bytes may wait on one connection because its peer reads too slowly.

    A write that finds `report` bytes waiting is said once, in the log and to the tap; one that finds `abort` ends
    the connection with `WriteBacklogError`. A single write may be of any size. Set a transport's ``writeLimits``,
    or ``WriteLimits.default`` for all that come.
    """

    report: int = 16 << 20
    abort: int = 64 << 20
    default: ClassVar[WriteLimits]

    def __post_init__(self) -> None:
        if not 0 <= self.report <= self.abort:
            raise ValueError(
                f"report is {self.report} and abort {self.abort}: both are numbers of bytes, report not the larger"
            )


WriteLimits.default = WriteLimits()


def lives_half_closed(protocol: Any) -> bool:
    """Whether `protocol` is an `IHalfCloseableProtocol`; asking the interface itself takes 20 microseconds."""
    return hasattr(protocol, "readConnectionLost") and hasattr(protocol, "writeConnectionLost")


def factory_label(factory: Any) -> str:
    """The name of the protocol class that a factory builds, or of the factory's class; policies do not count."""
    factory = _innermost(factory, "wrappedFactory")
    protocol = getattr(factory, "protocol", None)
    return protocol.__name__ if isinstance(protocol, type) else type(factory).__name__


def protocol_label(protocol: Any) -> str:
    """The name of a protocol's class; policies around it do not count."""
    return type(_innermost(protocol, "wrappedProtocol")).__name__


def _innermost(outside: Any, attribute: str) -> Any:
    for _ in range(_MOST_WRAPPERS):
        inside = getattr(outside, attribute, None)
        if inside is None:
            break
        outside = inside
    return outside


def _address(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except NotImplementedError:
        # Beneath there may be something that is no place on a network, a process for example.
        return None


class CarrierName:
    """The name of a stream's transport: its class's own, but "TLS" while there is a layer on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, stream: StreamState | None, owner: type[StreamState]) -> str:
        return "TLS" if stream is not None and stream._layer is not None else self.name


class StreamState:
    """The ground floor of `StreamTransport`, which documents the attributes."""

    __slots__ = (
        "__weakref__",
        "_channel",
        "_close_waiters",
        "_direct",
        "_fd",
        "_half_closing",
        "_label",
        "_layer",
        "_mask",
        "_out",
        "_out_size",
        "_producer",
        "_producer_paused",
        "_read_closed",
        "_reading",
        "_reason",
        "_streaming",
        "_told_of_backlog",
        "_told_of_late_write",
        "_write_closed",
        "born",
        "bufferSize",
        "bytesReceived",
        "bytesSent",
        "connected",
        "context",
        "disconnected",
        "disconnecting",
        "handleId",
        "protocol",
        "reactor",
        "tap",
        "writeLimits",
    )
    kind = "connection"
    transportName = ""
    role = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        name = cls.__dict__.get("transportName")
        if isinstance(name, str):
            cls.transportName = CarrierName(name)  # type: ignore[assignment]

    def __init__(self, reactor: ReactorBase, channel: Any, context: Context | None = None) -> None:
        self.reactor = reactor
        self.context = copy_context() if context is None else context
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.bytesReceived = 0
        self.bytesSent = 0
        self.tap: IWiretap | None = None
        self.protocol: Any = NOBODY
        self.connected = 0
        self.disconnected = False
        self.disconnecting = False
        self._channel = channel
        self._fd = -1 if channel is None else channel.fileno()
        self._label: str | None = None
        self._layer: TLSLayer | None = None
        self._mask = UNWATCHED
        self._reading = False
        self._read_closed = False
        self._direct = False
        self._write_closed = False
        self._half_closing = False
        self._out: deque[Any] | None = None
        self._out_size = 0
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._reason: Failure | None = None
        self._close_waiters: list[Deferred[None]] | None = None
        self._told_of_backlog = False
        self._told_of_late_write = False
        self.writeLimits = WriteLimits.default
        self.bufferSize = 65536

    @property
    def _below(self) -> Any:
        """What carries the bytes: the channel, or what the layer has beneath it."""
        return self._channel if self._layer is None else self._layer.below

    # --- what the poller is asked for ----------------------------------------------------------------

    @property
    def mask(self) -> int:
        """What the poller watches for; as long as it watches."""
        return self._mask

    def fileno(self) -> int:
        """The descriptor's number, -1 when there is none."""
        return self._fd

    @in_turn
    def startReading(self) -> None:
        """Let the reactor read; harmless when it does."""
        self._start_reading()

    def _start_reading(self) -> None:
        if not (self._reading or self._read_closed or self.disconnected):
            self._reading = True
            self._update_interest()
            if self._layer is not None:
                self._layer.resume()

    @in_turn
    def stopReading(self) -> None:
        """Do not read until `startReading`; TCP then slows the peer down."""
        if self._reading:
            self._reading = False
            self._update_interest()

    def _drop_queue(self) -> None:
        for piece in self._out or ():
            if isinstance(piece, Piece):
                piece.drop()
        self._out = None
        self._out_size = 0
        self._direct = False
        if not self.disconnected:
            self._update_interest()

    def _update_interest(self) -> None:
        mask = (READ if self._wants_read() else 0) | (WRITE if self._wants_write() else 0)
        if mask == self._mask or self.disconnected:
            return
        if self._mask == UNWATCHED:
            if not mask:
                return
            self.reactor.watch(self._fd, self, mask)
        else:
            self.reactor.rewatch(self._fd, mask)
        self._mask = mask

    def _wants_read(self) -> bool:
        """Whether there is something to do when bytes arrive."""
        return self._reading or (self._layer is not None and self._layer.wants_read)

    def _wants_write(self) -> bool:
        """Whether there is something to do when there is room."""
        return bool(self._out) if self._layer is None else self._layer.wants_write(self._out)

    def doRead(self) -> None:
        """There is something to read; called by the reactor."""
        raise NotImplementedError

    def doWrite(self) -> None:
        """There is room to write; called by the reactor."""
        raise NotImplementedError

    def hungUp(self) -> None:
        """The peer is gone while nothing was asked for; called by the reactor."""
        raise NotImplementedError

    # --- as a handle ---------------------------------------------------------------------------------

    def _remember_addresses(self) -> None:
        """Keep what `getHost` and `getPeer` need once the channel is closed."""

    def getHost(self) -> Any:
        """The address of this end."""
        return None

    def getPeer(self) -> Any:
        """The address of the other end."""
        return None

    @property
    def localAddress(self) -> Any:
        """The address of this end, None while there is none."""
        return _address(self.getHost)

    @property
    def peerAddress(self) -> Any:
        """The address of the other end, None while there is none."""
        return _address(self.getPeer)

    @property
    def state(self) -> str:
        """ "connecting", "open", "half-closed", "closing" or "closed"."""
        if self.disconnected:
            return "closed"
        if not self.connected:
            return "connecting"
        if self.disconnecting:
            return "closing"
        return "half-closed" if self._read_closed or self._write_closed else "open"

    @property
    def label(self) -> str:
        """The name of the protocol's class."""
        return self._label or protocol_label(self.protocol)

    def logPrefix(self) -> str:
        """A short name for logs: the protocol's own, and which end this is."""
        own = getattr(self.protocol, "logPrefix", None)
        return f"{own() if callable(own) else self.label},{self.role or self.handleId}"

    def describe(self) -> str:
        """Where it goes, in words: ``TCP 127.0.0.1:8007 -> 127.0.0.1:50112``."""
        return f"{self.transportName} {self.localAddress} -> {self.peerAddress}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label}: {self.describe()}, {self.state}>"
