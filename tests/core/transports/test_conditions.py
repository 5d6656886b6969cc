"""Network conditions: when and in which pieces bytes arrive, how a connection breaks, and that it repeats."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import eventually
from tests.core.deferred_kit import outcome
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, dial, receive_all, receive_exactly
from wirebook.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from wirebook.failure import Failure
from wirebook.protocol import Factory, connectionDone
from wirebook.task import Clock
from wirebook.testing import StringTransport
from wirebook.transports.conditions import Conditions, conditions
from wirebook.transports.memory import MemoryNetwork, memory_pair
from wirebook.transports.reactor import Reactor


class Timed(Recorder):
    """Notes at what time which piece arrived."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.arrived: list[tuple[float, bytes]] = []
        self.ended = -1.0

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.arrived.append((round(self.clock.seconds(), 6), data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.ended = round(self.clock.seconds(), 6)


class Lab:
    """A pair on a clock: ``slow`` is under conditions, ``plain`` is not."""

    def __init__(self, **how: Any) -> None:
        self.clock = Clock()
        self.slow, self.plain = Timed(self.clock), Timed(self.clock)
        memory_pair(self.clock, conditions(self.slow, **how), self.plain)
        self.clock.advance(0)

    def run(self, seconds: float) -> None:
        """Let time pass, in milliseconds."""
        self.clock.advance(0)
        for _ in range(round(seconds * 1000)):
            self.clock.advance(0.001)


# --- one thing at a time


def test_latency_delays_every_byte_in_both_directions() -> None:
    lab = Lab(latency=0.1)
    lab.slow.transport.write(b"out")
    lab.plain.transport.write(b"in")
    lab.run(0.05)
    lab.slow.transport.write(b"later")
    assert not lab.plain.data
    assert not lab.slow.data
    lab.run(0.2)
    assert lab.plain.arrived == [(0.1, b"out"), (0.15, b"later")]
    assert lab.slow.arrived == [(0.1, b"in")]


def test_bandwidth_spreads_bytes_over_time() -> None:
    lab = Lab(bandwidth=10_000)
    lab.slow.transport.write(bytes(5_000))
    lab.run(0.3)
    assert len(lab.plain.data) == 2 * 1460
    lab.run(0.3)
    assert len(lab.plain.data) == 5_000
    assert lab.plain.arrived[-1][0] == 0.5


def test_bandwidth_is_not_saved_up_while_nothing_is_sent() -> None:
    lab = Lab(bandwidth=1000)
    lab.run(5)
    lab.slow.transport.write(bytes(1000))
    lab.run(2)
    assert lab.plain.arrived[-1][0] == 6.0


def test_fragments_arrive_one_by_one() -> None:
    lab = Lab(fragment=1)
    lab.plain.transport.write(b"GET /")
    lab.run(0.01)
    assert [data for _, data in lab.slow.arrived] == [b"G", b"E", b"T", b" ", b"/"]


def test_outgoing_fragments_are_written_one_by_one() -> None:
    class Writes(StringTransport):
        pieces: list[bytes]

        def write(self, data: bytes) -> None:
            self.pieces.append(data)

    clock, transport = Clock(), Writes()
    transport.pieces = []
    protocol = Recorder()
    conditions(protocol, fragment=2, clock=clock).makeConnection(transport)
    protocol.transport.write(b"hello")
    clock.advance(0)
    assert transport.pieces == [b"he", b"ll", b"o"]
    protocol.transport.abortConnection()
    clock.advance(0)
    assert transport.disconnected


def test_jitter_keeps_the_order_and_repeats_with_the_seed() -> None:
    def arrivals(seed: int) -> list[tuple[float, bytes]]:
        lab = Lab(latency=0.01, jitter=0.05, fragment=1, seed=seed)
        for digit in range(10):
            lab.plain.transport.write(b"%d" % digit)
            lab.run(0.01)
        lab.run(0.1)
        return lab.slow.arrived

    first = arrivals(1)
    assert b"".join(data for _, data in first) == b"0123456789"
    assert len({when for when, _ in first}) > 2
    assert all(0.01 <= when <= 0.152 for when, _ in first)
    assert arrivals(1) == first
    assert arrivals(2) != first


def test_every_connection_and_direction_has_numbers_of_its_own() -> None:
    clock, ends = Clock(), []
    factory = conditions(Factory.forProtocol(lambda: Timed(clock)), jitter=0.5)
    for _ in range(2):
        relay, peer = factory.buildProtocol(None), Timed(clock)
        memory_pair(clock, relay, peer)
        ends += [relay.protocol, peer]
        relay.protocol.transport.write(b"x")
        peer.transport.write(b"x")
    for _ in range(600):
        clock.advance(0.001)
    assert len({end.arrived[0][0] for end in ends}) == 4


def test_a_stall_stops_everything_for_its_time() -> None:
    lab = Lab(stall=(3, 2.0))
    lab.slow.transport.write(b"abcdef")
    lab.run(2.5)
    assert lab.plain.arrived == [(0.0, b"abc"), (pytest.approx(2.0, abs=0.002), b"def")]


def test_a_stall_may_last_for_ever_and_can_be_aborted() -> None:
    lab = Lab(stall=(0, math.inf))
    lab.slow.transport.write(b"abcdef")
    lab.run(10)
    assert not lab.plain.data
    assert lab.clock.getDelayedCalls() == []
    lab.slow.transport.abortConnection()
    lab.run(0.01)
    assert isinstance(lab.slow.end(), ConnectionAborted)
    assert isinstance(lab.plain.end(), ConnectionLost)


def test_a_reset_comes_behind_its_bytes_on_both_sides() -> None:
    lab = Lab(reset_after=4, latency=0.1)
    lab.slow.transport.write(b"abcdef")
    lab.run(0.2)
    assert lab.plain.data == b"abcd"
    assert isinstance(lab.plain.end(), ConnectionLost)
    assert str(lab.slow.end()) == "the connection was lost: its conditions reset it after 4 bytes"
    assert lab.slow.ended == 0.1
    assert lab.clock.getDelayedCalls() == []


def test_a_reset_after_nothing_comes_at_once() -> None:
    lab = Lab(reset_after=0)
    lab.run(0.01)
    assert isinstance(lab.slow.end(), ConnectionLost)
    assert isinstance(lab.plain.end(), ConnectionLost)


def test_a_cut_direction_ends_for_its_receiver_and_the_other_one_goes_on() -> None:
    class HalfCloseable(Timed):
        def readConnectionLost(self) -> None:
            self.arrived.append((self.clock.seconds(), b"<end>"))

        def writeConnectionLost(self) -> None:
            """Lives on."""

    clock = Clock()
    slow, plain = HalfCloseable(clock), HalfCloseable(clock)
    memory_pair(clock, conditions(slow, incoming=Conditions(half_close_after=3)), plain)
    plain.transport.write(b"abcdef")
    slow.transport.write(b"other way")
    clock.advance(0)
    assert slow.arrived == [(0.0, b"abc"), (0.0, b"<end>")]
    assert plain.data == b"other way"
    plain.transport.write(b"into the void")
    slow.transport.loseConnection()
    clock.advance(0)
    assert isinstance(slow.end(), ConnectionDone)
    plain.transport.loseConnection()
    clock.advance(0)
    assert isinstance(plain.end(), ConnectionDone)


def test_a_cut_outgoing_direction_is_a_half_close_for_the_peer() -> None:
    lab = Lab(outgoing=Conditions(half_close_after=3))
    lab.slow.transport.write(b"abcdef")
    lab.run(0.01)
    assert lab.plain.data == b"abc"
    assert isinstance(lab.plain.end(), ConnectionDone)
    assert isinstance(lab.slow.end(), ConnectionDone)


def test_directions_can_be_set_apart() -> None:
    lab = Lab(latency=1.0, incoming=Conditions(latency=0.1))
    lab.slow.transport.write(b"out")
    lab.plain.transport.write(b"in")
    lab.run(1.1)
    assert (lab.slow.arrived, lab.plain.arrived) == ([(0.1, b"in")], [(1.0, b"out")])


def test_without_conditions_nothing_is_delayed() -> None:
    lab = Lab()
    lab.slow.transport.write(b"out")
    lab.plain.transport.write(b"in")
    lab.clock.advance(0)
    assert (lab.slow.arrived, lab.plain.arrived) == ([(0.0, b"in")], [(0.0, b"out")])


# --- ends


def test_the_end_comes_behind_the_bytes() -> None:
    lab = Lab(latency=0.1)
    lab.slow.transport.write(b"bye")
    lab.slow.transport.loseConnection()
    lab.run(0.2)
    assert (lab.plain.arrived, lab.plain.ended) == ([(0.1, b"bye")], 0.1)
    assert lab.clock.getDelayedCalls() == []


def test_the_peer_s_end_is_late_too_and_keeps_its_reason() -> None:
    lab = Lab(latency=0.1)
    lab.plain.transport.write(b"bye")
    lab.plain.transport.abortConnection()
    lab.run(0.2)
    assert lab.slow.data == b"bye"
    assert lab.slow.ended == pytest.approx(0.1, abs=0.002)
    assert isinstance(lab.slow.end(), ConnectionLost)
    assert "ECONNRESET" in str(lab.slow.end())


def test_an_abort_is_never_late() -> None:
    lab = Lab(latency=10)
    lab.slow.transport.write(b"lost")
    lab.slow.transport.abortConnection()
    lab.run(0.01)
    assert isinstance(lab.plain.end(), ConnectionLost)
    assert not lab.plain.data
    assert lab.clock.getDelayedCalls() == []


def test_nobody_is_left_waiting_when_the_peer_ends_while_the_program_is_paused() -> None:
    lab = Lab(latency=0.01)
    lab.slow.transport.pauseProducing()
    lab.plain.transport.write(b"waits")
    lab.plain.transport.loseConnection()
    lab.run(0.1)
    assert not lab.slow.data
    lab.slow.transport.resumeProducing()
    lab.run(0.1)
    assert lab.slow.data == b"waits"
    assert isinstance(lab.slow.end(), ConnectionDone)


# --- backpressure


def test_a_full_link_pauses_the_peer_and_lets_it_go_on() -> None:
    lab = Lab(incoming=Conditions(bandwidth=100_000))
    lab.plain.transport.write(bytes(1 << 20))
    lab.run(0.01)
    # One link of 64 KiB, a channel on either side of it, and no more.
    assert lab.plain.transport.bytesSent < 300_000
    lab.run(12)
    assert len(lab.slow.data) == 1 << 20
    assert lab.slow.arrived[-1][0] == pytest.approx((1 << 20) / 100_000, abs=0.05)


class Producer:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def stopProducing(self) -> None:
        self.asked.append("stop")


def test_a_producer_is_paused_while_the_link_is_full() -> None:
    lab, producer = Lab(bandwidth=100_000), Producer()
    lab.slow.transport.registerProducer(producer, True)
    lab.slow.transport.write(bytes(300_000))
    lab.run(0.1)
    assert producer.asked == ["pause"]
    lab.run(3)
    assert producer.asked == ["pause", "resume"]
    assert len(lab.plain.data) == 300_000
    lab.slow.transport.unregisterProducer()


def test_a_peer_that_does_not_read_is_felt_through_the_link() -> None:
    lab, producer = Lab(latency=0.001), Producer()
    lab.plain.transport.pauseProducing()
    lab.slow.transport.registerProducer(producer, True)
    lab.slow.transport.write(bytes(2 << 20))
    lab.run(0.1)
    assert producer.asked == ["pause"]
    lab.plain.transport.resumeProducing()
    lab.run(0.1)
    assert producer.asked == ["pause", "resume"]
    assert len(lab.plain.data) == 2 << 20
    lab.slow.transport.unregisterProducer()


def test_the_window_is_what_the_line_holds() -> None:
    assert Conditions().window == 1 << 20
    assert Conditions(bandwidth=1000).window == 65536
    assert Conditions(bandwidth=1_000_000, latency=0.5).window == 1_000_000


# --- what can be wrapped


def test_a_server_s_factory_on_tcp(reactor: Reactor) -> None:
    server = Recorders(Echo)
    port = reactor.listenTCP(0, conditions(server, fragment=1))
    with dial(port) as sock:
        sock.sendall(b"hello")
        assert receive_exactly(sock, 5) == b"hello"
        transport = server.number(0).transport
        assert transport.transportName == "TCP under conditions"
        assert str(transport.getPeer()) == f"127.0.0.1:{sock.getsockname()[1]}"
        assert transport.getTcpNoDelay()
        assert port.label == "Echo"
    server.number(0).end()
    port.stopListening()
    assert server.events == ["start", "stop"]


def test_both_endpoints(reactor: Reactor) -> None:
    listening = conditions(TCP4ServerEndpoint(reactor, 0), latency=0.01).listen(Recorders(Echo))
    port = outcome(listening)
    there = conditions(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), latency=0.01)
    protocol = there.connect(Recorders(Recorder)).wait(PATIENCE)
    assert isinstance(protocol, Recorder)
    before = reactor.seconds()
    protocol.transport.write(b"hello")
    assert eventually(lambda: protocol.data == b"hello")
    assert reactor.seconds() - before >= 0.04
    protocol.transport.loseConnection()
    protocol.end()
    port.stopListening()


def test_a_client_endpoint_that_fails_fails_as_before(reactor: Reactor) -> None:
    port = reactor.listenTCP(0, Factory())
    number = port.getHost().port
    port.stopListening()
    with pytest.raises(ConnectionRefusedError):
        conditions(TCP4ClientEndpoint(reactor, "127.0.0.1", number)).connect(Recorders(Recorder)).wait(PATIENCE)


def test_a_factory_that_refuses_still_does() -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    assert conditions(Refusing()).buildProtocol(None) is None


def test_a_virtual_clock_rules_the_conditions_of_a_real_connection(reactor: Reactor) -> None:
    clock, server = Clock(), Recorders(Echo)
    port = reactor.listenTCP(0, conditions(server, incoming=Conditions(latency=3600), clock=clock))
    with dial(port) as sock:
        sock.sendall(b"hello")
        protocol = server.number(0)
        assert eventually(clock.getDelayedCalls)
        assert not protocol.data
        clock.advance(3600)
        assert receive_exactly(sock, 5) == b"hello"
        protocol.transport.loseConnection()
        assert receive_all(sock) == b""
    protocol.end()
    port.stopListening()


def test_a_memory_port_in_virtual_time() -> None:
    clock = Clock()
    network, client = MemoryNetwork(clock), Recorders(Recorder)
    port = network.listenMemory("slow", conditions(Recorders(Echo), latency=1))
    network.connectMemory("slow", client)
    clock.advance(0)
    client.protocols[0].transport.write(b"x")
    clock.pump([0, 1, 0.5])
    assert not client.protocols[0].data
    clock.advance(0.5)
    assert client.protocols[0].data == b"x"
    client.protocols[0].transport.loseConnection()
    clock.pump([0.5] * 5)
    port.stopListening()
    assert len(network.handles) == 0
    assert clock.getDelayedCalls() == []


def test_a_wrapper_says_what_it_stands_for() -> None:
    endpoint = MemoryNetwork(Clock())
    assert "under conditions" in repr(conditions(Factory()))
    with pytest.raises(TypeError, match="takes a factory, an endpoint or a protocol object, not <"):
        conditions(endpoint)
    with pytest.raises(TypeError, match="takes a factory, an endpoint or a protocol object, not <class"):
        conditions(Recorder)


@pytest.mark.parametrize("missing", ["noSuchThing", "_private"])
def test_what_neither_has_is_missing(missing: str) -> None:
    lab = Lab()
    with pytest.raises(AttributeError, match=missing):
        getattr(lab.slow.transport, missing)


# --- bad parameters

WRONG = [
    ("latency", -1, "a number of seconds, 0 or more"),
    ("latency", math.inf, "a number of seconds, 0 or more"),
    ("jitter", "much", "a number of seconds, 0 or more"),
    ("bandwidth", 0, "a number of bytes per second above 0, or None for no limit"),
    ("fragment", 0, "a number of bytes, 1 or more, or None"),
    ("fragment", 1.5, "a number of bytes, 1 or more, or None"),
    ("stall", 5, "a pair (after how many bytes, for how many seconds), or None"),
    ("stall", (1, 2, 3), "a pair (after how many bytes, for how many seconds), or None"),
    ("stall", (-1, 2), "a pair (after how many bytes, for how many seconds), or None"),
    ("stall", (1, math.nan), "a pair (after how many bytes, for how many seconds), or None"),
    ("reset_after", -1, "a number of bytes, 0 or more, or None for never"),
    ("half_close_after", True, "a number of bytes, 0 or more, or None for never"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_a_bad_parameter_is_named_with_what_would_be_right(name: str, value: Any, wanted: str) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name) as caught:
        conditions(Factory(), **wrong)
    assert str(caught.value) == f"{name} is {value!r}, and should be {wanted}"


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"incoming": 5}, r"incoming is 5, and should be a Conditions\(...\)"),
        ({"outgoing": {"latency": 1}}, r"outgoing is \{'latency': 1\}, and should be a Conditions\(...\)"),
        ({"clock": 5}, "a clock has callLater.* 5 has not"),
    ],
)
def test_what_are_no_conditions_and_no_clock_is_refused(how: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        conditions(Factory(), **how)


def test_an_unknown_parameter_is_named() -> None:
    wrong: dict[str, Any] = {"lag": 1}
    with pytest.raises(TypeError, match=r"no condition 'lag': choose from latency, jitter"):
        conditions(Factory(), **wrong)


def test_an_endpoint_announces_the_program_s_own_protocol(reactor: Reactor) -> None:
    port = reactor.listenTCP(0, Recorders(Echo))
    there = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    twice = conditions(conditions(Recorders(Recorder), fragment=1), latency=0.001)
    protocol = there.connect(twice).wait(PATIENCE)
    assert isinstance(protocol, Recorder)
    protocol.transport.write(b"hello")
    assert eventually(lambda: protocol.data == b"hello")
    protocol.transport.loseConnection()
    protocol.end()
    port.stopListening()


def test_closing_the_real_transport_s_handle_ends_both(reactor: Reactor) -> None:
    server = Recorders(Recorder)
    port = reactor.listenTCP(0, conditions(server, latency=0.001))
    with dial(port) as sock:
        protocol = server.number(0)
        protocol.transport.beneath.closeHandle()
        assert receive_all(sock) == b""
        assert isinstance(protocol.end(), ConnectionDone)
    port.stopListening()


# --- whatever the conditions, a stream stays a stream

SHAPES = st.builds(
    Conditions,
    latency=st.floats(0, 0.05),
    jitter=st.floats(0, 0.05),
    bandwidth=st.none() | st.integers(1000, 1_000_000),
    fragment=st.none() | st.integers(1, 50),
    stall=st.none() | st.tuples(st.integers(0, 300), st.floats(0, 0.5)),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=100), max_size=10), SHAPES, SHAPES)
def test_all_bytes_arrive_in_order_and_then_the_end(
    pieces: list[bytes], incoming: Conditions, outgoing: Conditions
) -> None:
    lab = Lab(incoming=incoming, outgoing=outgoing)
    for piece in pieces:
        lab.slow.transport.write(piece)
        lab.plain.transport.write(piece)
        lab.clock.advance(0.01)
    lab.clock.pump([0.05] * 100)
    assert bytes(lab.plain.data) == bytes(lab.slow.data) == b"".join(pieces)
    assert all(len(data) <= (incoming.fragment or 65536) for _, data in lab.slow.arrived)
    lab.slow.transport.loseConnection()
    lab.clock.pump([0.05] * 20)
    assert isinstance(lab.slow.end(), ConnectionDone)
    assert isinstance(lab.plain.end(), ConnectionDone)
    assert lab.clock.getDelayedCalls() == []
