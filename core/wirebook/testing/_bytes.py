"""What every stream does with bytes: whole, in order, once; and how producers keep pace with it."""

from __future__ import annotations

import threading
from tempfile import TemporaryFile
from typing import Any

from wirebook.testing._harness import Harness, Producer, equal, pattern
from wirebook.turn import turn


class _ByteChecks(Harness):
    """Writing and reading."""

    def test_large_writes_in_both_directions_arrive_whole_and_in_order(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            one.do("write", data)
            other.do("write", data[::-1])
            self.receive(other, data)
            self.receive(one, data[::-1])

    def test_many_tiny_writes_keep_their_order(self) -> None:
        pieces = [b"%d," % number for number in range(1000)]
        with self.parties() as (one, other):
            for piece in pieces:
                one.do("write", piece)
                other.do("write", piece)
            self.receive(other, b"".join(pieces))
            self.receive(one, b"".join(pieces))

    def test_a_tiny_write_behind_a_large_one_comes_behind_it(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            one.do("write", data)
            one.do("write", b"the end")
            self.receive(other, data + b"the end")

    def test_a_sequence_arrives_as_one(self) -> None:
        with self.parties() as (one, other):
            one.do("writeSequence", iter([b"one ", b"", b"two"]))
            self.receive(other, b"one two")

    def test_a_part_of_a_file_is_sent_in_its_place(self) -> None:
        data = pattern(self.large)
        with TemporaryFile() as file, self.parties() as (one, other):
            if not hasattr(one.transport, "writeFile"):
                return
            file.write(data)
            file.flush()
            with turn:
                one.do("write", b"<")
                one.do("writeFile", file, 10, len(data) - 20)
                one.do("write", b">")
            self.receive(other, b"<" + data[10:-10] + b">")

    def test_writing_nothing_sends_nothing(self) -> None:
        with self.parties() as (one, other):
            one.do("write", b"")
            one.do("writeSequence", [])
            one.do("write", b"x")
            self.receive(other, b"x")
            equal(other.pieces, 1)

    def test_what_is_not_bytes_is_refused_and_harms_nothing(self) -> None:
        with self.parties() as (one, other):
            for wrong in ("text", 5, None, ["list"]):
                try:
                    one.do("write", wrong)
                except TypeError:
                    continue
                raise AssertionError(f"write({wrong!r}) did not raise TypeError")
            one.do("write", b"fine")
            self.receive(other, b"fine")

    def test_a_buffer_is_copied_when_it_is_written(self) -> None:
        buffer = bytearray(pattern(self.large))
        wanted = bytes(buffer) * 2
        with self.parties() as (one, other):
            with turn:
                one.do("write", buffer)
                one.do("write", memoryview(buffer))
                buffer[:] = bytes(len(buffer))
            self.receive(other, wanted)

    def test_writes_of_many_threads_stay_whole(self) -> None:
        with self.parties() as (one, other):
            words = [word * 100 for word in (b"a", b"b", b"c")]

            def write(word: bytes) -> None:
                for _ in range(30):
                    one.transport.write(word)

            threads = [threading.Thread(target=write, args=(word,)) for word in words]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(self.patience)
            self.until(lambda: len(other.data) == 9000, "the arrival of all words")
            found = [bytes(other.data[start : start + 100]) for start in range(0, 9000, 100)]
            equal({word: found.count(word) for word in words}, dict.fromkeys(words, 30))

    def test_a_reply_from_within_dataReceived_arrives(self) -> None:
        with self.parties() as (one, other):
            other.on_data = lambda data: other.transport.write(bytes(data).upper())
            one.do("write", b"question")
            self.receive(one, b"QUESTION")

    def test_a_paused_transport_delivers_nothing_until_it_is_resumed(self) -> None:
        with self.parties() as (one, other):
            other.do("pauseProducing")
            other.do("pauseProducing")
            one.do("write", b"waits")
            self.round_trip(other, one)
            equal(other.data, b"")
            other.do("resumeProducing")
            other.do("resumeProducing")
            self.receive(other, b"waits")

    def test_pausing_within_dataReceived_holds_the_rest_back(self) -> None:
        data = pattern(self.large)
        with self.parties() as (one, other):
            other.on_data = lambda _: other.transport.pauseProducing()
            one.do("write", data)
            self.until(lambda: other.pieces == 1, "the first piece")
            self.round_trip(other, one)
            equal(other.pieces, 1)
            other.on_data = None
            other.do("resumeProducing")
            self.receive(other, data)


class _ProducerChecks(Harness):
    """Producers of both kinds, and whoever comes too late or one too many."""

    def test_a_push_producer_is_paused_while_the_peer_does_not_read(self) -> None:
        with self.parties() as (one, other):
            producer = Producer(one.transport, [])
            other.do("pauseProducing")
            one.do("registerProducer", producer, True)
            one.do("write", b"little")
            equal(producer.asked, [])
            self._flood(one, producer)
            equal(producer.asked, ["pause"])
            other.do("resumeProducing")
            self.until(lambda: len(producer.asked) > 1, "resumeProducing() once the peer reads again")
            equal(producer.asked, ["pause", "resume"])
            one.do("unregisterProducer")

    def _flood(self, party: Any, producer: Producer) -> None:
        """Write until the producer is paused: what the transport itself holds is not known."""
        piece = pattern(1 << 16)
        for _ in range(self.flood // len(piece)):
            party.do("write", piece)
            if producer.asked:
                return
            self.pass_a_turn()
        raise AssertionError(f"no pauseProducing() after {self.flood} bytes that nobody read")

    def pass_a_turn(self) -> None:
        """Let the transport take what it can."""
        with turn:
            """Whoever waited for the turn has had it."""

    def test_a_pull_producer_is_asked_until_it_has_finished(self) -> None:
        pieces = [b"piece %d;" % number for number in range(20)]
        wanted = b"".join(pieces)
        with self.parties() as (one, other):
            producer = Producer(one.transport, pieces)
            one.do("registerProducer", producer, False)
            self.receive(other, wanted)
            self.round_trip(other, one)
            equal(producer.asked, ["resume"] * 20)

    def test_a_pull_producer_waits_for_a_peer_that_does_not_read(self) -> None:
        with self.parties() as (one, other):
            producer = Producer(one.transport, [pattern(100_000)] * (self.flood // 100_000))
            other.do("pauseProducing")
            one.do("registerProducer", producer, False)
            self.stands_still(lambda: len(producer.asked))
            assert producer.pieces, f"a pull producer was asked for {self.flood} bytes that nobody read"

    def test_a_file_waits_for_a_peer_that_does_not_read(self) -> None:
        with TemporaryFile() as file, self.parties() as (one, other):
            if not hasattr(one.transport, "writeFile"):
                return
            file.truncate(self.flood)
            other.do("pauseProducing")
            one.do("writeFile", file, 0, self.flood)
            self.stands_still(lambda: one.transport.bytesSent)
            assert one.transport.bytesSent < self.flood, f"{self.flood} bytes of a file were sent that nobody read"

    def test_losing_the_connection_waits_for_the_producer(self) -> None:
        pieces = [pattern(5000) for _ in range(20)]
        wanted = b"".join(pieces)
        with self.parties() as (one, other):
            producer = Producer(one.transport, pieces)
            with turn:
                one.do("registerProducer", producer, False)
                one.do("loseConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(other.data, wanted)
            equal(producer.asked, ["resume"] * 20)

    def test_a_second_producer_is_refused(self) -> None:
        with self.parties() as (one, other):
            first = Producer(one.transport, [])
            one.do("registerProducer", first, True)
            try:
                one.do("registerProducer", Producer(one.transport, []), True)
            except RuntimeError:
                one.do("unregisterProducer")
            else:
                raise AssertionError("a second registerProducer() did not raise RuntimeError")
            one.do("write", b"alive")
            self.receive(other, b"alive")

    def test_a_producer_is_stopped_at_the_end_and_when_it_comes_too_late(self) -> None:
        with self.parties() as (one, other):
            producer, late = Producer(one.transport, []), Producer(one.transport, [])
            one.do("registerProducer", producer, True)
            one.do("abortConnection")
            self.until(lambda: one.lost and other.lost, "the end on both sides")
            equal(producer.asked, ["stop"])
            one.do("registerProducer", late, True)
            equal(late.asked, ["stop"])
