"""How things end: with the reactor, with a factory that refuses or raises, with a descriptor that has gone."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any, ClassVar

from tests.core.deferred_kit import error_of
from tests.core.net_kit import PATIENCE, Recorder, Recorders, serving
from tests.core.tls_kit import authority, server_options
from wirebook.error import ConnectionDone, ConnectionFdescWentAway
from wirebook.failure import Failure
from wirebook.protocol import ClientCreator, DatagramProtocol, connectionDone
from wirebook.task import LoopingCall
from wirebook.transports.reactor import Reactor


class Ending(Recorder):
    """Notes its end in a list that all share."""

    ends: ClassVar[list[str]] = []

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.ends.append(type(reason.value).__name__)


def test_stopping_ends_ports_and_connections_and_tells_them() -> None:
    Ending.ends.clear()
    reactor = Reactor()
    servers, clients = Recorders(Ending), Recorders(Ending)
    port = reactor.listenTCP(0, servers)
    reactor.connectTCP("127.0.0.1", port.getHost().port, clients)

    def stop_when_connected() -> None:
        if servers.protocols and clients.protocols:
            both.stop()
            reactor.stop()

    both = LoopingCall(stop_when_connected)
    both.clock = reactor
    both.start(0.01)
    reactor.run(installSignalHandlers=False)
    assert Ending.ends == ["ConnectionLost", "ConnectionLost"]
    assert clients.events[-2:] == ["lost", "stop"]
    assert servers.events[-1] == "stop"
    assert not list(reactor.handles)
    reactor.close()


def test_stopping_tells_datagram_protocols_before_the_triggers_of_the_shutdown(tmp_path: Path) -> None:
    seen: list[str] = []

    class Datagrams(DatagramProtocol):
        def stopProtocol(self) -> None:
            seen.append("stopped")

    reactor = Reactor()
    reactor.listenUDP(0, Datagrams())
    reactor.listenUNIXDatagram(tmp_path / "sock", Datagrams())
    reactor.addSystemEventTrigger("during", "shutdown", seen.append, "during")
    reactor.callWhenRunning(reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert seen == ["stopped", "stopped", "during"]
    reactor.close()


def test_a_client_whose_factory_gives_no_protocol_hears_of_a_loss(reactor: Reactor) -> None:
    class Refusing(Recorders[Recorder]):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    factory = Refusing(Recorder)
    with serving(reactor, Recorders(Recorder)) as port:
        reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
        assert isinstance(factory.error(), ConnectionDone)
    assert "lost" in factory.events
    assert "failed" not in factory.events


def test_a_factory_that_raises_when_it_stops_fails_the_deferred(reactor: Reactor) -> None:
    class Raising(Recorders[Recorder]):
        def stopFactory(self) -> None:
            raise ValueError("no")

    port = reactor.listenTCP(0, Raising(Recorder))
    error_of(port.stopListening(), ValueError)
    assert port.state == "closed"


def test_a_client_creator_connects_over_unix_and_tls(reactor: Reactor, tmp_path: Path) -> None:
    creator = ClientCreator(reactor, Recorder)
    unix = reactor.listenUNIX(tmp_path / "sock", Recorders(Recorder))
    tls = reactor.listenSSL(0, Recorders(Recorder), server_options())
    options = authority().clientOptions("localhost")
    opened = [
        creator.connectUNIX(tmp_path / "sock").wait(5),
        creator.connectSSL("127.0.0.1", tls.getHost().port, options).wait(5),
    ]
    assert [protocol.transport.transportName for protocol in opened] == ["UNIX", "TLS"]
    for port in (unix, tls):
        port.stopListening()
    for protocol in opened:
        protocol.transport.abortConnection()


def test_a_reader_whose_descriptor_has_gone_is_told_and_removed(reactor: Reactor) -> None:
    class Reader:
        descriptor, lost = 0, threading.Event()

        def fileno(self) -> int:
            return self.descriptor

        def doRead(self) -> None:
            self.descriptor = -1

        def connectionLost(self, reason: Failure) -> None:
            self.reason = reason
            self.lost.set()

    one, other = socket.socketpair()
    with one, other:
        reader = Reader()
        reader.descriptor = one.fileno()
        reactor.addReader(reader)
        other.send(b"x")
        assert reader.lost.wait(PATIENCE)
        assert reader.reason.check(ConnectionFdescWentAway)
        assert reactor.getReaders() == []
