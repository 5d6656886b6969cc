"""What every test gets: a leak check, reactors to test on, programs to talk to, the built wheel."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tools.system_packages import PROGRAMS, nothing_may_be_left_out
from wirebook import reactor as process_reactor
from wirebook.reactor.poller import best_poller
from wirebook.reactor.select_ import SelectPoller
from wirebook.transports.reactor import Reactor

ROOT = Path(__file__).resolve().parent.parent
# How long things that are already ending may take to end once a test is over.
SETTLE_SECONDS = 2.0
# Chromium as root in a container, and without the requests it would make by itself.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
]


def eventually(condition: Callable[[], object], seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until `condition` is true, `seconds` at most; return whether it is. Not in the turn."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.002)
    return True


def pytest_collection_finish() -> None:
    """Take all that importing made out of the garbage collector's sight: every leak check collects."""
    gc.collect()
    gc.freeze()


# ------------------------------------------------------------------------------------------ leaks


class Reports(logging.Handler):
    """The ERROR records of the logger ``wirebook`` during one test: errors that nobody handled."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep `record`; any thread."""
        self.records.append(record)

    def __call__(self) -> list[logging.LogRecord]:
        """Return the reports so far, those of Deferreds that are garbage by now included, and forget them."""
        gc.collect()
        taken, self.records = self.records, []
        return taken

    def wait(self, count: int = 1, seconds: float = SETTLE_SECONDS) -> list[logging.LogRecord]:
        """Wait until there are `count` reports, then take them; the test fails when they do not come."""
        arrived = eventually(lambda: len(self.records) >= count, seconds)
        assert arrived, f"expected {count} reports within {seconds} s, there are {len(self.records)}"
        return self()


@pytest.fixture
def reported() -> Iterator[Reports]:
    """Hand over what the framework reports: a test that expects reports calls it, or its ``wait``."""
    reports = Reports()
    logger = logging.getLogger("wirebook")
    logger.addHandler(reports)
    yield reports
    logger.removeHandler(reports)


def assert_closed(reactor: Reactor) -> None:
    """Fail unless every handle of `reactor` is closed, or ends by itself in a moment."""
    eventually(lambda: len(reactor.handles) == 0)
    left = [f"{handle.kind} {handle.label} {handle.localAddress} ({handle.state})" for handle in reactor.handles]
    assert not left, f"left open: {', '.join(left)}"


@pytest.fixture(autouse=True)
def leak_check(reported: Reports) -> Iterator[None]:
    """Fail a test that leaves a thread, an open handle, a timer or an unhandled error behind."""
    before = set(threading.enumerate())
    yield
    assert_closed(process_reactor)
    eventually(lambda: before.issuperset(threading.enumerate()))
    left = sorted(thread.name for thread in set(threading.enumerate()) - before)
    assert not left, f"threads left running: {left}"
    unhandled = [record.getMessage() for record in reported()]
    assert not unhandled, f"errors that nobody handled: {unhandled}"


# --------------------------------------------------------------------------------------- reactors


def in_thread(reactor: Reactor) -> Iterator[Reactor]:
    """Host `reactor` in a thread; afterwards fail if the test left anything open on it, and end it."""
    reactor.runInThread()
    yield reactor
    try:
        assert_closed(reactor)
    finally:
        reactor.shutDown()
        reactor.close()


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A fresh reactor that runs in a thread of its own, as in the kernel."""
    yield from in_thread(Reactor())


@pytest.fixture(params=[best_poller, SelectPoller], ids=["best", "select"])
def any_reactor(request: pytest.FixtureRequest) -> Iterator[Reactor]:
    """The same, once on the best poller that this machine has (epoll or kqueue) and once on select."""
    yield from in_thread(Reactor(poller=request.param()))


# ------------------------------------------------------------------------------------ the outside


def program(name: str) -> str:
    """Return the path of the program `name` (see tools/system_packages.py); leave the test out without it."""
    path = PROGRAMS[name].path()
    if path is not None:
        return path
    reason = f"needs {PROGRAMS[name].how_to_get()}"
    if nothing_may_be_left_out():
        pytest.fail(f"{reason}, and with CI=true no test may be left out")
    pytest.skip(reason)


@pytest.fixture
def peer() -> Callable[[str], str]:
    """Find a command-line peer by name, e.g. ``peer("curl")``; a test whose peer is not here is left out."""
    return program


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each test that was left out because this machine lacks a program."""
    skipped = [(report.nodeid, str(report.longrepr[2])) for report in terminalreporter.getreports("skipped")]
    left_out = [(nodeid, reason) for nodeid, reason in skipped if reason.startswith("Skipped: needs ")]
    if left_out:
        terminalreporter.section("left out")
    for nodeid, reason in left_out:
        terminalreporter.line(f"{nodeid} {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, for one module: Playwright's event loop would stand in the way of other tests."""
    path = program("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built once as users get it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, timeout=120)
    (built,) = folder.glob("wirebook-*.whl")
    return built
