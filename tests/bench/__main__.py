"""``python -m tests.bench``: measure Wirebook beside asyncio, uvloop and Twisted, and print the ratios."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench.children import CORES, ChildError
from tests.bench.results import Measure, Options, Section, as_json, show, show_measures, write

BENCHES = (
    "echo", "connect", "idle", "unix", "udp", "backlog", "kernel", "descriptors", "deferred", "timers", "tls", "soak",
)  # fmt: skip
OUTPUT = Path(__file__).parents[2] / "build" / "bench.json"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=BENCHES, metavar="BENCH",
                        help=f"some of: {', '.join(BENCHES)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it runs")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of one run (default: 1)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of all contestants (default: 7)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 0.3, 1
    if options.seconds <= 0 or options.rounds < 1:
        parser.error("--seconds must be greater than 0 and --rounds at least 1")
    return options


def run_bench(name: str, options: Options) -> Section:
    """Run the module of that name and print what it found."""
    write(f"\n... {name}: {options.rounds} rounds, {options.seconds:g} s a run\n")
    section: Section = importlib.import_module(f"tests.bench.{name}").run(options)
    show(section)
    return section


def end(number: int, frame: FrameType | None) -> None:
    """Leave in order, so that every child is killed."""
    raise SystemExit(128 + number)


def main() -> int:
    """Run what was asked for. Returns 1 if something could not be measured; a missed target is no error."""
    chosen = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, end)
    options = Options(chosen.seconds, chosen.rounds)
    if len(CORES) < 2:
        write("Only one core: server and load share it, so the rates are low and the ratios flattened.\n")
    measures: list[Measure] = []
    report: dict[str, Any] = {"seconds": options.seconds, "rounds": options.rounds}
    failed = False
    for name in chosen.only:
        try:
            section = run_bench(name, options)
        except ChildError as error:
            write(f"  cannot measure {name}: {error}\n")
            failed = True
            continue
        measures += section.measures
        report[name] = as_json(section)
    show_measures(measures)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(report, indent=1) + "\n")
    write(f"\nEvery number of every round: {OUTPUT}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
