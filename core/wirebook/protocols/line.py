"""Protocols that a program derives its own from: messages that are lines, or that say how long they are.

Every class has a limit on the length of a message, ``MAX_LENGTH``, and a method that is called when a peer exceeds
it; by default that ends the connection. Receiving may be paused: what has arrived waits then, and callbacks may
change the mode, pause, or close at any message, so nothing is read ahead of them.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from struct import calcsize, pack
from typing import IO, Any, ClassVar, TypeAlias

from wirebook.deferred import Deferred
from wirebook.failure import Failure
from wirebook.interfaces import IConsumer
from wirebook.logger import report_event
from wirebook.protocol import Protocol
from wirebook.protocols._framing import Inbox, TooLong
from wirebook.turn import in_turn

__all__ = [
    "FileSender",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "LineOnlyReceiver",
    "LineReceiver",
    "NetstringParseError",
    "NetstringReceiver",
    "StatefulProtocol",
    "StatefulStringProtocol",
    "StringTooLongError",
]


class StringTooLongError(AssertionError):
    """A message is longer than its length prefix can tell."""


class NetstringParseError(ValueError):
    """What a peer sent is no netstring."""


class Receiver(Protocol):
    """What all of them share: the bytes not yet taken, and the loop that takes messages while it may."""

    MAX_LENGTH: int = 16384
    paused = False
    _inbox: Inbox | None = None
    _taking = False

    def dataReceived(self, data: bytes) -> None:
        """Take the messages that are complete now. Also called by programs and tests, with what shall be received.

        After ``loseConnection`` nothing is received any more.
        """
        if self._closing():
            return
        inbox = self._inbox
        if inbox is None:
            inbox = self._the_inbox()
        inbox.feed(data)
        # A callback may call this again; what it brings is taken in turn.
        if self._taking:
            return
        self._taking = True
        try:
            while not self.paused and self._take(inbox) and not self._closing():
                pass
        finally:
            self._taking = False

    def _the_inbox(self) -> Inbox:
        # Not in __init__: subclasses rarely call it.
        if self._inbox is None:
            self._inbox = Inbox()
        return self._inbox

    def _take(self, inbox: Inbox) -> bool:
        """Take one message out of `inbox` and deliver it; False when none is complete."""
        raise NotImplementedError

    def _closing(self) -> bool:
        return bool(getattr(self.transport, "disconnecting", False))

    # --- as a producer

    @in_turn
    def pauseProducing(self) -> None:
        """Receive no more until `resumeProducing`, not even what has arrived already. Any thread."""
        self.paused = True
        self.transport.pauseProducing()

    @in_turn
    def resumeProducing(self) -> None:
        """Go on receiving, with what waits first. Any thread."""
        self.paused = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    @in_turn
    def stopProducing(self) -> None:
        """Receive nothing any more. Any thread."""
        self.paused = True
        self.transport.stopProducing()


# --- lines -----------------------------------------------------------------------------------------------


class LineOnlyReceiver(Receiver):
    """A protocol of lines: override `lineReceived`.

    ``delimiter`` ends a line, ``MAX_LENGTH`` is how many bytes one may have without it.
    """

    delimiter: bytes = b"\r\n"

    def lineReceived(self, line: bytes) -> None:
        """Called with each line, without its delimiter. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no lineReceived(): override it")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called when a line is too long, with what has arrived of it, without delimiter. Closes the connection."""
        self.transport.loseConnection()

    def sendLine(self, line: bytes) -> None:
        """Send `line` and the delimiter."""
        _check_bytes("sendLine", line)
        self.transport.writeSequence((line, self.delimiter))

    def _take_line(self, inbox: Inbox) -> bool:
        try:
            line = inbox.take_line(self.delimiter, self.MAX_LENGTH)
        except TooLong as error:
            self._take_too_long(inbox, error.size)
            return True
        if line is None:
            return False
        self.lineReceived(line)
        return True

    _take = _take_line

    def _take_too_long(self, inbox: Inbox, size: int) -> None:
        self.lineLengthExceeded(inbox.take(size).removesuffix(self.delimiter))


class LineReceiver(LineOnlyReceiver):
    """A protocol of lines that can switch to raw data and back, for example for the body of a message.

    Override `lineReceived` and, for raw mode, `rawDataReceived`. ``line_mode`` tells which mode it is in.
    """

    line_mode: int = 1

    def rawDataReceived(self, data: bytes) -> None:
        """Called with data in raw mode, in pieces of any size. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no rawDataReceived(): override it")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called when a line is too long, with all that has arrived from its beginning on. Closes the connection."""
        super().lineLengthExceeded(line)

    def setRawMode(self) -> None:
        """Deliver what comes, and what has arrived after this line, to `rawDataReceived`."""
        self.line_mode = 0

    @in_turn
    def setLineMode(self, extra: bytes = b"") -> None:
        """Deliver lines again; `extra` is raw data that was delivered but belongs to lines. Any thread."""
        self.line_mode = 1
        if extra:
            self.dataReceived(extra)

    def clearLineBuffer(self) -> bytes:
        """Forget what has arrived and was not delivered yet; returns it."""
        return self._the_inbox().take_all()

    def _take(self, inbox: Inbox) -> bool:
        if self.line_mode:
            return self._take_line(inbox)
        if not len(inbox):
            return False
        self.rawDataReceived(inbox.take_all())
        return True

    def _take_too_long(self, inbox: Inbox, size: int) -> None:
        self.lineLengthExceeded(inbox.take_all())

    def _closing(self) -> bool:
        # Raw data is not cut into messages, so there is none that would be one too many.
        return bool(self.line_mode and getattr(self.transport, "disconnecting", False))


# --- messages with a length prefix -----------------------------------------------------------------------


class IntNStringReceiver(Receiver):
    """A protocol of messages that are preceded by their length as an integer: override `stringReceived`.

    ``structFormat`` is the integer's format for `struct`, ``prefixLength`` its size in bytes. ``recvd`` is what has
    arrived and was not delivered yet; it may be set.
    """

    MAX_LENGTH = 99999
    structFormat: ClassVar[str]
    prefixLength: ClassVar[int]

    def stringReceived(self, string: bytes) -> None:
        """Called with each message, without its length. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no stringReceived(): override it")

    def lengthLimitExceeded(self, length: int) -> None:
        """Called when a message is announced that would be too long. Closes the connection."""
        self.transport.loseConnection()

    def sendString(self, string: bytes) -> None:
        """Send `string` with its length. `StringTooLongError` when the prefix cannot tell its length."""
        _check_bytes("sendString", string)
        if len(string) >= 1 << 8 * self.prefixLength:
            raise StringTooLongError(
                f"cannot send {len(string)} bytes: a prefix of {self.prefixLength} bytes tells at most "
                f"{(1 << 8 * self.prefixLength) - 1}"
            )
        self.transport.write(pack(self.structFormat, len(string)) + string)

    @property
    def recvd(self) -> bytes:
        """What has arrived and was not delivered yet."""
        inbox = self._the_inbox()
        return inbox.peek(len(inbox))

    @recvd.setter
    def recvd(self, data: bytes) -> None:
        inbox = self._the_inbox()
        inbox.take_all()
        inbox.feed(data)

    def _take(self, inbox: Inbox) -> bool:
        try:
            string = inbox.take_prefixed(self.structFormat, self.prefixLength, self.MAX_LENGTH)
        except TooLong as error:
            self.lengthLimitExceeded(error.size)
            return False
        if string is None:
            return False
        self.stringReceived(string)
        return True


class Int32StringReceiver(IntNStringReceiver):
    """Messages with a length of 32 bits, in network byte order."""

    structFormat = "!I"
    prefixLength = calcsize(structFormat)


class Int16StringReceiver(IntNStringReceiver):
    """Messages with a length of 16 bits, in network byte order."""

    structFormat = "!H"
    prefixLength = calcsize(structFormat)


class Int8StringReceiver(IntNStringReceiver):
    """Messages with a length of 8 bits."""

    structFormat = "!B"
    prefixLength = calcsize(structFormat)


class NetstringReceiver(Receiver):
    """A protocol of netstrings (Bernstein, 1997): ``5:hello,``. Override `stringReceived`.

    Whatever is no netstring ends the connection. ``brokenPeer`` is 1 then.
    """

    MAX_LENGTH = 99999
    brokenPeer = 0

    def stringReceived(self, string: bytes) -> None:
        """Called with each message. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no stringReceived(): override it")

    def sendString(self, string: bytes) -> None:
        """Send `string` as a netstring."""
        _check_bytes("sendString", string)
        self.transport.write(b"%d:%s," % (len(string), string))

    def _take(self, inbox: Inbox) -> bool:
        if self.brokenPeer:
            inbox.take_all()
        if not len(inbox):
            return False
        try:
            string = self._netstring(inbox)
        except NetstringParseError as error:
            self.brokenPeer = 1
            inbox.take_all()
            report_event(f"{type(self).__name__}: {error}; the connection is closed")
            self.transport.loseConnection()
            return False
        if string is None:
            return False
        self.stringReceived(string)
        return True

    def _netstring(self, inbox: Inbox) -> bytes | None:
        """The next message, None when it is not complete."""
        digits = len(str(self.MAX_LENGTH))
        prefix, colon, _ = inbox.peek(digits + 1).partition(b":")
        if not prefix.isdigit() or (prefix.startswith(b"0") and prefix != b"0"):
            raise NetstringParseError(f"a netstring begins with its length, not with {prefix[:20] + colon!r}")
        if len(prefix) > digits or int(prefix) > self.MAX_LENGTH:
            raise NetstringParseError(f"a netstring of over {self.MAX_LENGTH} bytes is announced (MAX_LENGTH)")
        size = len(prefix) + 1 + int(prefix) + 1
        if not colon or len(inbox) < size:
            return None
        whole = inbox.take(size)
        if whole[-1:] != b",":
            raise NetstringParseError(f"a netstring ends with a comma, not with {whole[-1:]!r}")
        return whole[len(prefix) + 1 : -1]


# --- states ----------------------------------------------------------------------------------------------

State: TypeAlias = "tuple[Callable[[bytes], State | None], int]"


class StatefulProtocol(Receiver):
    """A protocol of blocks whose sizes depend on what came before.

    A state is a pair (function, size): the function is called with the next `size` bytes and returns the next
    state, or None to stay. Override `getInitialState`.
    """

    _state: State | None = None

    def getInitialState(self) -> State:
        """The first state. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no getInitialState(): override it")

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        self._state = self.getInitialState()

    def _the_state(self) -> State:
        if self._state is None:
            self._state = self.getInitialState()
        return self._state

    def _take(self, inbox: Inbox) -> bool:
        function, size = self._the_state()
        if len(inbox) < size:
            return False
        self._state = function(inbox.take(size)) or (function, size)
        return True


class StatefulStringProtocol:
    """A mix-in for the classes above whose messages are strings: each goes to the method of the current state.

    In the state ``"init"``, the first one, a message goes to ``proto_init``, which returns the next state. The
    state ``"done"`` ends the connection.
    """

    state: str = "init"
    transport: Any

    def stringReceived(self, string: bytes) -> None:
        """Deliver a message to the method of the current state."""
        handler = getattr(self, f"proto_{self.state}", None)
        if handler is None:
            report_event(f"{type(self).__name__} is in state {self.state!r} and has no method proto_{self.state}()")
            return
        self.state = handler(string)
        if self.state == "done":
            self.transport.loseConnection()


# --- files -----------------------------------------------------------------------------------------------


class FileSender:
    """A pull producer that sends a file: one piece each time the consumer has room.

    Where the consumer sends files by itself (``writeFile``, as our streams), and nothing is to be transformed, the
    bytes of a file on disk never pass Python. ``lastSent`` is the last byte that was sent, ``CHUNK_SIZE`` how many
    bytes are read at a time otherwise.
    """

    CHUNK_SIZE = 1 << 16
    lastSent: bytes = b""
    deferred: Deferred[bytes] | None = None
    file: IO[bytes] | None = None
    _write_file: Callable[..., None] | None = None

    @in_turn
    def beginFileTransfer(
        self, file: IO[bytes], consumer: IConsumer, transform: Callable[[bytes], bytes] | None = None
    ) -> Deferred[bytes]:
        """Send `file`, from where it stands to its end, to `consumer`; each piece through `transform`. Any thread.

        Fires with the last byte that was sent (b"" for an empty file), so that a caller knows whether a line was
        ended. Fails with what reading or `transform` raises, and when the consumer wants no more. The file stands
        at its end then, and is not closed. RuntimeError while another file is being sent.
        """
        if self.deferred is not None:
            raise RuntimeError(f"{self!r} is sending {self.file!r}: wait for its Deferred, or make another FileSender")
        self.file, self.consumer, self.transform, self.lastSent = file, consumer, transform, b""
        whole = transform is None and _is_on_disk(file)
        self._write_file = getattr(consumer, "writeFile", None) if whole else None
        deferred: Deferred[bytes] = Deferred()
        self.deferred = deferred
        try:
            consumer.registerProducer(self, False)
        except BaseException:
            self.file = self.deferred = None
            raise
        return deferred

    @in_turn
    def resumeProducing(self) -> None:
        """Send a piece; called by the consumer."""
        if self.file is None:
            return
        try:
            if self._hand_over(self.file) or self._read(self.file):
                return
        except SystemExit:
            raise
        except BaseException:
            outcome: bytes | Failure = Failure()
        else:
            outcome = self.lastSent
        self.consumer.unregisterProducer()
        self._finish(outcome)

    def _hand_over(self, file: IO[bytes]) -> bool:
        """Let the consumer send what the file has now; False when that is not its task, or nothing."""
        if self._write_file is None:
            return False
        begin, end = file.tell(), os.fstat(file.fileno()).st_size
        if begin < end:
            file.seek(end)
            self._write_file(file, begin, end - begin, whole=False)
            return True
        # It may be shorter by now than what was sent of it.
        self.lastSent = os.pread(file.fileno(), 1, end - 1) if end else b""
        return False

    def _read(self, file: IO[bytes]) -> bool:
        """Read and send a piece; False at the end of the file."""
        chunk = file.read(self.CHUNK_SIZE)
        if not chunk:
            return False
        if self.transform is not None:
            chunk = self.transform(chunk)
        self.consumer.write(chunk)
        self.lastSent = chunk[-1:]
        return True

    def pauseProducing(self) -> None:
        """Nothing to do: a pull producer waits to be asked."""

    @in_turn
    def stopProducing(self) -> None:
        """The consumer wants no more; called by the consumer."""
        self._finish(Failure(Exception("the consumer wanted no more of the file")))

    def _finish(self, outcome: bytes | Failure) -> None:
        self.file = None
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        if isinstance(outcome, Failure):
            deferred.errback(outcome)
        else:
            deferred.callback(outcome)


def _check_bytes(method: str, data: object) -> None:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{method}() takes bytes, not {data!r:.60}: encode text first, for example with .encode()")


def _is_on_disk(file: IO[bytes]) -> bool:
    """Whether what `file` reads are the bytes of a file on disk, as they are.

    Its type must say so: a file that unpacks, or filters, has a descriptor too.
    """
    raw = getattr(file, "raw", file)
    if type(file) not in (io.BufferedReader, io.BufferedRandom, io.FileIO) or type(raw) is not io.FileIO:
        return False
    if file.writable():
        file.flush()
    return hasattr(os, "sendfile") and stat.S_ISREG(os.fstat(file.fileno()).st_mode)
