"""How a busy cell and the reactor share one interpreter.

Only one thread at a time runs Python, and the reactor gives that right up in every system call. A cell in a
busy loop then keeps it for a switch interval, so the interval decides how long an event waits. Three
settings leave the reactor about half of its idle rate beside such a cell:

- The interval is 10 microseconds while a cell runs, against Python's 5 milliseconds.
- The reactor's thread has a timer slack of a nanosecond. Linux rounds a thread's short waits up by 50
  microseconds otherwise, and the interval is such a wait (prctl(2), PR_SET_TIMERSLACK).
- The thread of the cells is a little nicer than the reactor's, so that where both want the same core a
  server gets more than half of it (sched(7), "The nice value": one step is about a tenth).

The last two are Linux's; elsewhere the first one works alone.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

SWITCH_INTERVAL = 0.00001
CELL_NICENESS = 2


def quicken_reactor() -> None:
    """Let short waits of the calling thread be short; called on the reactor."""
    with suppress(OSError), open(f"/proc/{threading.get_native_id()}/timerslack_ns", "w") as slack:
        slack.write("1")


def soften_cells() -> None:
    """Make the calling thread a little nicer, for good: only root could take it back. Once per thread."""
    if sys.platform == "linux" and not getattr(_softened, "done", False):
        _softened.done = True
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, niceness + CELL_NICENESS)


_softened = threading.local()
