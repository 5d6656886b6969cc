"""Whose a port is: a cell's of this kernel, or another process's.

The reactor's handles tell which cell opened a port. For all others there is proc(5) on Linux: ``/proc/net`` lists the
sockets of the network namespace by inode, and the links in ``/proc/PID/fd`` say which process has an inode open. The
descriptors of other users' processes cannot be seen; of those at least the user is known.
"""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from wirebook import reactor
from wirebook.error import CannotListenError
from wirebook.interfaces import IHandle
from wirebook.turn import turn
from wirebook_kernel.cells import cell_of

# Seconds that a look around may take: the answer is a part of an error's text, which the reactor may be waiting for.
PATIENCE: Final = 0.3
LOOPBACK: Final = "127.0.0.1"

_WILDCARDS = ("0.0.0.0", "::")
# The state of a listening socket in /proc/net/tcp (include/net/tcp_states.h).
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket of this machine that listens: its inode, and the user that made it (None where that is not told)."""

    inode: str
    uid: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    """``name``, such as "cell [3] of this kernel", and how it lets go: "stop it"."""

    name: str
    remedy: str


def holder(error: CannotListenError) -> Holder | None:
    """Who listens at the address that `error` says is in use; None: not known.

    `TimeoutError` when the reactor cannot be asked in time. Any thread.
    """
    for handle in in_the_way(error):
        return in_this_kernel(handle)
    if error.interface is None:
        return _owner(_unix_sockets(str(error.port)))
    return _owner(_inet_sockets(error.transportName, error.interface, int(error.port)))


def in_the_way(error: CannotListenError) -> list[IHandle]:
    """The open ports of this kernel at the address that `error` says is in use. Raises as `holder`."""
    wanted = error.interface
    if wanted is None:
        return [handle for handle in _ports() if str(handle.localAddress) == error.port]
    return [
        handle
        for handle in kernel_ports(error.transportName, int(error.port))
        if overlap(handle.localAddress.host, wanted) or getattr(handle, "interface", "") == wanted
    ]


def kernel_ports(transport: str, port: int | None = None) -> list[IHandle]:
    """The open TCP or UDP ports of this kernel, oldest first; those with this number, if one is given."""
    return [
        handle
        for handle in _ports()
        if getattr(handle.localAddress, "type", "") == transport and (port is None or handle.localAddress.port == port)
    ]


def _ports() -> list[IHandle]:
    if not turn.comes_within(PATIENCE):
        raise TimeoutError("a callback keeps the reactor")
    return reactor.handles.of("port")


def in_this_kernel(handle: IHandle) -> Holder:
    """Which cell of this kernel has opened `handle`."""
    cell = cell_of(handle)
    if cell is None:
        return Holder("this kernel, outside its cells", "close it")
    return Holder(f"cell {cell} of this kernel", f"close it with %reactor close cell {cell.number}")


def overlap(one: str, other: str) -> bool:
    """Whether two local addresses cannot both listen on the same port."""
    return one == other or ((":" in one) == (":" in other) and (one in _WILDCARDS or other in _WILDCARDS))


# --- what the system knows ---------------------------------------------------------------------------------


def _inet_sockets(transport: str, host: str, port: int) -> Iterator[Socket]:
    version = 6 if ":" in host else 4
    for table in ("", "6"):
        for row in _rows(f"{transport.lower()}{table}"):
            if transport == "TCP" and row[3] != _LISTENING:
                # Those that listen come first, and what follows may be a hundred thousand connections.
                break
            address, _, number = row[1].partition(":")
            if int(number, 16) == port and _in_the_way(_decoded(address), host, version):
                yield Socket(row[9], int(row[7]))


def _in_the_way(found: str, host: str, version: int) -> bool:
    # A socket for all IPv6 addresses mostly takes IPv4 too; one for a single address of the other version does not.
    same_version = (":" in found) == (version == 6)
    return overlap(found, host) if same_version else found == "::"


def _unix_sockets(path: str) -> Iterator[Socket]:
    for row in _rows("unix"):
        if len(row) == 8 and row[7] == path:
            yield Socket(row[6], None)


def _rows(table: str) -> Iterator[list[str]]:
    # Where there is no such table it is not Linux, or there is no IPv6.
    with suppress(OSError), open(f"/proc/net/{table}", errors="surrogateescape") as file:
        next(file)
        for line in file:
            yield line.split()


def _decoded(address: str) -> str:
    """An address as /proc/net writes it: words of 32 bits in the order of the machine."""
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = b"".join(socket.ntohl(word).to_bytes(4, "big") for word in words)
    decoded = ip_address(packed)
    mapped = decoded.ipv4_mapped if isinstance(decoded, IPv6Address) else None
    return str(mapped or decoded)


def _owner(sockets: Iterator[Socket]) -> Holder | None:
    found = list(sockets)
    if not found:
        return None
    pid = _process_with({f"socket:[{each.inode}]" for each in found})
    if pid == os.getpid():
        return Holder("a socket of this kernel that was not opened with the reactor", "close it")
    if pid is not None:
        return Holder(f"{_process_name(pid)} (pid {pid})", "stop it")
    user = _user_name(found[0].uid)
    return Holder(f"a process of user {user}", "have it stopped") if user else None


def _process_with(links: set[str]) -> int | None:
    """The first process that has one of these descriptors open, as far as that can be seen within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if time.monotonic() > deadline:
            return None
        # Gone, or another user's.
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") in links:
                        return pid
    return None


def _process_name(pid: int) -> str:
    """``process nginx``; a kernel is named as such, since its program is called as all other Python programs are."""
    name, command = _read(f"/proc/{pid}/comm"), _read(f"/proc/{pid}/cmdline")
    kernel = any(word in command for word in ("ipykernel", "wirebook_kernel"))
    return "the kernel of another notebook" if kernel else f"process {name.strip()}"


def _read(file: str) -> str:
    with suppress(OSError), open(file, errors="replace") as opened:
        return opened.read()
    return ""


def _user_name(uid: int | None) -> str:
    if uid is None or uid == os.getuid():
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def is_loopback(host: Any) -> bool:
    """Whether `host` is this machine itself, as a name or as a number."""
    if host == "localhost":
        return True
    try:
        return ip_address(str(host)).is_loopback
    except ValueError:
        return False
