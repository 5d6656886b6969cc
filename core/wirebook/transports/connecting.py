"""The connector that makes TCP connections: look up, try, tell the factory."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from wirebook.address import IPv4Address
from wirebook.deferred import Deferred
from wirebook.error import (
    ConnectBindError,
    ConnectionDone,
    NotConnectingError,
    TimeoutError,
    UserError,
    connect_error,
)
from wirebook.failure import Failure
from wirebook.interfaces import IClientFactory
from wirebook.logger import report_failure
from wirebook.protocol import build_protocol
from wirebook.reactor.timers import DelayedCall
from wirebook.transports.tcp import BindFailed, Client
from wirebook.turn import in_turn


class Connector:
    """Makes the connections of one ``connectTCP``: look the host up, try, and tell the factory.

    ``state`` is "disconnected", "connecting" or "connected".
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        factory: IClientFactory,
        timeout: float | None,
        bindAddress: tuple[str, int] | None,
    ) -> None:
        self.reactor = reactor
        self.host = host
        self.port = port
        self.factory = factory
        self.timeout = timeout
        self.bindAddress = bindAddress
        self.context = copy_context()
        self.state = "disconnected"
        self.transport: Any = None
        self._lookup: Deferred[Any] | None = None
        self._timer: DelayedCall | None = None
        self._factory_started = False
        self._failed_with: Failure | None = None

    def getDestination(self) -> IPv4Address:
        """Where it connects to; the host as it was given."""
        return IPv4Address("TCP", self.host, self.port)

    @in_turn
    def connect(self) -> None:
        """Begin an attempt. Raises RuntimeError while one is under way or a connection stands."""
        if self.state != "disconnected":
            raise RuntimeError(f"cannot connect: the connector to {self.getDestination()} is {self.state}")
        if not self._factory_started:
            self.factory.doStart()
            self._factory_started = True
        self.state = "connecting"
        self._failed_with = None
        self.transport = client = self._new_client()
        self._tell("startedConnecting")
        if client.disconnected or self.state != "connecting":
            return
        if self.timeout is not None:
            self._timer = self.reactor.callLater(self.timeout, self._timed_out)
        self._begin_attempt(client)

    def _new_client(self) -> Any:
        """The client's end for an attempt; connectors of other transports override it."""
        return Client(self)

    def _begin_attempt(self, client: Any) -> None:
        """Begin; it ends in `attempt_succeeded` or `attempt_failed`. Connectors of other transports override it."""
        self._lookup = self.reactor.lookUp(self.host, self.port)
        self._lookup.addCallbacks(self._looked_up, self._lookup_failed)

    def _looked_up(self, found: list[tuple[int, Any]]) -> None:
        self._lookup = None
        client = self.transport
        if client is None or client.disconnected:
            return
        family, sockaddr = found[0]
        try:
            client.attempt(family, sockaddr, self.bindAddress)
        except BindFailed as error:
            self.attempt_failed(Failure(ConnectBindError(error.errno, str(error))))
        except OSError as error:
            self.attempt_failed(Failure(connect_error(error.errno or 0, self.getDestination())))

    def _lookup_failed(self, failure: Failure) -> None:
        self._lookup = None
        self.attempt_failed(failure)

    def _timed_out(self) -> None:
        self.attempt_failed(
            Failure(
                TimeoutError(string=f"cannot connect to {self.getDestination()}: no answer within {self.timeout} s")
            )
        )

    def attempt_failed(self, reason: Failure) -> None:
        """The attempt ended without a connection; called by the client, the lookup and the timer."""
        client = self.transport
        if client is None or client.connected or client.disconnected:
            return
        self._failed_with = reason
        client._end(reason)

    def attempt_succeeded(self) -> None:
        """The connection stands: build the protocol and join the two; called by the client."""
        client = self.transport
        if client is None:
            return
        self._stop_timer()
        self.state = "connected"
        try:
            protocol = self.context.copy().run(build_protocol, self.factory, client.getPeer())
        except SystemExit:
            raise
        except BaseException:
            failure = Failure()
            report_failure(failure, f"{type(self.factory).__name__}.buildProtocol() failed", self.context)
            self._failed_with = failure
            client._end(failure)
            return
        if protocol is None:
            # The connection stood, so the factory hears of its loss, not of a failed attempt.
            client.connected = 1
            client._end(Failure(ConnectionDone("the factory refused the connection: buildProtocol() gave None")))
            return
        client.begin(protocol)

    def client_ended(self, reason: Failure, was_connected: bool) -> None:
        """Tell the factory; called by the client at its end."""
        self._stop_timer()
        if self._lookup is not None:
            self._lookup.cancel()
        self.state = "disconnected"
        self.transport = None
        reason = self._failed_with or reason
        self._tell("clientConnectionLost" if was_connected else "clientConnectionFailed", reason)
        # The factory may have called connect() again.
        if self.state == "disconnected" and self._factory_started:
            self._factory_started = False
            self.factory.doStop()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _tell(self, method: str, *args: Any) -> None:
        func: Callable[..., Any] = getattr(self.factory, method)
        try:
            self.context.copy().run(func, self, *args)
        except SystemExit:
            raise
        except BaseException:
            report_failure(Failure(), f"{type(self.factory).__name__}.{method}() raised", self.context)

    @in_turn
    def stopConnecting(self) -> None:
        """End the attempt under way; the factory hears a `UserError`. Raises `NotConnectingError`."""
        if self.state != "connecting":
            raise NotConnectingError(
                f"no attempt is under way: the connector to {self.getDestination()} is {self.state}"
            )
        self.attempt_failed(Failure(UserError()))

    @in_turn
    def disconnect(self) -> None:
        """End the attempt, or close the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def __repr__(self) -> str:
        return f"<Connector to {self.getDestination()}, {self.state}>"
