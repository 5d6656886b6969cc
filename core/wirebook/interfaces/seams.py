"""What observers use: handles, the wiretap, the turn trace."""

from __future__ import annotations

from contextvars import Context
from typing import Any, Literal, Protocol

from wirebook.deferred import Deferred

HandleEvent = Literal["opened", "closed"]
Direction = Literal["received", "sent"]


class IHandle(Protocol):
    """Something open: a port, a connection, a delayed call. Attributes may be read from any thread."""

    @property
    def handleId(self) -> int:
        """Unique in this process, growing."""

    @property
    def kind(self) -> str:
        """ "port", "connection" or "timer"."""

    @property
    def transportName(self) -> str:
        """ "TCP" and so on; empty for a timer."""

    @property
    def context(self) -> Context:
        """The context of its birth."""

    @property
    def born(self) -> float:
        """When, on the scale of ``reactor.seconds()``."""

    @property
    def state(self) -> str:
        """One word, as the handle's class documents."""

    @property
    def localAddress(self) -> Any:
        """The address of this end, or None."""

    @property
    def peerAddress(self) -> Any:
        """The address of the other end, or None."""

    @property
    def label(self) -> str:
        """The name of the protocol class or of the function."""

    @property
    def bytesReceived(self) -> int:
        """How many bytes came in so far."""

    @property
    def bytesSent(self) -> int:
        """How many bytes the operating system took so far."""

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Close it, at once and without ceremony with `abort`. Fires when it is closed.

        The address of a port is free on return.
        """


class IWiretap(Protocol):
    """Sees what passes a transport, after TLS is taken off. Called in the turn; must be quick."""

    def data(self, direction: Direction, data: bytes) -> None:
        """These bytes passed."""

    def event(self, name: str) -> None:
        """Something happened: "opened", "half-closed", "closed"."""


class IDatagramWiretap(IWiretap, Protocol):
    """A wiretap that wants to know whose each datagram is; on a port without one, `data` is called instead."""

    def datagram(self, direction: Direction, data: bytes, peer: Any) -> None:
        """This datagram passed; `peer` is the other end as the protocol knows it: (host, port), a path, or None."""


class ITurnTrace(Protocol):
    """Sees every callback of the reactor. Called in the turn; must be quick."""

    def begin(self, cause: str, subject: object, origin: Context | None = None) -> None:
        """A callback begins: `cause` is "read", "write", "timer" or "call", `subject` what it is about.

        `origin` is the context it runs in, None when `subject` knows that itself (its ``context``).
        """

    def end(self) -> None:
        """The callback has returned or raised."""
