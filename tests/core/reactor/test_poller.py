"""The best poller that this system has keeps the contract."""

from __future__ import annotations

import sys

from tests.core.reactor.poller_kit import PollerContract
from wirebook.reactor.poller import Poller, best_poller


class TestBestPoller(PollerContract):
    def make(self) -> Poller:
        return best_poller()


def test_the_best_poller_is_the_system_s_own() -> None:
    expected = {"linux": "EpollPoller", "darwin": "KqueuePoller"}
    poller = best_poller()
    assert type(poller).__name__ == expected.get(sys.platform, type(poller).__name__)
    poller.close()
