"""Telling IPython what the framework's objects look like as a cell's value: text and HTML.

They are registered by name, so core needs to know nothing of Jupyter, and a kernel starts without importing what its
user may never need: TLS, processes, databases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from wirebook.turn import turn
from wirebook_kernel import pictures
from wirebook_kernel.pictures import Picture
from wirebook_kernel.status import Status

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Seconds that a repr waits for a callback that keeps the reactor.
PATIENCE: Final = 1.0


class Shown(Protocol):
    """What there is to show of an object."""

    def headline(self) -> str:
        """On one line, for what is inside something else."""

    def text(self) -> str:
        """As text."""

    def html(self) -> str:
        """As HTML."""


class _Overview:
    """The reactor itself: everything that is open."""

    def __init__(self, reactor: object) -> None:
        self._status = Status()
        self._reactor = reactor

    def headline(self) -> str:
        """On one line."""
        return repr(self._reactor)

    def text(self) -> str:
        """As ``%reactor`` shows it."""
        return repr(self._status)

    def html(self) -> str:
        """As ``%reactor`` shows it."""
        return self._status._repr_html_()


_ENDPOINTS = {
    "hostname": ("HostnameEndpoint",),
    "systemd": ("AdoptedStreamServerEndpoint",),
    "tcp": ("TCP4ClientEndpoint", "TCP4ServerEndpoint", "TCP6ClientEndpoint", "TCP6ServerEndpoint"),
    "tls": ("SSL4ClientEndpoint", "SSL4ServerEndpoint", "WrapperClientEndpoint", "WrapperServerEndpoint"),
    "unix": ("UNIXClientEndpoint", "UNIXServerEndpoint"),
}

PICTURES: Final[dict[str, Callable[[Any], Shown]]] = {
    "wirebook.adbapi.ConnectionPool": pictures.picture_connection_pool,
    "wirebook.deferred.core.Deferred": pictures.picture_deferred,
    "wirebook.deferred.locks.DeferredLock": pictures.picture_tokens,
    "wirebook.deferred.locks.DeferredSemaphore": pictures.picture_tokens,
    "wirebook.deferred.queues.DeferredQueue": pictures.picture_queue,
    "wirebook.failure.Failure": pictures.picture_failure,
    "wirebook.reactor.pool.ThreadPool": pictures.picture_thread_pool,
    "wirebook.reactor.timers.DelayedCall": pictures.picture_timer,
    "wirebook.ssl.certificates.Certificate": pictures.picture_certificate,
    "wirebook.ssl.certificates.PrivateCertificate": pictures.picture_certificate,
    "wirebook.task.cooperation.CooperativeTask": pictures.picture_task,
    "wirebook.task.looping.LoopingCall": pictures.picture_loop,
    "wirebook.transports._child.BaseProcess": pictures.picture_process,
    "wirebook.transports.accepting.AcceptingPort": pictures.picture_port,
    "wirebook.transports.connecting.Connector": pictures.picture_connector,
    "wirebook.transports.datagram.DatagramPort": pictures.picture_datagram_port,
    "wirebook.transports.memory.MemoryClientEndpoint": pictures.picture_endpoint,
    "wirebook.transports.memory.MemoryServerEndpoint": pictures.picture_endpoint,
    "wirebook.transports.reactor.Reactor": _Overview,
    "wirebook.transports.stream.StreamTransport": pictures.picture_connection,
    **{
        f"wirebook.endpoints.{module}.{name}": pictures.picture_endpoint
        for module, names in _ENDPOINTS.items()
        for name in names
    },
}
"""What shows the objects of a class and of its subclasses, by the class's full name.

A subclass with a ``__repr__`` of its own is named here too: to IPython that comes before its base class.
"""


def look(shown: object, picture: Callable[[Any], Shown]) -> Shown:
    """A picture of `shown` at one moment. Never raises, and never waits long."""
    name = type(shown).__name__
    try:
        if not turn.comes_within(PATIENCE):
            return Picture(name, "busy", (), "a callback keeps the reactor: look again when it is done")
        with turn:
            return picture(shown)
    except Exception as error:
        return Picture(name, "", (), f"it cannot be shown: {type(error).__name__}: {error}")


def install(shell: InteractiveShell) -> None:
    """Let `shell` show the framework's objects."""
    for kind, picture in PICTURES.items():
        _formatter(shell, "text/plain").for_type(kind, _printer(picture))
        _formatter(shell, "text/html").for_type(kind, _drawer(picture))


def uninstall(shell: InteractiveShell) -> None:
    """Take it back."""
    for kind in PICTURES:
        for mime in ("text/plain", "text/html"):
            _formatter(shell, mime).pop(kind, None)


def _formatter(shell: InteractiveShell, mime: str) -> Any:
    formatter = shell.display_formatter
    assert formatter is not None
    return formatter.formatters[mime]


def _printer(picture: Callable[[Any], Shown]) -> Callable[[Any, Any, bool], None]:
    def pretty(shown: Any, printer: Any, cycle: bool) -> None:
        seen = look(shown, picture)
        printer.text(seen.headline() if len(printer.stack) > 1 else seen.text())

    return pretty


def _drawer(picture: Callable[[Any], Shown]) -> Callable[[Any], str]:
    return lambda shown: look(shown, picture).html()
