"""The names of UNIX-domain sockets (unix(7)): a file that has to be made, guarded and removed, or an abstract name."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from typing import Any, TypeAlias

from wirebook.address import UNIXAddress
from wirebook.error import BadFileError, connect_error

Path: TypeAlias = "str | bytes | os.PathLike[str]"

# How many bytes a path may have: struct sockaddr_un has room for these and a zero byte, which an abstract name lacks.
_LONGEST = 107 if sys.platform == "linux" else 103


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


def unix_connect_error(error: OSError, name: bytes) -> Exception:
    """What a failed attempt to connect to the socket `name` is reported as."""
    target = str(UNIXAddress(name))
    if error.errno == errno.ENOENT:
        return BadFileError(errno.ENOENT, f"cannot connect to {target}: there is no such socket")
    if error.errno is None:
        return BadFileError(errno.ENAMETOOLONG, f"cannot connect to {target}: {_too_long(name)}")
    return connect_error(error.errno, target, _what_refuses(name) if error.errno == errno.ECONNREFUSED else "")


def _too_long(name: bytes) -> str:
    """What Python's own error, which has no number, is about."""
    return f"the name is too long: it has {len(name)} bytes, and {_LONGEST + is_abstract(name)} are possible"


def _what_refuses(name: bytes) -> str:
    found = None
    if not is_abstract(name):
        with suppress(OSError):
            found = os.stat(name).st_mode
    if found is None or stat.S_ISSOCK(found):
        return "the connection was refused: nobody serves this socket"
    return f"it is a {'folder' if stat.S_ISDIR(found) else 'file'}, and no socket"


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
            return OSError(errno.ENAMETOOLONG, _too_long(self.name))
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
