"""How every stream ends: flushed, aborted, half-closed, or because the protocol raised."""

from __future__ import annotations

from typing import Any

from wirebook.error import ConnectionAborted, ConnectionDone, ConnectionLost
from wirebook.testing._harness import HalfParty, Harness, Party, caught_reports, equal, pattern
from wirebook.turn import turn


def _is(error: BaseException, kind: type[BaseException]) -> None:
    assert isinstance(error, kind), f"expected {kind.__name__} as the reason, got {error!r}"


class _EndChecks(Harness):
    """Closing in order, by force, late, and twice."""

    def _wait_for_the_end(self, *parties: Any) -> None:
        self.until(lambda: all(party.lost for party in parties), "connectionLost()")

    def test_losing_the_connection_sends_what_is_queued(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            with turn:
                one.do("write", data)
                one.do("loseConnection")
                one.do("loseConnection")
            self._wait_for_the_end(one, other)
            equal(other.data, data)
            _is(one.reason, ConnectionDone)
            _is(other.reason, ConnectionDone)

    def test_the_peer_of_an_idle_connection_is_told_of_its_end(self) -> None:
        with self.parties() as (one, other):
            other.do("loseConnection")
            self._wait_for_the_end(one, other)
            _is(one.reason, ConnectionDone)
            _is(other.reason, ConnectionDone)

    def test_what_is_written_after_losing_the_connection_is_sent_too_or_dropped(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            with turn:
                one.do("write", data)
                one.do("loseConnection")
                one.do("write", b"P.S.")
            self._wait_for_the_end(one, other)
            equal(other.data, data + b"P.S." if self.sends_late_writes else data)

    def test_aborting_drops_what_is_queued_and_says_so(self) -> None:
        with self.parties() as (one, other):
            other.do("pauseProducing")
            with turn:
                one.do("write", pattern(self.large))
                one.do("abortConnection")
                one.do("abortConnection")
            self.until(lambda: one.lost, "connectionLost() after abortConnection()")
            _is(one.reason, ConnectionAborted)
            other.do("resumeProducing")
            self._wait_for_the_end(other)
            if self.tells_resets:
                _is(other.reason, ConnectionLost)

    def test_an_end_that_waits_for_the_peer_can_be_aborted(self) -> None:
        with self.parties() as (one, other):
            other.do("pauseProducing")
            with turn:
                one.do("registerProducer", _Stubborn(), True)
                one.do("write", b"x")
                one.do("loseConnection")
            self.round_trip(other, one)
            assert not one.lost, "loseConnection() did not wait for the producer"
            one.do("abortConnection")
            self.until(lambda: one.lost, "connectionLost() after abortConnection()")
            _is(one.reason, ConnectionAborted)

    def test_the_end_never_comes_from_inside_a_call(self) -> None:
        for verb in ("loseConnection", "abortConnection", "stopProducing"):
            with self.parties() as (one, other):
                with turn:
                    one.do(verb)
                    assert not one.lost, f"connectionLost() came from inside {verb}()"
                self._wait_for_the_end(one, other)

    def test_ending_from_within_dataReceived_is_the_same(self) -> None:
        with self.parties() as (one, other):
            other.on_data = lambda _: (other.do("write", b"bye"), other.do("loseConnection"))
            one.do("write", b"x")
            self._wait_for_the_end(one, other)
            equal(one.data, b"bye")

    def test_writing_and_ending_within_connectionLost_and_after_it_is_harmless(self) -> None:
        with self.parties() as (one, other):
            one.on_lost = lambda: self._disturb(one.transport)
            one.do("loseConnection")
            self._wait_for_the_end(one, other)
            with turn:
                self._disturb(one.transport)

    def _disturb(self, transport: Any) -> None:
        transport.write(b"too late")
        transport.writeSequence([b"too late"])
        transport.pauseProducing()
        transport.resumeProducing()
        transport.unregisterProducer()
        transport.loseConnection()
        transport.abortConnection()

    def test_both_sides_may_end_at_once(self) -> None:
        with self.parties() as (one, other):
            with turn:
                one.do("loseConnection")
                other.do("loseConnection")
            self._wait_for_the_end(one, other)

    def test_a_protocol_that_raises_ends_its_connection_alone(self) -> None:
        with self.parties() as (bystander, its_peer):
            with caught_reports() as reports, self.parties() as (one, other):
                one.on_data = _boom
                other.do("write", b"x")
                self._wait_for_the_end(one, other)
                equal(repr(one.reason), repr(ValueError("boom")))
                self.until(lambda: reports, "a report of what the protocol raised")
            equal(len(reports), 1)
            bystander.do("write", b"alive")
            self.receive(its_peer, b"alive")

    def test_a_protocol_that_raises_at_the_end_is_reported(self) -> None:
        with caught_reports() as reports, self.parties() as (one, other):
            one.on_lost = _boom
            other.do("loseConnection")
            self._wait_for_the_end(one, other)
            self.until(lambda: reports, "a report of what the protocol raised")


class _HalfCloseChecks(Harness):
    """Closing one direction; left out where ``half_closes`` is False."""

    def test_a_half_closed_peer_may_go_on_sending(self) -> None:
        data = pattern(self.large)
        if not self.half_closes:
            return
        with self.parties(HalfParty) as (one, other):
            with turn:
                one.do("write", data)
                one.do("loseWriteConnection")
                one.do("loseWriteConnection")
            self.until(lambda: "readConnectionLost" in other.calls, "readConnectionLost() at the peer")
            self.until(lambda: "writeConnectionLost" in one.calls, "writeConnectionLost()")
            equal(other.data, data)
            other.do("write", data)
            self.receive(one, data)
            other.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(one.calls.count("writeConnectionLost"), 1)
            equal(other.calls.count("readConnectionLost"), 1)
            _is(one.reason, ConnectionDone)
            _is(other.reason, ConnectionDone)

    def test_a_peer_that_knows_no_half_close_sends_the_rest_and_ends(self) -> None:
        if not self.half_closes:
            return
        with self.parties(HalfParty, Party) as (one, other):
            data = pattern(self.large)
            other.on_data = lambda _: other.transport.write(data)
            with turn:
                one.do("write", b"?")
                one.do("loseWriteConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(one.data, data)
            _is(other.reason, ConnectionDone)

    def test_two_half_closes_are_an_end(self) -> None:
        if not self.half_closes:
            return
        with self.parties(HalfParty) as (one, other):
            one.do("loseWriteConnection")
            other.do("loseWriteConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            _is(one.reason, ConnectionDone)
            _is(other.reason, ConnectionDone)


class _Stubborn:
    """A producer that never finishes."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


def _boom(*_: object) -> None:
    raise ValueError("boom")
