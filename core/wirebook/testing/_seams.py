"""What observers rely on: contexts, handles, wiretaps, addresses, and that nothing is left over."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager, suppress
from contextvars import copy_context
from typing import Any

from wirebook.testing._harness import Harness, Party, Tap, equal, mark, pattern
from wirebook.turn import turn


class _SeamChecks(Harness):
    """The seams between a transport and those who watch it."""

    def test_callbacks_run_in_copies_of_the_context_of_the_transport_s_birth(self) -> None:
        one, other = Party(), Party()
        born = copy_context()
        born.run(mark.set, "birth")
        connection: AbstractContextManager[object] = born.run(self.connect, one, other)
        born.run(connection.__enter__)
        try:
            self.until(lambda: one.calls and other.calls, "connectionMade() on both sides")
            self.round_trip(one, other)
            self.round_trip(other, one)
            one.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
        finally:
            born.run(connection.__exit__, None, None, None)
        equal({*one.marks, *other.marks}, {"birth"})

    def test_a_tap_hears_the_bytes_and_the_end(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            one.transport.tap, other.transport.tap = tap, there = Tap(), Tap()
            one.do("write", data)
            self.receive(other, data)
            other.do("write", b"answer")
            self.receive(one, b"answer")
            one.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(tap.heard, {"sent": data, "received": b"answer"})
            equal(there.heard, {"sent": b"answer", "received": data})
            equal((tap.events[-1], there.events[-1]), ("closed", "closed"))

    def test_a_handle_is_registered_until_the_end_and_counts(self) -> None:
        with self.parties() as (one, other):
            transport = one.transport
            handles = transport.reactor.handles
            # The transport itself, or the one that it wraps.
            assert handles.get(transport.handleId) is not None, "an open transport is not among the handles"
            equal((transport.kind, transport.label, transport.state), ("connection", "Party", "open"))
            assert transport.transportName, "transportName is empty"
            one.do("write", b"12345")
            self.receive(other, b"12345")
            other.do("write", b"123")
            self.receive(one, b"123")
            self._check_counters(transport)
            with turn:
                one.do("loseConnection")
                equal(transport.state, "closing")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(transport.state, "closed")
            assert handles.get(transport.handleId) is None, "an ended transport is still among the handles"

    def _check_counters(self, transport: Any) -> None:
        counted = (transport.bytesReceived, transport.bytesSent)
        if self.counts_plainly:
            equal(counted, (3, 5))
        else:
            assert counted >= (3, 5), f"it counts {counted}, and 3 and 5 bytes have passed"

    def test_a_handle_can_be_closed_in_both_ways(self) -> None:
        for abort in (False, True):
            with self.parties() as (one, other):
                self._close_handle(one, other, abort)

    def _close_handle(self, one: Any, other: Any, abort: bool) -> None:
        closed: list[object] = []
        with turn:
            one.transport.closeHandle(abort).addCallback(closed.append)
            equal(closed, [])
        self.until(lambda: closed, "the Deferred of closeHandle()")
        assert one.lost, "the Deferred of closeHandle() fired before connectionLost()"
        self.until(lambda: other.lost, "the end at the peer")
        one.transport.closeHandle(abort).addCallback(closed.append)
        equal(closed, [None, None])

    def test_both_ends_have_addresses_also_afterwards(self) -> None:
        with self.parties() as (one, other):
            before = [self._addresses(party) for party in (one, other)]
            one.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal([self._addresses(party) for party in (one, other)], before)

    def _addresses(self, party: Any) -> tuple[str, ...]:
        transport = party.transport
        ends = (transport.getHost(), transport.getPeer())
        assert None not in ends, f"getHost() and getPeer() are {ends}"
        return tuple(str(end) for end in ends)

    def test_a_transport_describes_itself_open_and_closed(self) -> None:
        with self.parties() as (one, other):
            assert "Party" in repr(one.transport)
            assert "open" in repr(one.transport)
            one.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            assert "closed" in repr(one.transport)

    def test_descriptors_return_to_where_they_were(self) -> None:
        # What is made once, with the first connection, does not count.
        self._come_and_go("loseConnection")
        before = _descriptors()
        for verb in ("loseConnection", "abortConnection"):
            self._come_and_go(verb)
        self.until(lambda: _descriptors() <= before, f"the closing of every descriptor; there were {before}")

    def _come_and_go(self, verb: str) -> None:
        with self.parties() as (one, other):
            one.do("write", b"x")
            one.do(verb)
            self.until(lambda: one.lost and other.lost, "the end on both sides")


def _descriptors() -> int:
    """How many this process has open; 0 where the system does not tell."""
    gc.collect()
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(folder))
    return 0
