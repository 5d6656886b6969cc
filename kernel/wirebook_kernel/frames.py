"""What a thread is at, read from its frames: whose code runs, for whom, and on which line.

Frames of the framework and of the standard library work for whoever called them, so it is the innermost frame of
anybody else that says whose code it is. One thing leaves no frame: a function written in C that was itself given as
a callback (``callLater(1, time.sleep, 5)``). It is the user's too, and known by the instruction at which the
framework's frame stands: the call of ``context.run`` through which every callback goes.
"""

from __future__ import annotations

import ast
import dis
import linecache
import sys
from collections.abc import Iterator
from contextvars import Context
from functools import cache
from itertools import islice
from types import CodeType, FrameType
from typing import NamedTuple

FRAMEWORK = frozenset({"wirebook", "wirebook_kernel", "wirebook_widgets"})
"""Top-level packages that a KeyboardInterrupt must not surprise while they hold the turn."""

LIBRARIES = sys.stdlib_module_names | {"OpenSSL", "cryptography", "_cffi_backend"}
"""Top-level packages that work for whoever called them: their frames tell nothing."""


class Position(NamedTuple):
    """Where a thread is: the ``function`` that the reactor (or a cell) called, and the user's line that it is at.

    ``call`` is the text of what is being called there (``time.sleep``), empty when it cannot be told. ``context`` is
    the one of the callback, None where no callback is at work.
    """

    function: str
    file: str
    line: int
    source: str
    call: str
    context: Context | None


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """This frame, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def in_framework(frame: FrameType | None) -> bool:
    """Whether the framework is at work in `frame`, and not a callback or a cell."""
    for each in outwards(frame):
        package = package_of(each)
        if package in FRAMEWORK:
            return each.f_lasti not in _calls_of_callbacks(each.f_code)
        if package not in LIBRARIES:
            return False
    return False


def package_of(frame: FrameType) -> str:
    """The top-level package that the code of `frame` belongs to."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def callback_on(thread: int) -> FrameType | None:
    """The frame of the callback that is at work, or the framework's frame that has called a function written in C."""
    innermost = sys._current_frames().get(thread)
    inside = False
    for each in reversed(list(outwards(innermost))):
        if package_of(each) in FRAMEWORK:
            inside = True
        elif inside:
            return each
    return None if in_framework(innermost) else innermost


_LOADING = ("LOAD_ATTR", "LOAD_METHOD")


@cache
def _calls_of_callbacks(code: CodeType) -> frozenset[int]:
    """Where in `code` something is run in a context: the offsets of the instructions that call ``x.run(...)``."""
    instructions = list(dis.get_instructions(code))
    starts = {_start(each) for each in instructions if each.opname in _LOADING and each.argval == "run"}
    return frozenset(each.offset for each in instructions if "CALL" in each.opname and _start(each) in starts)


def _start(instruction: dis.Instruction) -> tuple[int | None, int | None] | None:
    position = instruction.positions
    return None if position is None else (position.lineno, position.col_offset)


# --- for people ----------------------------------------------------------------------------------------


def position_of(frame: FrameType) -> Position:
    """Describe where a thread is whose innermost frame this is."""
    own: list[FrameType] = []
    for each in outwards(frame):
        package = package_of(each)
        if package in FRAMEWORK:
            context = _context_in(each)
            if context is not None:
                return _position(own, each, context)
        elif package not in LIBRARIES:
            own.append(each)
    return _position(own, frame, None)


def _position(own: list[FrameType], caller: FrameType, context: Context | None) -> Position:
    """`own` are the user's frames, innermost first, which `caller`, a frame of the framework, called."""
    if not own:
        return Position(_name(caller.f_locals.get("func", caller.f_locals.get("callback"))), "", 0, "", "", context)
    at = own[0]
    file, line = at.f_code.co_filename, at.f_lineno
    # A cell has many frames of IPython below its own.
    outermost = own[-1] if context is not None else at
    source = linecache.getline(file, line).strip()
    return Position(outermost.f_code.co_qualname, file, line, source, _called_at(at), context)


def _context_in(frame: FrameType) -> Context | None:
    """The context in which `frame`, one of the framework's, runs a callback."""
    if frame.f_lasti not in _calls_of_callbacks(frame.f_code):
        return None
    mine = frame.f_locals.get("self")
    for found in (frame.f_locals.get("context"), getattr(mine, "context", None), getattr(mine, "_context", None)):
        if isinstance(found, Context):
            return found
    return None


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", "") or type(function).__qualname__)


def _called_at(frame: FrameType) -> str:
    """The source of the function that is being called where `frame` stands."""
    positions = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if positions is None or None in positions:
        return ""
    first, last, begin, end = (number or 0 for number in positions)
    lines = [linecache.getline(frame.f_code.co_filename, number).encode() for number in range(first, last + 1)]
    if first == last:
        lines[0] = lines[0][begin:end]
    else:
        lines[0], lines[-1] = lines[0][begin:], lines[-1][:end]
    try:
        tree = ast.parse(b"".join(lines), mode="eval").body
    except SyntaxError:
        return ""
    return ast.unparse(tree.func) if isinstance(tree, ast.Call) else ""
