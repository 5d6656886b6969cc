"""What a shell gets from Wirebook: the same for the Wirebook kernel and for ``%load_ext wirebook_kernel``."""

from __future__ import annotations

import ast
import atexit
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import wirebook_widgets
from wirebook import reactor
from wirebook_kernel import reprs
from wirebook_kernel.cells import Cell, Cells, ExecutionInfo, current_cell
from wirebook_kernel.clicks import Clicks
from wirebook_kernel.comms import keep_on_subshells
from wirebook_kernel.ending import guard_end, shut_down, unguard_end
from wirebook_kernel.figures import Figures
from wirebook_kernel.floods import Floods
from wirebook_kernel.held import HeldErrors
from wirebook_kernel.interrupts import guard_await, guard_cell, guard_idle, unguard_await
from wirebook_kernel.live import LiveClasses
from wirebook_kernel.magics import ReactorMagics
from wirebook_kernel.ownership import close_earlier_runs, strip_keep
from wirebook_kernel.reports import CellReporter
from wirebook_kernel.sharing import quicken_reactor, soften_cells
from wirebook_kernel.succession import Succession
from wirebook_kernel.tripwire import enlist_thread
from wirebook_kernel.watchdog import show_in_cell, watchdog

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

NAMES = {"reactor": reactor, "watch": wirebook_widgets.watch}


class Extension:
    """Wirebook's part of one shell, from `load` to `unload`."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        # A terminal's shell has none.
        self._kernel = getattr(shell, "kernel", None)
        self._reporter = CellReporter(shell)
        # IPython puts these in place for a cell and takes them back at its end, which goes wrong for two cells at once
        # (on subshells). So they stay, and are counted only.
        self._traps = (shell.builtin_trap, shell.display_trap)
        self._cells = Cells(shell, self._again, self._ended)
        self._succession = Succession(self._cells)
        self._floods = Floods(self._cells)
        self._clicks = Clicks(self._kernel)
        self._figures = Figures(shell, self._cells.is_running)
        self._classes = LiveClasses(shell.user_ns)
        self._held = HeldErrors(shell.user_ns)
        self._events: dict[str, tuple[Callable[[Any], None], ...]] = {
            # Guarded first: closing what an earlier run opened may take a moment, and be interrupted.
            "pre_run_cell": (guard, self._cells.begin, watchdog.note_cell, self._begun),
            "post_run_cell": (self._cells.end, free_views),
        }

    def load(self) -> None:
        """Start the reactor and let the shell know it."""
        shell = self._shell
        reactor.runInThread()
        reactor.hosting.prepare_threads(prepare_reactor)
        watchdog.place = self._place
        watchdog.show = self._floods.exempt(show_in_cell)
        watchdog.start()
        for trap in self._traps:
            trap.__enter__()
        self._reporter.install()
        for event, callbacks in self._events.items():
            for callback in callbacks:
                shell.events.register(event, callback)
        shell.input_transformers_cleanup.insert(0, strip_keep)
        shell.register_magics(ReactorMagics(shell, self._classes, self._floods))
        reactor.handles.make_room = self._succession.make_room
        self._floods.install(shell.display_pub)
        self._figures.install()
        self._clicks.install()
        reprs.install(shell)
        wirebook_widgets.describe_cell = cell_name
        shell.push(NAMES, interactive=False)
        atexit.register(shut_down)
        guard_end()
        guard_cell()
        guard_idle(self._kernel)
        guard_await(self._kernel)
        self._cells.join()
        watchdog.note_cell()

    def _again(self, cell: Cell) -> None:
        """A cell runs again: close what it has opened before, but not for a slip that keeps it from running at all."""
        try:
            ast.parse(self._shell.transform_cell(cell.source))
        except (SyntaxError, ValueError):
            return
        close_earlier_runs(cell)

    def _begun(self, info: ExecutionInfo) -> None:
        """A cell begins. Code that a front end runs for itself, e.g. for its list of variables, handles no errors."""
        if info.store_history:
            self._held.before_cell()

    def _ended(self, cell: Cell) -> None:
        """A run of a cell has ended; what is written now is still its output."""
        self._held.after_cell()
        # Before the classes are compared, for what is about to close keeps none.
        self._succession.wait()
        for sentence in self._classes.follow(cell):
            print(sentence)  # noqa: T201
        self._floods.tell(cell)

    def unload(self) -> None:
        """Take all of it back and end the reactor; what is open is closed."""
        shell = self._shell
        watchdog.stop()
        shut_down()
        atexit.unregister(shut_down)
        unguard_end()
        unguard_await(self._kernel)
        for event, callbacks in self._events.items():
            for callback in callbacks:
                shell.events.unregister(event, callback)
        reactor.handles.make_room = None
        self._cells.leave()
        shell.input_transformers_cleanup.remove(strip_keep)
        for kind in ("line", "cell"):
            for name in ("reactor", "keep", "watch"):
                shell.magics_manager.magics[kind].pop(name, None)
        reprs.uninstall(shell)
        self._floods.uninstall()
        self._figures.uninstall()
        self._clicks.uninstall()
        wirebook_widgets.describe_cell = None
        shell.drop_by_id(NAMES)
        self._reporter.uninstall()
        for trap in self._traps:
            trap.__exit__(None, None, None)

    def _place(self, file: str, line: int) -> str:
        """A line of code, as IPython's tracebacks name it."""
        name = self._shell.compile.format_code_name(file)
        return f"{f'{name[0]} {name[1]}' if name else file}, line {line}"


def prepare_reactor() -> None:
    """On a thread that the reactor runs in: see `quicken_reactor` and `enlist_thread`."""
    quicken_reactor()
    enlist_thread()


def guard(info: object) -> None:
    """Before a cell: see `guard_cell` and `soften_cells`."""
    guard_cell()
    soften_cells()


def free_views(result: object) -> None:
    """After a cell, which may have made views: see `keep_on_subshells`."""
    keep_on_subshells()


def cell_name(context: Context) -> str:
    """``3`` for what was made in ``In [3]``, as the views name cells, and nothing outside cells."""
    cell = context.get(current_cell)
    return "" if cell is None else str(cell.number)


_loaded: dict[InteractiveShell, Extension] = {}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext wirebook_kernel`` calls."""
    if shell not in _loaded:
        extension = Extension(shell)
        extension.load()
        _loaded[shell] = extension


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext wirebook_kernel`` calls."""
    if extension := _loaded.pop(shell, None):
        extension.unload()
