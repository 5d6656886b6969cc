"""What every datagram port shares: reading many at a time, sending at once, what waits and what is dropped.

The rules that hold for all of them:

- A datagram goes to the operating system at once, whole. While the system takes no more, what follows waits, in
  order, up to ``backlogLimit``; what does not fit any more is dropped, counted, and reported once per port.
- Under load a UDP port's replies of one length to one receiver go several in one call where the system can do that
  (Linux): all but the first are held until the batch is read, a millisecond at most. The first one's errors are raised
  by ``write``, as ever; a reply that was held and cannot be sent is dropped, counted, and reported once per port.
- Nothing is lost in silence on this side: ``datagramsDropped`` counts what was written and could not be sent.
- One event reads at most `_READ_BATCH` datagrams, so that a flood cannot starve the others; level-triggered
  polling brings the rest in the next batch.
- The protocol's errors are reported and the port lives on: the next datagram may well be another peer's.
"""

from __future__ import annotations

import errno
import os
import socket
import warnings
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import MessageLengthError, NotListeningError, describe
from wirebook.failure import Failure
from wirebook.interfaces import Direction, IWiretap
from wirebook.logger import report_event, report_failure
from wirebook.reactor.handles import next_handle_id
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import READ, WRITE
from wirebook.transports._segments import FEW, Run, send_together
from wirebook.turn import in_turn, turn

# How many datagrams one event reads: enough to make the polling cheap, few enough that others get their turn.
_READ_BATCH = 64
_WRITE_BATCH = 64
_WOULD_BLOCK = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
# The system is short of memory, or the network device's queue is full; nothing tells when there is room again.
_NO_ROOM = {errno.ENOBUFS, errno.ENOMEM}
# What a socket with one peer is told when nobody is there (any more).
_REFUSED = {errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN}
UNWATCHED = -1


class DatagramState:
    """The ground floor of `DatagramPort`, which documents the attributes."""

    kind = "port"
    transportName = ""
    backlogLimit = 1 << 20

    def __init__(self, reactor: ReactorBase, protocol: Any, maxPacketSize: int) -> None:
        self.reactor = reactor
        self.protocol = protocol
        self.maxPacketSize = check_protocol(protocol, maxPacketSize)
        self.context = copy_context()
        self.handleId = next_handle_id()
        self.born = reactor.seconds()
        self.state = "closed"
        self.bytesReceived = self.bytesSent = 0
        self.datagramsReceived = self.datagramsSent = 0
        self.datagramsDropped = self.datagramsTruncated = 0
        self._tap: IWiretap | None = None
        self._receiver: Any = protocol
        self._socket: Any = None
        self._host: Any = None
        self._peer: Any = None
        # Whom the last datagram came from: a reply to it is the commonest write, and needs no check.
        self._sender: Any = self
        # Whether the next write needs more than a reply's short way.
        self._special = False
        self._run = Run(reactor, self._send_together)
        self._reading = False
        self._mask = UNWATCHED
        self._waiting: deque[tuple[Any, Any]] = deque()
        self._waiting_size = 0
        self._told: set[str] = set()
        self._ending: list[Deferred[None]] | None = None

    @property
    def tap(self) -> IWiretap | None:
        """Who sees what passes; an `IDatagramWiretap` sees the peers too."""
        return self._tap

    @tap.setter
    def tap(self, tap: IWiretap | None) -> None:
        self._tap = tap
        self._choose_way()

    @property
    def mask(self) -> int:
        """What the poller watches for; as long as it watches."""
        return self._mask

    def _choose_way(self) -> None:
        self._run.end()
        self._special = self._tap is not None or self._peer is not None or bool(self._waiting)

    def _update_interest(self) -> None:
        self._choose_way()
        mask = (READ if self._reading else 0) | (WRITE if self._waiting else 0)
        if mask == self._mask or self._socket is None:
            return
        if self._mask == UNWATCHED:
            self.reactor.watch(self._socket.fileno(), self, mask)
        else:
            self.reactor.rewatch(self._socket.fileno(), mask)
        self._mask = mask

    def doRead(self) -> None:
        """There is something to read; called by the reactor."""
        raise NotImplementedError

    def doWrite(self) -> None:
        """There is room to write; called by the reactor."""
        raise NotImplementedError

    def _send_together(self, datagrams: list[bytes], addr: Any) -> None:
        """Send a run; what cannot be sent waits or is dropped."""
        raise NotImplementedError

    def hungUp(self) -> None:
        """The socket has an error and nothing to read; called by the reactor."""
        raise NotImplementedError

    def _call(self, method: Callable[..., Any], *args: Any) -> None:
        try:
            self.context.copy().run(method, *args)
        except SystemExit:
            raise
        except BaseException:
            report_failure(Failure(), f"{self.label}.{method.__name__}() raised; {self!r} goes on", self.context)

    def _say_once(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            report_event(message, self.context)

    def _tapped(self, direction: Direction, data: bytes, peer: Any) -> None:
        if self._tap is None:
            return
        see = getattr(self._tap, "datagram", None)
        if see is not None:
            whose = self._peer if peer is None else peer
            see(direction, bytes(data), whose[:2] if isinstance(whose, tuple) else whose)
        else:
            self._tap.data(direction, bytes(data))

    # --- as a handle ---------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor's number, -1 when it is closed."""
        return -1 if self._socket is None else int(self._socket.fileno())

    def getHandle(self) -> socket.socket:
        """The socket itself."""
        return self._require_socket()

    def _require_socket(self) -> socket.socket:
        if self._socket is None:
            raise NotListeningError(f"{self!r} has no socket (any more): open another port")
        # What was written before goes before.
        self._run.end()
        sock: socket.socket = self._socket
        return sock

    def getHost(self) -> Any:
        """The address of this end (the last one, when it is closed)."""
        return self._host

    @property
    def localAddress(self) -> Any:
        """The address of this end."""
        return self._host

    @property
    def peerAddress(self) -> Any:
        """The address of the one peer in connected mode, otherwise None."""
        return None

    @property
    def label(self) -> str:
        """The name of the protocol's class."""
        return type(self.protocol).__name__

    def logPrefix(self) -> str:
        """A short name for logs."""
        name = getattr(self.protocol, "logPrefix", None)
        return f"{self.label if name is None else name()} ({self.transportName})"

    def __repr__(self) -> str:
        peer = "" if self.peerAddress is None else f" -> {self.peerAddress}"
        return f"<{type(self).__name__} of {self.label} on {self.transportName} {self._host}{peer}, {self.state}>"


class Sending(DatagramState):
    """The part of `DatagramPort` that sends."""

    def write(self, datagram: bytes, addr: Any = None) -> None:
        """Send one datagram to `addr`; returns at once.

        Raises `MessageLengthError`, `InvalidAddressError`, `NotListeningError` when the port is closed, `TypeError`
        for what is no bytes, and OSError where the system knows no way to the address.
        """
        if turn.owner != get_ident():
            with turn:
                self.write(datagram, addr)
            return
        run = self._run
        if addr == run.to and type(datagram) is bytes and len(datagram) == run.length:
            run.hold(datagram)
        elif addr is not self._sender or addr is None or self._special:
            self._write_any(datagram, self._destination(addr))
        else:
            self._reply(datagram, addr)

    def _reply(self, datagram: Any, addr: Any) -> None:
        run = self._run
        if run.open:
            run.end()
        try:
            sent = self._socket.sendto(datagram, addr)
        except OSError as error:
            self._not_sent(error, _copy(datagram), addr)
            return
        self.bytesSent += sent
        self.datagramsSent += 1
        if run.open:
            run.follow(addr, sent)

    def _write_any(self, datagram: Any, addr: Any) -> None:
        if self._waiting:
            self._wait(_copy(datagram), addr)
            return
        try:
            sent = self._send(datagram, addr)
        except OSError as error:
            self._not_sent(error, _copy(datagram), addr)
        else:
            self._count_sent(sent, datagram, addr)

    def writeSequence(self, seq: Iterable[bytes], addr: Any = None) -> None:
        """Send the pieces together as one datagram."""
        self.write(b"".join(seq), addr)

    def _destination(self, addr: Any) -> Any:
        """What the socket is to be given for `addr`, None when it has a peer. Raises `InvalidAddressError`."""
        raise NotImplementedError

    def _send(self, datagram: Any, addr: Any) -> int:
        if self._peer is None:
            return int(self._socket.sendto(datagram, addr))
        try:
            return int(self._socket.send(datagram))
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            # This is about an earlier datagram, and the present one was not even tried.
            self._refused()
            return int(self._socket.send(datagram))

    def _send_together(self, datagrams: list[bytes], addr: Any) -> None:
        try:
            self.bytesSent += send_together(self._socket, datagrams, addr)
        except OSError as error:
            if error.errno not in _WOULD_BLOCK | _NO_ROOM:
                self._run.possible = self._run.open = False
            # One by one they may have better luck.
            for datagram in datagrams:
                self._wait(datagram, addr)
            self.doWrite()
        else:
            self.datagramsSent += len(datagrams)

    def _not_sent(self, error: OSError, datagram: bytes, addr: Any) -> None:
        """Keep the datagram, drop it, or raise, as the error demands."""
        if error.errno in _WOULD_BLOCK and not self._meets_receiver():
            self._wait(datagram, addr)
        elif error.errno in _WOULD_BLOCK | _NO_ROOM or (error.errno in _REFUSED and not self._meets_receiver()):
            self._drop(error)
        elif error.errno == errno.EMSGSIZE:
            raise MessageLengthError(self._too_long(datagram)) from error
        else:
            raise self._explained(error, addr) from error

    def _meets_receiver(self) -> bool:
        """Whether a send fails for the sake of the one receiver it is for: nobody else's must wait for that."""
        return False

    def _refused(self) -> None:
        # Not from inside a method that the protocol called.
        if self._peer is not None:
            self.reactor.call_soon(Sending._tell_refused, self)

    def _tell_refused(self) -> None:
        if self._peer is not None:
            self._call(self.protocol.connectionRefused)

    def _too_long(self, datagram: bytes) -> str:
        return f"a datagram of {len(datagram)} bytes is longer than what can be sent: send less at a time"

    def _explained(self, error: OSError, addr: Any) -> OSError:
        """`error` of a send or connect, with what can be done about it."""
        return error

    def _count_sent(self, sent: int, datagram: Any, addr: Any) -> None:
        self.bytesSent += sent
        self.datagramsSent += 1
        self._tapped("sent", datagram, addr)

    # --- what waits, and what is dropped -------------------------------------------------------------

    def _wait(self, datagram: bytes, addr: Any) -> None:
        if self._waiting_size + len(datagram) > self.backlogLimit:
            self._drop(OSError(errno.ENOBUFS, f"{self._waiting_size} bytes wait already"))
            return
        self._waiting.append((datagram, addr))
        self._waiting_size += len(datagram)
        self._update_interest()

    def _drop(self, error: OSError) -> None:
        self.datagramsDropped += 1
        self._say_once(
            "dropped",
            f"{self!r} dropped a datagram: {describe(error)}. It counts those that follow (datagramsDropped); "
            "send more slowly",
        )

    def doWrite(self) -> None:
        """Send what waits, a batch at most; called by the reactor."""
        for _ in range(min(_WRITE_BATCH, len(self._waiting))):
            datagram, addr = self._waiting[0]
            try:
                sent = self._send(datagram, addr)
            except OSError as error:
                if error.errno in _WOULD_BLOCK:
                    return
                self._forget_first()
                self._drop(error)
                continue
            self._forget_first()
            self._count_sent(sent, datagram, addr)
        self._update_interest()

    def _forget_first(self) -> None:
        datagram, _ = self._waiting.popleft()
        self._waiting_size -= len(datagram)


class DatagramPort(Sending):
    """An open datagram socket. As a handle its state is "listening", "connected" or "closed".

    Attributes: ``protocol``; ``maxPacketSize``: how many bytes of a datagram are received at most, the rest is cut
    off and ``datagramsTruncated`` counts that; ``backlogLimit``: how many bytes may wait to be sent;
    ``datagramsReceived``, ``datagramsSent``, ``datagramsDropped``; ``tap``. Methods may be called from any thread.
    """

    # --- opening and closing -------------------------------------------------------------------------

    @in_turn
    def startListening(self) -> None:
        """Open the socket. Raises `CannotListenError`, and RuntimeError when it is open."""
        if self._socket is not None or self._ending is not None:
            raise RuntimeError(f"{self!r} is {'open already' if self._socket else 'just closing'}")
        self._socket, self._host = self.reactor.handles.open_port(self, self._open)
        self.state = "listening" if self._peer is None else "connected"
        self._choose_way()
        self._begin()

    def _begin(self) -> None:
        self.reactor.handles.opened(self)
        self._reading = True
        self._update_interest()
        if self._tap is not None:
            self._tap.event("opened")
        try:
            self.context.copy().run(self.protocol.makeConnection, self)
        except BaseException:
            self._close()
            self._closed()
            raise

    def _open(self) -> tuple[socket.socket, Any]:
        """The socket, ready to be read, and the address it has. Raises `CannotListenError`."""
        raise NotImplementedError

    @in_turn
    def stopListening(self) -> Deferred[None]:
        """Close the port: its address is free on return. Fires when the protocol has been told (`doStop`)."""
        if self._socket is not None:
            self._close()
            self._ending = []
            self.reactor.call_soon(DatagramPort._tell_the_end, self)
        if self._ending is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ending.append(ended)
        return ended

    def loseConnection(self) -> None:
        """Deprecated, as in Twisted: `stopListening`."""
        warnings.warn("a datagram port is closed with stopListening()", DeprecationWarning, stacklevel=2)
        self.stopListening()

    @in_turn
    def closeHandle(self, abort: bool = False) -> Deferred[None]:
        """`stopListening`; a name in the file system, too, is free on return."""
        ended = self.stopListening()
        self._closed()
        return ended

    def _close(self) -> None:
        self._run.end()
        if self._mask != UNWATCHED:
            self.reactor.unwatch(self._socket.fileno())
            self._mask = UNWATCHED
        self._socket.close()
        self._socket = self._peer = None
        self._sender = self
        self._reading = False
        self.state = "closed"
        self.datagramsDropped += len(self._waiting)
        self._waiting.clear()
        self._waiting_size = 0
        self.reactor.handles.closed(self)
        if self._tap is not None:
            self._tap.event("closed")

    def _closed(self) -> None:
        """The socket was closed: take away what it left, before the protocol is told."""

    def _tell_the_end(self) -> None:
        self._closed()
        self._call(self.protocol.doStop)
        ending, self._ending = self._ending, None
        for ended in ending or ():
            ended.callback(None)

    # --- receiving -----------------------------------------------------------------------------------

    def doRead(self) -> None:
        """Read what waits, a batch at most; called by the reactor."""
        run, left, before = self._run, _READ_BATCH, self.datagramsReceived
        run.open = run.pays
        try:
            while left and self._reading:
                fresh = self.context.copy()
                left = fresh.run(self._read_in, fresh, left)
        finally:
            if run.open:
                run.close()
        run.pays = run.possible and self.datagramsReceived - before > FEW

    def _read_in(self, context: Context, left: int) -> int:
        """Read while `left` allows it and nothing has changed `context`; how many may be read after that.

        Every callback gets the port's own context, but a copy for each would be the most expensive step here.
        Comparing contexts that nobody has changed is comparing two pointers.
        """
        receive, untouched, most = self._socket.recvfrom, self.context, self.maxPacketSize
        # One byte more shows that a datagram is longer.
        room = most + 1
        for remaining in range(left - 1, -1, -1):
            try:
                data, sender = receive(room)
            except (BlockingIOError, InterruptedError):
                return 0
            except OSError as error:
                self._went_wrong(error)
                return 0
            size = len(data)
            if size > most:
                data, size = self._truncated(data), most
            self._sender = sender
            self.bytesReceived += size
            self.datagramsReceived += 1
            if self._special:
                self._tapped("received", data, sender)
            try:
                self._receiver.datagramReceived(data, sender)
            except SystemExit:
                raise
            except BaseException:
                report_failure(Failure(), f"{self.label}.datagramReceived() raised; {self!r} goes on", untouched)
            if not self._reading or context != untouched:
                return remaining
        return 0

    def _truncated(self, data: bytes) -> bytes:
        self.datagramsTruncated += 1
        self._say_once(
            "truncated", f"{self!r} cut a datagram to {self.maxPacketSize} bytes: give a larger maxPacketSize"
        )
        return data[: self.maxPacketSize]

    def _went_wrong(self, error: OSError) -> None:
        """An error that belongs to something sent earlier, or to the socket; it is reported and goes by."""
        if error.errno not in _REFUSED:
            self._say_once(f"error {error.errno}", f"{self!r} could not receive: {describe(error)}")
        elif self._peer is not None:
            self._call(self.protocol.connectionRefused)

    def hungUp(self) -> None:
        """The socket has an error and nothing to read; called by the reactor."""
        if self._socket is None:
            return
        try:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            code = error.errno
        if code:
            self._went_wrong(OSError(code, os.strerror(code)))
        elif not self._mask:
            # Somebody else has shut the socket down: it would be reported again and again. With something asked for it
            # was an error that a write of another thread has met meanwhile.
            self.reactor.unwatch(self._socket.fileno())
            self._mask = UNWATCHED

    @in_turn
    def pauseProducing(self) -> None:
        """Receive nothing until `resumeProducing`; the system keeps some datagrams and drops the others."""
        self._reading = False
        self._update_interest()

    @in_turn
    def resumeProducing(self) -> None:
        """Go on receiving."""
        if self._socket is not None:
            self._reading = True
            self._update_interest()


def _copy(datagram: Any) -> bytes:
    # Not bytes(datagram), which makes zeros of a number.
    return bytes(memoryview(datagram))


def check_protocol(protocol: Any, maxPacketSize: Any) -> int:
    """`maxPacketSize` if it is a size; raises `TypeError` or `ValueError` for that and for what is no protocol."""
    methods = ("makeConnection", "doStop")
    if isinstance(protocol, type) or not all(callable(getattr(protocol, name, None)) for name in methods):
        hint = f", for example {protocol.__name__}()" if isinstance(protocol, type) else ""
        raise TypeError(f"a datagram port takes an instance of a DatagramProtocol{hint}, not {protocol!r}")
    if isinstance(maxPacketSize, bool) or not isinstance(maxPacketSize, int):
        raise TypeError(f"maxPacketSize is a number of bytes, not {maxPacketSize!r}")
    if maxPacketSize < 1:
        raise ValueError(f"maxPacketSize is {maxPacketSize}: it is a number of bytes, 1 or more")
    return maxPacketSize
