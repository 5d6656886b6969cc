"""A minute of what ``python -m tests.bench --only soak`` does for ten."""

from __future__ import annotations

import sys

import pytest

from tests.bench import soak
from tests.conftest import program

SECONDS = 60.0


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="the load generator is for Linux")
def test_a_minute_of_load_cells_and_interrupts_loses_nothing_and_leaves_nothing() -> None:
    program("cc")
    outcome = soak.soak(SECONDS)
    assert outcome.problems == []
    assert outcome.echoes.count > 0.5 * soak.CONNECTIONS * soak.RATE * SECONDS
    assert outcome.samples[-1].cells > SECONDS
    assert outcome.growth < soak.GROWTH
    assert outcome.leaked == (0, 0)
