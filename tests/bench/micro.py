"""Small measurements in a process of their own, printed as JSON.

``python -m tests.bench.micro timers NAME`` measures one contestant, ``python -m tests.bench.micro deferred ROUNDS``
Wirebook beside Twisted in the same process. Costs are microseconds of processor time, and medians are taken of
several runs: neither other processes nor a slow first run count. Garbage is collected as in any program.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.results import interleave

RUNS = 5
TIMERS = 100_000
DEFERREDS = 20_000


def cost_us(work: Callable[[], object], times: int) -> float:
    """The processor time of one of the `times` things that `work` does."""
    gc.collect()
    started = time.process_time()
    work()
    return (time.process_time() - started) / times * 1e6


def forward(value: object) -> object:
    """The smallest callback."""
    return value


def drop(failure: object) -> None:
    """The smallest errback that handles its error."""


# Timers, everybody's


def timers(name: str) -> dict[str, float]:
    """Schedule `TIMERS` timers, cancel them all, and let the loop clear up."""
    schedule, iterate = loop_of(name)
    return {"schedule and cancel": median(cost_us(lambda: churn(schedule, iterate), TIMERS) for _ in range(RUNS))}


def churn(schedule: Callable[..., Any], iterate: Callable[[], object]) -> None:
    """Schedule and cancel `TIMERS` timers."""
    calls = [schedule(10.0 + i % 100, forward, i) for i in range(TIMERS)]
    for call in calls:
        call.cancel()
    iterate()


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


# Deferreds and what stands on them, Wirebook's beside Twisted's


@dataclass(frozen=True)
class Framework:
    """One contestant: where its names are, its reactor, and what holds the turn while it works."""

    defer: Any
    threads: Any
    reactor: Any
    turn: Callable[[], AbstractContextManager[object]] = nullcontext


def frameworks() -> dict[str, Framework]:
    """The contestants; ours once as in a callback or a cell's ``with reactor.turn()``, once as in a script."""
    ours = importlib.import_module("wirebook.deferred"), importlib.import_module("wirebook.threads")
    theirs = importlib.import_module("twisted.internet.defer"), importlib.import_module("twisted.internet.threads")
    reactor = importlib.import_module("wirebook").reactor
    return {
        "twisted": Framework(*theirs, importlib.import_module("twisted.internet.reactor")),
        "wirebook": Framework(*ours, reactor),
        "in the turn": Framework(*ours, reactor, reactor.turn),
    }


def one_callback(its: Framework, times: int) -> None:
    """Make a Deferred, attach one callback, fire it."""
    make = its.defer.Deferred
    for _ in range(times):
        d = make()
        d.addCallback(forward)
        d.callback(1)


def ten_callbacks(its: Framework, times: int) -> None:
    """The same with ten."""
    make = its.defer.Deferred
    for _ in range(times):
        d = make()
        for _ in range(10):
            d.addCallback(forward)
        d.callback(1)


def errback(its: Framework, times: int) -> None:
    """Make a Deferred, attach one errback, fail it."""
    make, error = its.defer.Deferred, ValueError("no")
    for _ in range(times):
        d = make()
        d.addErrback(drop)
        d.errback(error)


def chain(its: Framework, times: int) -> None:
    """A callback returns a Deferred, which is fired then."""
    make = its.defer.Deferred
    for _ in range(times):
        inner, outer = make(), make()
        outer.addCallback(lambda _, inner=inner: inner)
        outer.callback(None)
        inner.callback(1)


def chain_to_fired(its: Framework, times: int) -> None:
    """A callback returns a Deferred that has fired."""
    make, succeed = its.defer.Deferred, its.defer.succeed
    for _ in range(times):
        outer = make()
        outer.addCallback(lambda _: succeed(1))
        outer.callback(None)


def chain_deferred(its: Framework, times: int) -> None:
    """A Deferred is fired by another one."""
    make = its.defer.Deferred
    for _ in range(times):
        source, target = make(), make()
        source.chainDeferred(target)
        source.callback(1)


def long_chain(its: Framework, times: int) -> None:
    """A chain in which each Deferred waits for the one before fires from its beginning."""
    make = its.defer.Deferred
    first = last = make()
    for _ in range(times):
        outer = make()
        outer.addCallback(lambda _, inner=last: inner)
        outer.callback(None)
        last = outer
    first.callback(1)


def coroutine(its: Framework, times: int) -> None:
    """A coroutine awaits ten Deferreds that have fired."""
    fired, ensure = [its.defer.succeed(1) for _ in range(10)], its.defer.ensureDeferred

    async def work() -> None:
        for d in fired:
            await d

    for _ in range(times):
        ensure(work())


def generator(its: Framework, times: int) -> None:
    """A generator under inlineCallbacks yields ten Deferreds that have fired."""
    fired = [its.defer.succeed(1) for _ in range(10)]

    @its.defer.inlineCallbacks  # type: ignore[untyped-decorator]
    def work() -> Generator[Any, Any, None]:
        for d in fired:
            _ = yield d

    for _ in range(times):
        work()


def list_of_hundred(its: Framework, times: int) -> None:
    """A DeferredList of a hundred that are fired then."""
    make, gather = its.defer.Deferred, its.defer.DeferredList
    for _ in range(times):
        members = [make() for _ in range(100)]
        gather(members).addCallback(forward)
        for member in members:
            member.callback(1)


def list_of_fired(its: Framework, times: int) -> None:
    """A DeferredList of a hundred that have fired."""
    succeed, gather = its.defer.succeed, its.defer.DeferredList
    for _ in range(times):
        gather([succeed(1) for _ in range(100)]).addCallback(forward)


def call_later(its: Framework, times: int) -> None:
    """Schedule calls and cancel all of them; then one turn of the loop."""
    calls = [its.reactor.callLater(10.0 + i % 100, forward, i) for i in range(times)]
    for call in calls:
        call.cancel()
    its.reactor.iterate(0)


def reset(its: Framework, times: int) -> None:
    """Put off a thousand calls again and again, as timeouts are; a turn of the loop after each thousand."""
    calls = [its.reactor.callLater(60.0, forward, i) for i in range(1000)]
    for _ in range(times // 1000):
        for call in calls:
            call.reset(60.0)
        its.reactor.iterate(0)
    for call in calls:
        call.cancel()


def round_trip(its: Framework, times: int) -> None:
    """Have a thread do nothing, its result come back to the reactor, then the next; the reactor runs in a thread."""
    finished = threading.Event()

    def again(count: int) -> None:
        if count:
            its.threads.deferToThread(forward, count - 1).addCallback(again)
        else:
            finished.set()

    its.reactor.callFromThread(again, times)
    if not finished.wait(60):
        raise RuntimeError(f"{times} calls in threads took more than a minute")


@contextmanager
def running(its: dict[str, Framework]) -> Iterator[None]:
    """Run the reactors, each in a thread of its own; the one that has nothing to do costs nothing."""
    ours, theirs = its["wirebook"].reactor, its["twisted"].reactor
    thread = threading.Thread(target=theirs.run, kwargs={"installSignalHandlers": False})
    thread.start()
    ours.runInThread()
    try:
        yield
    finally:
        ours.shutDown()
        theirs.callFromThread(theirs.stop)
        thread.join()


# What is measured, how often in a run, and what of Twisted's cost it may cost.
WORK: dict[str, tuple[Callable[[Framework, int], None], int, float]] = {
    "make, 1 callback, fire": (one_callback, DEFERREDS, 0.7),
    "make, 10 callbacks, fire": (ten_callbacks, DEFERREDS // 4, 0.7),
    "make, 1 errback, fail": (errback, DEFERREDS, 0.7),
    "chain to one that fires later": (chain, DEFERREDS // 2, 0.7),
    "chain to one that has fired": (chain_to_fired, DEFERREDS // 2, 0.7),
    "chainDeferred": (chain_deferred, DEFERREDS // 2, 0.7),
    "one link of a chain of 1,000": (long_chain, 1000, 0.7),
    "coroutine, 10 awaits": (coroutine, DEFERREDS // 10, 0.7),
    "inlineCallbacks, 10 yields": (generator, DEFERREDS // 10, 0.7),
    "DeferredList of 100": (list_of_hundred, DEFERREDS // 100, 0.7),
    "DeferredList of 100 that have fired": (list_of_fired, DEFERREDS // 100, 0.7),
    "callLater and cancel, of 100,000": (call_later, TIMERS, 0.5),
    "DelayedCall.reset": (reset, TIMERS, 1.0),
}
ROUND_TRIP = "deferToThread, there and back"
WITH_REACTORS_RUNNING = {ROUND_TRIP: (round_trip, 1000, 1.0)}
# Nobody may hold the turn for these: they turn the loop, or wait for it.
NOT_IN_THE_TURN = {call_later, reset, round_trip}


def compare_deferreds(rounds: int) -> dict[str, Any]:
    """Every cost of every round, the bytes of an unfired Deferred, and the longest stalls among the timers."""
    its = frameworks()
    both = ["twisted", "wirebook"]
    costs = {what: compare(its, rounds, *work) for what, work in WORK.items()}
    report = {
        "costs": costs,
        "bytes": interleave(both, 1, lambda name: bytes_each(its[name])),
        "stalls": interleave(both, rounds, lambda name: longest_stall_ms(its[name])),
    }
    with running(its):
        costs |= {what: compare(its, rounds, *work) for what, work in WITH_REACTORS_RUNNING.items()}
    return report


def compare(
    its: dict[str, Framework], rounds: int, work: Callable[[Framework, int], None], times: int, _: float
) -> dict[str, list[float]]:
    """What `work` costs everybody, in every round; a first round does not count."""

    def measure(name: str) -> float:
        with its[name].turn():
            return cost_us(lambda: work(its[name], times), times)

    names = [name for name in its if name != "in the turn" or work not in NOT_IN_THE_TURN]
    return {name: costs[1:] for name, costs in interleave(names, rounds + 1, measure).items()}


def bytes_each(its: Framework) -> float:
    """Memory of one Deferred that has not fired, with one callback."""
    kept = [None] * DEFERREDS
    gc.collect()
    tracemalloc.start()
    for i in range(DEFERREDS):
        kept[i] = d = its.defer.Deferred()
        d.addCallback(forward)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / DEFERREDS


def longest_stall_ms(its: Framework) -> float:
    """The most processor time, in milliseconds, of any single step while `TIMERS` timers come and go."""
    longest = 0.0
    calls: list[Any] = []

    @contextmanager
    def watched() -> Iterator[None]:
        nonlocal longest
        started = time.thread_time()
        yield
        longest = max(longest, time.thread_time() - started)

    gc.collect()
    for i in range(TIMERS):
        with watched():
            calls.append(its.reactor.callLater(10.0 + i % 100, forward, i))
    for call in calls:
        with watched():
            call.cancel()
    for _ in range(3):
        with watched():
            its.reactor.iterate(0)
    return longest * 1e3


if __name__ == "__main__":
    task, argument = sys.argv[1:]
    print(json.dumps(timers(argument) if task == "timers" else compare_deferreds(int(argument))), flush=True)
