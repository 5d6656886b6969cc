"""`WirebookKernel`: ipykernel with a reactor, and what an extension cannot do."""

from __future__ import annotations

import gc
from typing import Any

from ipykernel.ipkernel import IPythonKernel

from wirebook import __version__, reactor
from wirebook_kernel.comms import ViewMessage, message_to_view
from wirebook_kernel.ending import shut_down

VOCABULARY = {"text": "Networking API (Twisted's names)", "url": "https://docs.twisted.org/en/stable/core/howto/"}


class WirebookKernel(IPythonKernel):
    """ipykernel's kernel with `wirebook_kernel`'s extension loaded before the first cell.

    It adds what needs the kernel's own class: messages to live views are handled while a cell is running.
    """

    implementation = "wirebook"
    implementation_version = __version__

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.help_links = [VOCABULARY, *self.help_links]

    def start(self) -> None:
        """Start the kernel, and the reactor before the first message is handled."""
        assert self.shell is not None
        self.shell.extension_manager.load_extension("wirebook_kernel")
        # What there is by now stays: no collection, which all callbacks wait for, has to look at it again.
        gc.freeze()
        gc.enable()
        super().start()  # type: ignore[no-untyped-call]

    def do_shutdown(self, restart: bool) -> Any:
        """Close everything in order, then end. Called on the control thread, also while a cell blocks."""
        shut_down()
        return super().do_shutdown(restart)  # type: ignore[no-untyped-call]

    @property
    def banner(self) -> str:  # type: ignore[override]
        """What a console shows first."""
        return f"Wirebook {self.implementation_version}: reactor and watch() are there.\n{super().banner}"

    # --- messages to live views ----------------------------------------------------------------------

    async def shell_channel_thread_main(self, msg: Any) -> None:
        """Hand messages to live views to the reactor; everything else goes ipykernel's way.

        The shell channel has a thread of its own, so this works while the main thread runs a cell.
        """
        message = None if self.session is None else message_to_view(self.session, msg)
        if message is None:
            await super().shell_channel_thread_main(msg)  # type: ignore[no-untyped-call]
        else:
            reactor.callFromThread(self._deliver, message)

    def _deliver(self, message: ViewMessage) -> None:
        self._publish_status("busy", "shell", parent=message.parent)  # type: ignore[no-untyped-call]
        try:
            message.view.receive(message.content, message.buffers)
        finally:
            self._publish_status("idle", "shell", parent=message.parent)  # type: ignore[no-untyped-call]
