"""A program's signals: SIGINT and SIGTERM stop the reactor in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook.reactor.loop import ReactorBase

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_signals(reactor: ReactorBase, install: bool) -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM stop `reactor`.

    Python has handlers on the main thread only; on any other, and without `install`, this does nothing.
    """
    if not install or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        # A handler runs between any two instructions: the stop itself waits for its turn.
        reactor.callFromThread(_stop_once, reactor)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_once(reactor: ReactorBase) -> None:
    if reactor.running and not reactor.stopping:
        reactor.stop()
