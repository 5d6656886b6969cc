"""The end of a kernel: whatever ends it, what is open is closed in order first, and quickly.

A front end asks for the end with a message, which the kernel handles on a thread of its own, also while a cell
blocks. Python's own exit comes by `atexit`. And whoever waits no longer, or runs the kernel as a service, sends
SIGTERM, which would end the process between two bytes of a TLS record. A front end that dies says nothing: `app`.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType

from wirebook import reactor

# Front ends count to two or more before they end a kernel by force.
SHUTDOWN_SECONDS = 1.5

_one_at_a_time = threading.Lock()


def shut_down() -> None:
    """End the reactor in order, in 2 seconds at most; return when it has ended. Any thread, any number of them."""
    with _one_at_a_time:
        reactor.shutDown(SHUTDOWN_SECONDS)


def guard_end() -> None:
    """Let SIGTERM end the process in order, if nobody else handles it. Harmless off the main thread."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, terminate)


def unguard_end() -> None:
    """Let SIGTERM do what it did."""
    if signal.getsignal(signal.SIGTERM) is terminate:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def terminate(signum: int, frame: FrameType | None) -> None:
    """The SIGTERM handler. The thread that runs it may hold the turn, so it goes on while another one closes."""
    threading.Thread(target=end_process, args=(128 + signum,), name="wirebook-end", daemon=True).start()


def end_process(status: int) -> None:
    """End the reactor in order, and then the process with this exit status. Any thread that does not hold the turn."""
    try:
        shut_down()
    finally:
        # At once, as a signal does: what waits for the main thread may wait for a cell that blocks.
        os._exit(status)
