"""Deferreds and what stands on them beside Twisted's: microseconds of processor time, and bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from tests.bench.children import python
from tests.bench.micro import WITH_REACTORS_RUNNING, WORK
from tests.bench.results import Measure, Options, Section, at_most, interleave, number, ratio

TITLE = "Deferreds, timers and threads beside Twisted's, in one process: microseconds each"
COLUMNS = ("what", "twisted", "wirebook", "in the turn", "wirebook / twisted", "in the turn / twisted")
SECONDS = 60.0
# A whole comparison, for each of its rounds.
ROUND_SECONDS = 30.0
LONGEST_STALL_MS = 20.0


def run(options: Options) -> Section:
    """Ours and Twisted's, with our contexts: as in a script, and as in a callback, where the turn is held."""
    with python("tests.bench.micro", "deferred", str(options.rounds)) as child:
        report = json.loads(child.read_line(SECONDS + ROUND_SECONDS * options.rounds))
    section = Section(TITLE, COLUMNS, raw=report)
    for what, costs in report["costs"].items():
        section.rows.append(row(what, costs))
        section.measures += measures(what, costs)
    section.rows.append(row("bytes, unfired, 1 callback", report["bytes"]))
    section.measures.append(
        at_most("memory of an unfired Deferred", ratio(*ours_and_theirs(report["bytes"])), 1.0, "x Twisted's")
    )
    section.rows.append(row("longest stall among 100,000 timers, ms", report["stalls"]))
    stall = median(report["stalls"]["wirebook"])
    section.measures.append(at_most("longest stall among 100,000 timers", stall, LONGEST_STALL_MS, "ms"))
    section.notes.append("'wirebook' takes the turn in each call, as a script does; a callback or a cell has it.")
    return section


def ours_and_theirs(costs: dict[str, list[float]], ours: str = "wirebook") -> tuple[list[float], list[float]]:
    """The rounds of both."""
    return costs[ours], costs["twisted"]


def row(what: str, costs: dict[str, list[float]]) -> list[str]:
    """A line of the table."""
    names = ("twisted", "wirebook", "in the turn")
    medians = [number(median(costs[name])) if name in costs else "-" for name in names]
    ratios = [f"{ratio(*ours_and_theirs(costs, name)):.2f}x" if name in costs else "-" for name in names[1:]]
    return [what, *medians, *ratios]


def measures(what: str, costs: dict[str, list[float]]) -> Iterator[Measure]:
    """The promises that a line is about."""
    target = {**WORK, **WITH_REACTORS_RUNNING}[what][2]
    yield at_most(what, ratio(*ours_and_theirs(costs)), target, "x Twisted's")
    if "in the turn" in costs:
        yield at_most(f"{what}, in the turn", ratio(*ours_and_theirs(costs, "in the turn")), target, "x Twisted's")


def compare(task: str, names: tuple[str, ...], title: str, options: Options) -> Section:
    """Run a task of ``tests.bench.micro`` for everybody, each in a process of its own, and tabulate it."""
    peers = names[1:]
    section = Section(title, ("what", *names, *(f"ours / {name}" for name in peers)))
    results = interleave(names, options.rounds, lambda name: once(task, name))
    for what in results[names[0]][0]:
        values: dict[str, list[Any]] = {name: [result[what] for result in results[name]] for name in names}
        costs = [number(median(values[name])) for name in names]
        ratios = [f"{ratio(values[names[0]], values[name]):.2f}x" for name in peers]
        section.rows.append([what, *costs, *ratios])
        section.raw[what] = values
    return section


def once(task: str, name: str) -> dict[str, float]:
    """One run in a fresh process."""
    with python("tests.bench.micro", task, name) as child:
        result: dict[str, float] = json.loads(child.read_line(SECONDS))
    return result
