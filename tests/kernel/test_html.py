"""The pieces of HTML: escaped, and readable as text."""

from __future__ import annotations

import re

import pytest

from wirebook_kernel.html import (
    BAD,
    BUSY,
    DIM,
    GOOD,
    LINE,
    MONO,
    TEXT,
    amount,
    card,
    counted,
    duration,
    mark,
    table,
)

NASTY = '<img src=x onerror="alert(1)">'


def test_everything_that_comes_from_outside_is_escaped() -> None:
    pieces = [
        card(NASTY, NASTY, [(NASTY, NASTY)], NASTY),
        table(NASTY, [NASTY, NASTY], [(NASTY, NASTY)], 1),
        mark(NASTY),
    ]
    for piece in pieces:
        assert "<img" not in piece
        assert "&lt;img" in piece


@pytest.mark.parametrize("state", ["open", "closed", "waiting", "failed", "listening", "something new"])
def test_a_state_is_a_word_and_never_a_colour_alone(state: str) -> None:
    assert mark(state).endswith(f" {state}")


@pytest.mark.parametrize("colour", [GOOD, BUSY, BAD, DIM, LINE, TEXT, MONO])
def test_a_style_is_jupyterlabs_then_vs_codes_then_one_of_its_own(colour: str) -> None:
    assert re.fullmatch(r"var\(--jp-[\w-]+, var\(--vscode-[\w-]+, [^()]+(\([^()]+\))?\)\)", colour)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (20_000, "20 kB"), (3_400_000, "3.4 MB"), (7 * 10**12, "7.0 TB")],
)
def test_bytes_are_written_for_reading(count: int, text: str) -> None:
    assert amount(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.31, "0.3 s"), (12.2, "12 s"), (180.0, "3 min"), (7200.0, "2 h")])
def test_time_spans_are_written_for_reading(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_thing_is_not_several() -> None:
    assert (counted(1, "port"), counted(0, "port"), counted(1200, "port")) == ("1 port", "0 ports", "1,200 ports")
