"""The static table: what a saved notebook and a terminal show."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from wirebook_widgets._static import age, html_table, human_bytes, text_table
from wirebook_widgets._table import COLUMNS

PORT = {
    "id": 1,
    "kind": "port",
    "transport": "TCP",
    "role": "",
    "state": "listening",
    "local": "127.0.0.1:8007",
}
REST = {"peer": "", "protocol": "Echo", "cell": "3", "born": 10.0, "ended": None}
COUNTS = {"received": 1234, "sent": 0, "open": 2}


def picture(*changes: dict[str, Any], ports: int = 1, connections: int = 0) -> dict[str, Any]:
    rows = [{**PORT, **REST, **COUNTS, **change} for change in changes]
    return {
        "now": 75.0,
        "taken": "2026-01-31T12:00:00+00:00",
        "totals": {"ports": ports, "connections": connections, "received": 0, "sent": 0},
        "rows": [[row[name] for name in COLUMNS] for row in rows],
    }


class Reader(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_row_shows_what_the_live_table_shows() -> None:
    texts = Reader(html_table(picture({}))).texts
    assert texts[0] == "1 port, 0 connections · 2026-01-31T12:00:00+00:00"
    assert texts[-9:] == [
        "TCP port",
        "127.0.0.1:8007",
        "2 open",
        "listening",
        "3",
        "Echo",
        "1m 05s",
        "1.2 KiB",
        "0 B",
    ]


def test_a_closed_row_keeps_its_age() -> None:
    assert "30s" in Reader(html_table(picture({"ended": 40.0}))).texts


@pytest.mark.parametrize("column", ["local", "peer", "protocol", "cell", "state", "role", "transport"])
def test_names_are_never_markup(column: str) -> None:
    evil = "<script>alert(1)</script>&\"'"
    reader = Reader(html_table(picture({"kind": "connection", column: evil})))
    assert "script" not in reader.tags
    assert any(evil in text for text in reader.texts)


def test_rows_that_are_left_out_are_counted() -> None:
    assert "41 more not shown" in html_table(picture({}, ports=2, connections=40))


def test_an_empty_table_says_what_to_do() -> None:
    nothing = picture(ports=0)
    assert "Try reactor.listenTCP(0, factory)" in html_table(nothing)
    assert "Try reactor.listenTCP(0, factory)" in text_table(nothing)


def test_text_is_aligned_and_counts_the_rest() -> None:
    head, first, second, total = text_table(
        picture({}, {"kind": "connection", "role": "server", "peer": "10.0.0.1:5"}, connections=1)
    ).splitlines()
    assert head.index("State") == first.index("listening") == second.index("listening")
    assert first.rstrip().endswith("0 B")
    assert total == "1 port, 1 connection"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in text_table(picture({"protocol": "\x1b[31mred"}))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1229, "1.2 KiB"),
        (102_400, "100 KiB"),
        (2**60, "1048576 TiB"),
    ],
)
def test_bytes_read_as_in_the_live_table(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (59.9, "59s"), (245, "4m 05s"), (4320, "1h 12m"), (90_000, "1d 01h")]
)
def test_ages_read_as_in_the_live_table(seconds: float, text: str) -> None:
    assert age(seconds) == text
