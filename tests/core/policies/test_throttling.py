"""How fast connections may be, all together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.net_kit import Echo, Recorder, Recorders, dial, receive_all, receive_exactly, serving
from tests.core.policies.policy_kit import PEER, Noting, Server, connect
from wirebook import reactor as process_reactor
from wirebook.policies import ThrottlingFactory
from wirebook.protocol import Factory
from wirebook.task import Clock
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor


class Throttling(ThrottlingFactory):
    """Counts on a clock of its own."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(Server(), *args, **kw)
        self.clock = Clock()

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        return self.clock.callLater(period, func)


# ---------------------------------------------------------------------------------- how many there are


def test_no_more_connections_than_the_limit_are_accepted() -> None:
    factory = Throttling(2)
    wrappers = [factory.buildProtocol(PEER) for _ in range(3)]
    assert [wrapper is not None for wrapper in wrappers] == [True, True, False]
    assert factory.connectionCount == 2


def test_a_refused_connection_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    Throttling(0).buildProtocol(PEER)
    assert "refuses a connection from 127.0.0.1:50000: it has 0 of at most 0" in caplog.text


def test_a_connection_that_ends_makes_room_over_tcp(reactor: Reactor) -> None:
    recorders = Recorders(Echo)
    with serving(reactor, ThrottlingFactory(recorders, 1)) as port:
        with dial(port), dial(port) as second:
            recorders.number(0)
            assert receive_all(second) == b""
        recorders.protocols[0].end()
        with dial(port) as third:
            third.sendall(b"x")
            assert receive_exactly(third, 1) == b"x"


def test_connections_that_the_wrapped_factory_refuses_do_not_count() -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    factory = ThrottlingFactory(Refusing(), readLimit=1)
    assert factory.buildProtocol(PEER) is None
    assert factory.connectionCount == 0
    assert not process_reactor.getDelayedCalls()


@pytest.mark.parametrize("name", ["readLimit", "writeLimit"])
@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_lets_nothing_through_is_refused(name: str, limit: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {limit}"):
        Throttling(**{name: limit})


# -------------------------------------------------------------------------------------------- reading


def test_reading_stands_still_for_as_long_as_the_excess_would_have_taken() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    wrapper.dataReceived(bytes(35))
    assert factory.readThisSecond == 35
    factory.clock.advance(1)
    assert (factory.readThisSecond, transport.producerState, factory.holds_reads) == (0, "paused", True)
    factory.clock.pump([1, 1, 0.4])
    assert transport.producerState == "paused"
    factory.clock.advance(0.1)
    assert (transport.producerState, factory.holds_reads) == ("producing", False)


def test_exactly_the_limit_is_not_too_much() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    for _ in range(3):
        wrapper.dataReceived(bytes(10))
        factory.clock.advance(1)
        assert transport.producerState == "producing"


def test_the_limit_is_for_all_connections_together() -> None:
    factory = Throttling(readLimit=10)
    ends = [connect(factory) for _ in range(3)]
    for wrapper, _ in ends:
        wrapper.dataReceived(bytes(4))
    factory.clock.advance(1)
    assert {transport.producerState for _, transport in ends} == {"paused"}


def test_what_arrives_while_reading_stands_still_makes_it_last_longer() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    wrapper.dataReceived(bytes(30))
    factory.clock.advance(1)
    wrapper.dataReceived(bytes(20))
    factory.clock.pump([1, 1.5])
    assert transport.producerState == "paused"
    factory.clock.advance(0.5)
    assert transport.producerState == "producing"


def test_a_connection_that_comes_while_reading_stands_still_waits_too() -> None:
    factory = Throttling(readLimit=10)
    wrapper, _ = connect(factory)
    wrapper.dataReceived(bytes(20))
    factory.clock.advance(1)
    _, late = connect(factory)
    assert late.producerState == "paused"
    factory.clock.advance(1)
    assert late.producerState == "producing"


def test_a_protocol_that_has_paused_is_not_resumed_by_the_factory() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    wrapper.dataReceived(bytes(20))
    wrapper.pauseProducing()
    factory.clock.pump([1, 1])
    assert transport.producerState == "paused"
    wrapper.resumeProducing()
    assert transport.producerState == "producing"


def test_a_protocol_that_resumes_waits_for_the_factory() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    wrapper.dataReceived(bytes(20))
    factory.clock.advance(1)
    wrapper.resumeProducing()
    assert transport.producerState == "paused"
    factory.clock.advance(1)
    assert transport.producerState == "producing"


def test_reading_can_be_held_by_hand() -> None:
    factory = Throttling()
    _, transport = connect(factory)
    factory.throttleReads()
    assert transport.producerState == "paused"
    factory.unthrottleReads()
    assert transport.producerState == "producing"


# -------------------------------------------------------------------------------------------- writing


def test_both_ways_of_writing_are_counted() -> None:
    factory = Throttling(writeLimit=100)
    wrapper, transport = connect(factory)
    wrapper.write(b"four")
    wrapper.writeSequence(iter([b"one", b"two"]))
    assert (transport.value(), factory.writtenThisSecond) == (b"fouronetwo", 10)


def test_a_producer_waits_for_as_long_as_the_excess_would_have_taken() -> None:
    factory = Throttling(writeLimit=10)
    wrapper, _ = connect(factory)
    producer = Noting()
    wrapper.registerProducer(producer, True)
    assert wrapper.producer is producer
    wrapper.write(bytes(25))
    factory.clock.advance(1)
    assert (producer.asked, factory.writtenThisSecond) == (["pause"], 0)
    factory.clock.advance(1.4)
    assert producer.asked == ["pause"]
    factory.clock.advance(0.1)
    assert producer.asked == ["pause", "resume"]


def test_a_producer_that_may_write_waits_still_for_a_full_transport() -> None:
    factory = Throttling(writeLimit=10)
    wrapper, transport = connect(factory)
    producer = Noting()
    wrapper.registerProducer(producer, True)
    wrapper.write(bytes(20))
    transport.producer.pauseProducing()
    factory.clock.pump([1, 1])
    assert producer.asked == ["pause"]
    transport.producer.resumeProducing()
    transport.producer.resumeProducing()
    assert producer.asked == ["pause", "resume"]


def test_a_producer_that_registers_while_writing_stands_still_waits() -> None:
    factory = Throttling(writeLimit=10)
    wrapper, _ = connect(factory)
    wrapper.write(bytes(20))
    factory.clock.advance(1)
    producer = Noting()
    wrapper.registerProducer(producer, True)
    assert producer.asked == ["pause"]
    factory.clock.advance(1)
    assert producer.asked == ["pause", "resume"]


class Pulled(Noting):
    """Writes a piece each time it is asked, ten times."""

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self.transport = transport

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.transport.write(bytes(5))
        if len(self.asked) == 10:
            self.transport.unregisterProducer()


def test_a_pull_producer_is_asked_once_per_round_and_not_while_writing_stands_still() -> None:
    factory = Throttling(writeLimit=10)
    wrapper, transport = connect(factory)
    producer = Pulled(wrapper)
    wrapper.registerProducer(producer, False)
    calls = factory.clock.calls
    assert min(call.getTime() for call in calls) == 0
    factory.throttleWrites()
    factory.clock.advance(0)
    assert producer.asked == []
    factory.unthrottleWrites()
    factory.clock.advance(0)
    assert transport.value() == bytes(50)
    assert transport.producer is None
    assert [call.getTime() for call in factory.clock.calls] == [1]


def test_a_pull_producer_waits_for_a_full_transport() -> None:
    factory = Throttling(writeLimit=1000)
    wrapper, transport = connect(factory)
    producer = Pulled(wrapper)
    wrapper.registerProducer(producer, False)
    transport.producer.pauseProducing()
    factory.clock.advance(0)
    assert producer.asked == []
    transport.producer.stopProducing()
    assert producer.asked == ["stop"]


def test_a_second_producer_is_refused_and_leaves_nothing_behind() -> None:
    factory = Throttling(writeLimit=10)
    wrapper, _ = connect(factory)
    wrapper.registerProducer(first := Noting(), True)
    with pytest.raises(RuntimeError):
        wrapper.registerProducer(Pulled(wrapper), False)
    assert wrapper.producer is first
    assert [call.getTime() for call in factory.clock.calls] == [1]


def test_without_a_limit_for_writing_the_transport_has_the_producer_itself() -> None:
    wrapper, transport = connect(Throttling(readLimit=5))
    wrapper.registerProducer(producer := Noting(), False)
    assert (transport.producer, transport.streaming) == (producer, False)


def test_an_error_of_one_producer_ends_its_connection_alone(reported: Reports) -> None:
    class Broken(Noting):
        def pauseProducing(self) -> None:
            raise ValueError("broken")

    factory = Throttling(writeLimit=10)
    transports = []
    producers = [Noting(), Broken(), Noting()]
    for producer in producers:
        wrapper = factory.buildProtocol(PEER)
        wrapper.makeConnection(transport := StringTransport())
        wrapper.registerProducer(producer, True)
        transports.append(transport)
    wrapper.write(bytes(20))
    factory.clock.advance(1)
    assert [transport.disconnecting for transport in transports] == [False, True, False]
    assert [producer.asked for producer in producers] == [["pause"], [], ["pause"]]
    assert "pauseProducing" in reported()[0].getMessage()
    assert factory.clock.calls


# ---------------------------------------------------------------------------------------------- clocks


def test_the_last_connection_takes_all_timers_with_it() -> None:
    factory = Throttling(readLimit=10, writeLimit=10)
    wrapper, transport = connect(factory)
    wrapper.registerProducer(Pulled(wrapper), False)
    wrapper.dataReceived(bytes(20))
    wrapper.write(bytes(20))
    factory.throttleWrites()
    factory.clock.advance(1)
    assert len(factory.clock.calls) == 4
    transport.loseConnection()
    assert not factory.clock.calls
    assert (factory.holds_reads, factory.holds_writes) == (False, False)


def test_a_factory_that_was_empty_begins_with_nothing_counted() -> None:
    factory = Throttling(readLimit=10)
    wrapper, transport = connect(factory)
    wrapper.dataReceived(bytes(1000))
    transport.loseConnection()
    _, transport = connect(factory)
    factory.clock.advance(1)
    assert transport.producerState == "producing"
    transport.loseConnection()


def test_without_limits_there_are_no_timers() -> None:
    factory = Throttling()
    connect(factory)
    assert not factory.clock.calls


def test_throttling_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wirebook")
    factory = Throttling(readLimit=10)
    wrapper, _ = connect(factory)
    wrapper.dataReceived(bytes(20))
    factory.clock.pump([1, 1])
    assert [record.getMessage() for record in caplog.records] == [
        "Server (Throttling): throttling reads",
        "Server (Throttling): no longer throttling reads",
    ]


def test_the_process_s_reactor_keeps_the_time(reactor: Reactor) -> None:
    recorders = Recorders(Recorder)
    with serving(reactor, ThrottlingFactory(recorders, readLimit=1 << 20)) as port:
        with dial(port):
            recorders.number(0)
            assert len(process_reactor.getDelayedCalls()) == 1
        recorders.protocols[0].end()
    assert not process_reactor.getDelayedCalls()
