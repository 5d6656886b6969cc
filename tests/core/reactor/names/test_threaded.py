"""The system's resolver in threads: numbers at once, and nothing that a hanging lookup could hold up."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import cell, error_of, in_cell, outcome
from tests.core.net_kit import PATIENCE, short_of_descriptors
from tests.core.reactor.names.resolvers import Receiver
from wirebook.address import IPv4Address, IPv6Address
from wirebook.deferred import CancelledError
from wirebook.error import DNSLookupError
from wirebook.reactor.names import GAIResolver, ThreadedResolver
from wirebook.reactor.pool import PoolStoppedError
from wirebook.transports.reactor import Reactor


class System:
    """A system resolver that answers with `answers` once ``go_on`` is set."""

    def __init__(self, answers: Any = ()) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []
        self.go_on = threading.Event()
        self.busy = threading.Event()

    def getaddrinfo(self, *query: Any) -> Any:
        self.asked.append(query)
        self.busy.set()
        assert self.go_on.wait(PATIENCE)
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


FOUR = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
SIX = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 80, 0, 0))


def answering(answers: Any) -> System:
    system = System(answers)
    system.go_on.set()
    return system


def lookup(reactor: Reactor, system: System, *query: Any) -> Receiver:
    receiver = Receiver()
    GAIResolver(reactor, getaddrinfo=system.getaddrinfo).resolveHostName(receiver, *query)
    return receiver


@pytest.mark.parametrize("host", ["192.0.2.1", "::1"])
def test_a_number_is_answered_at_once_without_a_thread(host: str) -> None:
    reactor = Reactor()
    receiver = Receiver()
    resolution = GAIResolver(reactor).resolveHostName(receiver, host, 80)
    assert receiver.began is resolution
    assert [(address.host, address.port) for address in receiver.addresses] == [(host, 80)]
    assert receiver.completed == 1
    assert reactor.threadpool is None
    reactor.close()


def test_a_number_of_a_family_that_is_not_wanted_is_no_address(reactor: Reactor) -> None:
    receiver = Receiver()
    GAIResolver(reactor).resolveHostName(receiver, "192.0.2.1", addressTypes=[IPv6Address])
    assert (receiver.addresses, receiver.completed) == ([], 1)


def test_a_name_is_answered_on_the_reactor(reactor: Reactor) -> None:
    threads: list[bool] = []

    class Noting(Receiver):
        def addressResolved(self, address: Any) -> None:
            threads.append(reactor.onReactorThread())
            super().addressResolved(address)

    receiver = Noting()
    GAIResolver(reactor).resolveHostName(receiver, "localhost", 80)
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert "127.0.0.1" in [address.host for address in receiver.addresses]
    assert set(threads) == {True}


def test_the_system_s_order_and_types_stay(reactor: Reactor) -> None:
    receiver = lookup(reactor, answering([SIX, FOUR]), "both.example", 80)
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert receiver.addresses == [IPv6Address("UDP", "2001:db8::1", 80), IPv4Address("TCP", "192.0.2.1", 80)]


@pytest.mark.parametrize(
    ("types", "family"),
    [
        (None, socket.AF_UNSPEC),
        ([IPv4Address, IPv6Address], socket.AF_UNSPEC),
        ([IPv4Address], socket.AF_INET),
        ([IPv6Address], socket.AF_INET6),
    ],
)
def test_the_system_is_asked_for_what_is_wanted(reactor: Reactor, types: Any, family: int) -> None:
    system = answering([])
    receiver = lookup(reactor, system, "some.example", 53, types, "UDP")
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert system.asked == [("some.example", 53, family, socket.SOCK_DGRAM)]


def test_a_name_beyond_ascii_is_encoded_for_the_system(reactor: Reactor) -> None:
    system = answering([])
    receiver = lookup(reactor, system, "bücher.example")
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert system.asked[0][0] == "xn--bcher-kva.example"


@pytest.mark.parametrize("query", [{"addressTypes": [str]}, {"addressTypes": []}, {"transportSemantics": "SCTP"}])
def test_what_cannot_be_asked_for_is_refused(reactor: Reactor, query: Any) -> None:
    with pytest.raises(ValueError, match=r"addressTypes are|transportSemantics is"):
        GAIResolver(reactor).resolveHostName(Receiver(), "some.example", **query)


def test_a_name_that_does_not_exist_has_no_address_and_a_reason(reactor: Reactor) -> None:
    receiver = lookup(reactor, answering(socket.gaierror(-2, "Name or service not known")), "nowhere.example")
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert receiver.addresses == []
    assert receiver.began.reason == "Name or service not known; check its spelling"


def test_an_error_that_is_no_answer_is_reported(reactor: Reactor, reported: Reports) -> None:
    receiver = lookup(reactor, answering(RuntimeError("broken")), "some.example")
    assert eventually(lambda: receiver.completed, PATIENCE)
    (record,) = reported.wait()
    assert "looking up 'some.example' raised" in record.getMessage()


def test_after_cancelling_the_receiver_hears_nothing_more(reactor: Reactor) -> None:
    system = System([FOUR])
    receiver = lookup(reactor, system, "slow.example")
    assert system.busy.wait(PATIENCE)
    receiver.began.cancel()
    system.go_on.set()
    pool = reactor.getThreadPool()
    assert eventually(lambda: not pool.working, PATIENCE)
    after = threading.Event()
    reactor.callFromThread(after.set)
    assert after.wait(PATIENCE)
    assert (receiver.addresses, receiver.completed) == ([], 0)


def test_cancelling_half_way_stops_the_rest(reactor: Reactor) -> None:
    class Content(Receiver):
        def addressResolved(self, address: Any) -> None:
            super().addressResolved(address)
            self.began.cancel()

    receiver = Content()
    GAIResolver(reactor, getaddrinfo=answering([FOUR, SIX]).getaddrinfo).resolveHostName(receiver, "both.example")
    assert eventually(lambda: receiver.addresses, PATIENCE)
    with reactor.turn():
        assert (len(receiver.addresses), receiver.completed) == (1, 0)


def test_a_pool_of_one_s_own_is_used(reactor: Reactor) -> None:
    asked = threading.Event()

    class Pool:
        def callInThreadWithCallback(self, on_result: Any, func: Any) -> None:
            asked.set()
            on_result(True, func())

    receiver = Receiver()
    GAIResolver(reactor, Pool, answering([FOUR]).getaddrinfo).resolveHostName(receiver, "some.example")
    assert asked.is_set()
    assert eventually(lambda: receiver.completed, PATIENCE)


def test_a_lookup_runs_in_the_context_of_whoever_asked(reactor: Reactor) -> None:
    seen: list[str] = []

    class Noting(Receiver):
        def resolutionComplete(self) -> None:
            seen.append(cell.get())
            super().resolutionComplete()

    receiver = Noting()
    resolver = GAIResolver(reactor, getaddrinfo=answering([]).getaddrinfo)
    in_cell("seven", resolver.resolveHostName, receiver, "some.example")
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert seen == ["seven"]


# --- nobody waits for a stuck lookup ---------------------------------------------------------------------


def test_a_stuck_lookup_does_not_hold_up_the_end_of_the_reactor() -> None:
    reactor, system = Reactor(), System([FOUR])
    reactor.runInThread()
    receiver = lookup(reactor, system, "slow.example")
    assert system.busy.wait(PATIENCE)
    stuck = [thread for thread in threading.enumerate() if thread.name.startswith("wirebook-pool-")]
    reactor.shutDown()
    reactor.close()
    assert any(thread.is_alive() for thread in stuck)
    system.go_on.set()
    assert eventually(lambda: not any(thread.is_alive() for thread in stuck), PATIENCE)
    assert receiver.completed == 0


def test_a_stuck_lookup_does_not_hold_up_stop_in_a_program() -> None:
    reactor, system = Reactor(), System([FOUR])
    lookup(reactor, system, "slow.example")

    def stop_when_stuck() -> None:
        assert system.busy.wait(PATIENCE)
        reactor.callFromThread(reactor.stop)

    reactor.callWhenRunning(lambda: threading.Thread(target=stop_when_stuck).start())
    reactor.run(installSignalHandlers=False)
    system.go_on.set()
    reactor.close()


def test_a_lookup_that_comes_to_a_stopped_pool_is_not_made(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = reactor.getThreadPool()
    assert eventually(lambda: pool.started, PATIENCE)
    first = System()
    system = System()
    pool.adjustPoolsize(0, 1)
    lookup(reactor, first, "slow.example")
    receiver = lookup(reactor, system, "late.example")
    assert first.busy.wait(PATIENCE)
    pool.close()
    first.go_on.set()
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert system.asked == []
    assert "was stopped" in receiver.began.reason


@pytest.mark.parametrize("name", ["localhost", "nowhere.invalid"])
def test_without_descriptors_it_is_not_the_name_that_is_wrong(reactor: Reactor, name: str) -> None:
    with short_of_descriptors(), pytest.raises(DNSLookupError, match="does not resolve: too many open files") as raised:
        reactor.resolve(name).wait(PATIENCE)
    assert "ulimit -n" in str(raised.value)
    assert "spelling" not in str(raised.value)


def test_a_name_server_that_does_not_answer_is_no_misspelling(reactor: Reactor) -> None:
    system = System(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    system.go_on.set()
    receiver = lookup(reactor, system, "some.example")
    assert eventually(lambda: receiver.completed, PATIENCE)
    assert receiver.began.reason == "Temporary failure in name resolution"


# --- one address ------------------------------------------------------------------------------------------


def test_one_address_of_a_name(reactor: Reactor) -> None:
    assert ThreadedResolver(reactor).getHostByName("localhost").wait(PATIENCE) == "127.0.0.1"


def test_a_number_is_its_own_address(reactor: Reactor) -> None:
    assert outcome(ThreadedResolver(reactor).getHostByName("192.0.2.1")) == "192.0.2.1"
    error_of(ThreadedResolver(reactor).getHostByName("::1"), DNSLookupError)


def test_a_name_without_an_address_is_named(reactor: Reactor) -> None:
    with pytest.raises(DNSLookupError, match=r"'nowhere\.invalid' does not resolve: .+; check its spelling"):
        ThreadedResolver(reactor).getHostByName("nowhere.invalid").wait(PATIENCE)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System(OSError("it gave up at last"))
    monkeypatch.setattr(socket, "gethostbyname", system.getaddrinfo)
    return system


def test_a_lookup_that_takes_too_long_fails(reactor: Reactor, stuck: System) -> None:
    found = ThreadedResolver(reactor).getHostByName("slow.example", (0.01, 0.02))
    with pytest.raises(DNSLookupError, match=r"'slow\.example' was not resolved within 0\.03 s"):
        found.wait(PATIENCE)
    stuck.go_on.set()


def test_a_lookup_can_be_cancelled(reactor: Reactor, stuck: System) -> None:
    found = ThreadedResolver(reactor).getHostByName("slow.example")
    found.cancel()
    error_of(found, CancelledError)
    assert not reactor.getDelayedCalls()
    stuck.go_on.set()


def test_the_error_of_a_stopped_pool_is_a_lookup_s(reactor: Reactor) -> None:
    reactor.getThreadPool().close()
    with pytest.raises(DNSLookupError, match="was stopped"):
        ThreadedResolver(reactor).getHostByName("some.example").wait(PATIENCE)
    assert issubclass(PoolStoppedError, RuntimeError)
