"""10,000 idle TCP connections: the server's memory for each, and how fast it answers one among them.

Afterwards 19,000, ours alone: nearly as many as a process with 20,000 descriptors can have.
"""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

from tests.bench.children import python
from tests.bench.load import Held, Load, Probe
from tests.bench.results import Measure, Options, Section, at_most, interleave, number
from tests.bench.servers import CONTESTANTS

CONNECTIONS = 10_000
MANY = 19_000
SPARE_DESCRIPTORS = 100
PROBE_RATE = 500.0
ROUNDS = 3


@dataclass(frozen=True)
class Outcome:
    """What was seen of one server: its memory, round trips amid the idle connections, and who lived."""

    bytes_each: float
    probe: Load
    alive: int


def run(options: Options) -> Section:
    """Every contestant; not more than three rounds."""
    columns = ("server", "KiB each", "p50 ms", "p99 ms", "max ms", "alive in the end")
    section = Section(f"{CONNECTIONS:,} idle TCP connections: resident memory, round trips on one more", columns)
    allowed = allow_descriptors()
    if allowed < CONNECTIONS:
        section.notes.append(f"Not measured: a process may have {allowed:,} descriptors (ulimit -Hn).")
        return section
    results = interleave(CONTESTANTS, min(options.rounds, ROUNDS), partial(once, options.seconds, CONNECTIONS))
    for name, outcomes in results.items():
        section.rows.append(row(name, outcomes))
        section.raw[name] = [asdict(outcome) for outcome in outcomes]
    section.measures = judge(results["wirebook"])
    if allowed < MANY:
        section.notes.append(f"{MANY:,} were not tried: a process may have {allowed:,} descriptors (ulimit -Hn).")
    else:
        many = once(options.seconds, MANY, "wirebook")
        section.rows.append(row(f"wirebook, {MANY:,}", [many]))
        section.raw[f"wirebook, {MANY}"] = asdict(many)
        section.measures.append(Measure("idle connections held", str(many.alive), str(MANY), many.alive == MANY))
    return section


def allow_descriptors() -> int:
    """Let the children have as many descriptors as the system permits; how many connections that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE_DESCRIPTORS


def once(seconds: float, connections: int, name: str) -> Outcome:
    """One server from start to end."""
    with python("tests.bench.servers", name) as server:
        port = server.read_line()
        with Probe(port, seconds, PROBE_RATE) as probe:
            before = server.resident_bytes()
            with Held(port, connections) as held:
                grown = server.resident_bytes() - before
                probe.start()
                seen = probe.finish()
                held.start()
                alive = held.finish().count
    return Outcome(grown / connections, seen, alive)


def row(name: str, outcomes: list[Outcome]) -> list[str]:
    """One contestant's medians."""
    cells = [median(o.bytes_each for o in outcomes) / 1024]
    cells += [median(getattr(o.probe, part) for o in outcomes) / 1e3 for part in ("p50_us", "p99_us", "max_us")]
    return [name, *map(number, cells), f"{min(o.alive for o in outcomes):,}"]


def judge(ours: list[Outcome]) -> list[Measure]:
    """The promises."""
    each = median(o.bytes_each for o in ours) / 1024
    p99 = median(o.probe.p99_us for o in ours) / 1e3
    return [
        at_most(f"{CONNECTIONS:,} idle connections: memory of each", each, 1.6, "KiB"),
        at_most(f"{CONNECTIONS:,} idle connections: a round trip, p99", p99, 1, "ms"),
    ]
