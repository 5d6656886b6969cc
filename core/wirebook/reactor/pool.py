"""A pool of threads for work that blocks.

Who does what is decided under one lock, at two moments only: when a job comes in and when a worker has done one.
An incoming job claims an idle worker, or a new one while there are fewer than ``max``, or it joins the
backlog; a worker that has finished takes from the backlog, or leaves when one is to leave, or becomes idle.
So the counts are exact at every moment: no job waits behind another while a worker is free, and every item in
the queue has a worker that will fetch it.

The threads are daemons: a job that never ends holds up `ThreadPool.stop`, but not the interpreter's end. That is
also why the standard library's executor is not used: at the end it waits for its jobs whatever they do.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context, copy_context
from itertools import count
from queue import SimpleQueue
from time import monotonic
from typing import Any, ClassVar, ParamSpec, TypeAlias, TypeVar

from wirebook.failure import Failure, caught
from wirebook.logger import log, report_failure
from wirebook.trace import name_and_place
from wirebook.turn import in_turn, turn

P = ParamSpec("P")
R = TypeVar("R")
OnResult: TypeAlias = Callable[[bool, Any], object]


class PoolStoppedError(RuntimeError):
    """A job was given to a thread pool that has been stopped."""


class Job:
    """One call to make in a worker, in a copy of the context it was asked for in."""

    __slots__ = ("args", "context", "func", "kw", "on_result")

    def __init__(
        self, on_result: OnResult | None, func: Callable[..., Any], args: tuple[Any, ...], kw: dict[str, Any]
    ) -> None:
        self.on_result = on_result
        self.func, self.args, self.kw = func, args, kw
        self.context: Context = copy_context()

    def run(self) -> None:
        """Make the call and hand over its result."""
        try:
            result = self.context.run(self.func, *self.args, **self.kw)
            succeeded = True
        except BaseException as error:
            result, succeeded = caught(error), False
        self.deliver(succeeded, result)

    def deliver(self, succeeded: bool, result: Any) -> None:
        """Tell who wants to know; an error that nobody wants is reported."""
        what, on_result = self.func, self.on_result
        # What the job referred to must not live on while its result is being handed over, nor after that.
        del self.func, self.args, self.kw, self.on_result
        if on_result is None:
            if not succeeded:
                report_failure(result, f"a call in a thread raised: {name_and_place(what)[0]}", self.context)
            return
        del what
        try:
            self.context.run(on_result, succeeded, result)
        except BaseException as error:
            report_failure(caught(error), f"the receiver of a result from a thread raised: {on_result!r}", self.context)


class ThreadPool:
    """Runs calls in threads: at least `minthreads`, as soon as it is started, at most `maxthreads`, when needed.

    Calls that come in before `start` are made then. Any thread may call any method.

    Attributes: ``min`` and ``max``, as `adjustPoolsize` sets them; ``name``; ``started`` whether it takes jobs to its
    threads now; ``joined`` whether it has been stopped; ``threads`` those that live. Threads are called
    "wirebook-pool-N", or "wirebook-pool-NAME-N".

    Raises `ValueError` when `minthreads` is negative or more than `maxthreads`.
    """

    threadFactory: ClassVar[Callable[..., threading.Thread]] = threading.Thread

    def __init__(self, minthreads: int = 5, maxthreads: int = 20, name: str | None = None) -> None:
        self.min, self.max = _checked_size(minthreads, maxthreads)
        self.name = name
        self.started = False
        self.joined = False
        self.threads: list[threading.Thread] = []
        self._lock = allocate_lock()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = self._busy = self._backlog = self._leaving = 0
        self._numbers = count(1)

    def __reduce__(self) -> tuple[type[ThreadPool], tuple[int, int, str | None]]:
        return type(self), (self.min, self.max, self.name)

    # --- how it stands -------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many threads there are, without those that are told to leave."""
        return self._idle + self._busy

    @property
    def waiters(self) -> list[None]:
        """A list as long as there are idle threads."""
        return [None] * self._idle

    @property
    def working(self) -> list[None]:
        """A list as long as there are busy threads."""
        return [None] * self._busy

    @property
    def q(self) -> SimpleQueue[Job | None]:
        """The jobs that no thread has fetched yet; ``q.qsize()`` is how many."""
        return self._queue

    def dumpStats(self) -> None:
        """Log how many threads are idle and busy, and which there are."""
        log.info("waiters: %d", self._idle)
        log.info("workers: %d", self._busy)
        log.info("total: %s", self.threads)

    # --- its size ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start threads: ``min`` of them, and more if more calls have come in already."""
        with self._lock:
            self.started, self.joined = True, False
            self._leaving = 0
            self._fit()

    def stop(self) -> None:
        """Take no more calls, make those that have come in, and return when all threads have ended.

        Called while holding the turn, it lets go of the turn meanwhile, because the calls may need it. A pool that was
        never started forgets what has come in. It may be started again.
        """
        self.close()
        self.join()

    def close(self) -> None:
        """As `stop`, but do not wait."""
        with self._lock:
            self.started, self.joined = False, True
            self._dismiss(self._idle + self._busy)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the threads of a closed pool have ended, `timeout` seconds at most; return whether they have."""
        deadline = None if timeout is None else monotonic() + timeout
        with _turn_lent():
            # A job may stop its own pool.
            for thread in [*self.threads]:
                if thread is not threading.current_thread():
                    thread.join(None if deadline is None else max(0.0, deadline - monotonic()))
        return not self.threads

    def adjustPoolsize(self, minthreads: int | None = None, maxthreads: int | None = None) -> None:
        """Set ``min`` and ``max`` (None: as it was), and start or end threads if the pool is started.

        Raises `ValueError` as the class does. A busy thread that is too many ends after its job.
        """
        with self._lock:
            self.min, self.max = _checked_size(
                self.min if minthreads is None else minthreads, self.max if maxthreads is None else maxthreads
            )
            if self.started:
                self._dismiss(self.workers - self._leaving - self.max)
                self._fit()

    def startAWorker(self) -> None:
        """Start one more thread, unless there are ``max`` already."""
        with self._lock:
            if self.started and self.workers < self.max:
                self._engage()

    def stopAWorker(self) -> None:
        """End one thread as soon as it is idle."""
        with self._lock:
            self._dismiss(1)

    # --- its work ------------------------------------------------------------------------------------

    def callInThread(self, func: Callable[P, object], *args: P.args, **kw: P.kwargs) -> None:
        """Call in one of the threads, in a copy of the caller's context. An error is reported to the log."""
        self._take(Job(None, func, args, kw))

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[P, R], *args: P.args, **kw: P.kwargs
    ) -> None:
        """Call in one of the threads, then there ``onResult(True, result)`` or ``onResult(False, failure)``.

        `onResult` should be quick; its own errors are reported to the log. A pool that was stopped does not make the
        call: `onResult` gets a `PoolStoppedError` at once. None for `onResult`: as `callInThread`.
        """
        self._take(Job(onResult, func, args, kw))

    def _take(self, job: Job) -> None:
        if not callable(job.func):
            raise TypeError(f"a thread needs something to call, not {job.func!r}")
        with self._lock:
            refused = self.joined
            if not refused:
                if not self._idle and self.started and self.workers < self.max:
                    self._engage()
                if self._idle:
                    self._idle -= 1
                    self._busy += 1
                else:
                    self._backlog += 1
                self._queue.put(job)
        if refused:
            job.deliver(False, Failure(PoolStoppedError(f"{self!r} was stopped: start() it again, or use another")))

    def _work(self) -> None:
        """What a worker does all its life."""
        _worker.pool = self
        while (job := self._queue.get()) is not None:
            job.run()
            # While it waits for the next job it must not keep the last one.
            del job
            with self._lock:
                if not self._goes_on():
                    break
        with self._lock:
            self.threads.remove(threading.current_thread())

    @contextmanager
    def _not_waiting_for_this_one(self) -> Iterator[None]:
        me = threading.current_thread()
        with self._lock:
            # Together with this, for join() takes its list of threads after that was set.
            if self.joined:
                raise PoolStoppedError(f"{self!r} was stopped before the call was made")
            self.threads.remove(me)
        try:
            yield
        finally:
            with self._lock:
                self.threads.append(me)

    # The rest is done with the lock held.

    def _goes_on(self) -> bool:
        """Settle what a worker does that has nothing to do now; False when it leaves."""
        if self._backlog:
            self._backlog -= 1
            return True
        self._busy -= 1
        if self._leaving:
            self._leaving -= 1
            return False
        self._idle += 1
        return True

    def _engage(self) -> None:
        """Have one worker more. `RuntimeError` when the system has no thread for the first one."""
        if self._leaving:
            self._leaving -= 1
            return
        thread = self.threadFactory(target=self._work, name=self._thread_name(), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self.workers:
                raise
            return
        self.threads.append(thread)
        self._busy += 1
        self._goes_on()

    def _dismiss(self, number: int) -> None:
        """Have so many workers less, at once if they are idle, the others when they have nothing to do."""
        for _ in range(number):
            if self._idle:
                self._idle -= 1
                self._queue.put(None)
            elif self._leaving < self._busy:
                self._leaving += 1

    def _fit(self) -> None:
        """Have as many workers as ``min`` and the backlog ask for, and ``max`` allows."""
        wanted = max(self.min - self.workers, self._backlog)
        for _ in range(min(wanted, self.max - self.workers)):
            self._engage()

    def _thread_name(self) -> str:
        return "-".join(["wirebook-pool", *([self.name] if self.name else []), str(next(self._numbers))])

    def __repr__(self) -> str:
        state = "started" if self.started else "stopped" if self.joined else "not started"
        words = ["ThreadPool", *([self.name] if self.name else []), state]
        return f"<{' '.join(words)}, {self.workers} of {self.min} to {self.max} threads>"


def _checked_size(minthreads: int, maxthreads: int) -> tuple[int, int]:
    if not 0 <= minthreads <= maxthreads:
        raise ValueError(
            f"a pool has from minthreads={minthreads!r} to maxthreads={maxthreads!r} threads: "
            "the first must be 0 or more, the second not less than that"
        )
    return minthreads, maxthreads


_worker = threading.local()


@contextmanager
def not_waited_for() -> Iterator[None]:
    """Within the block, nobody who stops the pool waits for the calling worker: for calls that may hang.

    Raises `PoolStoppedError` when the pool was stopped before. In a thread that is no pool's it does nothing.
    """
    pool: ThreadPool | None = getattr(_worker, "pool", None)
    with nullcontext() if pool is None else pool._not_waiting_for_this_one():
        yield


class PoolOwner:
    """What a reactor does with threads: it has one pool of its own, made when it is first needed."""

    def __init__(self) -> None:
        self.threadpool: ThreadPool | None = None

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call it when the reactor runs; the reactor overrides it."""
        raise NotImplementedError

    @in_turn
    def getThreadPool(self) -> ThreadPool:
        """The pool that `callInThread` uses: 10 threads at most. It starts and stops with the reactor."""
        if self.threadpool is None:
            self.threadpool = ThreadPool(0, 10)
            self.callWhenRunning(self._start_threads)
        return self.threadpool

    def _start_threads(self) -> None:
        # The pool may have been ended before the reactor ran.
        if self.threadpool is not None:
            self.threadpool.start()

    def suggestThreadPoolSize(self, size: int) -> None:
        """Let the reactor's pool have `size` threads at most. `ValueError` when that is less than its minimum."""
        self.getThreadPool().adjustPoolsize(maxthreads=size)

    def callInThread(self, callable: Callable[P, object], /, *args: P.args, **kw: P.kwargs) -> None:
        """Call it in a thread, in a copy of this context, as soon as the reactor runs; an error is logged."""
        self.getThreadPool().callInThread(callable, *args, **kw)

    def end_threads(self, timeout: float | None = None) -> None:
        """Stop the reactor's pool and wait, `timeout` seconds at most, until its threads have ended."""
        pool = self.threadpool
        if pool is not None:
            pool.close()
            pool.join(timeout)
            self.threadpool = None


@contextmanager
def _turn_lent() -> Iterator[None]:
    """Let others have the turn for as long as the block lasts, if this thread holds it."""
    depth = 0
    try:
        while turn.held():
            depth += 1
            turn.release()
        yield
    finally:
        for _ in range(depth):
            turn.acquire()
