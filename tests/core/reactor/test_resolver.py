"""Looking up names: numbers at once, names in a thread, nothing that a hanging resolver could hold up."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import drive
from wirebook.deferred import CancelledError
from wirebook.error import DNSLookupError
from wirebook.reactor import resolver
from wirebook.reactor.resolver import look_up
from wirebook.transports.reactor import Reactor


@pytest.mark.parametrize(
    ("host", "family", "sockaddr"),
    [("192.0.2.1", socket.AF_INET, ("192.0.2.1", 80)), ("::1", socket.AF_INET6, ("::1", 80, 0, 0))],
)
def test_a_number_is_answered_at_once(reactor: Reactor, host: str, family: int, sockaddr: Any) -> None:
    assert outcome(look_up(reactor, host, 80)) == [(family, sockaddr)]


def test_a_name_is_answered_on_the_reactor(reactor: Reactor) -> None:
    threads: list[bool] = []

    def note_thread(answer: Any) -> Any:
        threads.append(reactor.onReactorThread())
        return answer

    with reactor.turn():
        found = look_up(reactor, "localhost", 80).addCallback(note_thread)
    assert ("127.0.0.1", 80) in [sockaddr[:2] for _, sockaddr in found.wait(5)]
    assert threads == [True]


def test_version_four_comes_before_version_six(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET6, 1, 6, "", ("::1", 80, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 80))]

    def getaddrinfo(*args: Any, **kw: Any) -> list[Any]:
        return answers

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert [family for family, _ in outcome(look_up(reactor, "both", 80))] == [socket.AF_INET, socket.AF_INET6]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70, "nul\0"])
def test_a_name_that_does_not_resolve_says_so(reactor: Reactor, host: str) -> None:
    with pytest.raises(DNSLookupError, match=r"does not resolve \(.+\): check its spelling"):
        look_up(reactor, host, 80).wait(5)


def test_a_resolver_that_hangs_holds_up_nothing_and_its_answer_is_forgotten_when_cancelled(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    ask = resolver._ask

    def hanging(host: str, port: int, flags: int) -> Any:
        if not flags:
            assert go_on.wait(5)
            return [(socket.AF_INET, ("127.0.0.1", port))]
        return ask(host, port, flags)

    monkeypatch.setattr(resolver, "_ask", hanging)
    idle = Reactor()
    found = look_up(idle, "slow.invalid", 80)
    found.cancel()
    error_of(found, CancelledError)
    go_on.set()
    assert eventually(lambda: idle.timeout() == 0)
    drive(idle, lambda: idle.timeout() == -1)
    idle.close()
