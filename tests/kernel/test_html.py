"""The pieces of HTML: escaped, and readable as text."""

from __future__ import annotations

import re

import pytest

from wirebook_kernel.html import (
    BAD,
    BUSY,
    DIM,
    GOOD,
    INFO,
    LINE,
    MONO,
    TEXT,
    amount,
    card,
    counted,
    duration,
    from_terminal,
    in_columns,
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


@pytest.mark.parametrize("colour", [GOOD, BUSY, BAD, DIM, INFO, LINE, TEXT, MONO])
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


def test_what_has_no_state_shows_no_mark() -> None:
    assert "aria-hidden" not in card("title", "", [])
    assert "aria-hidden" in card("title", "open", [])


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert in_columns([("kind", "cell"), ("connection", ""), ("port", "[3]")]) == [
        "kind        cell",
        "connection",
        "port        [3]",
    ]


def test_a_table_without_states_has_no_marks() -> None:
    assert "aria-hidden" not in table("caption", ["open"], [("open",)])


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("\x1b[31mred\x1b[39m back", f'<span style="color: {BAD}">red</span> back'),
        ("\x1b[91mbright\x1b[0m", f'<span style="color: {BAD}">bright</span>'),
        ("\x1b[1;32mboth\x1b[0m", f'<span style="font-weight: bold; color: {GOOD}">both</span>'),
        ("\x1b[38;5;28;01mbold\x1b[22m not", '<span style="font-weight: bold">bold</span> not'),
        ("\x1b[31ma\x1b[38;2;1;2;3mb\x1b[m", f'<span style="color: {BAD}">a</span>b'),
        ("\x1b[48;5;31mback\x1b[49m", "back"),
        ("\x1b[34m\x1b[35m<\x1b[0m", f'<span style="color: {INFO}">&lt;</span>'),
        ("\x1b[38m\x1b[;m\x1b[99mx", "x"),
    ],
)
def test_a_terminals_colours_become_the_themes(text: str, html: str) -> None:
    assert from_terminal(text) == html
