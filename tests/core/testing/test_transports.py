"""Transports, producers and protocols that only record."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.deferred_kit import outcome
from wirebook.address import IPv4Address
from wirebook.deferred import Deferred
from wirebook.error import ConnectionDone
from wirebook.protocol import Factory
from wirebook.task import Clock
from wirebook.testing import (
    AccumulatingProtocol,
    FakeDatagramTransport,
    NonStreamingProducer,
    StringIOWithoutClosing,
    StringTransport,
    StringTransportWithDisconnection,
    waitUntilAllDisconnected,
)


def test_a_string_transport_keeps_what_is_written_until_it_is_cleared() -> None:
    transport = StringTransport()
    transport.write(b"one ")
    transport.writeSequence([b"two", b"!"])
    assert transport.value() == b"one two!"
    transport.clear()
    assert transport.value() == b""


def test_a_string_transport_takes_bytes_only() -> None:
    wrong: Any = "text"
    with pytest.raises(TypeError, match="not 'text'"):
        StringTransport().write(wrong)


def test_losing_and_aborting_set_flags_and_nothing_more() -> None:
    transport = StringTransport()
    assert (transport.connected, transport.disconnecting, transport.disconnected) == (True, False, False)
    transport.loseConnection()
    assert (transport.disconnecting, transport.disconnected) == (True, False)
    transport.abortConnection()
    assert (transport.disconnecting, transport.disconnected) == (True, True)


def test_addresses_are_what_was_given_or_made_up() -> None:
    host, peer = object(), object()
    transport = StringTransport(host, peerAddress=peer)
    assert transport.getHost() is host
    assert transport.getPeer() is peer
    assert isinstance(StringTransport().getHost(), IPv4Address)
    assert StringTransport().getHost() != StringTransport().getPeer()


def test_one_producer_is_recorded_at_a_time() -> None:
    transport, producer = StringTransport(), object()
    with pytest.raises(RuntimeError, match="none is registered"):
        transport.unregisterProducer()
    transport.registerProducer(producer, False)
    assert (transport.producer, transport.streaming) == (producer, False)
    with pytest.raises(RuntimeError, match="is registered"):
        transport.registerProducer(object(), True)
    transport.unregisterProducer()
    assert (transport.producer, transport.streaming) == (None, None)


def test_the_producer_state_follows_what_was_asked() -> None:
    transport = StringTransport()
    states = [transport.producerState]
    for ask in (transport.pauseProducing, transport.resumeProducing, transport.stopProducing):
        ask()
        states.append(transport.producerState)
    assert states == ["producing", "paused", "producing", "stopped"]


@pytest.mark.parametrize("end", ["loseConnection", "stopProducing"])
@pytest.mark.parametrize("ask", ["pauseProducing", "resumeProducing"])
def test_pausing_and_resuming_after_the_end_is_an_error(end: str, ask: str) -> None:
    transport = StringTransport()
    getattr(transport, end)()
    with pytest.raises(RuntimeError, match=f"after {end}"):
        getattr(transport, ask)()


def test_a_lenient_one_may_be_resumed_after_the_end() -> None:
    transport = StringTransport(lenient=True)
    transport.loseConnection()
    transport.pauseProducing()
    transport.resumeProducing()
    assert transport.producerState == "producing"


def test_the_one_with_disconnection_tells_its_protocol_once() -> None:
    protocol, transport = AccumulatingProtocol(), StringTransportWithDisconnection()
    transport.protocol = protocol
    ended: Deferred[None] = Deferred()
    protocol.closedDeferred = ended
    protocol.makeConnection(transport)
    transport.loseConnection()
    transport.loseConnection()
    assert (protocol.closed, transport.connected) == (1, False)
    assert protocol.closedReason is not None
    assert protocol.closedReason.check(ConnectionDone)
    assert outcome(ended) is None


def test_a_buffer_without_closing_can_be_read_after_close() -> None:
    buffer = StringIOWithoutClosing()
    buffer.write(b"kept")
    buffer.close()
    assert buffer.getvalue() == b"kept"


def test_a_datagram_transport_keeps_packets_with_their_addresses() -> None:
    transport = FakeDatagramTransport()
    transport.write(b"a", ("127.0.0.1", 1))
    transport.write(b"b")
    assert transport.written == [(b"a", ("127.0.0.1", 1)), (b"b", FakeDatagramTransport.noAddr)]


class Announcing(Factory):
    """Wants to know of the first connection."""

    protocol = AccumulatingProtocol

    def __init__(self) -> None:
        self.protocolConnectionMade: Deferred[Any] | None = Deferred()


def test_an_accumulating_protocol_announces_itself_once_and_keeps_what_arrives() -> None:
    factory = Announcing()
    announced = factory.protocolConnectionMade
    first, second = factory.buildProtocol(None), factory.buildProtocol(None)
    for protocol in (first, second):
        protocol.makeConnection(StringTransport())
        assert protocol.made == 1
    assert announced is not None
    assert outcome(announced) is first
    first.dataReceived(b"a")
    first.dataReceived(b"b")
    assert (first.data, second.data) == (b"ab", b"")


def test_a_pull_producer_writes_ten_digits_and_has_finished() -> None:
    transport = StringTransport()
    producer = NonStreamingProducer(transport)
    finished = producer.result
    transport.registerProducer(producer, False)
    for _ in range(10):
        producer.resumeProducing()
    assert (transport.value(), transport.producer, producer.stopped) == (b"0123456789", None, False)
    assert outcome(finished) is None
    with pytest.raises(RuntimeError, match="was unregistered or stopped"):
        producer.resumeProducing()


def test_a_pull_producer_is_never_paused_and_may_be_stopped() -> None:
    producer = NonStreamingProducer(StringTransport())
    finished = producer.result
    with pytest.raises(RuntimeError, match="on a pull producer"):
        producer.pauseProducing()
    producer.stopProducing()
    assert producer.stopped
    assert outcome(finished) is None


def test_waiting_until_all_are_disconnected_takes_as_long_as_the_last() -> None:
    clock, protocols = Clock(), [AccumulatingProtocol(), AccumulatingProtocol()]
    transports = [StringTransport(), StringTransport()]
    for protocol, transport in zip(protocols, transports, strict=True):
        protocol.makeConnection(transport)
    done: list[Any] = []
    waitUntilAllDisconnected(clock, protocols).addCallback(done.append)
    transports[0].connected = False
    clock.advance(0.01)
    assert not done
    transports[1].connected = False
    clock.advance(0.01)
    assert done
