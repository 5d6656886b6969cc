"""A tripwire: what another thread does next, it does only after a function of ours has been asked.

CPython can raise an exception in another thread (PyThreadState_SetAsyncExc), but not at a chosen place: it comes
where the interpreter looks for it next, be that in the middle of the framework, and where an object is being freed
it is dropped. What debuggers use is exact. The interpreter calls them on the thread itself, between two
instructions, with the frame that is about to go on; and what they raise is raised right there.

- CPython 3.11 traces a thread, which it is told by ``sys.settrace`` on that thread. What that calls can be called
  for another thread, too (_PyEval_SetTrace), given the function in C by which it calls ours.
- From CPython 3.12 on, ``sys.monitoring`` (PEP 669) watches the instructions of given code on all threads.

Neither costs anything while no wire is stretched. A thread that is in a function written in C meets the wire when
that returns, before the next instruction of its caller.
"""

from __future__ import annotations

import ctypes
import dis
import sys
from _thread import get_ident
from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

from wirebook.turn import turn
from wirebook_kernel.frames import in_framework, outwards


class Verdict(Enum):
    """What is to happen at the frame that has met the wire."""

    PASS = auto()
    RAISE = auto()
    CUT = auto()


Judge: TypeAlias = Callable[[FrameType], Verdict]


@lru_cache
def safe_points(code: CodeType, calls: bool = False) -> frozenset[int]:
    """The offsets of the instructions of `code` before which an interrupt may come.

    They are heads of loops and the start: every endless computation comes by one. With `calls`, which blocking calls
    need, it is also where a call has returned; then what it returned is lost, be it a lock that it has acquired.
    All these are places where CPython itself looks for signals. Those are left out where the jump or call stands in
    a ``try`` or ``with`` block that was left meanwhile: its ``finally`` or ``__exit__`` is still to come. So is the
    start of an ``__exit__`` itself.
    """
    blocks = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]

    def block(offset: int) -> int | None:
        return next((each.target for each in blocks if each.start <= offset < each.end), None)

    instructions = list(dis.get_instructions(code))
    steps = [(each.offset, int(each.argval)) for each in instructions if each.opname in _LOOPS]
    sources = (_CALLS if calls else set()) | (set() if code.co_name in _EXITS else {"RESUME"})
    steps += [(each.offset, following.offset) for each, following in pairwise(instructions) if each.opname in sources]
    return frozenset(after for before, after in steps if block(before) == block(after))


_LOOPS: Final = {name for name in dis.opmap if "JUMP_BACKWARD" in name and not name.endswith("NO_INTERRUPT")}
_CALLS: Final = {name for name in dis.opmap if "CALL" in name} - {"PRECALL"}
_EXITS: Final = {"__exit__", "__aexit__"}


if sys.version_info >= (3, 12):
    _monitoring = sys.monitoring
    _INSTRUCTION = _monitoring.events.INSTRUCTION
    # One of those that are for anybody.
    _TOOL: Final = 4
    _wires: Final[dict[int, Tripwire]] = {}

    def enlist_thread() -> None:
        """Make wires possible on the calling thread; first of all, if it is to hold the turn."""

    class Tripwire:
        """Asks `judge` on `thread` at every step from `stretch` on, until it is cut or has raised KeyboardInterrupt."""

        def __init__(self, thread: int, judge: Judge) -> None:
            self._thread = thread
            self._judge = judge
            self._codes: set[CodeType] = set()
            self._off = False
            # Where the thread is known to be in a call that blocks: it is interrupted when that returns.
            self.blocked: FrameType | None = None

        def stretch(self) -> FrameType | None:
            """Watch what is called now; returns the thread's innermost frame. Another thread calls it, repeatedly."""
            innermost = sys._current_frames().get(self._thread)
            if innermost is None or self._off or not _has_tool():
                return None
            _wires[self._thread] = self
            for frame in outwards(innermost):
                if frame is innermost or not in_framework(frame):
                    self._codes.add(frame.f_code)
                    _monitoring.set_local_events(_TOOL, frame.f_code, _INSTRUCTION)
            return innermost

        def step(self, frame: FrameType, code: CodeType, offset: int) -> None:
            """The thread has met the wire."""
            verdict = self._judge(frame)
            if verdict is Verdict.RAISE and offset not in safe_points(code, frame is self.blocked):
                verdict = Verdict.PASS
            if verdict is not Verdict.PASS:
                self.cut()
            if verdict is Verdict.RAISE:
                raise KeyboardInterrupt

        def cut(self) -> None:
            """Ask no more. Any thread."""
            self._off = True
            if _wires.get(self._thread) is self:
                del _wires[self._thread]
            watched = set().union(*(wire._codes for wire in list(_wires.values())))
            for code in self._codes - watched:
                _monitoring.set_local_events(_TOOL, code, 0)

    def _has_tool() -> bool:
        if _monitoring.get_tool(_TOOL) is None:
            _monitoring.use_tool_id(_TOOL, "wirebook")
            _monitoring.register_callback(_TOOL, _INSTRUCTION, _step)
        return _monitoring.get_tool(_TOOL) == "wirebook"

    def _step(code: CodeType, offset: int) -> None:
        if wire := _wires.get(get_ident()):
            wire.step(sys._getframe(1), code, offset)

else:
    _set_trace: Final = ctypes.pythonapi._PyEval_SetTrace
    _set_trace.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object]
    _state: Final = ctypes.pythonapi.PyThreadState_Get
    _state.restype = ctypes.c_void_p
    # The interpreter's structure of each enlisted thread. It is there as long as the thread is.
    _states: Final[dict[int, int]] = {}

    def enlist_thread() -> None:
        """Make wires possible on the calling thread; first of all, if it is to hold the turn."""
        _states[get_ident()] = _state()

    def _find_caller() -> int | None:
        """The C function by way of which the interpreter calls what was given to ``sys.settrace``."""

        def function(frame: FrameType, event: str, argument: object) -> None:
            """Trace nothing."""

        before = sys.gettrace()
        words = (ctypes.c_void_p * _WORDS).from_address(_state())
        sys.settrace(function)
        found = [words[place - 2] for place in range(2, _WORDS) if words[place] == id(function)]
        sys.settrace(before)
        return found[0] if found else None

    # In PyThreadState stand: c_profilefunc, c_tracefunc, c_profileobj, c_traceobj; they are among its first words.
    _WORDS: Final = 24
    _caller: Final = _find_caller()

    class Tripwire:
        """Asks `judge` on `thread` at every step from `stretch` on, until it is cut or has raised KeyboardInterrupt."""

        def __init__(self, thread: int, judge: Judge) -> None:
            self._thread = thread
            self._judge = judge
            self._off = False
            # Where the thread is known to be in a call that blocks: it is interrupted when that returns.
            self.blocked: FrameType | None = None

        def stretch(self) -> FrameType | None:
            """Watch what is called now; returns the thread's innermost frame. Another thread calls it, repeatedly."""
            innermost = sys._current_frames().get(self._thread)
            state = _states.get(self._thread)
            if innermost is None or state is None or _caller is None or self._off:
                return None
            for frame in outwards(innermost):
                if frame is innermost or not in_framework(frame):
                    self._trace(frame)
            # A thread that has the turn does not end, and between these two lines no other one runs.
            if turn.owner == self._thread:
                _set_trace(state, _caller, self._step)
            return innermost

        def _trace(self, frame: FrameType) -> None:
            frame.f_trace = self._step
            frame.f_trace_opcodes = True

        def _step(self, frame: FrameType, event: str, argument: object) -> Any:
            verdict = Verdict.CUT if self._off else self._judge(frame)
            if verdict is Verdict.RAISE and (event != "opcode" or not self._safe(frame)):
                verdict = Verdict.PASS
            if verdict is Verdict.PASS:
                # What the framework calls itself has too many steps, and is none of the user's.
                if event == "call" and in_framework(frame):
                    return None
                frame.f_trace_opcodes = True
                return self._step
            self._leave(frame)
            if verdict is Verdict.RAISE:
                raise KeyboardInterrupt
            return None

        def _safe(self, frame: FrameType) -> bool:
            return frame.f_lasti in safe_points(frame.f_code, frame is self.blocked)

        def _leave(self, frame: FrameType) -> None:
            self._off = True
            sys.settrace(None)
            for each in outwards(frame):
                each.f_trace = None
                each.f_trace_opcodes = False

        def cut(self) -> None:
            """Ask no more. Any thread; what the interpreter has of the wire goes when the thread meets it."""
            self._off = True
