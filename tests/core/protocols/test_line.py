"""The protocols that programs derive theirs from: lines, prefixed messages, netstrings, states, files."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, error_of, outcome
from tests.core.net_kit import PATIENCE, Recorder, dial, pair, receive_all, receive_exactly, serving
from wirebook.policies import ThrottlingFactory, WrappingFactory
from wirebook.protocol import Factory
from wirebook.protocols.line import (
    FileSender,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
    StatefulProtocol,
    StatefulStringProtocol,
    StringTooLongError,
)
from wirebook.task import Clock
from wirebook.testing import StringTransport, memory_pair
from wirebook.transports.reactor import Reactor

LIMIT = 20


class Keeping:
    """Keeps the messages, in ``got``, and what was over the limit, in ``over``. ``act`` is called with each."""

    transport: Any
    MAX_LENGTH = LIMIT

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.over: list[Any] = []
        self.act: Callable[[bytes], object] = len

    def stringReceived(self, string: bytes) -> None:
        self.got.append(string)
        self.act(string)

    lineReceived = stringReceived


class OnlyLines(Keeping, LineOnlyReceiver):
    def lineLengthExceeded(self, line: bytes) -> None:
        self.over.append(line)
        super().lineLengthExceeded(line)


class Lines(Keeping, LineReceiver):
    def lineLengthExceeded(self, line: bytes) -> None:
        self.over.append(line)
        super().lineLengthExceeded(line)


class _Prefixed(Keeping):
    def lengthLimitExceeded(self, length: int) -> None:
        self.over.append(length)
        super().lengthLimitExceeded(length)  # type: ignore[misc]


class Int8(_Prefixed, Int8StringReceiver): ...


class Int16(_Prefixed, Int16StringReceiver): ...


class Int32(_Prefixed, Int32StringReceiver): ...


class Netstrings(Keeping, NetstringReceiver): ...


class Blocks(Keeping, StatefulProtocol):
    """A byte of length, then so many bytes."""

    def getInitialState(self) -> Any:
        return self.length, 1

    def length(self, data: bytes) -> Any:
        if data[0] > LIMIT:
            self.over.append(data[0])
            self.transport.loseConnection()
            return None
        return self.body, data[0]

    def body(self, data: bytes) -> Any:
        self.stringReceived(data)
        return self.length, 1


def in_lines(message: bytes) -> bytes:
    return message.replace(b"\n", b"") + b"\r\n"


def in_netstrings(message: bytes) -> bytes:
    return b"%d:%s," % (len(message), message)


def after(format: str) -> Callable[[bytes], bytes]:
    """An encoder for messages after their length in this format."""
    return lambda message: struct.pack(format, len(message)) + message


ENCODERS: dict[type[Any], Callable[[bytes], bytes]] = {
    OnlyLines: in_lines,
    Lines: in_lines,
    Int8: after("!B"),
    Int16: after("!H"),
    Int32: after("!I"),
    Netstrings: in_netstrings,
    Blocks: after("!B"),
}
every_receiver = pytest.mark.parametrize("kind", ENCODERS, ids=lambda kind: kind.__name__)


def connected(kind: type[Any]) -> Any:
    """A protocol over a transport that records."""
    protocol = kind()
    protocol.makeConnection(StringTransport(lenient=True))
    return protocol


def stream(kind: type[Any], messages: list[bytes]) -> bytes:
    """The messages as they are sent."""
    return b"".join(map(ENCODERS[kind], messages))


MESSAGES = [b"hello", b"", b"\r", b"1:a,", b"x" * LIMIT, b":", b"last"]


# ------------------------------------------------------------------------------ what all receivers share


@every_receiver
def test_messages_arrive_in_one_piece(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.dataReceived(stream(kind, MESSAGES))
    assert protocol.got == MESSAGES


@every_receiver
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_messages_arrive_in_small_pieces(kind: type[Any], size: int) -> None:
    protocol, data = connected(kind), stream(kind, MESSAGES)
    for start in range(0, len(data), size):
        protocol.dataReceived(data[start : start + size])
    assert protocol.got == MESSAGES


@every_receiver
def test_a_message_arrives_as_soon_as_its_last_byte_has(kind: type[Any]) -> None:
    for message in MESSAGES:
        protocol, data = connected(kind), ENCODERS[kind](message)
        protocol.dataReceived(data[:-1])
        assert protocol.got == []
        protocol.dataReceived(data[-1:])
        assert protocol.got == [message]


@given(
    st.sampled_from(list(ENCODERS)),
    st.lists(st.binary(max_size=LIMIT).filter(lambda message: b"\n" not in message), max_size=8),
    st.lists(st.integers(1, 9), max_size=60),
    st.binary(max_size=1),
)
def test_messages_arrive_however_they_are_cut(
    kind: type[Any], messages: list[bytes], cuts: list[int], trailing: bytes
) -> None:
    # A line that ends in the first byte of its delimiter is another line.
    messages = [message.rstrip(b"\r") for message in messages]
    tail = b"5" if kind is Netstrings else trailing if kind in (Int16, Int32) else b""
    protocol, data = connected(kind), stream(kind, messages) + tail
    for size in cuts:
        protocol.dataReceived(data[:size])
        data = data[size:]
    protocol.dataReceived(data)
    assert protocol.got == messages
    assert not protocol.transport.disconnecting


@every_receiver
def test_a_message_of_the_limit_s_length_is_no_error(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.dataReceived(stream(kind, [b"x" * LIMIT] * 3))
    assert protocol.got == [b"x" * LIMIT] * 3
    assert not protocol.transport.disconnecting


@every_receiver
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
def test_a_message_longer_by_one_byte_ends_the_connection(kind: type[Any], bytewise: bool) -> None:
    protocol = connected(kind)
    data = stream(kind, [b"fine", b"x" * (LIMIT + 1), b"next"])
    for piece in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
        protocol.dataReceived(piece)
    assert protocol.got == [b"fine"]
    assert protocol.transport.disconnecting


@every_receiver
def test_a_paused_receiver_keeps_what_comes_until_it_is_resumed(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.act = lambda _: protocol.pauseProducing()
    protocol.dataReceived(stream(kind, [b"one", b"two"]))
    protocol.dataReceived(stream(kind, [b"three"]))
    assert (protocol.got, protocol.paused, protocol.transport.producerState) == ([b"one"], True, "paused")
    protocol.resumeProducing()
    assert protocol.got == [b"one", b"two"]
    protocol.act = len
    protocol.resumeProducing()
    assert (protocol.got, protocol.paused) == ([b"one", b"two", b"three"], False)
    assert protocol.transport.producerState == "producing"


@every_receiver
def test_a_receiver_that_was_stopped_receives_nothing(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.act = lambda _: protocol.stopProducing()
    protocol.dataReceived(stream(kind, [b"one", b"two"]))
    protocol.dataReceived(stream(kind, [b"three"]))
    assert (protocol.got, protocol.transport.producerState) == ([b"one"], "stopped")


@every_receiver
def test_after_closing_nothing_is_received_not_even_what_has_arrived(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.act = lambda _: protocol.transport.loseConnection()
    protocol.dataReceived(stream(kind, [b"one", b"two"]))
    protocol.dataReceived(stream(kind, [b"three"]))
    assert protocol.got == [b"one"]


@every_receiver
def test_what_a_callback_feeds_is_received_after_what_has_arrived(kind: type[Any]) -> None:
    protocol = connected(kind)

    def feed(message: bytes) -> None:
        if message == b"one":
            protocol.dataReceived(stream(kind, [b"three"]))
            assert protocol.got == [b"one"]

    protocol.act = feed
    protocol.dataReceived(stream(kind, [b"one", b"two"]))
    assert protocol.got == [b"one", b"two", b"three"]


@pytest.mark.parametrize("kind", [kind for kind in ENCODERS if kind is not Blocks], ids=lambda kind: kind.__name__)
def test_after_an_error_of_a_callback_the_next_messages_are_whole(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.act = boom
    with pytest.raises(ValueError, match="boom"):
        protocol.dataReceived(stream(kind, [b"one", b"two"]))
    protocol.act = len
    protocol.dataReceived(b"")
    assert protocol.got == [b"one", b"two"]


@every_receiver
def test_a_receiver_works_without_a_transport(kind: type[Any]) -> None:
    protocol = kind()
    protocol.dataReceived(stream(kind, [b"one", b"two"]))
    assert protocol.got == [b"one", b"two"]


@pytest.mark.parametrize("kind", [Int8, Int16, Int32, Netstrings], ids=lambda kind: kind.__name__)
def test_what_is_sent_is_what_is_received(kind: type[Any]) -> None:
    sender, receiver = connected(kind), connected(kind)
    for message in MESSAGES:
        sender.sendString(message)
    assert sender.transport.value() == stream(kind, MESSAGES)
    receiver.dataReceived(sender.transport.value())
    assert receiver.got == MESSAGES


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (LineOnlyReceiver, ["lineReceived"]),
        (LineReceiver, ["lineReceived", "rawDataReceived"]),
        (Int32StringReceiver, ["stringReceived"]),
        (NetstringReceiver, ["stringReceived"]),
    ],
)
def test_a_method_that_must_be_overridden_says_so(kind: type[Any], methods: list[str]) -> None:
    for method in methods:
        with pytest.raises(NotImplementedError, match=f"has no {method}"):
            getattr(kind(), method)(b"x")
    with pytest.raises(NotImplementedError, match="has no getInitialState"):
        StatefulProtocol().getInitialState()


# ------------------------------------------------------------------------------------------------ lines


@pytest.mark.parametrize("kind", [OnlyLines, Lines])
def test_lines_are_sent_with_the_delimiter(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.sendLine(b"one")
    protocol.delimiter = b"\0"
    protocol.sendLine(b"two")
    assert protocol.transport.value() == b"one\r\ntwo\0"


@pytest.mark.parametrize("kind", [OnlyLines, Lines])
def test_the_delimiter_may_be_any_bytes_and_may_change(kind: type[Any]) -> None:
    protocol = connected(kind)
    protocol.delimiter = b"--"
    protocol.act = lambda line: setattr(protocol, "delimiter", b"\n")
    protocol.dataReceived(b"a-b\r\n--c--d\ne")
    assert protocol.got == [b"a-b\r\n", b"c--d"]


def test_a_line_receiver_is_told_of_all_that_has_arrived_from_a_long_line_on() -> None:
    protocol, long = connected(Lines), b"x" * (LIMIT + 1)
    protocol.dataReceived(b"short\r\n" + long + b"\r\nnext\r\nrest")
    assert protocol.over == [long + b"\r\nnext\r\nrest"]
    protocol = connected(Lines)
    protocol.dataReceived(long)
    assert protocol.over == [long]


def test_a_receiver_of_lines_only_is_told_of_the_long_line() -> None:
    for data in (b"x" * (LIMIT + 1), b"x" * (LIMIT + 1) + b"\r\nnext\r\n"):
        protocol = connected(OnlyLines)
        protocol.dataReceived(data)
        assert protocol.over == [b"x" * (LIMIT + 1)]
        assert protocol.got == []


def test_a_receiver_that_bears_with_long_lines_gets_the_next_one() -> None:
    class Bearing(OnlyLines):
        def lineLengthExceeded(self, line: bytes) -> None:
            self.over.append(line)

    protocol = connected(Bearing)
    protocol.dataReceived(b"x" * 30 + b"\r\nnext\r\n" + b"y" * 40 + b"\r\nlast\r\n")
    assert (protocol.got, protocol.over) == ([b"next", b"last"], [b"x" * 30, b"y" * 40])


def test_a_line_receiver_may_take_up_again_behind_a_long_line() -> None:
    class Skipping(Lines):
        def lineLengthExceeded(self, line: bytes) -> None:
            self.over.append(line)
            self.setLineMode(line.partition(b"\r\n")[2])

    protocol = connected(Skipping)
    protocol.dataReceived(b"x" * 30 + b"\r\nnext\r\n" + b"y" * 40 + b"\r\nlast\r\n")
    assert protocol.got == [b"next", b"last"]


def test_the_memory_of_an_endless_line_is_bounded() -> None:
    protocol = connected(Lines)
    for _ in range(1000):
        protocol.dataReceived(b"x" * 100)
    assert len(protocol.over) == 1
    assert len(protocol.clearLineBuffer()) == 0


def test_what_waits_is_taken_away_with_the_line_buffer() -> None:
    protocol, rest = connected(Lines), []
    protocol.act = lambda _: rest.append(protocol.clearLineBuffer())
    protocol.dataReceived(b"one\r\ntwo\r\nthr")
    protocol.dataReceived(b"four\r\n")
    assert (protocol.got, rest) == ([b"one", b"four"], [b"two\r\nthr", b""])


# --------------------------------------------------------------------------------------------- raw mode


class Bodies(Lines):
    """A line tells how many raw bytes follow."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.act = self.expect

    def expect(self, line: bytes) -> None:
        self.left = int(line)
        if self.left:
            self.got.append(b"")
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        body, rest = data[: self.left], data[self.left :]
        self.got[-1] += body
        self.left -= len(body)
        if not self.left:
            self.setLineMode(rest)


BODIES = b"3\r\nabc0\r\n5\r\n\r\n12\r\n1\r\nz2\r\nyy0\r\n"
GOT = [b"3", b"abc", b"0", b"5", b"\r\n12\r", b"1", b"z", b"2", b"yy", b"0"]


def test_the_mode_switches_in_the_middle_of_a_segment() -> None:
    protocol = connected(Bodies)
    protocol.dataReceived(BODIES.replace(b"\r\n12\r\n", b"\r\n12\r"))
    assert protocol.got == GOT


@given(st.lists(st.integers(1, 6), max_size=60))
def test_the_mode_switches_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    protocol, data = connected(Bodies), BODIES.replace(b"\r\n12\r\n", b"\r\n12\r")
    for size in cuts:
        protocol.dataReceived(data[:size])
        data = data[size:]
    protocol.dataReceived(data)
    assert protocol.got == GOT


def test_raw_data_has_no_limit() -> None:
    protocol = connected(Bodies)
    protocol.dataReceived(b"1000\r\n" + b"x" * 1000)
    assert protocol.got == [b"1000", b"x" * 1000]
    assert not protocol.over


def test_raw_data_that_waits_while_paused_comes_after_resuming() -> None:
    protocol = connected(Bodies)
    protocol.act = lambda line: (protocol.expect(line), protocol.pauseProducing())
    protocol.dataReceived(b"3\r\nabc")
    assert protocol.got == [b"3", b""]
    protocol.resumeProducing()
    assert protocol.got == [b"3", b"abc"]


def test_raw_data_is_delivered_also_after_closing() -> None:
    protocol = connected(Bodies)
    protocol.dataReceived(b"9\r\nabc")
    protocol.transport.loseConnection()
    protocol.dataReceived(b"def")
    assert protocol.got == [b"9", b"abcdef"]


def test_switching_modes_thousands_of_times_in_one_segment_needs_no_stack() -> None:
    class Flipping(Lines):
        delimiter = b"\n"

        def __init__(self) -> None:
            super().__init__()
            self.act = lambda _: self.setRawMode()

        def rawDataReceived(self, data: bytes) -> None:
            self.setLineMode(data[1:])

    protocol, times = connected(Flipping), sys.getrecursionlimit() * 2
    protocol.dataReceived(b"x\nx" * times)
    assert protocol.got == [b"x"] * times


def test_the_mode_may_be_set_from_outside() -> None:
    protocol = connected(Lines)
    raw: list[bytes] = []
    protocol.rawDataReceived = raw.append
    protocol.setRawMode()
    protocol.dataReceived(b"raw")
    protocol.setLineMode(b"line\r\nhal")
    protocol.dataReceived(b"f\r\n")
    assert (raw, protocol.got, protocol.line_mode) == ([b"raw"], [b"line", b"half"], 1)


# ------------------------------------------------------------------------------------- prefixed messages


@pytest.mark.parametrize(
    ("kind", "method"),
    [(OnlyLines, "sendLine"), (Lines, "sendLine"), (Int32, "sendString"), (Netstrings, "sendString")],
)
@pytest.mark.parametrize("wrong", ["text", None, 5])
def test_text_is_not_sent_and_the_error_says_what_would_be(kind: type[Any], method: str, wrong: Any) -> None:
    protocol = connected(kind)
    with pytest.raises(TypeError, match=rf"{method}\(\) takes bytes, not {wrong!r}: encode text first"):
        getattr(protocol, method)(wrong)
    assert protocol.transport.value() == b""


@pytest.mark.parametrize(("kind", "longest"), [(Int8, 255), (Int16, 65535)])
def test_a_message_longer_than_its_prefix_can_tell_is_not_sent(kind: type[Any], longest: int) -> None:
    protocol = connected(kind)
    protocol.sendString(bytes(longest))
    sent = len(protocol.transport.value())
    with pytest.raises(StringTooLongError, match=f"cannot send {longest + 1} bytes.*at most {longest}"):
        protocol.sendString(bytes(longest + 1))
    assert len(protocol.transport.value()) == sent


@pytest.mark.parametrize("kind", [Int8, Int16, Int32])
def test_the_announced_length_is_what_a_prefixed_receiver_is_told(kind: type[Any]) -> None:
    protocol = connected(kind)
    announced = struct.pack(kind.structFormat, LIMIT + 1)
    protocol.dataReceived(announced + b"xy")
    assert protocol.over == [LIMIT + 1]
    assert protocol.recvd == announced + b"xy"


def test_what_was_not_delivered_may_be_looked_at_and_replaced() -> None:
    protocol, seen = connected(Int8), []

    def look(_: bytes) -> None:
        seen.append(protocol.recvd)
        if len(seen) == 1:
            protocol.recvd = b"\x01z\x02q"

    protocol.act = look
    protocol.dataReceived(b"\x01a\x01b\x01c")
    assert (protocol.got, seen) == ([b"a", b"z"], [b"\x01b\x01c", b"\x02q"])
    assert protocol.recvd == b"\x02q"


def test_a_prefix_may_have_any_format() -> None:
    class Little(_Prefixed, Int16StringReceiver):
        structFormat = "<H"

    protocol = connected(Little)
    protocol.dataReceived(b"\x02\x00ab")
    protocol.sendString(b"xyz")
    assert (protocol.got, protocol.transport.value()) == ([b"ab"], b"\x03\x00xyz")


# --------------------------------------------------------------------------------------------- netstrings


@pytest.mark.parametrize(
    "broken",
    [b":", b"a", b" 1:a,", b"-1:a,", b"+1:a,", b"01:a,", b"00:,", b"1a:", b"1:ab", b"0:a", b"21:", b"999", b"\xb2:"],
)
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
def test_what_is_no_netstring_ends_the_connection(
    broken: bytes, bytewise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = connected(Netstrings)
    data = b"2:ok," + broken + b"2:no,"
    for piece in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
        protocol.dataReceived(piece)
    assert (protocol.got, protocol.brokenPeer, protocol.transport.disconnecting) == ([b"ok"], 1, True)
    assert len(caplog.records) == 1
    assert "the connection is closed" in caplog.text


def test_an_endless_length_is_refused_at_once() -> None:
    protocol = connected(Netstrings)
    protocol.dataReceived(b"1" * 4)
    assert protocol.transport.disconnecting


def test_a_broken_peer_fills_no_memory() -> None:
    class Open(StringTransport):
        def loseConnection(self) -> None:
            """Never gets to it."""

    protocol = Netstrings()
    protocol.makeConnection(Open())
    for _ in range(100):
        protocol.dataReceived(b"x" * 100)
    assert len(protocol._the_inbox()) == 0


# ------------------------------------------------------------------------------------------------- states


def test_a_state_that_needs_no_bytes_is_passed_at_once() -> None:
    protocol = connected(Blocks)
    protocol.dataReceived(b"\x00")
    assert protocol.got == [b""]


def test_a_state_stays_when_its_function_returns_nothing() -> None:
    class Pairs(Keeping, StatefulProtocol):
        def getInitialState(self) -> Any:
            return self.stringReceived, 2

    protocol = connected(Pairs)
    protocol.dataReceived(b"abcde")
    assert protocol.got == [b"ab", b"cd"]


def test_each_connection_begins_in_the_first_state() -> None:
    protocol = connected(Blocks)
    protocol.dataReceived(b"\x05ab")
    protocol.makeConnection(StringTransport())
    assert protocol._state == (protocol.length, 1)


class Conversation(StatefulStringProtocol, Int8StringReceiver):
    """A name, any number of words, then the end."""

    transport: Any

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def proto_init(self, string: bytes) -> str:
        self.heard.append(("init", string))
        return "words"

    def proto_words(self, string: bytes) -> str:
        self.heard.append(("words", string))
        return "done" if string == b"bye" else "elsewhere" if string == b"lost" else "words"


def test_messages_go_to_the_method_of_the_state() -> None:
    protocol = connected(Conversation)
    protocol.dataReceived(b"\x03Ann\x02hi\x03bye\x02no")
    assert protocol.heard == [("init", b"Ann"), ("words", b"hi"), ("words", b"bye")]
    assert (protocol.state, protocol.transport.disconnecting) == ("done", True)


def test_a_state_without_a_method_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    protocol = connected(Conversation)
    protocol.dataReceived(b"\x03Ann\x04lost\x01x")
    assert "no method proto_elsewhere()" in caplog.text
    assert not protocol.transport.disconnecting


# -------------------------------------------------------------------------------------------- over TCP


def test_lines_pass_over_tcp_and_a_pause_holds_them(reactor: Reactor) -> None:
    class Echoing(LineReceiver):
        transport: Any

        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line[::-1])
            if line == b"wait":
                self.pauseProducing()
                reactor.callLater(0.01, self.resumeProducing)

    with serving(reactor, Factory.forProtocol(Echoing)) as port, dial(port) as sock:
        sock.sendall(b"abc\r\nwait\r\nxyz\r\n")
        assert receive_exactly(sock, 16) == b"cba\r\ntiaw\r\nzyx\r\n"
        sock.sendall(b"x" * 16386)
        assert receive_all(sock) == b""


# ------------------------------------------------------------------------------------------------- files


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for files that are sent."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def pulled(sender: FileSender, times: int) -> None:
    """Ask for so many pieces."""
    for _ in range(times):
        sender.resumeProducing()


def test_a_file_is_sent_piece_by_piece() -> None:
    consumer, sender = StringTransport(), FileSender()
    sender.CHUNK_SIZE = 4
    sent = sender.beginFileTransfer(io.BytesIO(b"Test content"), consumer)
    assert (consumer.producer, consumer.streaming) == (sender, False)
    for expected in (b"Test", b"Test con", b"Test content"):
        sender.resumeProducing()
        assert consumer.value() == expected
    assert not sent.called
    sender.resumeProducing()
    assert outcome(sent) == b"t"
    assert consumer.producer is None
    sender.resumeProducing()


def test_a_file_is_sent_from_where_it_stands_and_stands_at_its_end_afterwards(folder: Path) -> None:
    (folder / "file").write_bytes(b"head and body")
    with (folder / "file").open("rb") as file:
        file.seek(5)
        consumer, sender = StringTransport(), FileSender()
        sent = sender.beginFileTransfer(file, consumer)
        pulled(sender, 2)
        assert (consumer.value(), outcome(sent), file.tell(), file.closed) == (b"and body", b"y", 13, False)


def test_an_empty_file_is_sent_at_once() -> None:
    sender = FileSender()
    sent = sender.beginFileTransfer(io.BytesIO(), StringTransport())
    sender.resumeProducing()
    assert outcome(sent) == b""


def test_the_pieces_of_a_file_may_be_transformed() -> None:
    consumer, sender = StringTransport(), FileSender()
    sent = sender.beginFileTransfer(io.BytesIO(b"Test content"), consumer, bytes.swapcase)
    pulled(sender, 2)
    assert (outcome(sent), consumer.value()) == (b"T", b"tEST CONTENT")


def test_a_consumer_that_wants_no_more_fails_the_transfer() -> None:
    sender = FileSender()
    sent = sender.beginFileTransfer(io.BytesIO(b"x"), StringTransport())
    sender.stopProducing()
    assert "wanted no more" in str(error_of(sent, Exception))
    sender.stopProducing()


@pytest.mark.parametrize("fault", ["file", "transform"])
def test_an_error_of_the_file_or_the_transform_fails_the_transfer(fault: str) -> None:
    consumer, sender = StringTransport(), FileSender()
    file, transform = io.BytesIO(b"x"), None
    if fault == "file":
        file.read = boom  # type: ignore[method-assign,assignment]
    else:
        transform = boom
    sent = sender.beginFileTransfer(file, consumer, transform)  # type: ignore[arg-type]
    sender.resumeProducing()
    assert str(error_of(sent, ValueError)) == "boom"
    assert consumer.producer is None


def test_a_consumer_that_has_a_producer_already_refuses() -> None:
    consumer, sender = StringTransport(), FileSender()
    consumer.registerProducer(object(), True)
    with pytest.raises(RuntimeError):
        sender.beginFileTransfer(io.BytesIO(b"x"), consumer)
    consumer.unregisterProducer()
    sent = sender.beginFileTransfer(io.BytesIO(b"x"), consumer)
    pulled(sender, 2)
    assert outcome(sent) == b"x"


def test_a_sender_sends_one_file_at_a_time() -> None:
    sender = FileSender()
    sent = sender.beginFileTransfer(io.BytesIO(b"x"), StringTransport())
    with pytest.raises(RuntimeError, match="wait for its Deferred"):
        sender.beginFileTransfer(io.BytesIO(b"y"), StringTransport())
    pulled(sender, 2)
    assert outcome(sent) == b"x"


# ---------------------------------------------------------------------------- files over real transports

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(5 << 18))


class Handing(StringTransport):
    """Takes parts of files, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[int, int, bool]] = []

    def writeFile(self, file: IO[bytes], offset: int, count: int, whole: bool = True) -> None:
        self.parts.append((offset, count, whole))
        position = file.tell()
        file.seek(offset)
        self.write(file.read(count))
        file.seek(position)


@pytest.fixture
def content(folder: Path) -> Iterator[IO[bytes]]:
    """A big file, open."""
    (folder / "content").write_bytes(CONTENT)
    with (folder / "content").open("rb") as file:
        yield file


def test_a_file_on_disk_is_handed_over_whole(content: IO[bytes]) -> None:
    consumer, sender = Handing(), FileSender()
    content.seek(3)
    sent = sender.beginFileTransfer(content, consumer)
    pulled(sender, 2)
    assert consumer.parts == [(3, len(CONTENT) - 3, False)]
    assert (outcome(sent), content.tell()) == (CONTENT[-1:], len(CONTENT))


def test_what_a_file_grows_by_meanwhile_is_sent_too(content: IO[bytes], folder: Path) -> None:
    consumer, sender = Handing(), FileSender()
    sent = sender.beginFileTransfer(content, consumer)
    sender.resumeProducing()
    with (folder / "content").open("ab") as more:
        more.write(b"more!")
    pulled(sender, 2)
    assert (outcome(sent), consumer.value()) == (b"!", CONTENT + b"more!")


@pytest.mark.parametrize("kind", ["memory", "gzip", "transform", "pipe-like"])
def test_what_is_no_plain_file_is_read(kind: str, content: IO[bytes], folder: Path) -> None:
    packed = folder / "packed"
    packed.write_bytes(gzip.compress(b"unpacked"))
    consumer, sender = Handing(), FileSender()
    with gzip.open(packed) as unpacking, Path("/proc/self/status").open("rb") as status:
        file: Any = {"memory": io.BytesIO(b"x"), "gzip": unpacking, "transform": content, "pipe-like": status}[kind]
        sent = sender.beginFileTransfer(file, consumer, bytes.upper if kind == "transform" else None)
        while not sent.called:
            sender.resumeProducing()
    assert consumer.parts == []
    assert consumer.value() != b""
    assert kind != "gzip" or consumer.value() == b"unpacked"
    sent.addErrback(lambda _: None)


def test_what_was_written_to_a_file_before_is_sent_as_well() -> None:
    consumer, sender = Handing(), FileSender()
    with tempfile.TemporaryFile() as file:
        file.write(b"not flushed")
        file.seek(0)
        file.write(b"N")
        sent = sender.beginFileTransfer(file, consumer)
        pulled(sender, 2)
        assert (outcome(sent), consumer.value()) == (b"d", b"ot flushed")


def send(reactor: Reactor, protocol: Any, file: IO[bytes], **how: Any) -> list[Any]:
    """Begin to send; the list gets what comes of it."""
    results: list[Any] = []
    with reactor.turn():
        FileSender().beginFileTransfer(file, protocol.transport, **how).addBoth(results.append)
    return results


@pytest.mark.parametrize("how", [{}, {"transform": bytes}], ids=["handed over", "read"])
def test_a_big_file_arrives_over_tcp(reactor: Reactor, content: IO[bytes], how: dict[str, Any]) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        protocol.transport.write(b"<")
        results = send(reactor, protocol, content, **how)
        with reactor.turn():
            protocol.transport.loseConnection()
        assert receive_all(sock) == b"<" + CONTENT
        assert eventually(lambda: results == [CONTENT[-1:]], PATIENCE)
        assert content.tell() == len(CONTENT)


def test_a_file_that_shrinks_meanwhile_is_sent_as_far_as_it_goes(
    reactor: Reactor, content: IO[bytes], folder: Path
) -> None:
    with pair(reactor, Recorder) as (protocol, sock):
        results = send(reactor, protocol, content)
        with (folder / "content").open("rb+") as other:
            other.truncate(len(CONTENT) - 1000)
        with reactor.turn():
            protocol.transport.write(b"next")
        got = receive_exactly(sock, len(CONTENT) - 1000 + 4)
        assert got == CONTENT[:-1000] + b"next"
        assert eventually(lambda: results == [CONTENT[-1001:-1000]], PATIENCE)
        assert protocol.transport.state == "open"


def test_a_connection_that_ends_meanwhile_fails_the_transfer(reactor: Reactor, content: IO[bytes]) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        results = send(reactor, protocol, content)
        protocol.transport.abortConnection()
        protocol.end()
        assert "wanted no more" in str(results[0].value)


def test_a_file_that_is_closed_meanwhile_fails_the_transfer(
    reactor: Reactor, content: IO[bytes], reported: Reports
) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        results = send(reactor, protocol, content)
        content.close()
        protocol.end()
        assert len(results) == 1
        assert "the file was closed" in reported()[0].getMessage()


def test_a_file_is_refused_by_a_connection_that_has_ended(reactor: Reactor, content: IO[bytes]) -> None:
    with pair(reactor, Recorder) as (protocol, _):
        protocol.transport.abortConnection()
        protocol.end()
        (result,) = send(reactor, protocol, content)
        assert "wanted no more" in str(result.value)


def test_a_file_arrives_over_a_stream_without_descriptor(content: IO[bytes]) -> None:
    clock, one, other = Clock(), Recorder(), Recorder()
    memory_pair(clock, one, other)
    sent = FileSender().beginFileTransfer(content, one.transport)
    while not sent.called:
        clock.advance(0.01)
    assert outcome(sent) == CONTENT[-1:]
    clock.pump([0.01] * 3)
    assert other.data == CONTENT
    one.transport.abortConnection()
    clock.advance(1)


@pytest.mark.parametrize("policy", [WrappingFactory, ThrottlingFactory])
def test_a_file_passes_a_policy(reactor: Reactor, content: IO[bytes], policy: Callable[[Any], Any]) -> None:
    results: list[Any] = []

    class Sending(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            FileSender().beginFileTransfer(content, self.transport).addBoth(results.append)
            self.transport.loseConnection()

    factory = policy(Factory.forProtocol(Sending))
    with serving(reactor, factory) as port, dial(port) as sock:
        assert receive_all(sock) == CONTENT
        assert eventually(lambda: results == [CONTENT[-1:]], PATIENCE)
