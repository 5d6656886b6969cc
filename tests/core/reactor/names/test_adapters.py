"""Resolvers of one shape made of the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import error_of, outcome
from tests.core.reactor.names.resolvers import Answering, Receiver, Waiting
from wirebook.address import IPv4Address, IPv6Address
from wirebook.deferred import CancelledError, Deferred, fail, succeed
from wirebook.error import DNSLookupError
from wirebook.reactor.names import ComplexResolverSimplifier, SimpleResolverComplexifier
from wirebook.task import Clock


class Simple:
    """A resolver of one address, whose Deferreds the test fires."""

    def __init__(self, answer: Deferred[str] | None = None) -> None:
        self.answer: Deferred[str] = Deferred() if answer is None else answer
        self.asked: list[str] = []

    def getHostByName(self, name: str, timeout: Any = ()) -> Deferred[str]:
        self.asked.append(name)
        return self.answer


def test_one_address_becomes_a_resolution() -> None:
    simple, receiver = Simple(), Receiver()
    SimpleResolverComplexifier(simple).resolveHostName(receiver, "bücher.example", 80)
    assert simple.asked == ["xn--bcher-kva.example"]
    assert (receiver.addresses, receiver.completed) == ([], 0)
    simple.answer.callback("192.0.2.1")
    assert (receiver.addresses, receiver.completed) == ([IPv4Address("TCP", "192.0.2.1", 80)], 1)


@pytest.mark.parametrize("types", [[IPv6Address], []])
def test_an_address_of_a_kind_that_is_not_wanted_is_left_out(types: Any) -> None:
    receiver = Receiver()
    SimpleResolverComplexifier(Simple(succeed("192.0.2.1"))).resolveHostName(receiver, "some.example", 80, types)
    assert (receiver.addresses, receiver.completed) == ([], 1)


def test_no_address_becomes_none_with_the_reason() -> None:
    receiver = Receiver()
    SimpleResolverComplexifier(Simple(fail(DNSLookupError("not today")))).resolveHostName(receiver, "some.example")
    assert (receiver.addresses, receiver.completed, receiver.began.reason) == ([], 1, "not today")


def test_other_errors_are_reported(reported: Reports) -> None:
    receiver = Receiver()
    SimpleResolverComplexifier(Simple(fail(ValueError("broken")))).resolveHostName(receiver, "some.example")
    assert receiver.completed == 1
    (record,) = reported()
    assert "getHostByName('some.example') failed" in record.getMessage()


def test_cancelling_reaches_the_simple_resolver() -> None:
    simple, receiver = Simple(), Receiver()
    SimpleResolverComplexifier(simple).resolveHostName(receiver, "some.example").cancel()
    assert simple.answer.called
    assert receiver.completed == 0


def test_the_first_address_of_several() -> None:
    addresses = [IPv4Address("TCP", "192.0.2.1", 0), IPv4Address("TCP", "192.0.2.2", 0)]
    assert outcome(ComplexResolverSimplifier(Answering(addresses)).getHostByName("some.example")) == "192.0.2.1"


def test_none_of_none_fails() -> None:
    error = error_of(ComplexResolverSimplifier(Answering([])).getHostByName("some.example"), DNSLookupError)
    assert "'some.example' does not resolve: it has no address; check its spelling" in str(error)


def test_it_may_take_the_sum_of_the_timeouts() -> None:
    clock, names = Clock(), Waiting()
    found = ComplexResolverSimplifier(names, clock).getHostByName("slow.example", (1, 3))
    clock.advance(3.9)
    assert not found.called
    clock.advance(0.1)
    assert "not resolved within 4 s" in str(error_of(found, DNSLookupError))
    assert names.resolution.cancelled


def test_an_answer_in_time_leaves_no_timer() -> None:
    clock, names = Clock(), Waiting()
    found = ComplexResolverSimplifier(names, clock).getHostByName("some.example", (1, 3))
    names.receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", 0))
    names.receiver.resolutionComplete()
    assert outcome(found) == "192.0.2.1"
    assert not clock.getDelayedCalls()


def test_cancelling_the_deferred_cancels_the_resolution() -> None:
    names = Waiting()
    found = ComplexResolverSimplifier(names).getHostByName("slow.example")
    found.cancel()
    error_of(found, CancelledError)
    assert names.resolution.cancelled
    names.receiver.resolutionComplete()


def test_a_resolution_that_cannot_be_stopped_is_no_error() -> None:
    class Unstoppable(Waiting):
        def resolveHostName(self, *args: Any, **kw: Any) -> Any:
            resolution: Any = super().resolveHostName(*args, **kw)
            resolution.cancel = self.refuse
            return resolution

        def refuse(self) -> None:
            raise NotImplementedError

    found = ComplexResolverSimplifier(Unstoppable()).getHostByName("slow.example")
    found.cancel()
    error_of(found, CancelledError)
