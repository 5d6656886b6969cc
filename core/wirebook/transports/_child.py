"""What all child processes share as transports: their pipes, their ends, signals, and how they look as handles.

What a process goes through: it is started, its protocol gets ``makeConnection``, then data; ``processExited`` when the
process itself has ended, whoever may still hold its pipes; ``processEnded`` when all of them are closed too, so
that all output has been delivered.

Every pipe is a stream of its own (`PipeTransport`), so queues, producers and limits are those of every stream. But in
the list of what is open there is the process alone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, ClassVar

from wirebook.deferred import Deferred, succeed
from wirebook.error import ConnectionDone, ProcessDone, ProcessExitedAlready, ProcessTerminated
from wirebook.failure import Failure
from wirebook.interfaces import Direction, IWiretap
from wirebook.logger import report_failure
from wirebook.protocol import ProcessProtocol
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.timers import DelayedCall, check_delay
from wirebook.transports._reaping import ExitWatch, collect
from wirebook.transports._spawning import Command
from wirebook.transports._writing import Writing
from wirebook.transports.pipes import DescriptorChannel, PipeAddress, PipeTransport
from wirebook.turn import in_turn


@dataclass(frozen=True, slots=True)
class ProcessAddress:
    """A process, by the identifier it has or had."""

    pid: int

    def __str__(self) -> str:
        return f"pid {self.pid}"


class _ChildPipe(PipeTransport):
    """What leads to a child, or comes from it: a part of the process's handle."""

    __slots__ = ("_process",)

    def __init__(self, process: BaseProcess, number: int, source: int, sink: int) -> None:
        self._process = process
        here, there = PipeAddress(f"descriptor {number} of {process.label}"), process.peerAddress
        super().__init__(process.reactor, DescriptorChannel(source, sink), here, there, process.context)

    def _register(self) -> None:
        """The process is registered."""

    def _unregister(self) -> None:
        """The process is registered."""

    @property
    def label(self) -> str:
        """The name of the process's protocol class."""
        return type(self._process.proto).__name__

    def abandon(self) -> None:
        """Close what was never begun."""
        self._end(None)

    def finish(self) -> None:
        """Read what is there, and end, whoever may still have the other end open."""
        if not self.disconnected:
            self._reason = Failure(ConnectionDone())
            self.reactor.call_soon(Writing._read_the_rest, self)


class _Relay:
    """The protocol of a child's pipe: passes on to the process's."""

    def __init__(self, process: BaseProcess, number: int) -> None:
        self._process = process
        self._number = number

    def makeConnection(self, transport: Any) -> None:
        """The process's protocol is told of the process as a whole."""

    def dataReceived(self, data: bytes) -> None:
        """The child has written."""
        self._process.proto.childDataReceived(self._number, data)

    def connectionLost(self, reason: Failure) -> None:
        """The child has closed its end, or we ours."""
        self._process.pipe_ended(self._number)


class _DataTap:
    """Lets a process's tap see the bytes of a pipe, not the pipe's own coming and going."""

    def __init__(self, tap: IWiretap) -> None:
        self._tap = tap

    def data(self, direction: Direction, data: bytes) -> None:
        """These bytes passed."""
        self._tap.data(direction, data)

    def event(self, name: str) -> None:
        """The process has its own events, but a backlog is its pipe's."""
        if name == "backlog":
            self._tap.event(name)


class BaseProcess:
    """What processes with pipes and those with a terminal share.

    Attributes: ``pid``, None from ``processExited`` on; ``status``, as ``os.wait`` gives it, -1 until then; ``proto``,
    the protocol; ``killAfter``, how many seconds `closeHandle` gives the process to obey SIGTERM before SIGKILL. As
    a handle its state is "running" or "exited". Any thread may call any method.
    """

    kind = "process"
    transportName = "process"
    localAddress = None
    killAfter = 2.0
    # The pipe that `write` writes to.
    _written: ClassVar[int] = 0

    def __init__(self, reactor: ReactorBase, protocol: Any, command: Command) -> None:
        self.reactor = reactor
        self.proto: Any = ProcessProtocol() if protocol is None else protocol
        self.command = command
        self.context = copy_context()
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.pid: int | None = None
        self.status = -1
        self.peerAddress: ProcessAddress | None = None
        self.pipes: dict[int, _ChildPipe] = {}
        self.disconnecting = False
        self._reason: ProcessDone | ProcessTerminated | None = None
        self._ended = False
        self._tap: IWiretap | None = None
        self._received = self._sent = 0
        self._closing = False
        self._kill_timer: DelayedCall | None = None
        self._close_waiters: list[Deferred[None]] = []
        self._trigger: Any = None

    def _started(self, pid: int, ends: Mapping[int, tuple[int, int]]) -> None:
        """The process runs: watch it, and what leads to it (its number: source and sink)."""
        self.pid = pid
        self.peerAddress = ProcessAddress(pid)
        self.pipes = {number: _ChildPipe(self, number, *pair) for number, pair in ends.items()}
        ExitWatch(self.reactor, self, pid, self._exited)
        self.reactor.handles.opened(self)
        self._trigger = self.reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        try:
            for number, pipe in list(self.pipes.items()):
                pipe.begin(_Relay(self, number))
        except BaseException:
            # The poller cannot take it: nobody is to hear of a process that spawnProcess() did not return.
            self.proto = ProcessProtocol()
            for number in [number for number, pipe in self.pipes.items() if not pipe.connected]:
                self.pipes.pop(number).abandon()
            self.closeHandle(abort=True)
            raise
        self._tell("makeConnection", self)

    def _tell(self, method: str, *args: Any) -> None:
        try:
            self.context.copy().run(getattr(self.proto, method), *args)
        except SystemExit:
            raise
        except BaseException:
            name = type(self.proto).__name__
            report_failure(Failure(), f"{name}.{method}() of {self!r} raised", self.context)

    # --- how it ends ---------------------------------------------------------------------------------

    def _exited(self) -> None:
        pid, self.pid = self.pid, None
        status = None if pid is None else collect(pid)
        self.status = -1 if status is None else status
        self._reason = exit_reason(status)
        self._stop_timer()
        self._tell("processExited", Failure(self._reason))
        if self._closing:
            self._finish_pipes()
        self._look_for_the_end()

    def pipe_ended(self, number: int) -> None:
        """A pipe is closed; called by its relay."""
        pipe = self.pipes.pop(number)
        self._received += pipe.bytesReceived
        self._sent += pipe.bytesSent
        self._tell_of_closed_pipe(number)
        self._look_for_the_end()

    def _tell_of_closed_pipe(self, number: int) -> None:
        self._tell("childConnectionLost", number)

    def _look_for_the_end(self) -> None:
        if self._ended or self._reason is None or self.pipes:
            return
        self._ended = True
        self.reactor.handles.closed(self)
        with suppress(ValueError):
            # Unless it is the shutdown that has ended it.
            self.reactor.removeSystemEventTrigger(self._trigger)
        if self._tap is not None:
            self._tap.event("closed")
        self._tell("processEnded", Failure(self._reason))
        waiters, self._close_waiters = self._close_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    @in_turn
    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal: "KILL", "TERM", "INT", any other name with or without SIG, or a number.

        Raises `ProcessExitedAlready`, and `ValueError` for a name that is none.
        """
        number = signal_number(signalID)
        if self.pid is None:
            raise ProcessExitedAlready(f"{self!r} cannot get signal {signalID}: it has exited")
        try:
            os.kill(self.pid, number)
        except ProcessLookupError as error:
            raise ProcessExitedAlready(f"{self!r} cannot get signal {signalID}: it has exited") from error

    @in_turn
    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """End the process: SIGTERM, then SIGKILL after ``killAfter`` seconds; with `abort` SIGKILL at once.

        Fires after ``processEnded``. Other processes that hold its pipes are not waited for.
        """
        if self._ended:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._close_waiters.append(closed)
        if abort:
            self._kill()
            for pipe in list(self.pipes.values()):
                pipe.abortConnection()
        elif not self._closing:
            self._terminate()
        return closed

    def _terminate(self) -> None:
        self._closing = True
        if self.pid is None:
            self._finish_pipes()
            return
        self._kill_timer = self.reactor.callLater(check_delay(self.killAfter), self._kill)
        # A stopped process takes notice of SIGTERM when it goes on.
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._send(number)

    def _kill(self) -> None:
        self._closing = True
        self._stop_timer()
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        # ProcessExitedAlready: the news is under way. OSError: it runs as another user, whom we may not end.
        with suppress(ProcessExitedAlready, OSError):
            self.signalProcess(number)

    def _stop_timer(self) -> None:
        timer, self._kill_timer = self._kill_timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _finish_pipes(self) -> None:
        for pipe in list(self.pipes.values()):
            pipe.finish()

    def _shut_down(self) -> Deferred[None] | None:
        # Where the reactor is hosted, the event may be that of a program in a cell; the host closes what is open.
        return None if self.reactor.hosting.active else self.closeHandle()

    # --- as a transport ------------------------------------------------------------------------------

    @in_turn
    def write(self, data: bytes) -> None:
        """Write to the process's standard input; dropped when that is closed."""
        pipe = self.pipes.get(self._written)
        if pipe is not None:
            pipe.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write several pieces as one."""
        self.write(b"".join(data))

    @in_turn
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` fill the standard input; it is stopped at once when that is closed."""
        pipe = self.pipes.get(self._written)
        if pipe is None:
            producer.stopProducing()
        else:
            pipe.registerProducer(producer, streaming)

    @in_turn
    def unregisterProducer(self) -> None:
        """The producer has finished."""
        pipe = self.pipes.get(self._written)
        if pipe is not None:
            pipe.unregisterProducer()

    @in_turn
    def pauseProducing(self) -> None:
        """Stop reading what the process writes; it will have to wait."""
        for pipe in self.pipes.values():
            pipe.pauseProducing()

    @in_turn
    def resumeProducing(self) -> None:
        """Go on reading."""
        for pipe in self.pipes.values():
            pipe.resumeProducing()

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()

    @in_turn
    def loseConnection(self) -> None:
        """Close what leads to the process after what is queued was written; the process itself is not ended."""
        self.disconnecting = True
        for number in (0, 1, 2):
            if number in self.pipes:
                self.pipes[number].loseConnection()

    def getHost(self) -> Any:
        """NotImplementedError: a process is no place on a network."""
        raise NotImplementedError(f"{self!r} has no address of this end")

    def getPeer(self) -> Any:
        """NotImplementedError, as `getHost`; ``pid`` tells which process it is."""
        raise NotImplementedError(f"{self!r} has no address of the other end; see its pid")

    # --- as a handle ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "running" or "exited"."""
        return "running" if self._reason is None else "exited"

    @property
    def label(self) -> str:
        """The command."""
        return self.command.label

    @property
    def bytesReceived(self) -> int:
        """How many bytes the process has written to us."""
        return self._received + sum(pipe.bytesReceived for pipe in self.pipes.values())

    @property
    def bytesSent(self) -> int:
        """How many bytes were written to the process."""
        return self._sent + sum(pipe.bytesSent for pipe in self.pipes.values())

    @property
    def tap(self) -> IWiretap | None:
        """Sees the bytes of all pipes; can be set."""
        return self._tap

    @tap.setter
    def tap(self, tap: IWiretap | None) -> None:
        self._tap = tap
        for pipe in self.pipes.values():
            pipe.tap = None if tap is None else _DataTap(tap)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label} pid={self.pid} status={self.status}>"


def signal_number(signalID: str | int) -> int:
    """The number of a signal, from its name with or without SIG, or from itself."""
    if isinstance(signalID, int):
        return signalID
    if not isinstance(signalID, str):
        raise TypeError(f'a signal is a name such as "TERM" or a number, not {signalID!r}')
    name = signalID if signalID.startswith("SIG") else f"SIG{signalID}"
    try:
        return signal.Signals[name]
    except KeyError:
        raise ValueError(f'{signalID!r} is no signal of this system: use "TERM", "KILL", "INT", ...') from None


def exit_reason(status: int | None) -> ProcessDone | ProcessTerminated:
    """What the `status` of a process means, as ``os.wait`` gives it; None when it is not known."""
    if status is None:
        return ProcessTerminated()
    if os.WIFSIGNALED(status):
        return ProcessTerminated(None, os.WTERMSIG(status), status)
    code = os.WEXITSTATUS(status)
    return ProcessTerminated(code, None, status) if code else ProcessDone(status)
