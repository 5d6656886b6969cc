"""The few pieces of HTML that reprs and status tables are made of.

Everything that comes from outside is escaped here and nowhere else. Colours are JupyterLab's, then VS Code's,
then ones that can be read on light and on dark; a state is always a mark and a word, never a colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

TEXT = "var(--jp-content-font-color1, var(--vscode-foreground, inherit))"
DIM = "var(--jp-content-font-color2, var(--vscode-descriptionForeground, #808a94))"
LINE = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 138, 148, 0.5)))"
MONO = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"
GOOD = "var(--jp-success-color1, var(--vscode-testing-iconPassed, #2e8b57))"
BUSY = "var(--jp-warn-color1, var(--vscode-editorWarning-foreground, #c77c11))"
BAD = "var(--jp-error-color1, var(--vscode-errorForeground, #d0453a))"

_BOX = f"color: {TEXT}; border: 1px solid {LINE}; border-radius: 4px; padding: 6px 10px; display: inline-block;"
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
    "waiting": ("…", BUSY),
    "pending": ("…", BUSY),
    "connecting": ("…", BUSY),
    "half-closed": ("◐", BUSY),
    "closing": ("◐", BUSY),
    "paused": ("‖", BUSY),
    "failed": ("✘", BAD),
    "closed": ("○", DIM),
    "stopped": ("○", DIM),
}


def card(title: str, state: str, facts: Iterable[tuple[str, str]], code: str = "") -> str:
    """A box: a title, a state, named facts, and some text as it was typed."""
    named = "".join(
        f'<span style="margin-right: 14px"><span style="color: {DIM}">{escape(name)}</span> {escape(value)}</span>'
        for name, value in facts
    )
    typed = f'<pre style="margin: 4px 0 0; color: {TEXT}; font-family: {MONO}">{escape(code)}</pre>'
    return (
        f'<div style="{_BOX}"><div><strong>{escape(title)}</strong> {mark(state)}</div>'
        f"{f'<div>{named}</div>' if named else ''}{typed if code else ''}</div>"
    )


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[str]], state_column: int) -> str:
    """A table of text whose column `state_column` holds states."""
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
