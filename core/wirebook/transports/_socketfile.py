"""The names of UNIX-domain sockets (unix(7)): a file that has to be made, guarded and removed, or an abstract name."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any, TypeAlias

from wirebook.error import BadFileError, connect_error

Path: TypeAlias = "str | bytes | os.PathLike[str]"


def is_abstract(name: bytes) -> bool:
    """Whether the name is one without a file (Linux)."""
    return name.startswith(b"\0")


def check_name(address: Any, locked: bool = False) -> bytes:
    """`address` as bytes; the error says what is wrong with it."""
    try:
        name = os.fsencode(address)
    except TypeError:
        raise TypeError(f"a UNIX socket's address is a path (str, bytes or PathLike), not {address!r}") from None
    if not name or (b"\0" in name[1:] and not is_abstract(name)):
        raise ValueError(f"{address!r} cannot be a UNIX socket's path: it is empty, or has a zero byte in it")
    if locked and is_abstract(name):
        raise ValueError(f"the abstract name {address!r} has no file, so it can have no lock file beside it")
    return name


def unix_connect_error(error: OSError, target: str) -> Exception:
    """What a failed attempt to connect to `target` is reported as."""
    if error.errno == errno.ENOENT:
        return BadFileError(errno.ENOENT, f"cannot connect to {target}: there is no such socket")
    if error.errno is None:
        # Python's own: "AF_UNIX path too long".
        return BadFileError(string=f"cannot connect to {target}: {error}")
    return connect_error(error.errno, target)


class SocketFile:
    """The name `name` of a socket of one kind, and its file, if it has one, with the permissions `mode`.

    `advice` is what to do about a file that a crashed server left. Raises `TypeError` for what are no permissions.
    """

    def __init__(self, name: bytes, mode: int, kind: socket.SocketKind, advice: str = "") -> None:
        if isinstance(mode, bool) or not isinstance(mode, int):
            raise TypeError(f"mode are the permissions of a socket's file, a number such as 0o600, not {mode!r}")
        self.name = name
        self.mode = mode
        self.kind = kind
        self.advice = advice
        self._file: tuple[int, int] | None = None

    def bind(self, sock: socket.socket) -> None:
        """Give `sock` the name. Raises OSError that says what is in the way."""
        try:
            sock.bind(self.name)
        except OSError as error:
            raise self._explained(error) from error
        if not is_abstract(self.name):
            found = os.stat(self.name)
            self._file = found.st_dev, found.st_ino
            os.chmod(self.name, self.mode)

    def remove(self) -> None:
        """Remove the file, unless it is gone or has become somebody else's. Raises OSError."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            found = os.stat(self.name)
            if (found.st_dev, found.st_ino) == file:
                os.unlink(self.name)
        except FileNotFoundError:
            pass

    def _explained(self, error: OSError) -> OSError:
        if error.errno is None:
            return OSError(errno.ENAMETOOLONG, f"{error}: {len(self.name)} bytes; about 100 are possible")
        if error.errno != errno.EADDRINUSE or is_abstract(self.name):
            return error
        try:
            is_socket = stat.S_ISSOCK(os.stat(self.name).st_mode)
        except OSError:
            return error
        if not is_socket:
            return OSError(errno.EADDRINUSE, "a file that is no socket has this name")
        return OSError(errno.EADDRINUSE, f"the socket exists: {self._who_serves()}")

    def _who_serves(self) -> str:
        with socket.socket(socket.AF_UNIX, self.kind) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(self.name)
        if code == errno.ECONNREFUSED:
            return f"nobody serves it any more, so remove it{self.advice}"
        return "another program serves it"
