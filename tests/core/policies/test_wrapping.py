"""The wrapper between a transport and a protocol, which neither of them should notice."""

from __future__ import annotations

import copy
import socket
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import cell, in_cell
from tests.core.net_kit import Echo, Recorder, Recorders, dial, receive_all, receive_exactly, serving
from tests.core.policies.policy_kit import PEER, Noting, Server, connect
from wirebook.error import ConnectionDone
from wirebook.failure import Failure
from wirebook.policies import (
    LimitConnectionsByPeer,
    ProtocolWrapper,
    ThrottlingFactory,
    TimeoutFactory,
    WrappingFactory,
)
from wirebook.protocol import ClientFactory, Factory, Protocol, connectionDone
from wirebook.testing import StringTransport
from wirebook.transports.reactor import Reactor


class Upper(ProtocolWrapper):
    """Changes what is sent."""

    def write(self, data: bytes) -> None:
        super().write(data.upper())


# ------------------------------------------------------------------------------------- as a protocol


def test_the_wrapped_protocol_has_the_wrapper_as_transport_and_its_own_factory() -> None:
    server = Server()
    factory = WrappingFactory(server)
    wrapper, transport = connect(factory)
    wrapped = wrapper.wrappedProtocol
    assert wrapped.transport is wrapper
    assert wrapped.factory is server
    assert (wrapper.transport, wrapper.factory) == (transport, factory)


def test_data_and_the_end_reach_the_wrapped_protocol() -> None:
    wrapper, transport = connect(WrappingFactory(Server()))
    wrapped = wrapper.wrappedProtocol
    wrapper.dataReceived(b"one")
    transport.loseConnection()
    assert wrapped.data == b"one"
    assert [type(reason.value) for reason in wrapped.lost] == [ConnectionDone]


def test_at_the_end_wrapper_and_protocol_no_longer_hold_each_other() -> None:
    wrapper, transport = connect(WrappingFactory(Server()))
    transport.loseConnection()
    assert wrapper.wrappedProtocol is None


def test_the_factory_knows_the_wrappers_whose_connections_stand() -> None:
    factory = WrappingFactory(Server())
    one, transport = connect(factory)
    two, _ = connect(factory)
    assert list(factory.protocols) == [one, two]
    transport.loseConnection()
    assert list(factory.protocols) == [two]


@pytest.mark.parametrize(
    "event", ["readConnectionLost", "writeConnectionLost", "handshakeCompleted", "fileDescriptorReceived"]
)
def test_events_that_a_protocol_may_have_are_there_only_when_it_has_them(event: str) -> None:
    wrapper, _ = connect(WrappingFactory(Server()))
    assert not hasattr(wrapper, event)
    heard: list[Any] = []
    setattr(wrapper.wrappedProtocol, event, lambda: heard.append(event))
    getattr(wrapper, event)()
    assert heard == [event]


def test_the_end_is_told_although_the_factory_raises() -> None:
    class Broken(WrappingFactory):
        def unregisterProtocol(self, p: Any) -> None:
            raise OSError("disk full")

    wrapper, transport = connect(Broken(Server()))
    wrapped = wrapper.wrappedProtocol
    with pytest.raises(OSError, match="disk full"):
        transport.loseConnection()
    assert len(wrapped.lost) == 1


# ------------------------------------------------------------------------------------ as a transport


def test_whatever_the_transport_can_do_the_wrapper_can_do() -> None:
    wrapper, transport = connect(WrappingFactory(Server()))
    assert (wrapper.getHost(), wrapper.getPeer()) == (transport.getHost(), transport.getPeer())
    wrapper.write(b"one")
    wrapper.writeSequence([b" two", b" three"])
    assert transport.value() == b"one two three"
    wrapper.registerProducer(producer := Noting(), True)
    assert (transport.producer, transport.streaming) == (producer, True)
    wrapper.unregisterProducer()
    assert transport.producer is None
    wrapper.pauseProducing()
    assert transport.producerState == "paused"
    transport.stopConsuming = lambda: "stopped"
    transport.getPeerCertificate = lambda: "certificate"
    wrapper.stopConsuming()
    assert wrapper.getPeerCertificate() == "certificate"


def test_what_the_transport_lacks_the_wrapper_lacks() -> None:
    wrapper, _ = connect(WrappingFactory(Server()))
    assert not hasattr(wrapper, "getPeerCertificate")
    assert not hasattr(wrapper, "_private")
    assert not hasattr(ProtocolWrapper(WrappingFactory(Server()), Noting()), "io")


def test_a_wrapper_that_intercepts_writing_offers_no_way_around_it() -> None:
    factory = WrappingFactory(Server())
    wrapper, transport = connect(factory)
    transport.writeFile = lambda *_: None
    assert wrapper.writeFile is transport.writeFile
    factory.protocol = Upper
    wrapper, transport = connect(factory)
    transport.writeFile = lambda *_: None
    assert not hasattr(wrapper, "writeFile")


def test_losing_the_connection_shows_on_the_wrapper() -> None:
    wrapper = ProtocolWrapper(WrappingFactory(Server()), Noting())
    wrapper.makeConnection(StringTransport())
    assert not wrapper.disconnecting
    wrapper.loseConnection()
    assert wrapper.disconnecting
    assert wrapper.transport.disconnecting


def test_an_end_that_was_asked_for_beneath_shows_on_the_wrapper() -> None:
    wrapper = ProtocolWrapper(WrappingFactory(Server()), Noting())
    wrapper.makeConnection(transport := StringTransport())
    transport.loseConnection()
    assert wrapper.disconnecting


def test_setting_the_tap_or_the_limits_sets_those_of_the_transport() -> None:
    wrapper, transport = connect(WrappingFactory(Server()))
    wrapper.tap, wrapper.writeLimits = "tap", "limits"
    assert (transport.tap, transport.writeLimits) == ("tap", "limits")
    assert (wrapper.tap, wrapper.writeLimits) == ("tap", "limits")


def test_exchanging_the_protocol_exchanges_the_wrapped_one() -> None:
    wrapper, transport = connect(WrappingFactory(Server()))
    wrapper.protocol = other = Noting()
    wrapper.dataReceived(b"x")
    assert other.data == b"x"
    assert transport.protocol is wrapper


def test_a_wrapper_is_copied_and_shown_without_asking_the_transport() -> None:
    wrapper, _ = connect(WrappingFactory(Server()))
    assert copy.copy(wrapper).wrappedProtocol is wrapper.wrappedProtocol
    assert repr(wrapper).startswith("<Noting (ProtocolWrapper) over <wirebook.testing")


# ------------------------------------------------------------------------------------- the factory


class Plain:
    """A factory, or a protocol, with no name for logs."""


def test_names_for_logs_are_of_both() -> None:
    server = Server()
    factory = WrappingFactory(server)
    assert factory.logPrefix() == "Server (WrappingFactory)"
    assert factory.buildProtocol(PEER).logPrefix() == "Noting (ProtocolWrapper)"
    server.protocol = Plain  # type: ignore[assignment]
    assert factory.buildProtocol(PEER).logPrefix() == "Plain (ProtocolWrapper)"
    assert WrappingFactory(Plain()).logPrefix() == "Plain (WrappingFactory)"


def test_a_connection_that_the_wrapped_factory_refuses_is_refused() -> None:
    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    assert WrappingFactory(Refusing()).buildProtocol(PEER) is None


def test_the_wrapped_factory_hears_of_everything() -> None:
    heard: list[Any] = []

    class Hearing(ClientFactory):
        def startFactory(self) -> None:
            heard.append("start")

        def stopFactory(self) -> None:
            heard.append("stop")

        def startedConnecting(self, connector: Any) -> None:
            heard.append(("connecting", connector))

        def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
            heard.append(("failed", connector, reason))

        def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
            heard.append(("lost", connector, reason))

    factory, connector, reason = WrappingFactory(Hearing()), object(), Failure(ValueError())
    factory.doStart()
    factory.startedConnecting(connector)
    factory.clientConnectionFailed(connector, reason)
    factory.clientConnectionLost(connector, reason)
    factory.doStop()
    assert heard == [
        "start",
        ("connecting", connector),
        ("failed", connector, reason),
        ("lost", connector, reason),
        "stop",
    ]


# ---------------------------------------------------------------------------------------- over TCP


class HalfClosing(Recorder):
    """Answers when the peer has finished."""

    def readConnectionLost(self) -> None:
        """The peer has sent everything."""
        self.transport.write(bytes(self.data[::-1]))
        self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """All is sent."""


def test_half_closing_passes_a_wrapper_in_both_directions(reactor: Reactor) -> None:
    with serving(reactor, WrappingFactory(Recorders(HalfClosing))) as port, dial(port) as sock:
        sock.sendall(b"abc")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b"cba"


class Wrong(Factory):
    """Builds what is no protocol."""

    def buildProtocol(self, addr: Any) -> Any:
        return 5


@pytest.mark.parametrize("policy", [WrappingFactory, ThrottlingFactory, TimeoutFactory, LimitConnectionsByPeer])
def test_a_wrapped_factory_that_builds_no_protocol_is_reported_once(
    policy: type[WrappingFactory], reactor: Reactor, reported: Reports
) -> None:
    factory: Any = policy(Wrong())
    with serving(reactor, factory) as port, dial(port) as sock:
        assert receive_all(sock) == b""
        assert eventually(lambda: not list(reactor.handles.of("connection")))
    (record,) = reported()
    assert "Wrong.buildProtocol() returned 5, which is no protocol" in str(record.wirebook_failure.value)  # type: ignore[attr-defined]
    assert not factory.protocols
    assert not getattr(factory, "peerConnections", None), "it does not count"


def test_an_error_in_a_wrapped_protocol_ends_its_connection_alone(reactor: Reactor, reported: Reports) -> None:
    class Fragile(Echo):
        def dataReceived(self, data: bytes) -> None:
            if data == b"break":
                raise ValueError("broken")
            super().dataReceived(data)

    recorders = Recorders(Fragile)
    with serving(reactor, WrappingFactory(recorders)) as port, dial(port) as good, dial(port) as bad:
        bad.sendall(b"break")
        assert receive_all(bad) == b""
        good.sendall(b"fine")
        assert receive_exactly(good, 4) == b"fine"
        (record,) = reported()
        assert "Fragile.dataReceived() raised" in record.getMessage()


def test_a_wrapped_protocol_that_raises_at_the_beginning_is_told_of_the_end(
    reactor: Reactor, reported: Reports
) -> None:
    class Stillborn(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            raise ValueError("no")

    recorders = Recorders(Stillborn)
    factory = WrappingFactory(recorders)
    with serving(reactor, factory) as port, dial(port):
        assert isinstance(recorders.number(0).end(), ValueError)
        assert not factory.protocols
    assert len(reported.wait()) == 1


def test_a_connection_is_known_by_the_wrapped_protocol_s_name(reactor: Reactor) -> None:
    recorders = Recorders(Echo)
    with serving(reactor, WrappingFactory(WrappingFactory(recorders))) as port, dial(port):
        transport = recorders.number(0).transport
        assert (port.label, transport.label) == ("Echo", "Echo")
        assert eventually(lambda: transport.state == "open")
        assert "Echo (ProtocolWrapper) over" in repr(transport)


def test_wrapped_callbacks_run_in_the_context_of_the_port(reactor: Reactor) -> None:
    seen: list[str] = []

    class Seeing(Protocol):
        def connectionMade(self) -> None:
            seen.append(cell.get())

        def dataReceived(self, data: bytes) -> None:
            seen.append(cell.get())

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            seen.append(cell.get())

    port = in_cell("7", reactor.listenTCP, 0, WrappingFactory(Factory.forProtocol(Seeing)))
    with dial(port) as sock:
        sock.sendall(b"x")
    assert eventually(lambda: len(seen) == 3)
    assert seen == ["7", "7", "7"]
    port.stopListening()
