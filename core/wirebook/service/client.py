"""A service that keeps a connection: it connects again whenever the connection is lost or cannot be made.

One `_Connection` stands for everything from an attempt to the end of what came of it; the service has one at a time
that counts. It tells the service `up`, once it may be used, and `down`, at its end; the service decides what follows.
What a connection still says after it is down matters only to who waits for the service to be stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import random
from typing import Any

from wirebook.deferred import CancelledError, Deferred, fail, maybeDeferred, succeed
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IDelayedCall, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from wirebook.logger import report_event, report_failure
from wirebook.protocol import build_protocol, connectionDone
from wirebook.service.tree import Service
from wirebook.turn import in_turn

# A float to a higher power says nothing about a wait.
_MOST_STEPS = 100


def backoffPolicy(
    initialDelay: float = 1.0,
    maxDelay: float = 60.0,
    factor: float = 1.5,
    jitter: Callable[[], float] = random,
) -> Callable[[int], float]:
    """A retry policy for `ClientService`: each wait is `factor` times as long as the one before.

    Returns a function from the number of failed attempts in a row to the seconds to wait, which are at most
    `maxDelay`, and what `jitter` returns on top of that, by default 0 to 1.
    """

    def policy(attempt: int) -> float:
        try:
            delay = initialDelay * factor ** min(attempt, _MOST_STEPS)
        except OverflowError:
            delay = maxDelay
        return min(delay, maxDelay) + jitter()

    return policy


_DEFAULT_POLICY = backoffPolicy()


class _Watched:
    """Stands for a protocol before its transport, so that the end of the connection is heard of."""

    def __init__(self, protocol: Any, connection: _Connection) -> None:
        self.wrappedProtocol = protocol
        self._connection = connection

    @property  # type: ignore[misc]  # typeshed lets it be set
    def __class__(self) -> Any:
        # For isinstance(): whoever prepares a connection gets this one.
        return type(self.wrappedProtocol)

    def makeConnection(self, transport: Any) -> None:
        self._connection.transport = transport
        self.wrappedProtocol.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        try:
            self.wrappedProtocol.connectionLost(reason)
        finally:
            self._connection.lost(reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrappedProtocol, name)

    def __repr__(self) -> str:
        return f"<{self.wrappedProtocol!r}, kept by a ClientService>"


class _WatchedFactory:
    """Stands for the factory, and gives its protocol to one connection."""

    def __init__(self, factory: IProtocolFactory, connection: _Connection) -> None:
        self.wrappedFactory = factory
        self._connection = connection

    def buildProtocol(self, addr: Any) -> Any:
        protocol = None if self._connection.over else build_protocol(self.wrappedFactory, addr)
        return None if protocol is None else _Watched(protocol, self._connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrappedFactory, name)

    def __repr__(self) -> str:
        return f"<{self.wrappedFactory!r}, used by a ClientService>"


class _Connection:
    """An attempt, and the connection that came of it.

    ``protocol`` is there once it may be used. ``ending`` tells that the service wants it no more, ``over`` that it is
    down; the ``transport`` stays until it has ended.
    """

    def __init__(self, service: ClientService) -> None:
        self.transport: Any = None
        self.protocol: Any = None
        self.ending = False
        self.over = False
        self._service = service
        self._attempt: Deferred[Any] = Deferred()
        self._preparation: Deferred[Any] | None = None

    def begin(self, endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> None:
        """Connect, prepare, and tell the service."""
        self._attempt = maybeDeferred(endpoint.connect, _WatchedFactory(factory, self))
        self._attempt.addCallback(self._prepare).addCallbacks(self._prepared, self._failed)

    def _prepare(self, protocol: Any) -> Deferred[Any]:
        if self.ending or self.over:
            return fail(CancelledError())
        prepare = self._service.prepareConnection
        self._preparation = succeed(None) if prepare is None else maybeDeferred(prepare, protocol)
        return self._preparation.addCallback(lambda _: protocol)

    def _prepared(self, protocol: Any) -> None:
        self.protocol = getattr(protocol, "wrappedProtocol", protocol)
        self._service.up(self)

    def _failed(self, failure: Failure) -> None:
        self._go_down(failure)
        if self.transport is not None:
            self.transport.loseConnection()

    def lost(self, reason: Failure) -> None:
        """The transport has ended."""
        self.transport = None
        self._go_down(reason)
        if self._preparation is not None:
            self._preparation.cancel()
        self._service.gone(self)

    def _go_down(self, reason: Failure) -> None:
        if not self.over:
            self.over = True
            self._service.down(self, reason)

    def end(self) -> None:
        """Close the connection, or cancel the attempt; `ClientService.down` follows."""
        self.ending = True
        if self.transport is None:
            self._attempt.cancel()
            return
        if self._preparation is not None:
            self._preparation.cancel()
        if self.transport is not None:
            self.transport.loseConnection()


class ClientService(Service):
    """Keeps a connection to `endpoint`, spoken over by protocols from `factory`, while it runs.

    `retryPolicy` is called with the number of failed attempts in a row and returns the seconds to wait before the
    next one (by default `backoffPolicy`); `clock` is whose time that is, by default the process's reactor's.
    `prepareConnection` is called with the protocol of each new connection, and may return a Deferred or a
    coroutine; the connection is used when that has fired. An error rejects the connection: it is closed, and
    counts as a failed attempt.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        factory: IProtocolFactory,
        retryPolicy: Callable[[int], float] | None = None,
        clock: IReactorTime | None = None,
        prepareConnection: Callable[[Any], object] | None = None,
    ) -> None:
        self.prepareConnection = prepareConnection
        self._endpoint = endpoint
        self._factory = factory
        self._policy = _DEFAULT_POLICY if retryPolicy is None else retryPolicy
        self._clock = clock
        self._failures = 0
        self._retry: IDelayedCall | None = None
        self._current: _Connection | None = None
        # Connections whose transport has not ended yet, the current one among them.
        self._open: set[_Connection] = set()
        self._stopped = False
        self._connect_waiters: list[tuple[Deferred[Any], int | None]] = []
        self._stop_waiters: list[Deferred[None]] = []

    # --- what programs call

    @in_turn
    def startService(self) -> None:
        """Connect, and keep doing so. After `stopService` that waits until the old connection is closed. Any thread."""
        if self.running:
            report_event(f"Duplicate ClientService.startService: {self!r} runs already")
            return
        super().startService()
        self._stopped = False
        if self._current is None:
            self._tell_stopped()
            self._connect()

    @in_turn
    def stopService(self) -> Deferred[None]:
        """Close the connection, or end the attempt or the wait. Fires when nothing is open any more. Any thread."""
        super().stopService()
        stopped: Deferred[None] = Deferred()
        self._stop_waiters.append(stopped)
        retry, self._retry = self._retry, None
        if retry is not None and retry.active():
            retry.cancel()
        if self._current is not None:
            self._current.end()
        self._settle()
        return stopped

    @in_turn
    def whenConnected(self, failAfterFailures: int | None = None) -> Deferred[Any]:
        """Fires with the protocol, at once or when there is a connection. Any thread.

        Fails with `CancelledError` when the service is stopped, and with the reason of the last attempt when
        `failAfterFailures` of them have failed in a row from now on (None: it goes on waiting).
        """
        current = self._current
        if self.running and current is not None and current.protocol is not None and not current.ending:
            return succeed(current.protocol)
        if self._stopped:
            return fail(CancelledError())
        connected: Deferred[Any] = Deferred()
        self._connect_waiters.append((connected, failAfterFailures))
        return connected

    # --- what the connections call

    def up(self, connection: _Connection) -> None:
        """The connection may be used."""
        self._failures = 0
        waiters, self._connect_waiters = self._connect_waiters, []
        for waiter, _ in waiters:
            waiter.callback(connection.protocol)

    def down(self, connection: _Connection, reason: Failure) -> None:
        """The attempt failed, or the connection was rejected or has ended."""
        self._current = None
        if connection.transport is None:
            self._open.discard(connection)
        if not self.running:
            self._settle()
        elif connection.ending:
            self._tell_stopped()
            self._connect()
        else:
            self._wait()
            if connection.protocol is None:
                self._tell_failed(reason)

    def gone(self, connection: _Connection) -> None:
        """Its transport has ended."""
        self._open.discard(connection)
        self._settle()

    # --- what follows

    def _connect(self) -> None:
        self._retry = None
        self._current = connection = _Connection(self)
        self._open.add(connection)
        connection.begin(self._endpoint, self._factory)

    def _wait(self) -> None:
        self._failures += 1
        try:
            delay = self._policy(self._failures)
        except SystemExit:
            raise
        except BaseException:
            report_failure(Failure(), f"the retryPolicy {self._policy!r} raised; backoffPolicy() is used instead")
            delay = _DEFAULT_POLICY(self._failures)
        report_event(
            f"Scheduling retry {self._failures} to connect {self._endpoint!r} in {delay:.1f} seconds",
            level=logging.INFO,
        )
        clock = the_reactor() if self._clock is None else self._clock
        self._retry = clock.callLater(delay, self._connect)

    def _settle(self) -> None:
        """The end of the stop, once nothing is open."""
        if self.running or self._open:
            return
        self._stopped = True
        waiters, self._connect_waiters = self._connect_waiters, []
        for waiter, _ in waiters:
            waiter.errback(CancelledError())
        self._tell_stopped()

    def _tell_stopped(self) -> None:
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _tell_failed(self, reason: Failure) -> None:
        waiters, self._connect_waiters = self._connect_waiters, []
        patient = [(waiter, left and left - 1) for waiter, left in waiters if left is None or left > 1]
        self._connect_waiters = patient
        for waiter, left in waiters:
            if left is not None and left <= 1:
                waiter.errback(reason)
