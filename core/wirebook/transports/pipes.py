"""Pipes, terminals, devices and files as streams: a descriptor to read from, another to write to, or one of the two.

Some facts that shape this file:

- A regular file is always ready. epoll refuses it (EPERM, as it does /dev/null), and kqueue never reports one that
  is at its end. So such a descriptor is not polled: it is served once per iteration, a bounded piece at a time.
- A pipe whose reader has gone says so to epoll as an error and to select and kqueue as if it were readable. So
  the writing end of a pipe is watched for reading too; of anything else only a failing write tells.
- When nobody has a terminal's other side open any more, reading it fails with EIO (Linux): that is its end.
- A paused or idle descriptor leaves the poller altogether, since epoll reports a hang-up without being asked.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from wirebook.error import ConnectionDone, describe
from wirebook.failure import Failure
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ, WRITE
from wirebook.transports._state import lives_half_closed
from wirebook.transports._writing import Writing
from wirebook.transports.stream import StreamTransport
from wirebook.turn import turn

# How much of a file is copied into a pipe at a time.
_SHARE = 65536


@dataclass(frozen=True, slots=True)
class PipeAddress:
    """An end of a pipe, a terminal or a file."""

    name: str = ""

    def __str__(self) -> str:
        return self.name


class DescriptorChannel:
    """Two descriptors as a stream's channel, which owns them. -1 stands for one that is not there."""

    __slots__ = ("_terminal", "sink", "source")

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self._terminal = source >= 0 and os.isatty(source)

    def fileno(self) -> int:
        """The descriptor that is read from, or the only one."""
        return self.source if self.source >= 0 else self.sink

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end. Raises OSError."""
        try:
            return os.read(self.source, size)
        except OSError as error:
            if self._terminal and error.errno == errno.EIO:
                return b""
            raise

    def send(self, data: Any) -> int:
        """Write as much of `data` as there is room for. Raises OSError."""
        return os.write(self.sink, data)

    def sendmsg(self, buffers: Sequence[Any]) -> int:
        """`send` several pieces."""
        return os.writev(self.sink, buffers)

    def send_from(self, source: int, offset: int, count: int) -> int:
        """Write some of the `count` bytes of file `source` from `offset` on; 0 when it has ended."""
        return os.write(self.sink, os.pread(source, min(count, _SHARE), offset))

    def close_sink(self) -> None:
        """Write no more."""
        sink, self.sink = self.sink, -1
        if sink >= 0:
            os.close(sink)

    def close(self) -> None:
        """Close both."""
        self.close_sink()
        source, self.source = self.source, -1
        if source >= 0:
            os.close(source)


class _End:
    """One descriptor of a stream, and what it is watched for; -1 for none."""

    __slots__ = ("_due", "_fd", "_mask", "_polled", "_stream")

    def __init__(self, stream: PipeTransport, fd: int) -> None:
        self._stream = stream
        self._fd = fd
        self._mask = 0
        self._due = False
        self._polled = fd >= 0 and not stat.S_ISREG(os.fstat(fd).st_mode)

    def watch(self, mask: int) -> None:
        """Be told of `mask` from now on, 0 for nothing."""
        if mask == self._mask or self._fd < 0:
            return
        if self._polled:
            self._ask_poller(mask)
        self._mask = mask
        if not self._polled and mask and not self._due:
            self._due = True
            self._stream.reactor.call_soon(_End._serve, self)

    def _ask_poller(self, mask: int) -> None:
        reactor = self._stream.reactor
        if not mask:
            reactor.unwatch(self._fd)
        elif self._mask:
            reactor.rewatch(self._fd, mask)
        else:
            try:
                reactor.watch(self._fd, self, mask)
            except PermissionError:
                self._polled = False

    def _serve(self) -> None:
        """What is always ready has its turn; called at the end of the iteration."""
        self._due = False
        if not self._mask:
            return
        trace = self._stream.reactor.trace
        if trace is not None:
            trace.begin("read" if self._mask & READ else "write", self._stream)
        if self._mask & READ:
            self.doRead()
        else:
            self.doWrite()
        if trace is not None:
            trace.end()
        if self._mask and not self._due:
            self._due = True
            self._stream.reactor.call_soon(_End._serve, self)

    @property
    def label(self) -> str:
        """The stream's, for a trace."""
        return self._stream.label

    @property
    def context(self) -> Context:
        """The stream's."""
        return self._stream.context

    def doRead(self) -> None:
        """It is readable; called by the reactor."""
        self._stream.doRead()

    def doWrite(self) -> None:
        """There is room; called by the reactor."""
        self._stream.doWrite()

    def hungUp(self) -> None:
        """The writer has gone, with or without something left to read; called by the reactor."""
        self._stream.doRead()


class _Outlet(_End):
    """The descriptor that is written to."""

    __slots__ = ("_tells",)

    def __init__(self, stream: PipeTransport, fd: int) -> None:
        super().__init__(stream, fd)
        self._tells = READ if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode) else 0

    def watch_for_room(self, wanted: bool) -> None:
        """Be told of room, if `wanted`, and that the reader has gone, if that can be known."""
        self.watch(self._tells | (WRITE if wanted else 0))

    def doRead(self) -> None:
        """The reader has gone; called by the reactor."""
        self._stream.reader_gone()

    hungUp = doRead


class PipeTransport(StreamTransport):
    """A stream over `channel`; see `StreamTransport`. Its descriptors must not block.

    It is joined to a protocol with `begin`. `host` and `peer` are the addresses of the two ends.
    """

    __slots__ = ("_host", "_inlet", "_nothing_lost", "_outlet", "_peer")
    transportName = "pipe"

    def __init__(
        self, reactor: ReactorBase, channel: DescriptorChannel, host: Any, peer: Any, context: Context | None = None
    ) -> None:
        super().__init__(reactor, channel, context)
        self._host = host
        self._peer = peer
        self._nothing_lost = False
        self._inlet = _End(self, channel.source)
        self._outlet = _Outlet(self, channel.sink)
        self._read_closed = channel.source < 0
        self._write_closed = channel.sink < 0
        self._register()

    def _register(self) -> None:
        self.reactor.handles.opened(self)

    def begin(self, protocol: Any) -> None:
        """Join the two: the transport is open and `protocol` takes it. In the turn."""
        super().begin(protocol)
        self._update_interest()

    def getHost(self) -> Any:
        """The address of this end."""
        return self._host

    def getPeer(self) -> Any:
        """The address of the other end."""
        return self._peer

    def _update_interest(self) -> None:
        if self.disconnected:
            return
        self._inlet.watch(READ if self._wants_read() else 0)
        wanted = self._wants_write()
        if wanted or not self._write_closed:
            self._outlet.watch_for_room(wanted)
        else:
            self._outlet.watch(0)

    def reader_gone(self) -> None:
        """Nobody can read any more what would be written; called by the outlet."""
        self._nothing_lost = not self._out
        self._write_broke(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        if self._read_closed:
            self._read_ended()

    def _read_ended(self) -> None:
        # With both directions at their end, and nothing that waited, this is an end in order.
        if self._nothing_lost:
            self._reason = Failure(ConnectionDone())
        super()._read_ended()

    def _write_broke(self, error: OSError) -> None:
        if self._layer is None and not (self._read_closed or self.disconnecting) and lives_half_closed(self.protocol):
            self._lose_writing()
        else:
            super()._write_broke(error)
        self._update_interest()

    def _lose_writing(self) -> None:
        """Only this direction has ended: the other one is a descriptor, and a peer, of its own."""
        self._drop_queue()
        self._write_closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)
        self.reactor.call_soon(Writing._shut_down_writing, self)

    def _half_close(self) -> None:
        self._outlet.watch(0)
        self._channel.close_sink()

    def _end(self, reason: Failure | None) -> None:
        if not self.disconnected:
            self._inlet.watch(0)
            self._outlet.watch(0)
        super()._end(reason)


def pipe_pair(reactor: ReactorBase, protocol: Any, other: Any) -> tuple[PipeTransport, PipeTransport]:
    """Connect two protocols with each other through two pipes of the system; returns their transports.

    Both have been told of the connection on return. Raises OSError when there are no descriptors left. Any thread.
    """
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += os.pipe()
        for descriptor in opened:
            os.set_blocking(descriptor, False)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    with turn:
        here, there = PipeAddress(f"pipe {opened[0]}/{opened[3]}"), PipeAddress(f"pipe {opened[2]}/{opened[1]}")
        one = PipeTransport(reactor, DescriptorChannel(opened[0], opened[3]), here, there)
        two = PipeTransport(reactor, DescriptorChannel(opened[2], opened[1]), there, here)
        one.begin(protocol)
        two.begin(other)
    return one, two


# The device whose every open() makes a new terminal, so that it must not be opened again.
_TERMINAL_MAKER = os.makedev(5, 2)


class BorrowedChannel(DescriptorChannel):
    """Descriptors that are somebody else's, as a channel: they stay open, and as they were.

    Whether reads and writes block is a property of the open file description, which is shared with every process
    that has inherited it: a shell would find its terminal changed, and a print() would fail. So a pipe or a terminal is
    opened anew (Linux), which gives a description of one's own; anything else is made non-blocking until `close`.
    """

    __slots__ = ("_blocked",)

    def __init__(self, stdin: int, stdout: int) -> None:
        self._blocked: list[int] = []
        opened: list[int] = []
        try:
            for descriptor, mode, verb in ((stdin, os.O_RDONLY, "read from"), (stdout, os.O_WRONLY, "write to")):
                try:
                    opened.append(self._borrow(descriptor, mode))
                except OSError as error:
                    why = f"cannot {verb} descriptor {descriptor}: {describe(error)}"
                    raise OSError(error.errno, why) from error
        except BaseException:
            self._restore()
            for descriptor in opened:
                os.close(descriptor)
            raise
        super().__init__(*opened)

    def _borrow(self, descriptor: int, mode: int) -> int:
        own = _opened_anew(descriptor, mode)
        if own is not None:
            return own
        own = os.dup(descriptor)
        if os.get_blocking(own) and not stat.S_ISREG(os.fstat(own).st_mode):
            self._blocked.append(os.dup(own))
            os.set_blocking(own, False)
        return own

    def close(self) -> None:
        """Give the descriptors back."""
        self._restore()
        super().close()

    def _restore(self) -> None:
        blocked, self._blocked = self._blocked, []
        for descriptor in blocked:
            os.set_blocking(descriptor, True)
            os.close(descriptor)


def _opened_anew(descriptor: int, mode: int) -> int | None:
    """A non-blocking descriptor for the same pipe or terminal; None where that cannot be had."""
    found = os.fstat(descriptor)
    is_terminal = stat.S_ISCHR(found.st_mode) and found.st_rdev != _TERMINAL_MAKER and os.isatty(descriptor)
    if stat.S_ISFIFO(found.st_mode) or is_terminal:
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{descriptor}", mode | os.O_NONBLOCK | os.O_NOCTTY)
    return None
