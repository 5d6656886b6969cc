"""Seam 1: what is open.

The registry knows ports, connections and processes; pending delayed calls are read from the timers when
somebody asks, so that scheduling one costs nothing extra. Observers hear of opening and closing in the
turn, on whichever thread it happens.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import TypeAlias, TypeVar

from wirebook.deferred import Deferred
from wirebook.error import CannotListenError
from wirebook.failure import Failure
from wirebook.interfaces import HandleEvent, IHandle
from wirebook.logger import report_failure
from wirebook.turn import in_turn

Observer: TypeAlias = Callable[[HandleEvent, IHandle], object]
RoomMaker: TypeAlias = Callable[[IHandle, CannotListenError], bool]
T = TypeVar("T")

next_handle_id = count(1).__next__


class Handles:
    """Everything open in one reactor; iterate over it, oldest first, delayed calls last. Any thread.

    Attribute ``make_room``: asked, as ``make_room(port, error)`` in the turn, when `port` finds its address in use; it
    returns whether it has closed what was in the way, so that the port tries again. None: such a port fails.
    """

    def __init__(self, timers: Iterable[IHandle] = ()) -> None:
        self._open: dict[int, IHandle] = {}
        self._timers = timers
        self._observers: tuple[Observer, ...] | None = None
        self.make_room: RoomMaker | None = None

    def open_port(self, port: IHandle, open: Callable[[], T]) -> T:
        """What ``open()`` returns, which opens the socket of `port`; for transports, in the turn.

        It is called a second time when the address was in use and `make_room` has made room. Raises what it raises.
        """
        try:
            return open()
        except CannotListenError as error:
            if not self._has_room(port, error):
                raise
        return open()

    def _has_room(self, port: IHandle, error: CannotListenError) -> bool:
        if self.make_room is None or error.socketError.errno != errno.EADDRINUSE:
            return False
        try:
            return self.make_room(port, error)
        except Exception:
            report_failure(Failure(), f"{self.make_room!r}, asked for room for {port!r}, raised", port.context)
            return False

    def opened(self, handle: IHandle) -> None:
        """Register a handle; for transports."""
        self._open[handle.handleId] = handle
        if self._observers is not None:
            self._tell("opened", handle)

    def closed(self, handle: IHandle) -> None:
        """Take a handle out; for transports."""
        del self._open[handle.handleId]
        if self._observers is not None:
            self._tell("closed", handle)

    def _tell(self, event: HandleEvent, handle: IHandle) -> None:
        for observer in self._observers or ():
            try:
                observer(event, handle)
            except Exception:
                report_failure(Failure(), f"the handle observer {observer!r} raised", handle.context)

    @in_turn
    def observe(self, observer: Observer) -> None:
        """Call ``observer(event, handle)`` in the turn whenever something was "opened" or "closed"."""
        self._observers = (*(self._observers or ()), observer)

    @in_turn
    def unobserve(self, observer: Observer) -> None:
        """Stop telling `observer`; unknown ones are ignored."""
        self._observers = tuple(known for known in self._observers or () if known != observer) or None

    @in_turn
    def of(self, *kinds: str) -> list[IHandle]:
        """The open handles of these kinds ("port", "connection", "timer"), oldest first."""
        found = [handle for handle in self._open.values() if handle.kind in kinds]
        return [*found, *self._timers] if "timer" in kinds else found

    @in_turn
    def get(self, handle_id: int) -> IHandle | None:
        """The open handle with this number, or None."""
        if handle_id in self._open:
            return self._open[handle_id]
        return next((timer for timer in self._timers if timer.handleId == handle_id), None)

    @in_turn
    def __iter__(self) -> Iterator[IHandle]:
        return iter([*self._open.values(), *self._timers])

    @in_turn
    def __len__(self) -> int:
        return len(self._open) + sum(1 for _ in self._timers)


def close_handle(handle: IHandle, abort: bool = False) -> Deferred[None]:
    """Close `handle`, for somebody who closes many. Fires with None when it is closed.

    What goes wrong, such as a ``stopFactory`` that raises, is reported in its context. Any thread.
    """

    def report(failure: Failure) -> None:
        report_failure(failure, f"closing {handle!r} has failed", handle.context)

    return handle.closeHandle(abort).addErrback(report)
