"""Out of descriptors: 200 clients connect to a server that may have 64, while one connection is being used.

A good server rests until it can accept again, keeps whom it has, and serves those who waited as soon as
descriptors are free. A bad one spins on accept, floods its log, or turns the waiting clients away.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median

from tests.bench.children import Child, python
from tests.bench.load import Load, Probe
from tests.bench.results import Measure, Options, Section, at_most, interleave, number
from tests.bench.servers import CONTESTANTS, HOST

DESCRIPTORS = 64
CLIENTS = 200
HOLD_SECONDS = 3.0
SERVE_SECONDS = 10.0
PROBE_RATE = 50.0
MESSAGE = b"hello, is anybody there?"
ROUNDS = 3


@dataclass(frozen=True)
class Outcome:
    """What one server did."""

    cpu_percent: float
    log_lines: int
    log_bytes: int
    probe: Load
    held: int
    served_later: int
    dropped: int
    still_waiting: int


class Clients:
    """Clients that each connect, send one message and wait for its echo; states are counted."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets = [self._connect(port) for _ in range(count)]
        self.states: dict[socket.socket, str] = dict.fromkeys(self._sockets, "waiting")

    def _connect(self, port: int) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        code = client.connect_ex((HOST, port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, f"cannot connect to port {port}")
        self._selector.register(client, selectors.EVENT_WRITE)
        return client

    def counts(self) -> Counter[str]:
        """How many are waiting, served, dropped."""
        return Counter(self.states.values())

    def work(self, seconds: float, leave_when_served: bool = False) -> None:
        """Send and receive until nobody waits any more, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while self.counts()["waiting"] and (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                self._step(key)
            if leave_when_served:
                self.leave()

    def leave(self) -> None:
        """Close every client that was served."""
        for client, state in self.states.items():
            if state == "served" and client.fileno() >= 0:
                client.close()

    def close(self) -> None:
        """Close all of them."""
        self._selector.close()
        for client in self._sockets:
            client.close()

    def _step(self, key: selectors.SelectorKey) -> None:
        client = key.fileobj
        assert isinstance(client, socket.socket)
        try:
            if key.events & selectors.EVENT_WRITE:
                client.send(MESSAGE)
                self._selector.modify(client, selectors.EVENT_READ)
                return
            answer = client.recv(len(MESSAGE))
        except OSError:
            answer = b""
        self.states[client] = "served" if answer == MESSAGE else "dropped"
        self._selector.unregister(client)


def run(options: Options) -> Section:
    """Every contestant; not more than three rounds, each takes its time."""
    columns = ("server", "CPU %", "log lines", "log bytes", "p50 ms", "p99 ms", "served at once",
               "served later", "dropped", "never served")  # fmt: skip
    title = f"Descriptors exhausted: {CLIENTS} clients, {DESCRIPTORS} descriptors, {HOLD_SECONDS:g} s"
    section = Section(title, columns)
    results = interleave(CONTESTANTS, min(options.rounds, ROUNDS), once)
    for name, outcomes in results.items():
        section.rows.append(row(name, outcomes))
        section.raw[name] = [asdict(outcome) for outcome in outcomes]
    section.notes.append("Round trips are those of a connection that was there before. Medians of the rounds.")
    section.measures = judge(results["wirebook"])
    return section


def once(name: str) -> Outcome:
    """One server from start to end."""
    with python("tests.bench.servers", name, "--descriptors", str(DESCRIPTORS)) as server:
        port = int(server.read_line())
        with Probe(port, HOLD_SECONDS, PROBE_RATE) as probe:
            return exhaust(server, port, probe)


def exhaust(server: Child, port: int, probe: Probe) -> Outcome:
    """Let the clients in, watch the server for a while, then free what the first ones hold."""
    log = server.log()
    clients = Clients(port, CLIENTS)
    try:
        clients.work(1.0)
        cpu, started = server.cpu_seconds(), time.monotonic()
        probe.start()
        clients.work(HOLD_SECONDS)
        seen = probe.finish()
        cpu_percent = 100 * (server.cpu_seconds() - cpu) / (time.monotonic() - started)
        held = clients.counts()
        clients.leave()
        written = server.log()[len(log) :]
        clients.work(SERVE_SECONDS, leave_when_served=True)
        after = clients.counts()
    finally:
        clients.close()
    return Outcome(
        cpu_percent=cpu_percent,
        log_lines=written.count("\n"),
        log_bytes=len(written),
        probe=seen,
        held=held["served"],
        served_later=after["served"] - held["served"],
        dropped=after["dropped"],
        still_waiting=after["waiting"],
    )


def row(name: str, outcomes: list[Outcome]) -> list[str]:
    """One contestant's medians."""

    def middle(values: list[float]) -> str:
        return number(median(values))

    return [
        name,
        middle([o.cpu_percent for o in outcomes]),
        middle([o.log_lines for o in outcomes]),
        middle([o.log_bytes for o in outcomes]),
        middle([o.probe.p50_us / 1e3 for o in outcomes]),
        middle([o.probe.p99_us / 1e3 for o in outcomes]),
        middle([o.held for o in outcomes]),
        middle([o.served_later for o in outcomes]),
        middle([o.dropped for o in outcomes]),
        middle([o.still_waiting for o in outcomes]),
    ]


def judge(ours: list[Outcome]) -> list[Measure]:
    """The promises. The worst round counts for lines and clients, the median for times."""
    lines = max(o.log_lines for o in ours)
    unserved = max(o.dropped + o.still_waiting for o in ours)
    return [
        at_most("descriptors exhausted: CPU", median(o.cpu_percent for o in ours), 1, "%"),
        Measure("descriptors exhausted: log lines", str(lines), "1", lines == 1),
        at_most("descriptors exhausted: live p50", median(o.probe.p50_us / 1e3 for o in ours), 1, "ms"),
        at_most("descriptors exhausted: clients not served in the end", unserved, 0, "clients"),
    ]
