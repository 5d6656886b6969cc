"""What this kernel adds to the text of network errors: whose a port is, and what to do next.

Core says what happened (`wirebook.error`) and asks here for more when somebody reads it. So it is in the cell's
traceback, in a report, and in ``print(error)``.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from wirebook.error import CannotListenError, ConnectionRefusedError
from wirebook.interfaces import IHandle
from wirebook_kernel.cells import cell_of
from wirebook_kernel.whose import holder, is_loopback, kernel_ports

# How many ports are named to who connected to another one.
MOST_PORTS: Final = 3


def advise(error: Exception) -> str:
    """A clause about `error`, empty when there is nothing to add. Never raises; any thread."""
    try:
        if isinstance(error, CannotListenError) and error.socketError.errno == errno.EADDRINUSE:
            return _on_port_in_use(error)
        if isinstance(error, ConnectionRefusedError) and is_loopback(getattr(error.address, "host", None)):
            return _on_refusal(error.address)
    except Exception:
        # The error itself matters more than what could be added.
        return ""
    return ""


def _on_port_in_use(error: CannotListenError) -> str:
    found = holder(error)
    if error.interface is None:
        what, others = "it", "or choose another path"
    else:
        what, others = f"port {error.port}", "choose another port, or 0 for any free one"
    return f"{what} is in use by {found.name}: {found.remedy}, {others}" if found else ""


def _on_refusal(address: Any) -> str:
    others = kernel_ports("TCP")
    if not others:
        return "this kernel has no TCP port open: run the cell that listens"
    listed = ", ".join(_named(handle) for handle in others[-MOST_PORTS:])
    more = f" (and {len(others) - MOST_PORTS} more)" if len(others) > MOST_PORTS else ""
    return f"in this kernel {listed}{more} {'listens' if len(others) == 1 else 'listen'}"


def _named(handle: IHandle) -> str:
    cell, address = cell_of(handle), handle.localAddress
    where = "" if address.host == "127.0.0.1" else f" on {address.host}"
    return f"port {address.port}{where}{'' if cell is None else f' of cell {cell}'}"
