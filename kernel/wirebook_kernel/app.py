"""The kernel's program: ipykernel's, but for its end when the front end's process has died."""

from __future__ import annotations

import os
import time

from ipykernel.kernelapp import IPKernelApp
from ipykernel.parentpoller import ParentPollerUnix

from wirebook_kernel.ending import end_process

LOOK_SECONDS = 1.0
NOBODY = 1


class ParentWatch(ParentPollerUnix):
    """Ends the process in order when the one that has started it is gone; ipykernel's ends it on the spot."""

    def run(self) -> None:
        """Look once a second."""
        # A wrapper that has started the kernel may end before it, and says nothing about the front end.
        is_child = os.getppid() == self.parent_pid
        while os.getppid() == self.parent_pid if is_child else os.getppid() != NOBODY:
            time.sleep(LOOK_SECONDS)
        end_process(1)


class WirebookApp(IPKernelApp):
    """`IPKernelApp` with a `ParentWatch`."""

    def init_poller(self) -> None:
        """Watch the parent process where ipykernel would."""
        super().init_poller()  # type: ignore[no-untyped-call]
        if isinstance(self.poller, ParentPollerUnix):
            self.poller = ParentWatch(self.poller.parent_pid)  # type: ignore[no-untyped-call]
