"""The few pieces of HTML that reprs and status tables are made of.

Everything that comes from outside is escaped here and nowhere else. Colours are JupyterLab's, then VS Code's,
then ones that can be read on light and on dark; a state is always a mark and a word, never a colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

TEXT = "var(--jp-content-font-color1, var(--vscode-foreground, inherit))"
DIM = "var(--jp-content-font-color2, var(--vscode-descriptionForeground, #808a94))"
LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 138, 148, 0.5)))"
MONO = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"
GOOD = "var(--jp-success-color1, var(--vscode-testing-iconPassed, #2e8b57))"
BUSY = "var(--jp-warn-color1, var(--vscode-editorWarning-foreground, #c77c11))"
INFO = "var(--jp-info-color1, var(--vscode-textLink-foreground, #2f80d0))"
BAD = "var(--jp-error-color1, var(--vscode-errorForeground, #d0453a))"

_BOX = f"color: {TEXT}; border: 1px solid {LINE}; border-radius: 4px; padding: 6px 10px; display: inline-block;"
_FACT = "margin-right: 14px; display: inline-block;"
_TYPED = f"margin: 4px 0 0; color: {TEXT}; font-family: {MONO}; background: none; overflow-x: auto;"
_CELL = "text-align: left; padding: 3px 10px 3px 0; white-space: nowrap; background: none;"


def mark(state: str) -> str:
    """A state as a coloured sign and its word."""
    sign, colour = _MARKS.get(state, ("●", DIM))
    return f'<span style="color: {colour}" aria-hidden="true">{sign}</span> {escape(state)}'


_MARKS = {
    "listening": ("●", GOOD),
    "open": ("●", GOOD),
    "fired": ("✔", GOOD),
    "running": ("●", GOOD),
    "free": ("●", GOOD),
    "done": ("✔", GOOD),
    "waiting": ("…", BUSY),
    "pending": ("…", BUSY),
    "connecting": ("…", BUSY),
    "half-closed": ("◐", BUSY),
    "closing": ("◐", BUSY),
    "paused": ("‖", BUSY),
    "locked": ("‖", BUSY),
    "exhausted": ("‖", BUSY),
    "busy": ("…", BUSY),
    "failed": ("✘", BAD),
    "closed": ("○", DIM),
    "stopped": ("○", DIM),
    "exited": ("○", DIM),
    "cancelled": ("○", DIM),
    "called": ("✔", GOOD),
}


def card(title: str, state: str, facts: Iterable[tuple[str, str]], code: str = "") -> str:
    """A box: a title, a state if there is one, named facts, and some text as it was typed, perhaps in colours."""
    named = "".join(
        f'<span style="{_FACT}"><span style="color: {DIM}">{escape(name)}</span> {escape(value)}</span>'
        for name, value in facts
    )
    typed = f'<pre style="{_TYPED}">{from_terminal(code)}</pre>'
    return (
        f'<div style="{_BOX}"><div><strong>{escape(title)}</strong> {mark(state) if state else ""}</div>'
        f"{f'<div>{named}</div>' if named else ''}{typed if code else ''}</div>"
    )


def from_terminal(text: str) -> str:
    """Text with a terminal's colours (ECMA-48, section 8.3.117) as HTML.

    Of the colours only those are kept that a theme has in a light and a dark shade.
    """
    pieces = []
    style: dict[str, str] = {}
    for number, piece in enumerate(_COLOURING.split(text)):
        if number % 2:
            _apply(piece, style)
        elif piece and style:
            css = "; ".join(f"{name}: {value}" for name, value in style.items())
            pieces.append(f'<span style="{css}">{escape(piece)}</span>')
        else:
            pieces.append(escape(piece))
    return "".join(pieces)


def _apply(parameters: str, style: dict[str, str]) -> None:
    codes = iter([int(code or 0) for code in parameters.split(";")])
    for code in codes:
        if code in (38, 48):
            # A colour by number (5;N) or by its parts (2;R;G;B): dropped.
            for _ in range(1 if next(codes, 0) == 5 else 3):
                next(codes, 0)
            if code == 38:
                style.pop("color", None)
        elif code == 0:
            style.clear()
        elif code == 1:
            style["font-weight"] = "bold"
        elif code == 22:
            style.pop("font-weight", None)
        elif code == 39:
            style.pop("color", None)
        elif code % 60 in _TERMINAL_COLOURS:
            style["color"] = _TERMINAL_COLOURS[code % 60]


_COLOURING = re.compile(r"\x1b\[([\d;]*)m")
_TERMINAL_COLOURS = {31: BAD, 32: GOOD, 33: BUSY, 34: INFO, 35: INFO, 36: INFO}


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[str]], state_column: int | None = None) -> str:
    """A table of text; the column `state_column`, if there is one, holds states."""
    head = "".join(f'<th scope="col" style="{_CELL} color: {DIM}">{escape(name)}</th>' for name in headers)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL} border-top: 1px solid {LINE}">'
            f"{mark(text) if column == state_column else escape(text)}</td>"
            for column, text in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table style="color: {TEXT}; border-collapse: collapse; font-variant-numeric: tabular-nums">'
        f'<caption style="caption-side: top; text-align: left; color: {TEXT}">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as lines of text, each column as wide as its widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def amount(count: int) -> str:
    """A number of bytes for reading: ``512 B``, ``1.5 kB``, ``20 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """A time span for reading: ``0.3 s``, ``12 s``, ``3 min``, ``2 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def counted(count: int, noun: str) -> str:
    """``1 port``, ``2 ports``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
