"""100,000 timers, scheduled and cancelled, beside everybody's."""

from __future__ import annotations

from tests.bench.deferred import compare
from tests.bench.results import Options, Section
from tests.bench.servers import CONTESTANTS


def run(options: Options) -> Section:
    """Every contestant."""
    return compare("timers", CONTESTANTS, "100,000 timers: microseconds each", options)
