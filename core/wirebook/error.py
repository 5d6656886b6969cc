"""What can go wrong on a network, divided by fault.

Names and hierarchy are Twisted's (``twisted.internet.error``); the sentences say what happened and what
would be right. Errors that a peer or the network causes arrive as `Failure`s (``connectionLost``,
``clientConnectionFailed``, a Deferred's errback); errors that the caller causes are raised.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from wirebook.deferred import CancelledError
from wirebook.installed import ReactorAlreadyInstalledError as ReactorAlreadyInstalledError


class _Sentence(Exception):
    """An exception with a sentence of its own, used when it is raised without a message."""

    sentence = "something went wrong"

    def __str__(self) -> str:
        detail = " ".join(str(arg) for arg in self.args)
        return detail or self.sentence


# --- what a host knows of an error -----------------------------------------------------------------------

Adviser: TypeAlias = Callable[[Exception], str]
_adviser: Adviser | None = None


def setAdviser(adviser: Adviser | None) -> None:
    """Let `adviser` add to the text of network errors what it knows beyond them: who has a port, who listens.

    It is called with the error when somebody reads its text for the first time, on any thread, also in the turn,
    so it must be quick and not raise. It returns a clause that says what is the case and what can be done, or
    nothing. None: nobody knows more.
    """
    global _adviser
    _adviser = adviser


class _Advised(_Sentence):
    """An error that a host may know more about."""

    _advice: str | None = None

    def _advised(self, default: str = "") -> str:
        """What follows the text: the adviser's clause, or `default`."""
        if self._advice is None and _adviser is not None:
            self._advice = _adviser(self)
        return f"; {self._advice}" if self._advice else default


# --- listening -------------------------------------------------------------------------------------------


class BindError(_Advised):
    """The local address could not be taken."""

    sentence = "the local address could not be bound"


class CannotListenError(BindError):
    """A port could not be opened.

    ``interface`` and ``port`` are what was asked for (None and the path of a UNIX socket), ``transportName`` what
    was to listen there ("TCP" or "UDP"), ``socketError`` is the operating system's answer.
    """

    transportName = "TCP"

    def __init__(self, interface: str | None, port: int | str, socketError: OSError) -> None:
        super().__init__(interface, port, socketError)
        self.interface = interface
        self.port = port
        self.socketError = socketError

    def __str__(self) -> str:
        place, hint = str(self.port), ""
        if self.interface is not None:
            place, hint = f"{self.interface}:{self.port}", _LISTEN_HINTS.get(self.socketError.errno or 0, "")
        return f"cannot listen on {place}: {describe(self.socketError)}{self._advised(hint)}"


_LISTEN_HINTS = {
    errno.EADDRINUSE: "; stop what listens there, choose another port, or 0 for any free one",
    errno.EACCES: "; ports below 1024 need privileges: choose one above, or 0 for any free one",
    errno.EADDRNOTAVAIL: "; the interface must be an address of this machine, for example 127.0.0.1",
}


class NotListeningError(RuntimeError):
    """The port is not listening (any more)."""


class UnsupportedAddressFamily(Exception):
    """A socket was given whose address family nothing here can use: neither ``AF_INET`` nor ``AF_INET6``."""


class UnsupportedSocketType(Exception):
    """A socket was given that is of another type than is needed here."""


class AlreadyListened(_Sentence):
    """An endpoint that can listen only once was asked to listen again."""

    sentence = "this endpoint has been used already: its descriptor belongs to the port now"


# --- datagrams -------------------------------------------------------------------------------------------


class MessageLengthError(_Sentence):
    """A datagram is longer than the system or the network carries."""

    sentence = "the datagram is too long to be sent"


class InvalidAddressError(ValueError):
    """An address that is none, or is of another family. ``address`` is what was given, ``message`` what is wrong."""

    def __init__(self, address: object, message: str) -> None:
        super().__init__(address, message)
        self.address = address
        self.message = message

    def __str__(self) -> str:
        return f"{self.address!r}: {self.message}"


class MulticastJoinError(_Sentence):
    """A multicast group could not be joined, or left."""

    sentence = "the multicast group could not be joined"


# --- connecting ------------------------------------------------------------------------------------------


class ConnectError(_Advised):
    """A connection attempt failed. ``osError`` is the errno and ``address`` where it led, where these are known."""

    sentence = "the connection attempt failed"
    address: Any = None

    def __init__(self, osError: int | None = None, string: str | Exception = "") -> None:
        super().__init__(*([string] if string else []))
        self.osError = osError

    def __str__(self) -> str:
        return super().__str__() + self._advised()


class ConnectBindError(ConnectError):
    """The local address asked for (``bindAddress``) could not be taken."""

    sentence = "the local address for the connection could not be bound"


class UnknownHostError(ConnectError):
    """The host's address is not known."""

    sentence = "the host name could not be looked up"


class ServiceNameUnknownError(ConnectError):
    """A port was named, and the system knows no service of that name (``/etc/services``)."""

    sentence = "no service of that name is known"


class NoRouteError(ConnectError):
    """There is no route to the host."""

    sentence = "there is no route to the host"


class ConnectionRefusedError(ConnectError):
    """Nobody listens there: the peer answered the first segment with a reset."""

    sentence = "the connection was refused: nothing listens on that port"


class TCPTimedOutError(ConnectError):
    """The operating system gave up waiting for the peer."""

    sentence = "the peer did not answer in time (TCP gave up)"


class UserError(ConnectError):
    """The attempt was ended by this program (``stopConnecting``)."""

    sentence = "the connection attempt was stopped by this program"


class TimeoutError(UserError):
    """The attempt took longer than the timeout that the caller set."""

    sentence = "the connection attempt timed out"


class BadFileError(ConnectError):
    """The path is no socket that anybody serves."""

    sentence = "nobody serves this UNIX socket"


class SSLError(ConnectError):
    """TLS could not be spoken. Never given here, where it is OpenSSL's own error; programs name it in traps."""

    sentence = "the connection could not be secured"


class ConnectInProgressError(Exception):
    """An attempt is under way already. Never raised here, where that is a RuntimeError; programs name it in traps."""


class DNSLookupError(OSError):
    """A host name does not resolve."""


class ConnectingCancelledError(CancelledError):
    """The Deferred of a connection attempt was cancelled. ``address`` is where it would have led."""

    def __init__(self, address: Any) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"the attempt to connect to {self.address} was cancelled"


class NoProtocol(_Sentence):
    """A factory has built None for a connection, which was therefore closed."""

    sentence = "the factory refused the connection: buildProtocol() gave None"


class NotConnectingError(RuntimeError):
    """``stopConnecting`` was called while no attempt was under way."""


_CONNECT_ERRORS: dict[int, type[ConnectError]] = {
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.ETIMEDOUT: TCPTimedOutError,
    errno.ENETUNREACH: NoRouteError,
    errno.EHOSTUNREACH: NoRouteError,
    errno.EADDRNOTAVAIL: ConnectBindError,
    errno.EADDRINUSE: ConnectBindError,
}


def getConnectError(e: Exception | tuple[int, str]) -> ConnectError:
    """The `ConnectError` for what a socket call raised, or for a pair (errno, text)."""
    arguments = e.args if isinstance(e, Exception) else e
    if len(arguments) != 2:
        return ConnectError(string=e if isinstance(e, Exception) else str(e))
    number, text = arguments
    kind = UnknownHostError if isinstance(e, socket.gaierror) else _CONNECT_ERRORS.get(number, ConnectError)
    return kind(number, text)


def connect_error(number: int, target: object = None, sentence: str = "") -> ConnectError:
    """The `ConnectError` for an errno, with the target, an address or its text, when that is given.

    `sentence` says what is wrong; without one it is what the errno means.
    """
    kind = _CONNECT_ERRORS.get(number, ConnectError)
    if not sentence:
        sentence = describe(OSError(number, os.strerror(number))) if kind is ConnectError else kind.sentence
    error = kind(number, f"cannot connect to {target}: {sentence}" if target else sentence)
    error.address = target
    return error


# --- connections -----------------------------------------------------------------------------------------


class ConnectionClosed(_Sentence):
    """A connection ended, cleanly or not: the base of the reasons that ``connectionLost`` gets."""

    sentence = "the connection was closed"


class ConnectionLost(ConnectionClosed):
    """The connection ended in a way that may have lost data."""

    sentence = "the connection was lost in a non-clean fashion"


class ConnectionAborted(ConnectionLost):
    """This program ended the connection with ``abortConnection``."""

    sentence = "the connection was aborted by this program"


class FileDescriptorOverrun(ConnectionLost):
    """More descriptors were given to ``sendFileDescriptor`` than bytes to ``write`` after them; each needs one."""

    sentence = "a descriptor was to be sent without a byte to travel with: write() after sendFileDescriptor()"


class WriteBacklogError(ConnectionAborted):
    """The peer read so much slower than this program wrote that the connection was given up."""

    sentence = "too many bytes waited to be sent"


class ConnectionFdescWentAway(ConnectionLost):
    """A reader's or writer's descriptor was closed without removing it from the reactor."""

    sentence = "the descriptor was closed, but not removed from the reactor"


class ConnectionDone(ConnectionClosed):
    """The connection was closed cleanly, by either side."""

    sentence = "the connection was closed cleanly"


class ProcessDone(ConnectionDone):
    """A process has ended with exit code 0. ``status`` is what ``os.wait`` gave; ``signal`` is None."""

    exitCode = 0
    signal = None

    def __init__(self, status: int | None = None) -> None:
        super().__init__("the process ended with exit code 0")
        self.status = status


class ProcessTerminated(ConnectionLost):
    """A process has ended with an exit code that is not 0, or by a signal.

    ``exitCode`` is None when a signal ended it, ``signal`` (a number) when it exited by itself, ``status`` is what
    ``os.wait`` gave. All are None when somebody else has collected its status: a program that waits for any
    child, or that ignores SIGCHLD.
    """

    def __init__(self, exitCode: int | None = None, signal: int | None = None, status: int | None = None) -> None:
        how = "; how is not known, for something else in this program has collected its status"
        if exitCode is not None:
            how = f" with exit code {exitCode}"
        elif signal is not None:
            how = f" by signal {signal} ({_signal_name(signal)})"
        super().__init__(f"the process ended{how}")
        self.exitCode = exitCode
        self.signal = signal
        self.status = status


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


class NotConnectedError(ConnectionClosed):
    """Something needs a connection, and there is none (any more)."""

    sentence = "there is no connection"


class VerifyError(Exception):
    """A certificate, or a request for one, does not belong to its key, or was refused."""


class PeerVerifyError(VerifyError):
    """The peer could not be verified."""


class CertificateError(Exception):
    """There is no certificate where one was asked for."""


class NotSecuredError(AttributeError):
    """A transport without TLS was asked for what only TLS gives. It is an AttributeError, so ``hasattr`` tells."""


# What helps against an error wherever it comes up.
_REMEDIES = {errno.EMFILE: "; close connections, or raise the limit (ulimit -n)"}


def describe(error: OSError) -> str:
    """An operating system's error in words: the sentence with the errno's name, and what helps if that is known."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    name = errno.errorcode.get(error.errno or 0, "")
    text = error.strerror or str(error)
    text = text if text[:2].isupper() else text[:1].lower() + text[1:]
    return f"{text} ({name}){_REMEDIES.get(error.errno or 0, '')}" if name else text


# --- calls and the reactor -------------------------------------------------------------------------------


class AlreadyCalled(ValueError):
    """The delayed call has run already, so it can no longer be cancelled or moved."""


class AlreadyCancelled(ValueError):
    """The delayed call was cancelled already."""


class ReactorNotRunning(RuntimeError):
    """The reactor is not running, so it cannot be stopped."""


class ReactorAlreadyRunning(RuntimeError):
    """The reactor is running already in another thread, or further up in this one."""


class ReactorNotRestartable(RuntimeError):
    """The reactor was closed for good, so it cannot run. One that was only stopped can."""


# --- processes -------------------------------------------------------------------------------------------


class ProcessExitedAlready(_Sentence):
    """The process has exited, so it can get no more signals."""

    sentence = "the process has exited already"


class PotentialZombieWarning(Warning):
    """How a process ended might not be reported. Never issued here; programs name it in warning filters."""
