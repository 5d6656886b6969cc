"""Connect, echo one byte, close: how often a second, ours beside the peers'."""

from __future__ import annotations

from functools import partial

from tests.bench import rates
from tests.bench.children import python
from tests.bench.rates import Run
from tests.bench.results import Options, Section, interleave
from tests.bench.servers import CONTESTANTS

AT_ONCE = 50
TARGETS = {"twisted": 1.3, "uvloop": 0.8}


def run(options: Options) -> Section:
    """Every contestant."""
    section = Section(f"TCP: connect, echo one byte, close; {AT_ONCE} at once", rates.COLUMNS)
    results = interleave(CONTESTANTS, options.rounds, partial(once, options.seconds))
    rates.compare(section, "connect, echo, close", results, TARGETS)
    section.notes.append("Latencies begin with the connect and end with the echo.")
    return section


def once(seconds: float, name: str) -> Run:
    """One run of one contestant in a fresh process."""
    with python("tests.bench.servers", name) as server:
        return rates.measure(server, "connect", AT_ONCE, seconds, size=1)
