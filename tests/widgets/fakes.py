"""Stand-ins: handles and a reactor without sockets, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from wirebook.deferred import Deferred, fail, succeed
from wirebook.reactor.handles import Handles
from wirebook.turn import turn


@dataclass
class FakeHandle:
    """A port or a connection whose state and counters a test sets; see `wirebook.interfaces.IHandle`."""

    handleId: int
    kind: str = "connection"
    state: str = "open"
    label: str = "Echo"
    transportName: str = "TCP"
    role: str = "server"
    localAddress: Any = "127.0.0.1:8007"
    peerAddress: Any = "127.0.0.1:40000"
    born: float = 0.0
    bytesReceived: int = 0
    bytesSent: int = 0
    connectionCount: int = 0
    context: Context = field(default_factory=copy_context)
    closings: list[bool] = field(default_factory=list)
    refusal: Exception | None = None

    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """Note what was asked."""
        self.closings.append(abort)
        return succeed(None) if self.refusal is None else fail(self.refusal)


class FakeReactor:
    """The part of a reactor that a table needs: real `Handles`, a clock, calls that are made by hand."""

    def __init__(self) -> None:
        self.handles = Handles()
        self.now = 100.0
        self.calls: list[Callable[[], Any]] = []

    def seconds(self) -> float:
        """The time that the test has set."""
        return self.now

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """Keep the call for `run_calls`."""
        self.calls.append(lambda: callable(*args))

    def run_calls(self) -> None:
        """What the reactor's thread would do."""
        calls, self.calls = self.calls, []
        for call in calls:
            with turn:
                call()

    def open(self, number: int, **attributes: Any) -> FakeHandle:
        """Open a handle, born now unless told otherwise."""
        handle = FakeHandle(number, **{"born": self.now, **attributes})
        self.handles.opened(handle)
        return handle

    def close(self, handle: FakeHandle) -> None:
        """Close it, as a transport does."""
        handle.state = "closed"
        self.handles.closed(handle)
