"""What the benchmarks that count answers per second share: one run, the table's rows, the promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

from tests.bench import load
from tests.bench.children import Child
from tests.bench.load import SIZE, WARMUP_SECONDS, Load
from tests.bench.results import Section, at_least, number, ratio, spread

COLUMNS = ("server", "per second", "spread", "CPU us each", "p50 us", "p99 us", "ours / theirs", "target")
OURS = "wirebook"


@dataclass(frozen=True)
class Run:
    """What the load generator saw, and the server's processor time for each answer in microseconds."""

    load: Load
    cpu_us: float


def measure(server: Child, mode: str, connections: int, seconds: float, size: int = SIZE) -> Run:
    """Put load on a server that is about to say where it listens."""
    where = server.read_line()
    before = server.cpu_seconds()
    seen = load.run(mode, where, connections, seconds, size)
    # The load warms up before it counts, so the processor time is of a few answers more.
    answers = seen.rate * (seconds + WARMUP_SECONDS)
    return Run(seen, (server.cpu_seconds() - before) / answers * 1e6)


def compare(
    section: Section, what: str, results: Mapping[str, list[Run]], targets: Mapping[str, float], prefix: str = ""
) -> None:
    """Add what was measured of everybody to `section`: a row each, the raw numbers, and a measure per target."""
    rates = {name: [run.load.rate for run in runs] for name, runs in results.items()}
    for name, runs in results.items():
        ours, target = ratio(rates[OURS], rates[name]), targets.get(name)
        row = [prefix + name, number(median(rates[name])), spread(rates[name])]
        row += [f"{median(run.cpu_us for run in runs):.2f}"]
        row += [number(median(run.load.p50_us for run in runs)), number(median(run.load.p99_us for run in runs))]
        row += [f"{ours:.2f}x" if name != OURS else "", f"{target:g}x" if target else ""]
        section.rows.append(row)
        if target:
            section.measures.append(at_least(f"{what} / {name}", ours, target))
    section.raw[what] = {
        name: [{**asdict(run.load), "cpu_us": run.cpu_us} for run in runs] for name, runs in results.items()
    }
