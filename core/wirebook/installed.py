"""The process's reactor: the one that is meant where a program names none.

Twisted's API lets callers leave the reactor out (``LoopingCall(f).start(1)``, ``deferToThread(f)``). The modules
that offer this stand below the reactor or beside it, so they ask here; `wirebook` puts its reactor in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook.transports.reactor import Reactor

_reactor: Reactor | None = None


class ReactorAlreadyInstalledError(AssertionError):
    """The process has a reactor already."""


def install(reactor: Reactor) -> None:
    """Make `reactor` the process's reactor. `ReactorAlreadyInstalledError` when there is one already."""
    global _reactor
    if _reactor is not None:
        raise ReactorAlreadyInstalledError(
            f"this process has a reactor already, {_reactor!r}: use it, or pass yours where it is meant"
        )
    _reactor = reactor


def the_reactor() -> Reactor:
    """The process's reactor, the instance that ``from wirebook import reactor`` gives."""
    if _reactor is None:
        raise RuntimeError("this process has no reactor yet: import wirebook completely first")
    return _reactor
