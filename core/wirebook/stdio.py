"""A protocol on this process's standard input and output."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from wirebook.installed import the_reactor
from wirebook.reactor import ReactorBase
from wirebook.transports.pipes import BorrowedChannel, PipeAddress, PipeTransport
from wirebook.turn import turn

__all__ = ["PipeAddress", "StandardIO"]


class StandardIO(PipeTransport):
    """A stream that reads the descriptor `stdin` and writes `stdout`: terminals, pipes, files, sockets.

    `proto` is connected at once; `reactor` is the process's unless another one is given. The end of the input is
    told to a protocol with ``readConnectionLost``, and ends the connection of any other; that nobody reads the output
    any more likewise, with ``writeConnectionLost``.

    The descriptors stay the caller's. They are open afterwards, so that the program can print its last
    words; a peer therefore sees the end of the output when the program has ended. And they block or not
    as they did before, at the latest when the connection has ended.

    Raises OSError for a descriptor that is not open, or a standard one that the program was started without;
    `TypeError` for a protocol class. Any thread.
    """

    __slots__ = ()
    transportName = "stdio"

    def __init__(self, proto: Any, stdin: int = 0, stdout: int = 1, reactor: ReactorBase | None = None) -> None:
        if isinstance(proto, type):
            raise TypeError(f"StandardIO() takes a protocol object: {proto.__name__}(), not the class")
        for descriptor in (stdin, stdout):
            _check_given(descriptor)
        reactor = the_reactor() if reactor is None else reactor
        with turn:
            channel = BorrowedChannel(stdin, stdout)
            address = PipeAddress(f"descriptors {stdin} and {stdout}")
            super().__init__(reactor, channel, address, PipeAddress(_whereto(stdin, stdout)))
            self.begin(proto)


# What Python has None for when it was started without the descriptor.
_STANDARD = (("__stdin__", "input"), ("__stdout__", "output"), ("__stderr__", "error output"))


def _check_given(descriptor: int) -> None:
    """Refuse a standard descriptor that this program was started without: by now it may be anything."""
    if not 0 <= descriptor < len(_STANDARD):
        return
    attribute, name = _STANDARD[descriptor]
    if getattr(sys, attribute) is None and not _was_put_there(descriptor):
        what = f"the standard {name} (descriptor {descriptor})"
        raise OSError(errno.EBADF, f"{what} is closed: start the program with one, or with /dev/null")


def _was_put_there(descriptor: int) -> bool:
    """Whether somebody has made it one since: what is opened for other purposes is not inheritable."""
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


def _whereto(stdin: int, stdout: int) -> str:
    """What is at the other end, as far as that has a name."""
    for descriptor in (stdin, stdout):
        if os.isatty(descriptor):
            try:
                return os.ttyname(descriptor)
            except OSError:
                continue
    return "standard input and output"
