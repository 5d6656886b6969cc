"""UNIX echo: messages a second over UNIX-domain sockets, ours beside the peers'."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from tests.bench import rates
from tests.bench.children import python
from tests.bench.rates import Run
from tests.bench.results import Options, Section, interleave
from tests.bench.servers import CONTESTANTS

CONNECTIONS = 50
TARGETS = {"asyncio": 1.0}


def run(options: Options) -> Section:
    """Every contestant."""
    section = Section(f"UNIX echo, 1 KiB, {CONNECTIONS} connections, one message in flight on each", rates.COLUMNS)
    results = interleave(CONTESTANTS, options.rounds, partial(once, options.seconds))
    rates.compare(section, "UNIX echo", results, TARGETS)
    return section


def once(seconds: float, name: str) -> Run:
    """One run of one contestant in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "echo"))
        with python("tests.bench.servers", name, "--unix", path) as server:
            return rates.measure(server, "echo", CONNECTIONS, seconds)
