"""Starting a program without forking: posix_spawn.

A process with threads, as a kernel is, must not fork and go on in Python: whatever lock another thread holds at
that moment stays locked for ever in the child. posix_spawn and ``subprocess`` both avoid that. posix_spawn it is, for
it also puts any descriptor at any number, makes a session of its own and sets every signal to its default; a kernel
ignores SIGINT between cells, and a child that inherits this cannot be interrupted. Errors come back at once
from either. What posix_spawn lacks (another folder, user or group) `_become` does in the new process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from wirebook.error import describe

Text: TypeAlias = "str | bytes"

# On Linux a session's leader that opens a terminal gets it as the controlling one; the BSDs want to be asked for it.
OPENING_TAKES_TERMINAL = sys.platform == "linux"
_DEFAULTED = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
_LABEL = 120
_HELPER = os.path.join(os.path.dirname(__file__), "_become.py")
_DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


@dataclass(frozen=True)
class Command:
    """What is to be run: ``args`` begin with the program's own name, ``env`` is all of its environment."""

    executable: Text
    args: Sequence[Text]
    env: dict[Any, Any]
    path: Text | None = None
    uid: int | None = None
    gid: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.executable, str | bytes | os.PathLike) or not self.executable:
            raise TypeError(f"the executable is a path (str, bytes or PathLike), not {self.executable!r}")
        listed = isinstance(self.args, Sequence) and not isinstance(self.args, str | bytes)
        if not listed or not all(isinstance(word, str | bytes) for word in self.args):
            raise TypeError(f"args are a list of words (str or bytes), the program's name first, not {self.args!r}")
        for name, number in (("uid", self.uid), ("gid", self.gid)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
                raise ValueError(f"{name} is a number of the system, 0 or more, or None for ours, not {number!r}")

    @property
    def label(self) -> str:
        """The command as one would type it, at most `_LABEL` characters of it."""
        import shlex

        text = shlex.join(os.fsdecode(word) for word in self.args)
        return text if len(text) <= _LABEL else f"{text[: _LABEL - 3]}..."


@contextmanager
def named(command: Command) -> Iterator[None]:
    """An OSError in the block says that `command` cannot be run, and why."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot run {os.fsdecode(command.executable)!r}: {describe(error)}") from None


def start(command: Command, descriptors: Mapping[int, int], terminal: str | None = None) -> int:
    """Run `command` with `descriptors` (its number: ours) and no others; the process identifier.

    `terminal` is the path of one that the program gets as its controlling terminal and as descriptors 0 to 2; where
    opening does not do that, `descriptors` must have it there. Raises OSError when the program cannot be run.
    """
    program = _find(command)
    preparations = [*_place(command), *_identity(command)]
    opens = terminal is not None and OPENING_TAKES_TERMINAL
    if terminal is not None and not opens:
        preparations.append("terminal")
    argv: list[Text] = list(command.args)
    if preparations:
        program, argv = _helped(command, program, preparations)
    with _out_of_the_way(descriptors) as moved:
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, moved[fd], fd) for fd in descriptors]
        if opens:
            actions += [(os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
        kept = {0, 1, 2, *descriptors} if opens else descriptors.keys()
        actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd not in kept]
        how: dict[str, Any] = {"file_actions": actions, "setsigmask": (), "setsigdef": _DEFAULTED}
        if opens:
            how["setsid"] = True
        return os.posix_spawn(program, argv, command.env, **how)


@contextmanager
def _out_of_the_way(descriptors: Mapping[int, int]) -> Iterator[dict[int, int]]:
    """Duplicates of ours above all of the child's numbers: put into place one by one, none overwrites another."""
    lowest = max(descriptors, default=-1) + 1
    moved: dict[int, int] = {}
    try:
        for theirs, ours in descriptors.items():
            moved[theirs] = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, lowest)
        yield moved
    finally:
        for descriptor in moved.values():
            os.close(descriptor)


def _inheritable() -> list[int]:
    """This process's descriptors that a child would get unasked."""
    found = []
    for name in os.listdir(_DESCRIPTORS):
        try:
            if os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            # Closed by another thread, or the one that listed.
            continue
    return found


def _find(command: Command) -> Text:
    """The program's file: as it is with a slash in it, else searched for in its PATH, or in ours if it has none."""
    executable = os.fsdecode(command.executable)
    if "/" in executable:
        place = os.path.join(os.fsdecode(command.path or ""), executable)
        if not os.path.exists(place):
            raise OSError(errno.ENOENT, f"there is no file {place}")
        if command.uid is None and (os.path.isdir(place) or not os.access(place, os.X_OK)):
            raise OSError(errno.EACCES, f"{place} is not executable")
        return command.executable
    path = command.env.get("PATH") or command.env.get(b"PATH") or os.environ.get("PATH", os.defpath)
    import shutil

    found = shutil.which(executable, path=os.fsdecode(path))
    if found is None:
        raise OSError(errno.ENOENT, f"there is no such program in {os.fsdecode(path)}")
    return found


def _place(command: Command) -> list[str]:
    if command.path is None:
        return []
    folder = os.fsdecode(command.path)
    if not os.path.isdir(folder):
        raise OSError(errno.ENOENT, f"there is no folder {folder} to run it in")
    return [] if os.path.abspath(folder) == os.getcwd() else [f"path={folder}"]


def _identity(command: Command) -> list[str]:
    if command.uid is None and command.gid is None:
        return []
    uid = os.geteuid() if command.uid is None else command.uid
    gid = os.getegid() if command.gid is None else command.gid
    if 0 not in (os.getuid(), os.geteuid()):
        if (uid, gid) == (os.geteuid(), os.getegid()):
            return []
        raise OSError(errno.EPERM, f"only root may run it as user {uid} and group {gid}")
    groups = ",".join(map(str, _groups(uid, gid)))
    return [f"groups={groups}", f"gid={gid}", f"uid={uid}"]


def _groups(uid: int, gid: int) -> list[int]:
    """The groups that this user is in, together with `gid`."""
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return [gid]
    return os.getgrouplist(name, gid)


def _helped(command: Command, program: Text, preparations: list[str]) -> tuple[str, list[Text]]:
    """What to run so that it prepares and then becomes the program."""
    if not sys.executable:
        raise OSError(errno.ENOSYS, "without a Python interpreter, path, uid and gid cannot be set")
    # An interpreter in the C locale gives itself another one, in its environment (PEP 538).
    locale = command.env.get("LC_CTYPE", command.env.get(b"LC_CTYPE"))
    given = "no-locale" if locale is None else f"locale={os.fsdecode(locale)}"
    words = [sys.executable, "-I", "-S", _HELPER, *preparations, given, "--", program, *command.args]
    return sys.executable, words
