"""A busy cell leaves the reactor its share."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from wirebook_kernel.sharing import CELL_NICENESS, quicken_reactor, soften_cells

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="niceness of threads and timer slack are Linux's")


def in_a_thread(*calls: object) -> list[object]:
    """What the calls return, made one after the other in a thread of their own."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(call() for call in calls))  # type: ignore[operator]
    thread.start()
    thread.join()
    return results


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


@linux_only
def test_a_thread_that_runs_cells_is_softened_once_and_no_other_thread_with_it() -> None:
    before = niceness()
    _, once, _, twice = in_a_thread(soften_cells, niceness, soften_cells, niceness)
    assert once == twice == before + CELL_NICENESS
    assert niceness() == before


@linux_only
def test_the_reactor_waits_without_slack() -> None:
    def slack() -> str:
        with open(f"/proc/{threading.get_native_id()}/timerslack_ns") as own:
            return own.read().strip()

    assert in_a_thread(quicken_reactor, slack)[-1] == "1"
