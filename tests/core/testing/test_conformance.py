"""The conformance checks find what is wrong: each of these transports breaks one promise, and one check says so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.task import Clock
from wirebook.testing import StreamConformance
from wirebook.testing._harness import caught_reports
from wirebook.transports._channel import MemoryChannel, channel_pair
from wirebook.transports.memory import MemoryAddress, MemoryNetwork, MemoryTransport


class Checks(StreamConformance):
    """Over a pair of `kind` in virtual time."""

    patience = 0.3
    large = 200_000
    flood = 1 << 20

    def __init__(self, kind: type[MemoryTransport]) -> None:
        self.kind = kind
        self.clock = Clock()

    def pass_time(self) -> None:
        self.clock.advance(0.01)

    @contextmanager
    def connect(self, one: Any, other: Any) -> Iterator[None]:
        network, address = MemoryNetwork(self.clock), MemoryAddress("here")
        transports = [self.kind(network, end, address, address) for end in channel_pair()]
        for transport, protocol in zip(transports, (one, other), strict=True):
            transport.begin(protocol)
        yield


class LosesTheQueue(MemoryTransport):
    def loseConnection(self) -> None:
        self._drop_queue()
        super().loseConnection()


class EndsAtOnce(MemoryTransport):
    def loseConnection(self) -> None:
        self._end(Failure(ConnectionDone()))


class TellsTwice(MemoryTransport):
    def _tell_the_end(self, reason: Failure, was_connected: bool) -> None:
        protocol = self.protocol
        super()._tell_the_end(reason, was_connected)
        protocol.connectionLost(reason)


class SwapsBytes(MemoryTransport):
    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(reversed(list(data))))


class TakesText(MemoryTransport):
    def write(self, data: Any) -> None:
        super().write(data.encode() if isinstance(data, str) else data)


class KeepsTheBuffer(MemoryTransport):
    def write(self, data: Any) -> None:
        if type(data) is bytes:
            super().write(data)
        else:
            self._enqueue(data)


class NeverPausesReading(MemoryTransport):
    def pauseProducing(self) -> None:
        """Do nothing."""


class NeverPausesProducers(MemoryTransport):
    def __init__(self, reactor: Any, channel: MemoryChannel, host: Any, peer: Any) -> None:
        super().__init__(reactor, channel, host, peer)
        self.bufferSize = 1 << 30


class TakesAnything(MemoryTransport):
    def __init__(self, reactor: Any, channel: MemoryChannel, host: Any, peer: Any) -> None:
        channel.capacity = 1 << 30
        super().__init__(reactor, channel, host, peer)


class TakesManyProducers(MemoryTransport):
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = None
        super().registerProducer(producer, streaming)


class AbortsPolitely(MemoryTransport):
    def abortConnection(self) -> None:
        self._abort(Failure(ConnectionDone()))


class ForgetsHalfClose(MemoryTransport):
    def _half_close(self) -> None:
        """Do nothing."""


class KeepsItsHandle(MemoryTransport):
    def _end(self, reason: Failure | None) -> None:
        super()._end(reason)
        self.reactor.handles._open[self.handleId] = self


class HidesFromTheTap(MemoryTransport):
    def doRead(self) -> None:
        tap, self.tap = self.tap, None
        super().doRead()
        self.tap = tap


class MixesContexts(MemoryTransport):
    def doRead(self) -> None:
        data = self._channel.recv(65536)
        if data:
            self.context.run(self.protocol.dataReceived, data)
        else:
            self._read_ended()


class LeaksDescriptors(MemoryTransport):
    def begin(self, protocol: Any) -> None:
        leaked.append(os.open(os.devnull, os.O_RDONLY))
        super().begin(protocol)


class HasNoAddress(MemoryTransport):
    def getPeer(self) -> None:
        """Nowhere."""


leaked: list[int] = []


@pytest.fixture(autouse=True)
def _close_what_was_leaked() -> Iterator[None]:
    yield
    for descriptor in leaked:
        os.close(descriptor)
    leaked.clear()


BROKEN: list[tuple[type[MemoryTransport], str, str]] = [
    (LosesTheQueue, "losing_the_connection_sends_what_is_queued", "bytes from"),
    (EndsAtOnce, "the_end_never_comes_from_inside_a_call", "from inside loseConnection"),
    (TellsTwice, "the_peer_of_an_idle_connection_is_told_of_its_end", "after connectionLost"),
    (SwapsBytes, "a_sequence_arrives_as_one", "b'one two'"),
    (TakesText, "what_is_not_bytes_is_refused_and_harms_nothing", "did not raise TypeError"),
    (KeepsTheBuffer, "a_buffer_is_copied_when_it_is_written", "bytes from"),
    (NeverPausesReading, "a_paused_transport_delivers_nothing_until_it_is_resumed", "b'waits'"),
    (NeverPausesProducers, "a_push_producer_is_paused_while_the_peer_does_not_read", "no pauseProducing"),
    (TakesAnything, "a_pull_producer_waits_for_a_peer_that_does_not_read", "asked for 1048576 bytes"),
    (TakesAnything, "a_file_waits_for_a_peer_that_does_not_read", "1048576 bytes of a file were sent"),
    (TakesManyProducers, "a_second_producer_is_refused", "did not raise RuntimeError"),
    (AbortsPolitely, "aborting_drops_what_is_queued_and_says_so", "expected ConnectionAborted"),
    (ForgetsHalfClose, "a_half_closed_peer_may_go_on_sending", "did not happen"),
    (KeepsItsHandle, "a_handle_is_registered_until_the_end_and_counts", "still among the handles"),
    (HidesFromTheTap, "a_tap_hears_the_bytes_and_the_end", "expected"),
    (MixesContexts, "callbacks_run_in_copies_of_the_context_of_the_transport_s_birth", "expected {'birth'}"),
    (LeaksDescriptors, "descriptors_return_to_where_they_were", "closing of every descriptor"),
    (HasNoAddress, "both_ends_have_addresses_also_afterwards", "getHost() and getPeer()"),
]


@pytest.mark.parametrize(
    ("kind", "check", "message"), BROKEN, ids=[f"{kind.__name__}-{check}" for kind, check, _ in BROKEN]
)
def test_a_broken_promise_is_found(kind: type[MemoryTransport], check: str, message: str) -> None:
    with pytest.raises(AssertionError) as caught, caught_reports():
        getattr(Checks(kind), f"test_{check}")()
    assert message in str(caught.value)


@pytest.mark.parametrize("check", sorted(name for name in dir(StreamConformance) if name.startswith("test_")))
def test_a_sound_transport_passes(check: str) -> None:
    getattr(Checks(MemoryTransport), check)()


def test_connect_has_to_be_defined() -> None:
    with pytest.raises(NotImplementedError, match=r"StreamConformance must define connect\(one, other\)"):
        StreamConformance().test_writing_nothing_sends_nothing()


def test_reports_are_caught_and_warnings_are_not(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("wirebook")
    with caught_reports() as caught:
        logger.error("an error")
        logger.warning("a warning")
    assert [record.getMessage() for record in caught] == ["an error"]
    assert [record.getMessage() for record in caplog.records] == ["a warning"]
