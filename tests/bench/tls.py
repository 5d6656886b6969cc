"""TLS 1.3 with a P-256 certificate: echo, bulk both ways, and handshakes, ours beside the peers'."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.children import LOAD_CORES, Child, ChildError, python
from tests.bench.load import BUILD, SPARE_SECONDS
from tests.bench.results import Options, Section, at_least, interleave, number, ratio, spread
from tests.bench.tls_servers import CONTESTANTS, PEERS
from wirebook.ssl import LabAuthority

SOURCE = Path(__file__).with_name("tls_load.c")


@dataclass(frozen=True)
class Case:
    """One thing to measure: the load's mode, what the server does, and the targets."""

    title: str
    mode: str
    task: str
    connections: int
    size: int
    targets: dict[str, float]


CASES = (
    Case("echo 1 KiB, per second", "echo", "echo", 50, 1024, {"twisted": 1.8, "asyncio": 1.0}),
    Case("handshakes per second", "handshake", "echo", 16, 1, {"twisted": 1.2, "asyncio": 1.0}),
    Case("bytes received per second", "send", "sink", 4, 65536, {"twisted": 1.2}),
    Case("bytes sent per second", "receive", "source", 4, 65536, {"twisted": 1.2}),
)


def run(options: Options) -> Section:
    """Every contestant in every case."""
    section = Section("TLS 1.3, P-256, full handshakes", ("what, server", "rate", "spread", "ours / theirs", "target"))
    with TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        pem.write_bytes(LabAuthority().server("localhost", "127.0.0.1").dumpPEM())
        for case in CASES:
            describe(section, case, interleave(CONTESTANTS, options.rounds, partial(once, options.seconds, case, pem)))
    section.notes.append("Rates are per second of the server's processor time: the load generator is the slower side.")
    section.notes.append("Python's ssl and pyOpenSSL bring OpenSSLs of different versions: part of any difference.")
    return section


def once(seconds: float, case: Case, pem: Path, name: str) -> float:
    """One run of one contestant in a fresh process; how much it did in a second of its own processor time."""
    with python("tests.bench.tls_servers", name, case.task, str(pem)) as server:
        port = server.read_line()
        command = [program(), case.mode, port, str(case.connections), str(case.size), f"{seconds:g}"]
        before = server.cpu_seconds()
        with Child(command, LOAD_CORES) as load:
            fields = json.loads(load.read_line(seconds + SPARE_SECONDS))
        spent = server.cpu_seconds() - before
    if "error" in fields:
        raise ChildError(f"TLS load generator with {name}: {fields['error']}")
    return float(fields["total"]) / spent


@cache
def program() -> str:
    """Return the path of the load generator, compiled when its source is newer. Raises `ChildError`."""
    target = BUILD / "tls_load"
    if target.exists() and target.stat().st_mtime > SOURCE.stat().st_mtime:
        return str(target)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ChildError("the load generator is a C program: install a C compiler (Debian: apt install gcc)")
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(target), str(SOURCE), "-lssl", "-lcrypto"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ChildError(f"cannot compile {SOURCE.name} (Debian: apt install libssl-dev):\n{done.stderr}")
    return str(target)


def describe(section: Section, case: Case, rates: dict[str, list[float]]) -> None:
    """Add the rows, measures and raw numbers of one case."""
    for name, values in rates.items():
        ours = ratio(rates["wirebook"], values)
        target = case.targets.get(name)
        row = [f"{case.title}  {name}", number(median(values)), spread(values)]
        row += [f"{ours:.2f}x" if name in PEERS else "", f"{target:g}x" if target else ""]
        section.rows.append(row)
        if target:
            section.measures.append(at_least(f"TLS: {case.title} / {name}", ours, target))
    section.raw[case.title] = rates
