"""An echo server in a cell: how fast at rest, with a live view open, and beside a cell that spins.

And what a kernel costs beside ipykernel's: until it has run its first cell, and for each cell that does nothing.
The stock kernel with an asyncio server on its own loop is the peer. Like every server here a kernel has one
core and the load generator another, so a spinning cell and the reactor share one core and one interpreter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from statistics import median

from tests.bench import load
from tests.bench.children import ChildError
from tests.bench.load import Load, Probe
from tests.bench.notebook import Notebook, Page
from tests.bench.results import Options, Section, at_least, at_most, interleave, number, ratio, spread

CONNECTIONS = 50
PROBE_RATE = 200.0
LISTEN_CONNECTIONS = 500  # the longest batches, so the longest waits for the turn
LISTENS = 300
NOTHINGS = 50  # cells that do nothing
STARTS = 3  # pairs of kernels started in each round: no two starts take the same time

SERVER = """
from wirebook import Factory, Protocol, reactor
from wirebook_widgets import watch
class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
port = reactor.listenTCP(0, Factory.forProtocol(Echo), backlog=1024)
"""
STOCK_SERVER = """
import asyncio
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)
server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
"""
LISTEN = f"""
import time
times = []
for _ in range({LISTENS}):
    started = time.perf_counter()
    another = reactor.listenTCP(0, Factory.forProtocol(Echo))
    times.append((time.perf_counter() - started) * 1e3)
    another.stopListening()
"""


def run(options: Options) -> Section:
    """Both kernels, every state."""
    with Notebook("wirebook_kernel") as ours, Notebook("ipykernel_launcher") as stock:
        port = ours.run(SERVER, "port.getHost().port")
        stock_port = stock.run(STOCK_SERVER, "server.sockets[0].getsockname()[1]")
        echo = partial(load.run, "echo", port, CONNECTIONS, options.seconds)
        stock_echo = partial(load.run, "echo", stock_port, CONNECTIONS, options.seconds)
        states: dict[str, Callable[[], Load]] = {
            "wirebook, idle": echo,
            "wirebook, watch() open": partial(watched, ours, echo),
            "wirebook, cell spins": partial(beside_spinning, ours, echo),
            "stock + asyncio, idle": stock_echo,
            "stock + asyncio, cell spins": partial(beside_spinning, stock, stock_echo),
        }
        rates = interleave(states, options.rounds, lambda state: states[state]())
        probes = [round_trips(ours, port, options.seconds) for _ in range(options.rounds)]
        listens = [listen_times(ours, port, options.seconds) for _ in range(options.rounds)]
    section = describe(rates, probes, listens)
    add_costs(section, options.rounds)
    return section


def watched(notebook: Notebook, measure: Callable[[], Load]) -> Load:
    """Measure while a page looks at ``watch()``."""
    with Page(notebook) as page:
        notebook.run("dashboard = watch()")
        try:
            page.wait()
            before = page.deltas
            seen = measure()
            if page.deltas == before:
                raise ChildError("the view stood still while the load ran: there is nothing to compare")
            return seen
        finally:
            notebook.run("dashboard.close()")


def beside_spinning(notebook: Notebook, measure: Callable[[], Load]) -> Load:
    """Measure while a cell runs ``while True: pass``."""
    with notebook.spinning():
        return measure()


def round_trips(notebook: Notebook, port: int, seconds: float) -> Load:
    """One connection beside a spinning cell, otherwise at rest."""
    with notebook.spinning(), Probe(port, seconds, PROBE_RATE) as probe:
        probe.start()
        return probe.finish()


def listen_times(notebook: Notebook, port: int, seconds: float) -> list[float]:
    """Milliseconds of each ``listenTCP`` that a cell does under full load."""
    with load.start("echo", port, LISTEN_CONNECTIONS, seconds + 1.0) as running:
        request = notebook.start(LISTEN, "times")
        seen = running.finish()
        times: list[float] = notebook.finish(request)
    if not seen.count:
        raise ChildError("there was no load while listenTCP was measured")
    return times


def describe(rates: dict[str, list[Load]], probes: list[Load], listens: list[list[float]]) -> Section:
    """The table, the notes, the measures."""
    section = Section(
        f"Echo inside a kernel, {CONNECTIONS} connections, 1 KiB",
        ("state", "echoes/s", "spread", "of idle", "p50 us", "p99 us"),
    )
    for state, runs in rates.items():
        column = [run.rate for run in runs]
        idle = [run.rate for run in rates[state.split(",")[0] + ", idle"]]
        latencies = [number(median(run.p50_us for run in runs)), number(median(run.p99_us for run in runs))]
        if not any(column):
            latencies = ["-", "-"]
        row = [state, number(median(column)), spread(column), f"{ratio(column, idle):.2f}x", *latencies]
        section.rows.append(row)
    section.raw = {state: [asdict(run) for run in runs] for state, runs in rates.items()}
    section.raw |= {"beside a spinning cell": [asdict(probe) for probe in probes], "listenTCP ms": listens}
    add_measures(section, rates, probes, listens)
    return section


def add_measures(
    section: Section, rates: dict[str, list[Load]], probes: list[Load], listens: list[list[float]]
) -> None:
    """The promises about kernels."""
    idle, watching, spinning = (
        [run.rate for run in rates[f"wirebook, {state}"]] for state in ("idle", "watch() open", "cell spins")
    )
    p50, p99 = median(p.p50_us for p in probes) / 1e3, median(p.p99_us for p in probes) / 1e3
    listen = median(sorted(times)[int(len(times) * 0.99)] for times in listens)
    section.notes.append(f"One connection beside a spinning cell: median {p50:.2f} ms, p99 {p99:.2f} ms.")
    section.notes.append(f"listenTCP under {LISTEN_CONNECTIONS} connections' load: p99 {listen:.2f} ms.")
    section.measures += [
        at_least("echo while a cell spins / idle", ratio(spinning, idle), 0.5),
        at_least("echo with watch() open / closed", ratio(watching, idle), 0.9),
        at_most("round trip beside a spinning cell, median", p50, 1, "ms"),
        at_most("round trip beside a spinning cell, p99", p99, 10, "ms"),
        at_most("listenTCP in a cell under full load, p99", listen, 20, "ms"),
    ]


def add_costs(section: Section, rounds: int) -> None:
    """Start time and the round trip of a cell, beside ipykernel's own."""
    kernels = ("wirebook_kernel", "ipykernel_launcher")
    for kernel in kernels:  # so that both find their bytecode
        cost(kernel)
    costs = interleave(kernels, rounds * STARTS, cost)
    for position, what, target in ((0, "kernel start", 1.2), (1, "round trip of an empty cell", 1.1)):
        ours, theirs = ([each[position] for each in costs[kernel]] for kernel in kernels)
        section.notes.append(f"{what}: {number(median(ours))} ms, ipykernel's {number(median(theirs))} ms.")
        section.measures.append(at_most(f"{what} / ipykernel's", ratio(ours, theirs), target, "x"))
    section.raw["start and cell, ms"] = costs


def cost(kernel: str) -> tuple[float, float]:
    """Milliseconds until a new kernel has run a cell, and of the cells after that (their median)."""
    with Notebook(kernel) as notebook:
        cells = [notebook.round_trip() for _ in range(NOTHINGS)]
        return notebook.start_seconds * 1e3, median(cells) * 1e3
