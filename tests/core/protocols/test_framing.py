"""Taking messages out of a stream."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirebook.protocols._framing import Inbox, TooLong


def filled(*pieces: bytes) -> Inbox:
    """An inbox with these pieces."""
    inbox = Inbox()
    for piece in pieces:
        inbox.feed(piece)
    return inbox


def test_bytes_are_taken_in_order() -> None:
    inbox = filled(b"abc", b"def")
    assert len(inbox) == 6
    assert (inbox.take(2), inbox.peek(2), inbox.peek(9), inbox.take_all()) == (b"ab", b"cd", b"cdef", b"cdef")
    assert (len(inbox), inbox.take_all(), inbox.peek(1)) == (0, b"", b"")


def test_what_is_taken_is_bytes_that_no_longer_change() -> None:
    inbox = filled(b"abc")
    taken = inbox.take(3)
    inbox.feed(b"xyz")
    assert type(taken) is bytes
    assert taken == b"abc"


def test_a_line_is_taken_when_its_end_is_there() -> None:
    inbox = filled(b"one\r")
    assert inbox.take_line(b"\r\n", 10) is None
    inbox.feed(b"\ntw")
    assert inbox.take_line(b"\r\n", 10) == b"one"
    assert inbox.take_line(b"\r\n", 10) is None
    inbox.feed(b"o\r\n\r\n")
    assert [inbox.take_line(b"\r\n", 10) for _ in range(3)] == [b"two", b"", None]


def test_half_a_delimiter_is_part_of_the_line() -> None:
    assert filled(b"a\rb\r\n").take_line(b"\r\n", 10) == b"a\rb"


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"\r\n.\r\n", b"aab"])
def test_a_line_of_the_limit_s_length_is_taken_however_it_comes(delimiter: bytes) -> None:
    inbox = Inbox()
    for byte in b"xxxx" + delimiter[:-1]:
        inbox.feed(bytes([byte]))
        assert inbox.take_line(delimiter, 4) is None
    inbox.feed(delimiter[-1:])
    assert inbox.take_line(delimiter, 4) == b"xxxx"


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"\r\n.\r\n"])
def test_a_line_longer_by_one_byte_is_too_long_with_its_end_and_without(delimiter: bytes) -> None:
    for line in (b"xxxxx", b"xxxxx" + delimiter, b"xxxxx" + delimiter + b"next"):
        inbox = filled(line)
        with pytest.raises(TooLong) as caught:
            inbox.take_line(delimiter, 4)
        assert caught.value.size == len(line.removesuffix(b"next"))
        assert len(inbox) == len(line)


def test_a_delimiter_that_changes_is_looked_for_from_the_beginning() -> None:
    inbox = filled(b"one\ntwo")
    assert inbox.take_line(b"\r\n", 100) is None
    assert inbox.take_line(b"\n", 100) == b"one"


def test_a_long_line_byte_by_byte_costs_time_in_proportion() -> None:
    def seconds(size: int) -> float:
        inbox, begin = Inbox(), time.process_time()
        for _ in range(size):
            inbox.feed(b"x")
            inbox.take_line(b"\r\n", 1 << 30)
        return time.process_time() - begin

    assert min(seconds(80_000) for _ in range(3)) < 24 * min(seconds(10_000) for _ in range(3))


@given(st.lists(st.binary(max_size=8).filter(lambda line: b"|" not in line)), st.lists(st.integers(1, 5)))
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"||" for line in lines)
    inbox, taken = Inbox(), []
    for size in [*cuts, len(stream) or 1]:
        inbox.feed(stream[:size])
        stream = stream[size:]
        while (line := inbox.take_line(b"||", 8)) is not None:
            taken.append(line)
    assert taken == lines
