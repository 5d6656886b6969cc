"""What can go wrong on a network, divided by fault.

Names and hierarchy are Twisted's (``twisted.internet.error``); the sentences say what happened and what
would be right. Errors that a peer or the network causes arrive as `Failure`s (``connectionLost``,
``clientConnectionFailed``, a Deferred's errback); errors that the caller causes are raised.
"""

from __future__ import annotations

import errno
import os
import socket


class _Sentence(Exception):
    """An exception with a sentence of its own, used when it is raised without a message."""

    sentence = "something went wrong"

    def __str__(self) -> str:
        detail = " ".join(str(arg) for arg in self.args)
        return detail or self.sentence


# --- listening -------------------------------------------------------------------------------------------


class BindError(_Sentence):
    """The local address could not be taken."""

    sentence = "the local address could not be bound"


class CannotListenError(BindError):
    """A port could not be opened.

    ``interface`` and ``port`` are what was asked for, ``socketError`` the operating system's answer.
    """

    def __init__(self, interface: str, port: int | str, socketError: OSError) -> None:
        super().__init__(interface, port, socketError)
        self.interface = interface
        self.port = port
        self.socketError = socketError

    def __str__(self) -> str:
        hint = _LISTEN_HINTS.get(self.socketError.errno or 0, "")
        return f"cannot listen on {self.interface}:{self.port}: {describe(self.socketError)}{hint}"


_LISTEN_HINTS = {
    errno.EADDRINUSE: "; stop what listens there, choose another port, or 0 for any free one",
    errno.EACCES: "; ports below 1024 need privileges: choose one above, or 0 for any free one",
    errno.EADDRNOTAVAIL: "; the interface must be an address of this machine, for example 127.0.0.1",
    errno.EMFILE: "; close connections, or raise the limit (ulimit -n)",
}


class NotListeningError(RuntimeError):
    """The port is not listening (any more)."""


# --- connecting ------------------------------------------------------------------------------------------


class ConnectError(_Sentence):
    """A connection attempt failed. ``osError`` is the errno, where there is one."""

    sentence = "the connection attempt failed"

    def __init__(self, osError: int | None = None, string: str = "") -> None:
        super().__init__(*([string] if string else []))
        self.osError = osError


class ConnectBindError(ConnectError):
    """The local address asked for (``bindAddress``) could not be taken."""

    sentence = "the local address for the connection could not be bound"


class UnknownHostError(ConnectError):
    """The host's address is not known."""

    sentence = "the host name could not be looked up"


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


class DNSLookupError(OSError):
    """A host name does not resolve."""


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


def getConnectError(number: int, target: str = "") -> ConnectError:
    """The `ConnectError` for an errno, naming the target ("127.0.0.1:8007") when it is given."""
    kind = _CONNECT_ERRORS.get(number, ConnectError)
    sentence = kind.sentence if kind is not ConnectError else os.strerror(number)
    return kind(number, f"cannot connect to {target}: {sentence}" if target else sentence)


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


class WriteBacklogError(ConnectionAborted):
    """The peer read so much slower than this program wrote that the connection was given up."""

    sentence = "too many bytes waited to be sent"


class ConnectionDone(ConnectionClosed):
    """The connection was closed cleanly, by either side."""

    sentence = "the connection was closed cleanly"


class NotConnectedError(ConnectionClosed):
    """Something needs a connection, and there is none (any more)."""

    sentence = "there is no connection"


def describe(error: OSError) -> str:
    """An operating system's error in words: the sentence with the errno's name."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    name = errno.errorcode.get(error.errno or 0, "")
    text = (error.strerror or str(error)).lower()
    return f"{text} ({name})" if name else text


# --- calls and the reactor -------------------------------------------------------------------------------


class AlreadyCalled(ValueError):
    """The delayed call has run already, so it can no longer be cancelled or moved."""


class AlreadyCancelled(ValueError):
    """The delayed call was cancelled already."""


class ReactorNotRunning(RuntimeError):
    """The reactor is not running, so it cannot be stopped."""


class ReactorAlreadyRunning(RuntimeError):
    """The reactor is running already in another thread, or further up in this one."""
