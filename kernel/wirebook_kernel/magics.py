"""The magics: ``%reactor``, ``%%reactor``, ``%%keep`` and ``%watch``."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class
from IPython.display import display

from wirebook import reactor
from wirebook.interfaces import IHandle
from wirebook.turn import turn
from wirebook_kernel import errors
from wirebook_kernel.cells import cell_of, current_cell
from wirebook_kernel.floods import Floods
from wirebook_kernel.live import LiveClasses
from wirebook_kernel.ownership import close_handles
from wirebook_kernel.status import Status, tally
from wirebook_kernel.watchdog import watchdog
from wirebook_widgets import watch

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from wirebook_widgets import Connections

USAGE = (
    "write %reactor, %reactor close [all | cell N], %reactor reset, %reactor errors [N], %reactor upgrade, "
    "%reactor limit [N | off] or %reactor watchdog [S | off]"
)

_CELL_NUMBER = re.compile(r"(?:cell\s*)?\[?(\d+)\]?")


@magics_class
class ReactorMagics(Magics):
    """The magics of this kernel."""

    def __init__(self, shell: InteractiveShell, classes: LiveClasses, floods: Floods) -> None:
        super().__init__(shell)
        self._classes = classes
        self._floods = floods

    @line_cell_magic
    def reactor(self, line: str, cell: str | None = None) -> Any:
        """See and close what is open, or run a cell in one turn of the reactor.

        %reactor                 what is open, of which cell, since when
        %reactor close           close everything in order: ports, connections, timers
        %reactor close cell 3    close what In [3] opened
        %reactor reset           abort everything at once, without sending what is pending
        %reactor errors          the last errors of callbacks, each with its cell; with a number: its traceback
        %reactor upgrade         give open connections the newest class of their protocol
        %reactor limit 200       show at most 200 lines a second of each cell's callbacks (at first 1,000); off: all
        %reactor watchdog 2.5    report callbacks that take over 2.5 s (at first 1 s); off: none

        %%reactor                run the whole cell while no callback runs: nothing arrives, nothing is
                                 called, until the cell is done. It cannot wait for anything.
        """
        if cell is not None:
            if line.strip():
                raise UsageError(f"%%reactor takes no arguments, not {line.strip()!r}")
            return run_in_turn(_shell_of(self), cell)
        verb, _, rest = line.strip().partition(" ")
        if verb == "close":
            _close(_selection(rest.strip()), abort=False)
        elif verb == "reset" and not rest.strip():
            _close(lambda: list(reactor.handles), abort=True)
        elif verb == "upgrade" and not rest.strip():
            print(self._classes.upgrade())  # noqa: T201
            return None
        elif verb == "errors":
            return errors.show(rest.strip())
        elif verb == "limit":
            return _set_limit(self._floods, rest.strip())
        elif verb == "watchdog":
            return _set_watchdog(rest.strip())
        elif line.strip():
            raise UsageError(f"%reactor does not know {line.strip()!r}: {USAGE}")
        display(Status())
        return None

    @cell_magic
    def keep(self, line: str, cell: str) -> None:
        """Run the cell again without closing what its earlier runs opened.

        It stands at the top of the cell, before or after other cell magics. The rest is an ordinary cell.
        """
        raise UsageError("%%keep is a mark at the top of a cell: it cannot be called")

    @line_magic
    def watch(self, line: str) -> Connections:
        """Show everything that is open as a live view: the same as ``watch()``."""
        if line.strip():
            raise UsageError(f"%watch takes no arguments, not {line.strip()!r}; watch() takes them")
        return watch()


def run_in_turn(shell: InteractiveShell, source: str) -> Any:
    """Run the source of a cell in one turn of the reactor; the value of a last expression is returned."""
    code, cell = shell.transform_cell(source), current_cell.get()
    # The shell has counted on before it runs a cell.
    number = shell.execution_count if cell is None else cell.number
    name = shell.compile.cache(code, number, raw_code=source)
    tree = shell.transform_ast(shell.compile.ast_parse(code, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    steps = [_compile(tree, name, "exec")]
    if isinstance(last, ast.Expr):
        steps.append(_compile(ast.Expression(last.value), name, "eval"))
    value = None
    with turn:
        for step in steps:
            value = eval(step, shell.user_global_ns, shell.user_ns)
    return value


def _compile(tree: ast.Module | ast.Expression, name: str, mode: str) -> Any:
    code = compile(tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        raise UsageError("a %%reactor cell cannot await: nothing can arrive before its turn ends")
    return code


def _selection(which: str) -> Callable[[], list[IHandle]]:
    if which in ("", "all"):
        return lambda: list(reactor.handles)
    number = _CELL_NUMBER.fullmatch(which)
    if number is None:
        raise UsageError(f"%reactor close does not know {which!r}: {USAGE}")
    wanted = int(number[1])
    opened = sorted({cell.number for handle in reactor.handles if (cell := cell_of(handle))})
    if wanted not in opened:
        others = ", ".join(f"[{each}]" for each in opened)
        hint = f"cells with something open: {others}" if others else "no cell has anything open"
        raise UsageError(f"cell [{wanted}] has nothing open; {hint}")
    return lambda: [handle for handle in reactor.handles if _of_number(handle, wanted)]


def _of_number(handle: IHandle, number: int) -> bool:
    cell = cell_of(handle)
    return cell is not None and cell.number == number


def _close(select: Callable[[], list[IHandle]], *, abort: bool) -> None:
    before = select()
    left = close_handles(select, abort=abort)
    if before:
        print(f"{'Aborted' if abort else 'Closed'} {tally(before)}.")  # noqa: T201
    if left:
        print(f"Could not close {tally(left)}.")  # noqa: T201


def _set_limit(floods: Floods, limit: str) -> None:
    if limit:
        if limit != "off" and not (limit.isdecimal() and int(limit)):
            raise UsageError(f"%reactor limit takes a number of lines from 1 up, or 'off', not {limit!r}")
        floods.limit = 0 if limit == "off" else int(limit)
    shown = f"at most {floods.limit:,} lines a second" if floods.limit else "everything"
    print(f"Of what each cell's callbacks write, {shown} is shown.")  # noqa: T201


def _set_watchdog(limit: str) -> None:
    if limit:
        try:
            watchdog.limit = None if limit == "off" else float(limit)
        except ValueError:
            raise UsageError(f"%reactor watchdog takes a number of seconds or 'off', not {limit!r}") from None
    now = "off" if watchdog.limit is None else f"on: what takes over {watchdog.limit:g} s is reported"
    print(f"The watchdog is {now}.")  # noqa: T201


def _shell_of(magics: Magics) -> InteractiveShell:
    shell: InteractiveShell | None = magics.shell
    assert shell is not None
    return shell
