"""Protocols and factories: the part that a program writes.

A protocol never opens a socket and a transport never parses. The two meet in ``makeConnection``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from wirebook.deferred import Deferred
from wirebook.error import ConnectingCancelledError, ConnectionDone, NoProtocol, NotConnectingError
from wirebook.failure import Failure
from wirebook.installed import the_reactor
from wirebook.logger import report_event
from wirebook.turn import in_turn

if TYPE_CHECKING:
    from wirebook.interfaces import (
        IAddress,
        IConnector,
        IDelayedCall,
        IProcessTransport,
        IReactorTCP,
        IReactorTime,
        ITCPTransport,
    )

connectionDone = Failure(ConnectionDone())


class BaseProtocol:
    """What every protocol has: a transport, once it is connected."""

    connected = 0
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and call `connectionMade`. Called by the transport, on the reactor."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """Called when the connection stands: the place for a greeting. Override it."""


class Protocol(BaseProtocol):
    """A protocol over a stream of bytes: subclass it and override the three events."""

    factory: Factory | None = None
    transport: ITCPTransport

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived, in order, in pieces of any size. TCP keeps no message boundaries."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called once, at the end. `reason` wraps `ConnectionDone`, `ConnectionLost` or what was raised."""

    def logPrefix(self) -> str:
        """A short name for logs."""
        return type(self).__name__


class ProcessProtocol(BaseProtocol):
    """A protocol for a child process; see ``reactor.spawnProcess``. Override the events that matter."""

    transport: IProcessTransport

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Called with what the process wrote to its descriptor `childFD`. Calls `outReceived` or `errReceived`."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """Called with what the process wrote to its standard output."""

    def errReceived(self, data: bytes) -> None:
        """Called with what the process wrote to its standard error output."""

    def childConnectionLost(self, childFD: int) -> None:
        """Called when the pipe to descriptor `childFD` is closed. Calls one of the next three."""
        if childFD == 0:
            self.inConnectionLost()
        elif childFD == 1:
            self.outConnectionLost()
        elif childFD == 2:
            self.errConnectionLost()

    def inConnectionLost(self) -> None:
        """Called when the pipe to its standard input is closed."""

    def outConnectionLost(self) -> None:
        """Called when the pipe from its standard output is closed."""

    def errConnectionLost(self) -> None:
        """Called when the pipe from its standard error output is closed."""

    def processExited(self, reason: Failure) -> None:
        """Called when the process has exited. `reason` wraps `ProcessDone` or `ProcessTerminated`."""

    def processEnded(self, reason: Failure) -> None:
        """Called at the very end: it has exited and all pipes are closed, so that all output was delivered."""


class Factory:
    """Makes a protocol for every connection, and holds what they share.

    Set ``protocol`` to a class (or any callable that returns a protocol), or override `buildProtocol`.
    """

    protocol: Callable[..., Any] | None = None
    numPorts = 0
    noisy = True

    @classmethod
    def forProtocol(cls, protocol: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """A factory of this class, made with the further arguments, whose connections get `protocol`."""
        if not callable(protocol):
            raise TypeError(
                f"forProtocol() takes a Protocol class or a callable that returns a protocol, not {protocol!r}"
            )
        factory = cls(*args, **kwargs)
        factory.protocol = protocol
        return factory

    def doStart(self) -> None:
        """Count one more port or connector that uses this factory; the first one calls `startFactory`."""
        if self.numPorts == 0:
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """Count one less; the last one calls `stopFactory`."""
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            self.stopFactory()

    def startFactory(self) -> None:
        """Called before the first port or connector starts. Override it."""

    def stopFactory(self) -> None:
        """Called after the last port or connector stopped. Override it."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The protocol for a new connection from `addr`, or None to refuse it (it is closed at once)."""
        if self.protocol is None:
            raise TypeError(
                f"{type(self).__name__}.protocol is not set: assign a Protocol class, "
                "use Factory.forProtocol(YourProtocol), or override buildProtocol()"
            )
        protocol = self.protocol()
        protocol.factory = self
        return protocol

    def logPrefix(self) -> str:
        """A short name for logs."""
        return type(self).__name__


class ServerFactory(Factory):
    """A factory for servers: the name that older programs use."""


class ClientFactory(Factory):
    """A factory for ``connectTCP``: also told of how the attempt goes."""

    def startedConnecting(self, connector: IConnector) -> None:
        """Called when an attempt begins; ``connector.stopConnecting()`` would end it."""

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Called when an attempt failed; ``connector.connect()`` tries again."""

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Called when an established connection ended; ``connector.connect()`` makes a new one."""


class ReconnectingClientFactory(ClientFactory):
    """A client factory that connects again when an attempt failed or a connection ended, less and less often.

    The first wait is ``initialDelay`` seconds; each one is ``factor`` times as long as the one before, but no longer
    than ``maxDelay``. ``jitter`` varies it by that share at random (normally distributed; None: not at all), so that
    the clients of a server that was down do not all come at once. After ``maxRetries`` waits in a row (None: any
    number) it gives up. Call `resetDelay` when a connection has proved good, in ``connectionMade`` for instance.

    ``delay`` is the next wait, ``retries`` how many there were in a row, ``continueTrying`` whether it goes on, and
    ``connector`` the one in use. ``clock`` is whose time counts, by default (None) the process's reactor's. A copy
    by pickle keeps the settings and begins anew.
    """

    initialDelay: float = 1.0
    maxDelay: float = 3600
    factor: float = 2.7182818284590451
    jitter: float | None = 0.119626565582
    maxRetries: int | None = None
    retries = 0
    continueTrying = 1
    connector: Any = None
    clock: IReactorTime | None = None
    _callID: IDelayedCall | None = None
    _delay: float | None = None

    @property
    def delay(self) -> float:
        """The next wait in seconds."""
        return self.initialDelay if self._delay is None else self._delay

    @delay.setter
    def delay(self, delay: float) -> None:
        self._delay = delay

    def startedConnecting(self, connector: IConnector) -> None:
        self.connector = connector

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._ended(connector)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self._ended(connector)

    def _ended(self, connector: IConnector) -> None:
        if self.continueTrying:
            self.connector = connector
            self.retry()

    @in_turn
    def retry(self, connector: IConnector | None = None) -> None:
        """Let `connector` connect after a wait; None means the one in use. `ValueError` when there is none. Any thread.

        It is not done after `stopTrying`, nor when ``maxRetries`` are used up.
        """
        connector = connector or self.connector
        if not self.continueTrying:
            self._tell(f"{connector} is given up: stopTrying() was called")
            return
        if connector is None:
            raise ValueError("there is no connector to retry: give one, or connect first")
        self.retries += 1
        if self.maxRetries is not None and self.retries > self.maxRetries:
            self._tell(f"{connector} is given up: {self.maxRetries} retries have failed")
            return
        self.delay = self._jittered()
        self._tell(f"{connector} connects again in {self.delay:.1f} seconds")
        self._stop_waiting()
        self._callID = (self.clock or the_reactor()).callLater(self.delay, self._reconnect, connector)
        self.delay = min(self.delay * self.factor, self.maxDelay)

    def _jittered(self) -> float:
        if not self.jitter:
            return self.delay
        from random import normalvariate

        delay = normalvariate(self.delay, self.delay * self.jitter)
        # What is over the maximum is mirrored, so that at the maximum the waits still differ.
        return max(0.0, min(delay, 2 * max(self.maxDelay, self.delay) - delay))

    def _reconnect(self, connector: IConnector) -> None:
        self._callID = None
        connector.connect()

    def _stop_waiting(self) -> None:
        call, self._callID = self._callID, None
        if call is not None and call.active():
            call.cancel()

    def _tell(self, what: str) -> None:
        if self.noisy:
            report_event(f"{self.logPrefix()}: {what}", level=logging.INFO)

    @in_turn
    def stopTrying(self) -> None:
        """Connect no more: end a wait or an attempt under way. A connection that stands stays. Any thread."""
        self._stop_waiting()
        self.continueTrying = 0
        if self.connector is not None:
            with suppress(NotConnectingError):
                self.connector.stopConnecting()

    @in_turn
    def resetDelay(self) -> None:
        """Begin with the first wait again, and try (again): the connection has proved good. Any thread."""
        self._delay = None
        self.retries = 0
        self.continueTrying = 1

    def __getstate__(self) -> dict[str, Any]:
        passing = {"connector", "retries", "_delay", "continueTrying", "_callID", "clock"}
        return {name: value for name, value in vars(self).items() if name not in passing}


_FACTORY_METHODS = ("buildProtocol", "doStart", "doStop")
_CLIENT_METHODS = (*_FACTORY_METHODS, "startedConnecting", "clientConnectionFailed", "clientConnectionLost")


def check_factory(factory: Any, verb: str, client: bool = False) -> None:
    """Raise `TypeError` unless `factory` is one, or a client's one; `verb` is what was called with it."""
    methods = _CLIENT_METHODS if client else _FACTORY_METHODS
    # A class has the methods of its instances, so it must be caught on its own.
    if isinstance(factory, type) or not all(callable(getattr(factory, name, None)) for name in methods):
        name = factory.__name__ if isinstance(factory, type) else "YourProtocol"
        raise TypeError(
            f"{verb}() takes a factory, not {factory!r}: wrap the protocol class, "
            f"for example {'ClientFactory' if client else 'Factory'}.forProtocol({name})"
        )


def build_protocol(factory: Any, addr: Any) -> Any:
    """What ``factory.buildProtocol(addr)`` gives, a protocol or None. Raises `TypeError` when it is neither."""
    return check_protocol(factory.buildProtocol(addr), factory)


def check_protocol(protocol: Any, factory: Any) -> Any:
    """`protocol`, which `factory` has built. Raises `TypeError` when it is neither a protocol nor None."""
    if protocol is None or (hasattr(protocol, "makeConnection") and not isinstance(protocol, type)):
        return protocol
    what, right = f"{protocol!r}, which is no protocol", "return an instance of a Protocol, or None to refuse"
    if isinstance(protocol, type):
        what, right = f"the class {protocol.__name__}", f"return an instance, {protocol.__name__}()"
    raise TypeError(f"{type(factory).__name__}.buildProtocol() returned {what}: {right}")


def need_protocol(factory: Any, addr: Any) -> Any:
    """As `build_protocol`, but raises `NoProtocol` when the factory gives None."""
    protocol = build_protocol(factory, addr)
    if protocol is None:
        raise NoProtocol
    return protocol


class AbstractDatagramProtocol:
    """What every protocol over datagrams has: a transport while it is in use, and the count of its ports."""

    transport: Any = None
    numPorts = 0
    noisy = True

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and call `doStart`. Called by the transport."""
        self.transport = transport
        self.doStart()

    def doStart(self) -> None:
        """Count one more port that uses this protocol; the first one calls `startProtocol`."""
        if self.numPorts == 0:
            self.startProtocol()
        self.numPorts += 1

    def doStop(self) -> None:
        """Count one less; the last one takes the transport away and calls `stopProtocol`."""
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if self.numPorts == 0:
            self.transport = None
            self.stopProtocol()

    def startProtocol(self) -> None:
        """Called when the first port is open; the transport may be used. Override it."""

    def stopProtocol(self) -> None:
        """Called when the last port has closed. Override it."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Called with every datagram, whole, and with its sender: a pair (host, port) for UDP. Override it.

        Datagrams may be lost, doubled, or come in another order than they were sent in.
        """


class DatagramProtocol(AbstractDatagramProtocol):
    """A protocol over datagrams: subclass it and override `datagramReceived`."""

    def logPrefix(self) -> str:
        """A short name for logs."""
        return type(self).__name__

    def connectionRefused(self) -> None:
        """Called in connected mode when the peer's machine said that nobody is there; for an earlier write."""


class ConnectedDatagramProtocol(DatagramProtocol):
    """A protocol for ``connectUNIXDatagram``, where there is only one peer. UDP takes any `DatagramProtocol`."""

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # Twisted's signature
        """Called with every datagram, whole. Override it."""

    def connectionFailed(self, failure: Failure) -> None:
        """Called when there is no peer to connect to."""


class OneConnection(ClientFactory):
    """A client factory for one connection, which reports how it went through the Deferred ``connected``.

    The protocol comes from `factory`; when that raises or gives None the Deferred fails. Cancelling it ends the
    attempt, and it fails with `ConnectingCancelledError`.
    """

    noisy = False

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self.connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def doStart(self) -> None:
        check_factory(self.factory, "connect")
        self.factory.doStart()

    def doStop(self) -> None:
        self.factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self.connector = connector

    def _cancel(self, _: Deferred[Any]) -> None:
        connector = self.connector
        if connector is not None:
            self.connected.errback(ConnectingCancelledError(connector.getDestination()))
            try:
                connector.stopConnecting()
            except NotConnectingError:
                # It was cancelled in connectionMade().
                connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        try:
            protocol = need_protocol(self.factory, addr)
        except SystemExit:
            raise
        except BaseException:
            self.connected.errback()
            return None
        return _Announcing(protocol, self.connected)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        # Only if the protocol raised in makeConnection, so that the Deferred has not fired.
        self.clientConnectionFailed(connector, reason)


class _Announcing:
    """Stands in for a protocol until it is connected, then steps aside and fires the Deferred.

    The Deferred fires after ``connectionMade``, so its callbacks may use the transport at once. Whoever goes on to
    call this one, because it keeps no ``protocol`` for others to set, calls the protocol.
    """

    def __init__(self, protocol: Any, connected: Deferred[Any]) -> None:
        self.protocol = protocol
        self.connected = connected

    @property  # type: ignore[misc]  # typeshed lets it be set
    def __class__(self) -> Any:
        # For isinstance(): whoever builds a protocol with the factory, as tests do, gets this one.
        return type(self.protocol)

    def makeConnection(self, transport: Any) -> None:
        if getattr(transport, "protocol", None) is self:
            transport.protocol = self.protocol
        self.protocol.makeConnection(transport)
        if not self.connected.called:
            # What only stands before the program's protocol, as network conditions do, says for whom.
            self.connected.callback(getattr(self.protocol, "stands_for", self.protocol))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)


class _Anonymous(Factory):
    """Builds protocols that know no factory: what `ClientCreator` promises."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self.protocol() if self.protocol is not None else None


class ClientCreator:
    """Connects protocols that need no factory; each ``connect...`` call makes one connection.

    `protocolClass` is called with the further arguments for each. See `wirebook.endpoints` for more.
    """

    def __init__(self, reactor: IReactorTCP, protocolClass: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.reactor = reactor
        self.protocolClass = protocolClass
        self.args = args
        self.kwargs = kwargs

    def connectTCP(
        self, host: str, port: int, timeout: float = 30, bindAddress: tuple[str, int] | None = None
    ) -> Deferred[Any]:
        """Connect to `host`:`port` within `timeout` seconds. Fires with the connected protocol."""
        factory = self._factory()
        factory.connector = self.reactor.connectTCP(host, port, factory, timeout=timeout, bindAddress=bindAddress)
        return factory.connected

    def connectUNIX(self, address: Any, timeout: float = 30, checkPID: bool = False) -> Deferred[Any]:
        """Connect to the UNIX socket `address`. Fires with the connected protocol."""
        factory = self._factory()
        reactor: Any = self.reactor
        factory.connector = reactor.connectUNIX(address, factory, timeout=timeout, checkPID=checkPID)
        return factory.connected

    def connectSSL(
        self,
        host: str,
        port: int,
        contextFactory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Deferred[Any]:
        """Connect to `host`:`port` and speak TLS with these options. Fires with the connected protocol."""
        factory = self._factory()
        reactor: Any = self.reactor
        factory.connector = reactor.connectSSL(
            host, port, factory, contextFactory, timeout=timeout, bindAddress=bindAddress
        )
        return factory.connected

    def _factory(self) -> OneConnection:
        return OneConnection(_Anonymous.forProtocol(partial(self.protocolClass, *self.args, **self.kwargs)))


class FileWrapper:
    """A transport that writes to a file, and delivers nothing: to see what a protocol says.

    ``disconnecting`` and ``closed`` tell whether the end was asked for. Any thread may use it, one at a time.
    """

    disconnecting = 0
    closed = 0
    producer: Any = None
    streamingProducer: Any = 0

    def __init__(self, file: Any) -> None:
        self.file = file
        self._written = False

    def write(self, data: bytes) -> None:
        """Write `data`. Raises as the file's own method."""
        self.file.write(data)
        self._written = True

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write several pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the file."""
        self.disconnecting = self.closed = 1
        self.file.close()

    def getPeer(self) -> tuple[str, str]:
        """Where a connection would lead: nowhere."""
        return "file", "file"

    def getHost(self) -> str:
        """Where a connection would come from: nowhere."""
        return "file"

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take `producer`; one that has to be asked is asked as long as it writes."""
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} is registered")
        self.producer, self.streamingProducer = producer, streaming
        self._written = not streaming
        while self._written and self.producer is producer:
            self._written = False
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self.producer = None

    def stopConsuming(self) -> None:
        """Forget the producer, and close the file."""
        self.unregisterProducer()
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Nothing to do: nothing is delivered."""

    resumeProducing = pauseProducing

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()
