"""The Wirebook kernel: a reactor beside the message loop of a Jupyter kernel.

In a Wirebook notebook all of this is there from the start. In a stock kernel, ``%load_ext wirebook_kernel``
brings the same (the reactor's thread, output in the right cell, cell ownership, live classes, reports, reprs, magics)
except what needs the kernel's own class: buttons of live views that answer while a cell is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Cell", "current_cell", "load_ipython_extension", "settle", "unload_ipython_extension"]

if TYPE_CHECKING:
    from wirebook_kernel.cells import Cell, current_cell
    from wirebook_kernel.extension import load_ipython_extension, unload_ipython_extension
    from wirebook_kernel.quiet import settle
else:
    _LATER = {
        "wirebook_kernel.cells": ("Cell", "current_cell"),
        "wirebook_kernel.extension": ("load_ipython_extension", "unload_ipython_extension"),
        "wirebook_kernel.quiet": ("settle",),
    }

    def __getattr__(name):
        """A name of `_LATER`."""
        # A kernel's start comes through here, and has something to do before anything is loaded: see `__main__`.
        from wirebook import faces

        return faces.load(__name__, name, _LATER)

    def __dir__():
        """Everything that can be asked for, loaded or not."""
        return sorted({*globals(), *__all__})
