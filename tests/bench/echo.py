"""TCP echo: messages a second at 1, 50 and 500 connections, ours beside the peers'."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from statistics import median

from tests.bench import load
from tests.bench.children import python
from tests.bench.load import Load
from tests.bench.results import Options, Section, at_least, interleave, number, ratio, spread
from tests.bench.servers import CONTESTANTS, PEERS

CONNECTIONS = (1, 50, 500)
TARGETS = {"twisted": 2.2, "asyncio": 1.0, "uvloop": 0.85}
JUDGED = (50, 500)  # one connection measures the system calls' round trip, not the framework


def run(options: Options) -> Section:
    """Every contestant at every number of connections."""
    columns = ("connections, server", "echoes/s", "spread", "p50 us", "p99 us", "ours / theirs", "target")
    section = Section("TCP echo, 1 KiB, one message in flight per connection", columns)
    for connections in CONNECTIONS:
        results = interleave(CONTESTANTS, options.rounds, partial(once, options.seconds, connections))
        describe(section, connections, results)
    section.notes.append("All with MALLOC_MMAP_THRESHOLD_ = 4 MiB: without it asyncio is five times slower.")
    return section


def once(seconds: float, connections: int, name: str) -> Load:
    """One run of one contestant in a fresh process."""
    with python("tests.bench.servers", name) as server:
        return load.run("echo", int(server.read_line()), connections, seconds)


def describe(section: Section, connections: int, results: dict[str, list[Load]]) -> None:
    """Add the rows, measures and raw numbers for one number of connections."""
    rates = {name: [run.rate for run in runs] for name, runs in results.items()}
    for name, runs in results.items():
        ours = ratio(rates["wirebook"], rates[name])
        target = TARGETS.get(name) if connections in JUDGED else None
        row = [f"{connections:3}  {name}", number(median(rates[name])), spread(rates[name])]
        row += [number(median(run.p50_us for run in runs)), number(median(run.p99_us for run in runs))]
        row += [f"{ours:.2f}x" if name in PEERS else "", f"{target:g}x" if target else ""]
        section.rows.append(row)
        if target:
            section.measures.append(at_least(f"echo, {connections} connections / {name}", ours, target))
    section.raw[str(connections)] = {name: [asdict(run) for run in runs] for name, runs in results.items()}
