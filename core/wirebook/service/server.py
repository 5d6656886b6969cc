"""A service that listens."""

from __future__ import annotations

from typing import Any

from wirebook.deferred import CancelledError, Deferred, maybeDeferred, succeed
from wirebook.failure import Failure
from wirebook.interfaces import IProtocolFactory, IStreamServerEndpoint
from wirebook.logger import report_failure
from wirebook.service.tree import Service
from wirebook.turn import in_turn


class StreamServerEndpointService(Service):
    """Serves `endpoint` with protocols from `factory` while it runs. That it cannot listen is reported."""

    _listening: Deferred[Any] | None = None

    def __init__(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self.endpoint = endpoint
        self.factory = factory

    @in_turn
    def privilegedStartService(self) -> None:
        """Begin to listen, while the program has the right to. Any thread."""
        super().privilegedStartService()
        self._listening = self.endpoint.listen(self.factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            report_failure(failure, f"a service cannot listen on {self.endpoint!r}")

    @in_turn
    def startService(self) -> None:
        """Begin to listen, unless `privilegedStartService` has. Any thread."""
        super().startService()
        if self._listening is None:
            self.privilegedStartService()

    @in_turn
    def stopService(self) -> Deferred[Any]:
        """Stop listening, or the attempt to; connections stay. Fires when the port is closed. Any thread."""
        listening, self._listening = self._listening, None
        if listening is None:
            super().stopService()
            return succeed(None)
        listening.cancel()
        return listening.addCallback(self._close).addBoth(self._closed)

    def _close(self, port: Any) -> Any:
        return None if port is None else maybeDeferred(port.stopListening)

    def _closed(self, result: object) -> object:
        if self._listening is None:
            super().stopService()
        return result
