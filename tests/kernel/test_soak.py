"""A minute of what ``python -m tests.bench --only soak`` does for ten."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.bench import soak
from tools.system_packages import nothing_may_be_left_out

SECONDS = 60.0


@pytest.mark.timeout(180)
def test_a_minute_of_load_cells_and_interrupts_loses_nothing_and_leaves_nothing() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the load generator is for Linux")
    if shutil.which("cc") is None and not nothing_may_be_left_out():
        pytest.skip("needs cc: apt-get install gcc libc6-dev")
    outcome = soak.soak(SECONDS)
    assert outcome.problems == []
    assert outcome.echoes.count > 0.5 * soak.CONNECTIONS * soak.RATE * SECONDS
    assert outcome.samples[-1].cells > SECONDS
    assert outcome.growth < soak.GROWTH
    assert outcome.leaked == (0, 0)
