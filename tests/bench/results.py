"""What benchmarks hand back, how it is made comparable, and how it is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """How long to measure: seconds of one run, and how many rounds of all contestants."""

    seconds: float
    rounds: int


@dataclass(frozen=True)
class Measure:
    """One promise: what was measured beside what shall be reached."""

    what: str
    measured: str
    target: str
    met: bool


@dataclass
class Section:
    """The outcome of one benchmark."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)


def interleave(names: Iterable[str], rounds: int, measure: Callable[[str], R]) -> dict[str, list[R]]:
    """Measure everybody once, then everybody again, ...: what disturbs the machine disturbs all alike."""
    results: dict[str, list[R]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, column in results.items():
            column.append(measure(name))
    return results


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours / theirs within one round; infinite where theirs is 0."""
    return median(a / b if b else float("inf") for a, b in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> str:
    """Smallest and largest value."""
    return f"{number(min(values))} - {number(max(values))}"


def number(value: float) -> str:
    """A number with three digits that matter, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def at_least(what: str, value: float, target: float) -> Measure:
    """A measure of which more is better."""
    return Measure(what, f"{value:.2f}x", f">= {target:g}x", value >= target)


def at_most(what: str, value: float, target: float, unit: str) -> Measure:
    """A measure of which less is better."""
    return Measure(what, f"{number(value)} {unit}", f"<= {target:g} {unit}", value <= target)


def show(section: Section) -> None:
    """Print a section to standard output."""
    write(f"\n{section.title}\n")
    table(section.columns, section.rows)
    for note in section.notes:
        write(f"  {note}\n")


def show_measures(measures: Sequence[Measure]) -> None:
    """Print the promises."""
    write("\nMeasures\n")
    rows = [(m.what, m.measured, m.target, "yes" if m.met else "NO") for m in measures]
    table(("what", "measured", "target", "met"), rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    for row in (columns, ["-" * width for width in widths], *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        write("  " + "  ".join(cells).rstrip() + "\n")


def write(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def as_json(section: Section) -> Mapping[str, Any]:
    """A section for machines."""
    measures = [vars(measure) for measure in section.measures]
    return {"title": section.title, "measures": measures, **section.raw}
