"""UNIX-domain sockets."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from wirebook.deferred import Deferred, execute
from wirebook.endpoints.connecting import connect_once
from wirebook.endpoints.tcp import given
from wirebook.interfaces import IProtocolFactory

Path: TypeAlias = "str | bytes | os.PathLike[str]"


class UNIXServerEndpoint:
    """A UNIX socket to serve; parameters as for ``reactor.listenUNIX``, whose `backlog` it is when it is None."""

    def __init__(
        self, reactor: Any, address: Path, backlog: int | None = None, mode: int = 0o666, wantPID: bool = False
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._backlog = backlog
        self._mode = mode
        self._wantPID = wantPID

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Listen. Fires with the port; fails with what ``listenUNIX`` raises. Any thread."""
        return execute(
            self._reactor.listenUNIX,
            self._address,
            protocolFactory,
            mode=self._mode,
            wantPID=self._wantPID,
            **given(backlog=self._backlog),
        )


class UNIXClientEndpoint:
    """A UNIX socket to connect to; `timeout` in seconds. With `checkPID` only a server with a lock file is tried."""

    def __init__(self, reactor: Any, path: Path, timeout: float | None = 30, checkPID: bool = False) -> None:
        self._reactor = reactor
        self._path = path
        self._timeout = timeout
        self._checkPID = checkPID

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """As `TCP4ClientEndpoint.connect`."""
        return connect_once(
            protocolFactory,
            lambda once: self._reactor.connectUNIX(self._path, once, timeout=self._timeout, checkPID=self._checkPID),
        )
