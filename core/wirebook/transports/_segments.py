"""Several UDP datagrams in one call: generic segmentation offload (udp(7), UDP_SEGMENT; Linux 4.18).

- They go to one receiver and are of one length, which has to fit into one packet of the way. The kernel takes them
  down its stack as one and parts them at the end: sixteen of 64 bytes cost what five cost alone.
- The receiver gets them one by one. Who captures packets on the sending machine sees them as they left the stack, in
  one with the length of all of them in its UDP header. So it is done only under load.
- A kernel that does not know the control message ignores it, and would send one long datagram: it is asked first.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from wirebook.reactor.loop import ReactorBase

# The socket module names neither.
_SOL_UDP, _UDP_SEGMENT = 17, 103
# What fits into a packet nearly everywhere: the least that IPv6 asks of a link (RFC 8200, section 5), less its headers.
LONGEST = 1232
# How many go together: the call is cheap by then, and who waits for the answers has something to do meanwhile.
MOST = 16
# After an event that brought no more datagrams than these, replies go at once.
FEW = 4
# How long replies are held, in seconds. It is looked at when there is a reply, so a slow callback makes it longer once.
HELD_SECONDS = 0.001
_NOBODY = object()


def has_segments(sock: socket.socket) -> bool:
    """Whether `send_together` works on this UDP socket."""
    if sys.platform != "linux":
        return False
    try:
        return sock.getsockopt(_SOL_UDP, _UDP_SEGMENT) == 0
    except OSError:
        return False


def send_together(sock: socket.socket, datagrams: list[bytes], addr: Any) -> int:
    """Send datagrams that are as long as the first, `LONGEST` at most; how many bytes were sent: all, or it raises.

    Raises OSError as ``sendto`` does, and for a way that takes no segments: EINVAL or EMSGSIZE where packets are
    shorter, EIO where the device cannot compute their checksums.
    """
    if len(datagrams) == 1:
        return sock.sendto(datagrams[0], addr)
    length = struct.pack("=H", len(datagrams[0]))
    return sock.sendmsg(datagrams, [(_SOL_UDP, _UDP_SEGMENT, length)], 0, addr)


class Run:
    """Replies that are held because they are like the one before them, to go together. Used in the turn.

    `send` is called with the datagrams and their receiver. ``possible``: the socket can do it; ``pays``: the last event
    brought many datagrams; ``open``: more are being read just now, and replies may be held.
    """

    __slots__ = ("_held", "_now", "_reactor", "_send", "_until", "length", "open", "pays", "possible", "to")

    def __init__(self, reactor: ReactorBase, send: Callable[[list[bytes], Any], None]) -> None:
        self.possible = self.pays = self.open = False
        self.to: Any = _NOBODY
        self.length = 0
        self._held: list[bytes] = []
        self._until = 0.0
        self._reactor = reactor
        self._now = reactor.seconds
        self._send = send

    def follow(self, addr: Any, length: int) -> None:
        """A reply of this length has gone to `addr`: those like it may be held."""
        if 0 < length <= LONGEST:
            self.to, self.length = addr, length
            self._until = self._now() + HELD_SECONDS

    def hold(self, datagram: bytes) -> None:
        """Keep a datagram of this `length`, which is meant for `to`, for a moment."""
        held = self._held
        held.append(datagram)
        if self._now() > self._until:
            self.end()
        elif len(held) == MOST:
            self._flush()
        elif len(held) == 1:
            # A callback may iterate the reactor, to wait for what this reply brings.
            self._reactor.call_soon(Run.end, self)

    def end(self) -> None:
        """Send what is held; the next reply goes at once, and may begin another run."""
        if self._held:
            self._flush()
        self.to = _NOBODY

    def close(self) -> None:
        """Send what is held; replies go at once until the next batch."""
        self.open = False
        self.end()

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._send(held, self.to)
