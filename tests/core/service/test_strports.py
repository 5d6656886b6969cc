"""Servers from a line of text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import outcome
from tests.core.net_kit import Echo, dial, receive_exactly, serving
from wirebook.deferred import Deferred
from wirebook.endpoints import EndpointStringError
from wirebook.error import CannotListenError
from wirebook.protocol import Factory
from wirebook.service import strports
from wirebook.transports.reactor import Reactor

ECHO = Factory.forProtocol(Echo)


def test_a_service_serves_what_the_text_says(reactor: Reactor) -> None:
    service = strports.service("tcp:0", ECHO, reactor)
    service.startService()
    (port,) = reactor.handles.of("port")
    with dial(port) as sock:  # type: ignore[arg-type]
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
    assert outcome(service.stopService()) is None
    assert not reactor.handles.of("port")


def test_a_service_that_cannot_listen_raises_at_its_start(reactor: Reactor, reported: Reports) -> None:
    with serving(reactor, ECHO) as port:
        service = strports.service(f"tcp:{port.port}", ECHO, reactor)
        with pytest.raises(CannotListenError):
            service.startService()
    service.startService()
    assert outcome(service.stopService()) is None
    assert not reported()


def test_a_text_that_is_none_is_refused(reactor: Reactor) -> None:
    with pytest.raises(EndpointStringError):
        strports.service("tpc:80", ECHO, reactor)


def test_a_port_can_be_had_at_once() -> None:
    port = strports.listen("tcp:0", ECHO)
    assert port.getHost().host == "127.0.0.1"
    with pytest.raises(CannotListenError):
        strports.listen(f"tcp:{port.getHost().port}", ECHO)
    port.stopListening()


def test_what_does_not_listen_at_once_gives_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """An endpoint that takes its time."""

        def listen(self, factory: Any) -> Deferred[Any]:
            """Some time."""
            return Deferred()

    monkeypatch.setattr(strports, "serverFromString", lambda *_: Slow())
    with pytest.raises(RuntimeError, match="'slow:' does not listen at once"):
        strports.listen("slow:", ECHO)
