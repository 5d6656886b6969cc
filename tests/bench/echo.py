"""TCP echo: messages a second at 1, 50 and 500 connections, ours beside the peers'."""

from __future__ import annotations

from functools import partial

from tests.bench import rates
from tests.bench.children import python
from tests.bench.rates import Run
from tests.bench.results import Options, Section, interleave
from tests.bench.servers import CONTESTANTS

CONNECTIONS = (1, 50, 500)
TARGETS = {"twisted": 2.2, "asyncio": 1.0, "uvloop": 0.85}
JUDGED = (50, 500)  # one connection measures the system calls' round trip, not the framework


def run(options: Options) -> Section:
    """Every contestant at every number of connections."""
    section = Section("TCP echo, 1 KiB, one message in flight per connection", rates.COLUMNS)
    for connections in CONNECTIONS:
        results = interleave(CONTESTANTS, options.rounds, partial(once, options.seconds, connections))
        targets = TARGETS if connections in JUDGED else {}
        rates.compare(section, f"echo, {connections} connections", results, targets, f"{connections:3}  ")
    section.notes.append("All with MALLOC_MMAP_THRESHOLD_ = 4 MiB: without it asyncio is five times slower.")
    return section


def once(seconds: float, connections: int, name: str) -> Run:
    """One run of one contestant in a fresh process."""
    with python("tests.bench.servers", name) as server:
        return rates.measure(server, "echo", connections, seconds)
