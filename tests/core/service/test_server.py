"""A service that listens."""

from __future__ import annotations

from typing import Any

from tests.conftest import Reports
from tests.core.deferred_kit import outcome
from tests.core.net_kit import Echo, dial, receive_exactly
from wirebook.deferred import CancelledError, Deferred
from wirebook.endpoints import TCP4ServerEndpoint
from wirebook.protocol import Factory
from wirebook.service import StreamServerEndpointService
from wirebook.transports.reactor import Reactor


class Endpoint:
    """Listens when the test says so."""

    def __init__(self) -> None:
        self.attempts = 0
        self.cancelled: Exception = CancelledError()
        self.listening: Deferred[Any] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        self.attempts += 1
        self.listening = Deferred(lambda deferred: deferred.errback(self.cancelled))
        return self.listening

    def stopListening(self) -> Deferred[None]:
        """It is its own port."""
        return self.closed


def served() -> tuple[StreamServerEndpointService, Endpoint]:
    """A service, and the endpoint that it has."""
    endpoint = Endpoint()
    return StreamServerEndpointService(endpoint, Factory()), endpoint


def test_it_listens_once_however_it_is_started() -> None:
    service, endpoint = served()
    service.privilegedStartService()
    assert (endpoint.attempts, bool(service.running)) == (1, False)
    service.startService()
    assert (endpoint.attempts, bool(service.running)) == (1, True)
    service.stopService()


def test_stopping_closes_the_port_and_waits_for_it() -> None:
    service, endpoint = served()
    service.startService()
    endpoint.listening.callback(endpoint)
    stopped: list[Any] = []
    service.stopService().addBoth(stopped.append)
    assert not stopped
    assert service.running
    endpoint.closed.callback(None)
    assert stopped == [None]
    assert not service.running


def test_stopping_ends_the_attempt_to_listen_without_a_report() -> None:
    service, _ = served()
    service.startService()
    assert outcome(service.stopService()) is None
    assert not service.running


def test_an_attempt_that_ends_with_another_error_is_reported(reported: Reports) -> None:
    service, endpoint = served()
    endpoint.cancelled = ZeroDivisionError()
    service.startService()
    assert outcome(service.stopService()) is None
    assert len(reported()) == 1


def test_a_failure_to_listen_is_reported_and_stopping_afterwards_works(reported: Reports) -> None:
    service, endpoint = served()
    service.startService()
    endpoint.listening.errback(ZeroDivisionError())
    assert "cannot listen" in reported()[0].getMessage()
    assert outcome(service.stopService()) is None


def test_stopping_what_was_not_started_is_harmless() -> None:
    service, _ = served()
    assert outcome(service.stopService()) is None


def test_a_service_serves_tcp_and_can_be_started_again(reactor: Reactor) -> None:
    factory = Factory.forProtocol(Echo)
    service = StreamServerEndpointService(TCP4ServerEndpoint(reactor, 0), factory)
    for _ in range(2):
        service.startService()
        (port,) = reactor.handles.of("port")
        with dial(port) as sock:  # type: ignore[arg-type]
            sock.sendall(b"x")
            assert receive_exactly(sock, 1) == b"x"
        service.stopService().wait(5)
        assert not reactor.handles.of("port")
