"""The reactor as a guest: in a daemon thread of its own, beside a program with a main loop of its own.

A kernel starts it before the first cell and ends it with the process; nothing that a cell calls may end
it sooner. A program that was pasted into a cell and calls ``reactor.run()`` ... ``reactor.stop()`` gets
what it expects all the same: run() waits until somebody stops it, its shutdown triggers run, and what it has
opened is closed. Which triggers and handles are its own is known by their contexts: see `Program`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Final

from wirebook.deferred import Deferred
from wirebook.error import ReactorAlreadyRunning, ReactorNotRunning
from wirebook.failure import Failure
from wirebook.interfaces import IHandle
from wirebook.logger import report_failure
from wirebook.reactor.handles import close_handle
from wirebook.turn import LOOK_AGAIN, turn

if TYPE_CHECKING:
    from wirebook.reactor.loop import ReactorBase

THREAD_NAME = "wirebook-reactor"
# What the end of a program that runs in a cell may take.
ENDING_SECONDS: Final = 1.0


class Program:
    """A program that takes the reactor for its own; all its contexts, those of callbacks included, lead to it.

    Here the reactor runs before the program does, so a callback may call ``stop()`` before ``run()`` is reached.
    ``stopped`` remembers that until its run() returns. ``over`` is whether its main part has ended.
    """

    __slots__ = ("over", "stopped")

    def __init__(self) -> None:
        self.stopped = self.over = False


_program: ContextVar[Program | None] = ContextVar("wirebook_program", default=None)


class _Run:
    """A ``run()`` that waits to be stopped, and the programs that end with it."""

    def __init__(self, program: Program | None) -> None:
        self.program = program
        self.ending: set[Program | None] = set()
        self.stopped = threading.Event()

    def concerns(self, context: Context) -> bool:
        """Whether what has this context ends too."""
        return context.get(_program) in self.ending - {None}


class Hosting:
    """Runs one reactor in a thread. ``active`` says whether it does; ``thread`` is the thread."""

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self._runs: list[_Run] = []
        self._prepare: Callable[[], object] = _nothing
        self.thread: threading.Thread | None = None
        self.active = False

    # --- the thread ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread and return when the reactor runs; harmless when it does already."""
        turn.refuse_to_wait("reactor.runInThread()")
        started = threading.Event()
        with turn:
            if self.active:
                return
            if self._reactor.alive:
                raise ReactorAlreadyRunning("the reactor runs already in a thread of the program's own")
            self.active = True
            self._reactor.callWhenRunning(started.set)
            self.thread = _thread_for(self._main)
        self.thread.start()
        started.wait()

    def prepare_threads(self, prepare: Callable[[], object]) -> None:
        """Have `prepare` called on the thread: soon on the present one, first of all on those to come. Any thread."""
        self._prepare = prepare
        self._reactor.callFromThread(prepare)

    def replace_thread(self) -> int:
        """Go on in a new thread, for a callback is stuck in the present one; returns what `Turn.take_back` needs.

        For one who has made sure that the present thread holds the turn, and that it calls `take_back` before
        it does anything else. To that callback it is then as if it had iterated the reactor; when it has returned, its
        thread ends.
        """
        self._reactor.leave_thread()
        self.thread = _thread_for(self._take_over)
        depth = turn.take_away()
        self.thread.start()
        return depth

    def _main(self) -> None:
        self._prepare()
        self._reactor.startRunning()
        self._keep_running()

    def _take_over(self) -> None:
        self._prepare()
        self._keep_running()

    def _keep_running(self) -> None:
        while self._reactor.alive and self.thread is threading.current_thread():
            try:
                self._reactor.main_loop()
            except BaseException as error:
                # sys.exit() in a callback means a program of its own; here it would end every cell's servers. Nor may
                # anything else, such as a debugger that is left at a line of the framework.
                self._reactor.alive = self._reactor.running = self.active
                report_failure(Failure(), f"{_happened(error)}; the hosted reactor goes on", _context_of(error))
                # What comes at every turn of the loop must not keep the processor busy.
                time.sleep(LOOK_AGAIN)

    # --- programs that run in it ---------------------------------------------------------------------

    def begin_program(self) -> None:
        """What happens in this context from now on, and in contexts made from it, is a program of its own."""
        _program.set(Program())

    def end_program(self) -> None:
        """Its main part has ended: a ``stop()`` that comes from now on is not for a ``run()`` to come."""
        program = _program.get()
        if program is not None:
            program.over = True
            _program.set(None)

    def wait_for_stop(self, main: Deferred[object] | None = None) -> None:
        """What ``run()`` does where the reactor is hosted: wait for `stop`, or for `main`, then end the program."""
        run = _Run(_program.get())
        try:
            with turn:
                self._runs.append(run)
                if run.program is not None and run.program.stopped:
                    self._stop([run])
            if main is not None:
                main.addBoth(lambda _: self._stop_if_waiting(run))
            while not run.stopped.wait(LOOK_AGAIN):
                """An interrupt is raised between two calls."""
        finally:
            self._end_run(run)

    def stop(self) -> None:
        """What ``stop()`` does where the reactor is hosted: end every ``run()`` that waits, or the one to come.

        That is only for callbacks of a program whose main part has not come to its ``run()`` yet; elsewhere they could
        not have been called before it. Otherwise raises `ReactorNotRunning` when none waits.
        """
        in_callback = turn.held()
        with turn:
            program = _program.get()
            if self._runs:
                self._stop(list(self._runs), program)
            elif in_callback and program is not None and not (program.over or program.stopped):
                program.stopped = True
            else:
                raise ReactorNotRunning(
                    "no run() is waiting: this reactor belongs to its host and is not stopped from here. "
                    "Close ports and connections instead (stopListening, loseConnection)"
                )

    def _stop_if_waiting(self, run: _Run) -> None:
        with turn:
            if run in self._runs:
                self._stop([run])

    def _stop(self, runs: list[_Run], caller: Program | None = None) -> None:
        """Fire the shutdown event of these runs' programs, and the caller's, and then let them return."""
        programs = {run.program for run in runs}
        for run in runs:
            self._runs.remove(run)
            run.ending = programs | {caller}
            if run.program is not None:
                run.program.stopped = True
        # A program that was not told from others has all triggers.
        wanted: Callable[[Context], bool] = runs[0].concerns if None not in programs else lambda context: True

        def release(_: object) -> None:
            for run in runs:
                run.stopped.set()

        self._reactor.fire_shutdown(wanted).addBoth(release)

    def _end_run(self, run: _Run) -> None:
        """Close what the programs of `run` have opened; it was stopped, or interrupted, which stops it too."""
        deadline = time.monotonic() + ENDING_SECONDS
        if not turn.comes_within(ENDING_SECONDS):
            return  # A callback keeps the turn.
        with turn:
            if run in self._runs:
                if run.program is None:
                    self._runs.remove(run)
                else:
                    self._stop([run])
        if run.ending:
            run.stopped.wait(ENDING_SECONDS)
            self._close_all(deadline, run.concerns)
        if run.program is not None:
            run.program.stopped = False

    # --- the end -------------------------------------------------------------------------------------

    def end(self, timeout: float) -> None:
        """Close everything, within `timeout` seconds, and end the thread.

        A callback that does not give the turn back keeps its daemon thread; nothing waits for it.
        """
        turn.refuse_to_wait("reactor.shutDown()")
        thread = self.thread
        if not self.active or thread is None:
            return
        deadline = time.monotonic() + timeout
        triggers_done = threading.Event()
        self._reactor.callFromThread(self._fire_shutdown, triggers_done)
        triggers_done.wait(timeout / 2)
        self._close_all(deadline)
        # While the loop still runs, for jobs may wait for it.
        self._reactor.end_threads(max(0.1, deadline - time.monotonic() - 0.2))
        self.active = False
        for run in self._runs:
            run.stopped.set()
        # As a call, for outside the turn a bare flag could be set just before the poller begins to wait.
        self._reactor.callFromThread(self._reactor.crash)
        thread.join(max(0.1, deadline - time.monotonic()))
        self.thread = None

    def _fire_shutdown(self, done: threading.Event) -> None:
        def set_done(_: object) -> None:
            done.set()

        self._reactor.fireSystemEvent("shutdown").addBoth(set_done)

    def _close_all(self, deadline: float, wanted: Callable[[Context], bool] = lambda context: True) -> None:
        """Close in order what is open, if its context is `wanted`; what does not close in time is aborted."""
        for abort in (False, True):
            if not turn.comes_within(max(0.1, deadline - time.monotonic() - 0.2)):
                return  # A callback keeps the turn.
            handles = self._reactor.handles.of("timer", "port", "connection", "process")
            left = [handle for handle in handles if wanted(handle.context)]
            self._closing(left, abort).wait(max(0.1, deadline - time.monotonic() - 0.2))

    def _closing(self, handles: list[IHandle], abort: bool) -> threading.Event:
        """Ask every handle to close; the event is set when all have."""
        closed = threading.Event()
        left = len(handles)

        def one_less(_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                closed.set()

        with turn:
            for handle in handles:
                close_handle(handle, abort).addBoth(one_less)
        if not handles:
            closed.set()
        return closed


def _nothing() -> None:
    """What there is to prepare, as a rule."""


def _happened(error: BaseException) -> str:
    """What it means that `error` came out of the reactor's loop."""
    if isinstance(error, SystemExit):
        return "a callback called sys.exit()"
    if isinstance(error, KeyboardInterrupt):
        return "a callback was interrupted"
    return "the reactor's loop raised"


def _context_of(error: BaseException) -> Context | None:
    """The context of the callback that raised: that of the innermost frame that knows one."""
    found, trace = None, error.__traceback__
    while trace is not None:
        names = trace.tb_frame.f_locals
        context = names.get("context", getattr(names.get("self"), "context", None))
        found = context if isinstance(context, Context) else found
        trace = trace.tb_next
    return found


def _thread_for(main: Callable[[], None]) -> threading.Thread:
    """A daemon thread that debuggers leave alone: a breakpoint in a cell must not stop the servers."""
    thread = threading.Thread(target=main, name=THREAD_NAME, daemon=True)
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    return thread
