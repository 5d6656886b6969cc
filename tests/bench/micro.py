"""One small measurement in a process of its own: ``python -m tests.bench.micro TASK NAME`` prints JSON.

Costs are microseconds of processor time, medians of several runs: neither other processes nor a slow first
run count.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

RUNS = 5
DEFERREDS = 20_000
CHAIN = 1_000
TIMERS = 100_000


def cost_us(work: Callable[[], object], times: int) -> float:
    """The processor time of one of the `times` things that `work` does."""
    spent = []
    for _ in range(RUNS):
        gc.collect()
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return median(spent) / times * 1e6


def forward(value: object) -> object:
    """The smallest callback."""
    return value


def drop(failure: object) -> None:
    """The smallest errback that handles its error."""


def fire(deferred_type: Any, callbacks: int) -> None:
    """Make, equip and fire `DEFERREDS` Deferreds."""
    for _ in range(DEFERREDS):
        d = deferred_type()
        for _ in range(callbacks):
            d.addCallback(forward)
        d.callback(1)


def fail(deferred_type: Any) -> None:
    """Fail `DEFERREDS` Deferreds, each with its errback."""
    error = ValueError("no")
    for _ in range(DEFERREDS):
        d = deferred_type()
        d.addErrback(drop)
        d.errback(error)


def chain(deferred_type: Any) -> None:
    """Let chains of `CHAIN` Deferreds, each waiting for the one before, fire from their beginning."""
    for _ in range(DEFERREDS // CHAIN):
        first = last = deferred_type()
        for _ in range(CHAIN):
            outer = deferred_type()
            outer.addCallback(lambda value, inner=last: inner)
            outer.callback(None)
            last = outer
        first.callback(1)


def bytes_each(deferred_type: Any) -> float:
    """Memory of one Deferred that has not fired, with one callback."""
    kept = [None] * DEFERREDS
    gc.collect()
    tracemalloc.start()
    for i in range(DEFERREDS):
        kept[i] = d = deferred_type()
        d.addCallback(forward)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / DEFERREDS


def deferreds(name: str) -> dict[str, float]:
    """Every measurement of Deferreds; `name` is wirebook or twisted."""
    module = importlib.import_module({"twisted": "twisted.internet.defer"}.get(name, name))
    kind = module.Deferred
    return {
        "make, 1 callback, fire": cost_us(lambda: fire(kind, 1), DEFERREDS),
        "make, 10 callbacks, fire": cost_us(lambda: fire(kind, 10), DEFERREDS),
        "one link of a chain": cost_us(lambda: chain(kind), DEFERREDS),
        "make, 1 errback, fail": cost_us(lambda: fail(kind), DEFERREDS),
        "bytes, unfired, 1 callback": bytes_each(kind),
    }


def timers(name: str) -> dict[str, float]:
    """Schedule `TIMERS` timers, cancel them all, and let the loop clear up."""
    schedule, iterate = loop_of(name)

    def work() -> None:
        calls = [schedule(10.0 + i % 100, forward, i) for i in range(TIMERS)]
        for call in calls:
            call.cancel()
        iterate()

    return {"schedule and cancel": cost_us(work, TIMERS)}


def loop_of(name: str) -> tuple[Callable[..., Any], Callable[[], object]]:
    """How to schedule a call in that framework, and how to turn its loop once."""
    if name in ("asyncio", "uvloop"):
        loop = importlib.import_module(name).new_event_loop()
        return loop.call_later, lambda: loop.run_until_complete(asyncio.sleep(0))
    if name == "twisted":
        reactor = importlib.import_module("twisted.internet.reactor")
    else:
        reactor = importlib.import_module(name).reactor
    return reactor.callLater, lambda: reactor.iterate(0)


if __name__ == "__main__":
    task, contestant = sys.argv[1:]
    print(json.dumps({"deferred": deferreds, "timers": timers}[task](contestant)))
