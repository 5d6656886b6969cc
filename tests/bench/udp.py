"""UDP echo: datagrams of 64 bytes a second with 32 of them under way, ours beside the peers'."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from statistics import median

from tests.bench import load
from tests.bench.children import python
from tests.bench.load import Load
from tests.bench.results import Options, Section, at_least, interleave, number, ratio, spread
from tests.bench.udp_servers import CONTESTANTS

WINDOW = 32
SIZE = 64
TARGETS = {"twisted": 4.0, "uvloop": 1.0}


def run(options: Options) -> Section:
    """Every contestant."""
    columns = ("server", "echoes/s", "spread", "CPU us each", "p50 us", "p99 us", "lost", "ours / theirs", "target")
    section = Section(f"UDP echo, {SIZE} bytes, {WINDOW} datagrams under way from one socket", columns)
    results = interleave(CONTESTANTS, options.rounds, partial(once, options.seconds))
    rates = {name: [seen.rate for seen, _ in runs] for name, runs in results.items()}
    for name, runs in results.items():
        ours = ratio(rates["wirebook"], rates[name])
        target = TARGETS.get(name)
        row = [name, number(median(rates[name])), spread(rates[name])]
        row += [f"{median(cpu for _, cpu in runs):.2f}"]
        row += [number(median(seen.p50_us for seen, _ in runs)), number(median(seen.p99_us for seen, _ in runs))]
        row += [str(sum(seen.unanswered for seen, _ in runs))]
        row += [f"{ours:.2f}x" if name != "wirebook" else "", f"{target:g}x" if target else ""]
        section.rows.append(row)
        if target:
            section.measures.append(at_least(f"UDP echo / {name}", ours, target))
        section.raw[name] = [{**asdict(seen), "cpu_us": cpu} for seen, cpu in runs]
    section.notes.append('"bare" is recvfrom and sendto in a loop: what the socket module gives to anybody.')
    return section


def once(seconds: float, name: str) -> tuple[Load, float]:
    """One run of one contestant in a fresh process: what the load saw, and the server's microseconds for each."""
    with python("tests.bench.udp_servers", name) as server:
        port = int(server.read_line())
        before = server.cpu_seconds()
        seen = load.run("udp", port, WINDOW, seconds, SIZE)
        # The load warms up before it counts, so the processor time is of a little more echoes.
        echoes = seen.rate * (seconds + load.WARMUP_SECONDS)
        return seen, (server.cpu_seconds() - before) / echoes * 1e6
