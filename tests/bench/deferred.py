"""Deferreds beside Twisted's: microseconds of processor time, and bytes."""

from __future__ import annotations

import json
from statistics import median

from tests.bench.children import python
from tests.bench.results import Options, Section, interleave, number, ratio

TITLE = "Deferreds, microseconds each (bytes where it says so)"
SECONDS = 60.0


def run(options: Options) -> Section:
    """Ours and Twisted's."""
    return compare("deferred", ("wirebook", "twisted"), TITLE, options)


def compare(task: str, names: tuple[str, ...], title: str, options: Options) -> Section:
    """Run a task of ``tests.bench.micro`` for everybody and tabulate it: less is better."""
    peers = names[1:]
    section = Section(title, ("what", *names, *(f"ours / {name}" for name in peers)))
    results = interleave(names, options.rounds, lambda name: once(task, name))
    for what in results[names[0]][0]:
        values = {name: [result[what] for result in results[name]] for name in names}
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
