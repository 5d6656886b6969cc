"""A program's signals: SIGINT and SIGTERM stop the reactor in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook.reactor.lifetime import Lifetime

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_USUAL = (signal.SIG_DFL, signal.default_int_handler)


@contextmanager
def stopping_signals(reactor: Lifetime, install: bool) -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM stop `reactor`, unless the program has a handler of its own.

    Python has handlers on the main thread only; on any other, and without `install`, this does nothing.
    """
    if not install or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        # A handler runs between any two instructions: the stop itself waits for its turn.
        reactor.callFromThread(_stop_once, reactor)

    free = [number for number in _STOPPING if signal.getsignal(number) in _USUAL]
    before = {number: signal.signal(number, stop) for number in free}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_once(reactor: Lifetime) -> None:
    if reactor.alive and not reactor.stopping:
        reactor.stop()
    elif reactor.threadpool is not None and reactor.threadpool.joined:
        # All that is left to do is to wait for calls in threads, and somebody does not want to wait for them.
        reactor.crash()
