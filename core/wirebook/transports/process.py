"""Child processes as transports: one pipe for each descriptor, or a terminal. See `wirebook.transports._child`."""

from __future__ import annotations

import errno
import os
import termios
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from wirebook.reactor.loop import ReactorBase
from wirebook.transports._child import BaseProcess, ProcessAddress
from wirebook.transports._spawning import OPENING_TAKES_TERMINAL, Command, Text, named, start
from wirebook.turn import in_turn

__all__ = ["NO_ENVIRONMENT", "STANDARD_FDS", "PTYProcess", "Process", "ProcessAddress", "ProcessMethods"]

ChildFDs: TypeAlias = Mapping[int, "int | Literal['r', 'w']"]

STANDARD_FDS: ChildFDs = MappingProxyType({0: "w", 1: "r", 2: "r"})
NO_ENVIRONMENT: Mapping[Any, Any] = MappingProxyType({})
# The descriptor as which a terminal's output is reported.
_TERMINAL = 1


class Process(BaseProcess):
    """A process with a pipe for each of its descriptors that `childFDs` gives to us; see ``reactor.spawnProcess``."""

    def __init__(self, reactor: ReactorBase, protocol: Any, command: Command, childFDs: ChildFDs) -> None:
        super().__init__(reactor, protocol, command)
        ends: dict[int, tuple[int, int]] = {}
        inherited: dict[int, int] = {}
        with ExitStack() as ours, ExitStack() as theirs:
            for number, what in check_fds(childFDs).items():
                if isinstance(what, int):
                    inherited[number] = what
                    continue
                reading, writing = os.pipe()
                mine, inherited[number] = (reading, writing) if what == "r" else (writing, reading)
                ours.callback(os.close, mine)
                theirs.callback(os.close, inherited[number])
                os.set_blocking(mine, False)
                ends[number] = (mine, -1) if what == "r" else (-1, mine)
            pid = start(command, inherited)
            ours.pop_all()
        self._child_fds = childFDs
        self._started(pid, ends)

    @in_turn
    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to descriptor `childFD` of the process. `KeyError` when that is none we write to (any more)."""
        if childFD not in self.pipes or self._child_fds[childFD] != "w":
            state = "is closed" if self._child_fds.get(childFD) == "w" else "was not mapped to 'w' by childFDs"
            raise KeyError(f"cannot write to descriptor {childFD} of {self!r}: it {state}")
        self.pipes[childFD].write(data)

    @in_turn
    def closeChildFD(self, descriptor: int) -> None:
        """Close what leads to this descriptor of the process, after what is queued was written."""
        if descriptor in self.pipes:
            self.pipes[descriptor].loseConnection()

    def closeStdin(self) -> None:
        """Close the standard input, after what is queued was written."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Close the standard output: the process gets SIGPIPE when it writes."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Close the standard error output."""
        self.closeChildFD(2)


class PTYProcess(BaseProcess):
    """A process on a terminal of its own: all that it writes is its output, as descriptor 1.

    `terminal` is a pair of descriptors (our side, the process's), which it takes over; by default a new one.
    """

    transportName = "terminal"
    _written = _TERMINAL

    def __init__(
        self, reactor: ReactorBase, protocol: Any, command: Command, terminal: Sequence[Any] | None = None
    ) -> None:
        super().__init__(reactor, protocol, command)
        with ExitStack() as ours, ExitStack() as theirs:
            master, slave = os.openpty() if terminal is None else terminal[:2]
            if terminal is None:
                ours.callback(os.close, master)
                theirs.callback(os.close, slave)
            sink = os.dup(master)
            ours.callback(os.close, sink)
            os.set_blocking(master, False)
            inherited = {} if OPENING_TAKES_TERMINAL else dict.fromkeys((0, 1, 2), slave)
            pid = start(command, inherited, os.ttyname(slave))
            if terminal is not None:
                theirs.callback(os.close, slave)
            ours.pop_all()
        self._fd = master
        self._started(pid, {_TERMINAL: (master, sink)})

    def _tell_of_closed_pipe(self, number: int) -> None:
        """A terminal is no descriptor of the process."""
        self._fd = -1

    def fileno(self) -> int:
        """Our side of the terminal, -1 when it is closed."""
        return self._fd

    @in_turn
    def getWindowSize(self) -> tuple[int, int]:
        """The terminal's size as (rows, columns). Raises OSError when it is closed."""
        return termios.tcgetwinsize(self._open_terminal())

    @in_turn
    def setWindowSize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; the process is told (SIGWINCH). Raises OSError when it is closed."""
        termios.tcsetwinsize(self._open_terminal(), (rows, columns))

    def _open_terminal(self) -> int:
        if self._fd < 0:
            raise OSError(errno.EBADF, f"the terminal of {self!r} is closed")
        return self._fd

    def closeStdin(self) -> None:
        """Nothing: a terminal can only be closed as a whole (`loseConnection`); a program ends at ``b"\\x04"``."""

    def closeStdout(self) -> None:
        """Nothing, as `closeStdin`."""

    def closeStderr(self) -> None:
        """Nothing, as `closeStdin`."""

    def closeChildFD(self, descriptor: int) -> None:
        """NotImplementedError: there is the terminal alone."""
        raise NotImplementedError(f"{self!r} has a terminal, no pipe to descriptor {descriptor}: use loseConnection()")

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """NotImplementedError: there is the terminal alone."""
        raise NotImplementedError(f"{self!r} has a terminal, no pipe to descriptor {childFD}: use write()")


def check_fds(childFDs: ChildFDs) -> ChildFDs:
    """`childFDs` if it is such a mapping; otherwise the error says what is wrong with it."""
    if not isinstance(childFDs, Mapping):
        raise TypeError(f"childFDs is a mapping such as {{0: 'w', 1: 'r', 2: 'r'}}, not {childFDs!r}")
    for number, what in childFDs.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"a key of childFDs is a descriptor of the child, 0 or more, not {number!r}")
        if what not in ("r", "w") and (isinstance(what, bool) or not isinstance(what, int) or what < 0):
            raise ValueError(f"childFDs[{number}] is 'r', 'w' or a descriptor of this process, not {what!r}")
    return childFDs


def check_protocol(protocol: Any) -> None:
    """Raise `TypeError` unless `protocol` can be a process's; None can."""
    if isinstance(protocol, type) or not (protocol is None or hasattr(protocol, "makeConnection")):
        hint = f", for example {protocol.__name__}()" if isinstance(protocol, type) else ""
        raise TypeError(f"spawnProcess() takes an instance of a ProcessProtocol{hint}, not {protocol!r}")


def environment(env: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """All of a child's environment, where None stands for ours. `TypeError` for what is none."""
    if env is None:
        return dict(os.environ)
    if not isinstance(env, Mapping):
        raise TypeError(f"env is a mapping of names to values, or None for ours, not {env!r}")
    for name, value in env.items():
        if not isinstance(name, str | bytes) or not isinstance(value, str | bytes | os.PathLike):
            raise TypeError(f"env has the value {value!r} for {name!r}: both should be str or bytes")
    return dict(env)


def _given_terminal(usePTY: Any) -> Sequence[Any] | None:
    if not isinstance(usePTY, tuple | list):
        return None
    if len(usePTY) < 2:
        raise ValueError(f"usePTY is True or (our side, the process's side) of a terminal, not {usePTY!r}")
    return usePTY


class ProcessMethods(ReactorBase):
    """The part of the reactor that starts processes."""

    @in_turn
    def spawnProcess(  # noqa: PLR0913  # the signature is Twisted's
        self,
        processProtocol: Any,
        executable: Text,
        args: Sequence[Text] = (),
        env: Mapping[Any, Any] | None = NO_ENVIRONMENT,
        path: Text | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool | Sequence[Any] = False,
        childFDs: ChildFDs | None = None,
    ) -> Process | PTYProcess:
        """Start a program and connect `processProtocol` (a `ProcessProtocol`) to it; returns its transport.

        `executable` is its file, or a name to be looked up in the PATH. `args` are its words, its own name first;
        none means just that. `env` is all of its environment: empty unless given, and None for a copy of ours. It runs
        in the folder `path`, as user `uid` and group `gid` (which only root may choose), or else in and as ours.

        `childFDs` maps its descriptors to "w" (we write, it reads), "r" (we read) or one of our descriptors, which it
        gets; by default 0 is "w", 1 and 2 are "r". It has no others. With `usePTY` it has a terminal of its own
        instead, a new one or that of the given (our side, its side, ...), as its controlling one.

        What can be known at once is raised at once: OSError with the reason when the program cannot be run,
        `ValueError` and `TypeError` for arguments that make no sense. A program that starts differently as
        another user, or whose interpreter fails, says so on its standard error output and exits with 1.

        At the reactor's shutdown a process that still runs is ended, see ``closeHandle()``.
        """
        check_protocol(processProtocol)
        command = Command(executable, args or [os.fspath(executable)], environment(env), path, uid, gid)
        if usePTY and childFDs is not None:
            raise ValueError("childFDs cannot be used with usePTY: with a terminal there are no pipes")
        with named(command):
            if usePTY:
                return PTYProcess(self, processProtocol, command, _given_terminal(usePTY))
            return Process(self, processProtocol, command, STANDARD_FDS if childFDs is None else childFDs)
