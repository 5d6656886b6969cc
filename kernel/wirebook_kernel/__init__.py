"""The Wirebook kernel: a reactor beside the message loop of a Jupyter kernel.

In a Wirebook notebook all of this is there from the start. In a stock kernel, ``%load_ext wirebook_kernel``
brings the same (the reactor's thread, output in the right cell, cell ownership, live classes, reports, reprs, magics)
except what needs the kernel's own class: buttons of live views that answer while a cell is running, and a
stop button that ends an ``await`` at once.
"""

from wirebook_kernel.cells import Cell, current_cell
from wirebook_kernel.extension import load_ipython_extension, unload_ipython_extension
from wirebook_kernel.quiet import settle

__all__ = ["Cell", "current_cell", "load_ipython_extension", "settle", "unload_ipython_extension"]
