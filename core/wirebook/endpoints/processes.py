"""Programs: one that is started and spoken with over its standard streams, and this one's own standard streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from wirebook.deferred import Deferred, execute, fail, succeed
from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.interfaces import IProtocolFactory
from wirebook.logger import Logger
from wirebook.protocol import need_protocol
from wirebook.stdio import PipeAddress, StandardIO
from wirebook.turn import in_turn

_log = Logger()


class StandardErrorBehavior(Enum):
    """What becomes of what a program writes to its standard error: it goes to the log, or nowhere."""

    LOG = "log"
    DROP = "drop"


class ProcessAddress:
    """The address of a child process's standard streams."""

    def __repr__(self) -> str:
        return "ProcessAddress()"

    def __str__(self) -> str:
        return "a process"


class StandardIOEndpoint:
    """This process's standard input and output, as one connection."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listen(self, stdioProtocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Join them with a protocol of the factory. Fires with the ``StandardIO``. Any thread."""
        return execute(self._open, stdioProtocolFactory)

    @in_turn
    def _open(self, factory: IProtocolFactory) -> Any:
        return StandardIO(need_protocol(factory, PipeAddress()), reactor=self._reactor)


class ProcessEndpoint:
    """The program `executable`, started anew for each connection; parameters as for ``reactor.spawnProcess``.

    `errFlag` says what becomes of its standard error.
    """

    def __init__(  # noqa: PLR0913 - as in Twisted
        self,
        reactor: Any,
        executable: str | bytes,
        args: Sequence[str | bytes] = (),
        env: Mapping[Any, Any] | None = {},
        path: str | bytes | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = 0,
        childFDs: Mapping[int, Any] | None = None,
        errFlag: StandardErrorBehavior = StandardErrorBehavior.LOG,
    ) -> None:
        self._spawn = (executable, args, env, path, uid, gid, usePTY, childFDs)
        self._reactor = reactor
        self._errFlag = errFlag

    @in_turn
    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Start it. Fires with the protocol; fails with what ``spawnProcess`` raises. Any thread.

        ``connectionLost`` gets `ConnectionDone` when the program ends with status 0, otherwise the process's reason.
        """
        try:
            protocol = need_protocol(protocolFactory, ProcessAddress())
            self._reactor.spawnProcess(_Bridge(protocol, self._spawn[0], self._errFlag), *self._spawn)
        except Exception:
            return fail()
        return succeed(protocol)


class ProcessEndpointTransport:
    """A process as the transport of a stream protocol."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._process, name)

    def __repr__(self) -> str:
        return f"<ProcessEndpointTransport of {self._process!r}>"


class _Bridge:
    """The process protocol that stands between a process and a stream protocol."""

    def __init__(self, protocol: Any, executable: str | bytes, error_flag: StandardErrorBehavior) -> None:
        self.protocol = protocol
        self.executable = executable
        self.error_flag = error_flag
        self._raised: Failure | None = None

    def _tell(self, method: Callable[..., object], *args: Any) -> None:
        try:
            method(*args)
        except BaseException:
            # As on every stream that is the end, which a program sees at its standard input.
            self._raised = Failure()
            self.transport.loseConnection()
            raise

    def makeConnection(self, process: Any) -> None:
        self.transport = ProcessEndpointTransport(process)
        self._tell(self.protocol.makeConnection, self.transport)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == 1:
            self._tell(self.protocol.dataReceived, data)
        elif childFD == 2 and self.error_flag is StandardErrorBehavior.LOG:
            _log.info(
                "{executable} wrote to its standard error, which {protocol} does not read: {data}",
                executable=self.executable,
                protocol=self.protocol,
                data=data,
            )

    def childConnectionLost(self, childFD: int) -> None:
        """One stream has ended: what counts is the end of the process."""

    def processExited(self, reason: Failure) -> None:
        """Its streams may still hold something."""

    def processEnded(self, reason: Failure) -> None:
        done = getattr(reason.value, "exitCode", None) == 0
        self.protocol.connectionLost(self._raised or (Failure(ConnectionDone()) if done else reason))
