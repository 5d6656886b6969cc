"""Tables for where no script runs: nbconvert, GitHub, a terminal. Everything that is shown is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from wirebook_widgets._table import COLUMNS

HEADINGS = ("Kind", "Local", "Peer", "State", "Cell", "Protocol", "Age", "In", "Out")
NUMERIC = frozenset({"Age", "In", "Out"})
EMPTY = "Nothing is open. Try reactor.listenTCP(0, factory)."
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
TERMINAL_ROWS = 10


def html_table(picture: dict[str, Any]) -> str:
    """`picture` as an HTML table with a caption."""
    caption = f"{summary(picture['totals'])} · {escape(picture['taken'])}"
    rows = [shown(row, picture["now"]) for row in picture["rows"]]
    if not rows:
        return f"<p><em>{EMPTY}</em> <small>{caption}</small></p>"
    head = "".join(html_cell("th", name, name) for name in HEADINGS)
    body = "".join(f"<tr>{''.join(map(html_data, HEADINGS, row))}</tr>" for row in rows)
    hidden = picture["totals"]["ports"] + picture["totals"]["connections"] - len(rows)
    more = f" · {hidden} more not shown" if hidden > 0 else ""
    head, body = f"<thead><tr>{head}</tr></thead>", f"<tbody>{body}</tbody>"
    return f"<table><caption>{caption}{more}</caption>{head}{body}</table>"


def html_data(heading: str, value: str) -> str:
    """A cell of the table's body."""
    return html_cell("td", heading, value)


def html_cell(tag: str, heading: str, value: str) -> str:
    """One cell, numbers to the end of the line."""
    align = "right" if heading in NUMERIC else "left"
    return f'<{tag} style="text-align:{align}">{escape(value)}</{tag}>'


def text_table(picture: dict[str, Any]) -> str:
    """`picture` as plain text: a summary and the first rows."""
    rows = [shown(row, picture["now"]) for row in picture["rows"]]
    if not rows:
        return EMPTY
    table = [HEADINGS, *rows[:TERMINAL_ROWS]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(text_cell, HEADINGS, row, widths)).rstrip() for row in table]
    return "\n".join([*lines, summary(picture["totals"])])


def text_cell(heading: str, value: str, width: int) -> str:
    """One cell, padded; control characters become visible."""
    safe = "".join(char if char.isprintable() else "�" for char in value)
    return safe.rjust(width) if heading in NUMERIC else safe.ljust(width)


def summary(totals: dict[str, int]) -> str:
    """How many of what there is."""
    ports, connections = totals["ports"], totals["connections"]
    return (
        f"{ports} {'port' if ports == 1 else 'ports'}, "
        f"{connections} {'connection' if connections == 1 else 'connections'}"
    )


def shown(row: list[Any], now: float) -> tuple[str, ...]:
    """A row as a reader sees it, in the order of `HEADINGS`."""
    item = dict(zip(COLUMNS, row, strict=True))
    is_port = item["kind"] == "port"
    return (
        f"{item['transport']} {item['role'] or item['kind']}",
        item["local"],
        f"{item['open']} open" if is_port else item["peer"],
        item["state"],
        item["cell"],
        item["protocol"],
        age((item["ended"] or now) - item["born"]),
        human_bytes(item["received"]),
        human_bytes(item["sent"]),
    )


def age(seconds: float) -> str:
    """A duration in at most two units, for example ``4m 05s``."""
    whole = max(0, int(seconds))
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part:02}{smaller}"
    return f"{whole}s"


def human_bytes(count: int) -> str:
    """A number of bytes in the largest unit that keeps it at least 1, for example ``1.2 KiB``."""
    value, unit = float(count), 0
    while round(value) >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit and value < 99.95 else f"{value:.0f} {UNITS[unit]}"
