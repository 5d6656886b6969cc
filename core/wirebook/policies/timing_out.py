"""Connections that end when nothing happens on them: as a wrapper, and as a mix-in for protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IDelayedCall
from wirebook.policies.wrapping import ProtocolWrapper, WrappingFactory
from wirebook.protocol import connectionDone
from wirebook.turn import in_turn


def _take_back(call: IDelayedCall | None) -> None:
    # Whoever closes the handles of a cell may have cancelled it before.
    if call is not None and call.active():
        call.cancel()


class TimeoutProtocol(ProtocolWrapper):
    """Closes its connection when nothing was received or written for ``timeoutPeriod`` seconds (None: never).

    ``timeoutCall`` is the delayed call that does it.
    """

    timeoutCall: IDelayedCall | None = None
    timeoutPeriod: float | None = None

    def __init__(self, factory: Any, wrappedProtocol: Any, timeoutPeriod: float | None) -> None:
        super().__init__(factory, wrappedProtocol)
        self.setTimeout(timeoutPeriod)

    @in_turn
    def setTimeout(self, timeoutPeriod: float | None = None) -> None:
        """Wait this many seconds from now on, and from whatever happens next; None: wait for ever. Any thread."""
        self.cancelTimeout()
        self.timeoutPeriod = timeoutPeriod
        if timeoutPeriod is not None:
            self.timeoutCall = self.factory.callLater(timeoutPeriod, self.timeoutFunc)

    @in_turn
    def cancelTimeout(self) -> None:
        """Wait for ever. Any thread."""
        call, self.timeoutCall, self.timeoutPeriod = self.timeoutCall, None, None
        _take_back(call)

    @in_turn
    def resetTimeout(self) -> None:
        """Something has happened: begin to wait anew. Any thread."""
        call = self.timeoutCall
        if call is not None and self.timeoutPeriod is not None and call.active():
            call.reset(self.timeoutPeriod)

    def write(self, data: bytes) -> None:
        self.resetTimeout()
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.resetTimeout()
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.cancelTimeout()
        super().connectionLost(reason)

    def timeoutFunc(self) -> None:
        """Nothing has happened for too long: close. Override it for something else."""
        self.loseConnection()


class TimeoutFactory(WrappingFactory):
    """Closes connections on which nothing was received or written for `timeoutPeriod` seconds (None: never)."""

    protocol: Callable[..., Any] = TimeoutProtocol

    def __init__(self, wrappedFactory: Any, timeoutPeriod: float | None = 30 * 60) -> None:
        super().__init__(wrappedFactory)
        self.timeoutPeriod = timeoutPeriod

    def wrap(self, protocol: Any) -> Any:
        """The wrapper for `protocol`, with the period."""
        return self.protocol(self, protocol, timeoutPeriod=self.timeoutPeriod)

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """Schedule a timeout on the process's reactor. Override it for another clock."""
        return the_reactor().callLater(period, func)


class TimeoutMixin:
    """A mix-in for protocols that shall end when the peer is silent.

    The protocol calls `setTimeout` when it begins to wait, `resetTimeout` whenever the peer has shown that it is
    alive, and ``setTimeout(None)`` at its end. ``timeOut`` is the period in seconds, None while it does not wait.
    """

    timeOut: float | None = None
    transport: Any
    __call: IDelayedCall | None = None

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """Schedule the timeout on the process's reactor. Override it for another clock."""
        return the_reactor().callLater(period, func)

    @in_turn
    def resetTimeout(self) -> None:
        """Begin to wait anew, if it waits. Any thread."""
        call = self.__call
        if call is not None and self.timeOut is not None and call.active():
            call.reset(self.timeOut)

    @in_turn
    def setTimeout(self, period: float | None) -> float | None:
        """Wait `period` seconds from now on, or no more (None); returns the period before. Any thread."""
        before, self.timeOut = self.timeOut, period
        call = self.__call
        if period is None:
            self.__call = None
            _take_back(call)
        elif call is not None and call.active():
            call.reset(period)
        else:
            self.__call = self.callLater(period, self.__timed_out)
        return before

    def __timed_out(self) -> None:
        self.__call = None
        self.timeoutConnection()

    def timeoutConnection(self) -> None:
        """The peer was silent for too long: close. Override it for something else."""
        self.transport.loseConnection()
