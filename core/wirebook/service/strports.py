"""Servers from a line of text, as of `wirebook.endpoints.serverFromString`."""

from __future__ import annotations

from typing import Any

from wirebook.endpoints import serverFromString
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.interfaces import IProtocolFactory
from wirebook.service.server import StreamServerEndpointService
from wirebook.turn import in_turn

__all__ = ["listen", "service"]


class _Strict(StreamServerEndpointService):
    """One whose start raises when it cannot listen, where that is known at once."""

    _starting = False
    _reason: Failure | None = None

    def _failed(self, failure: Failure) -> None:
        if self._starting:
            self._reason = failure
        else:
            super()._failed(failure)

    @in_turn
    def privilegedStartService(self) -> None:
        self._starting = True
        try:
            super().privilegedStartService()
        finally:
            self._starting = False
        reason, self._reason = self._reason, None
        if reason is not None:
            self._listening = None
            reason.raiseException()


def service(description: str, factory: IProtocolFactory, reactor: Any = None) -> StreamServerEndpointService:
    """A service that serves what `description` says, for example ``"tcp:8007"``, with protocols from `factory`.

    `reactor` is by default the process's. Raises as ``serverFromString``; starting it raises when it cannot listen.
    """
    return _Strict(serverFromString(the_reactor() if reactor is None else reactor, description), factory)


def listen(description: str, factory: IProtocolFactory) -> Any:
    """Listen where `description` says, at once, on the process's reactor; returns the port.

    Raises as ``serverFromString``, what listening raises, and RuntimeError where that takes time. Any thread.
    """
    outcome: list[Any] = []
    serverFromString(the_reactor(), description).listen(factory).addBoth(outcome.append)
    if not outcome:
        raise RuntimeError(f"{description!r} does not listen at once: use its endpoint, and wait for the Deferred")
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]
