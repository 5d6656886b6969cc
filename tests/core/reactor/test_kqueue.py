"""kqueue keeps the contract, where there is one."""

from __future__ import annotations

import sys

import pytest

from tests.core.reactor.poller_kit import PollerContract
from wirebook.reactor.poller import Poller

if sys.platform == "linux" or sys.platform == "win32":
    pytest.skip("kqueue is the BSDs' and macOS's", allow_module_level=True)
else:
    from wirebook.reactor.kqueue import KqueuePoller

    class TestKqueuePoller(PollerContract):
        def make(self) -> Poller:
            return KqueuePoller()
