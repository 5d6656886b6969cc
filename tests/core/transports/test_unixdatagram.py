"""UNIX datagram sockets: names and files, with a peer and without, slow receivers, and every fault of a socket."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, drive, short_of_descriptors
from tests.core.transports.datagram_kit import Answerer, ConnectedListener, Listener, closing
from tests.core.transports.faults import Fault, faulty_reactor, run_with_every_fault
from wirebook.address import UNIXAddress
from wirebook.error import (
    BadFileError,
    CannotListenError,
    ConnectionRefusedError,
    InvalidAddressError,
    MessageLengthError,
    NotListeningError,
)
from wirebook.transports.reactor import Reactor

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A name that nobody has."""
    return str(tmp_path / "socket")


def test_a_datagram_is_received_with_its_sender_s_path_and_can_be_answered(any_reactor: Reactor, path: str) -> None:
    answerer, asker = Answerer(), Listener()
    server = any_reactor.listenUNIXDatagram(path, answerer)
    client = any_reactor.listenUNIXDatagram(f"{path}.client", asker)
    with closing(server, client):
        client.write(b"hi", path)
        assert asker.wait(1) == [b"hi"]
        assert answerer.datagrams == [(b"hi", f"{path}.client")]
        assert asker.datagrams == [(b"hi", path)]
        assert server.getHost() == UNIXAddress(path)
        assert (server.kind, server.transportName, server.label, server.port) == ("port", "UNIX", "Answerer", path)
        assert (server.datagramsReceived, server.datagramsSent, server.bytesSent) == (1, 1, 2)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_path_may_be_text_bytes_or_a_path(any_reactor: Reactor, path: str, kind: Any) -> None:
    listener = Listener()
    with closing(any_reactor.listenUNIXDatagram(kind(path), listener)) as port:
        port.write(b"to myself", kind(path))
        assert listener.wait(1) == [b"to myself"]


@linux_only
def test_an_abstract_name_has_no_file(any_reactor: Reactor) -> None:
    name = f"\0wirebook-test-{os.getpid()}-{id(any_reactor)}"
    answerer, asker = Answerer(), ConnectedListener()
    server = any_reactor.listenUNIXDatagram(name, answerer)
    client = any_reactor.connectUNIXDatagram(name, asker, bindAddress=f"{name}-client")
    with closing(server, client):
        client.write(b"hi")
        assert eventually(lambda: asker.datagrams == [b"hi"])


def test_the_file_has_its_mode_and_is_removed(any_reactor: Reactor, path: str) -> None:
    with closing(any_reactor.listenUNIXDatagram(path, Listener(), mode=0o600)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not os.path.exists(path)


def test_the_name_is_free_as_soon_as_the_handle_is_closed(any_reactor: Reactor, path: str) -> None:
    with any_reactor.turn():
        old = any_reactor.listenUNIXDatagram(path, Listener())
        closed = old.closeHandle()
        new = any_reactor.listenUNIXDatagram(path, Listener())
    closed.wait(PATIENCE)
    with closing(new):
        assert os.path.exists(path)


def test_a_file_that_has_become_somebody_else_s_stays(any_reactor: Reactor, path: str) -> None:
    with closing(any_reactor.listenUNIXDatagram(path, Listener())):
        os.unlink(path)
        Path(path).write_text("mine")
    assert Path(path).read_text() == "mine"


def test_a_name_in_use_is_refused(any_reactor: Reactor, path: str) -> None:
    with closing(any_reactor.listenUNIXDatagram(path, Listener())):
        with pytest.raises(CannotListenError, match="another program serves it"):
            any_reactor.listenUNIXDatagram(path, Listener())
        assert os.path.exists(path)


def test_a_socket_that_a_crashed_server_left_is_named(any_reactor: Reactor, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crashed:
        crashed.bind(path)
    with pytest.raises(CannotListenError, match="nobody serves it any more, so remove it"):
        any_reactor.listenUNIXDatagram(path, Listener())


@pytest.mark.parametrize(
    ("name", "why"),
    [("x" * 200, "it has 200 bytes, and 107 are possible"), ("nowhere/socket", "no such file or directory")],
)
def test_a_name_that_cannot_be_given_is_refused(any_reactor: Reactor, name: str, why: str) -> None:
    with pytest.raises(CannotListenError, match=why):
        any_reactor.listenUNIXDatagram(name, Listener())
    assert not list(any_reactor.handles)


def test_a_socket_for_which_there_is_no_descriptor_says_what_would_help(any_reactor: Reactor, path: str) -> None:
    with short_of_descriptors(), pytest.raises(CannotListenError, match=rf"{path}: too many open files .*ulimit -n"):
        any_reactor.listenUNIXDatagram(path, Listener())


@pytest.mark.parametrize(("name", "error"), [(None, TypeError), (5, TypeError), ("", ValueError), ("a\0b", ValueError)])
def test_what_is_no_path_is_refused(any_reactor: Reactor, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="a UNIX socket's"):
        any_reactor.listenUNIXDatagram(name, Listener())


def test_a_sender_without_a_name_cannot_be_answered(any_reactor: Reactor, path: str, reported: Reports) -> None:
    answerer = Answerer()
    with (
        closing(any_reactor.listenUNIXDatagram(path, answerer)),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless,
    ):
        nameless.sendto(b"who am I?", path)
        answerer.wait(1)
        (record,) = reported.wait()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], InvalidAddressError)
    assert "a sender without a name cannot be answered" in str(record.exc_info[1])


def test_nobody_at_the_path_is_the_caller_s_error(any_reactor: Reactor, path: str) -> None:
    with closing(any_reactor.listenUNIXDatagram(path, Listener())) as port:
        with pytest.raises(FileNotFoundError, match=f"cannot send to {path}.gone"):
            port.write(b"x", f"{path}.gone")
        with pytest.raises(MessageLengthError, match="send less at a time"):
            port.write(bytes(100 << 20), path)


@linux_only
def test_a_full_receiver_makes_nobody_else_wait(any_reactor: Reactor, path: str) -> None:
    listener = Listener()
    full, quick = f"{path}.full", f"{path}.quick"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asleep:
        asleep.bind(full)
        sender = any_reactor.listenUNIXDatagram(path, Listener())
        with closing(sender, any_reactor.listenUNIXDatagram(quick, listener)):
            for _ in range(2000):
                sender.write(b"x", full)
            sender.write(b"you", quick)
            assert listener.wait(1) == [b"you"]
            assert sender.datagramsDropped > 0
            assert sender.datagramsSent + sender.datagramsDropped == 2001


# --- with a peer


def test_a_connected_socket_knows_its_peer(any_reactor: Reactor, path: str) -> None:
    answerer, asker = Answerer(), ConnectedListener()
    server = any_reactor.listenUNIXDatagram(path, answerer)
    client = any_reactor.connectUNIXDatagram(path, asker, bindAddress=f"{path}.client")
    with closing(client, server):
        client.write(b"hi")
        assert eventually(lambda: asker.datagrams == [b"hi"])
        assert answerer.datagrams[0] == (b"hi", f"{path}.client")
        assert (client.getPeer(), client.getHost()) == (UNIXAddress(path), UNIXAddress(f"{path}.client"))
        assert (client.state, client.peerAddress) == ("connected", UNIXAddress(path))
        client.write(b"again", path)
        assert eventually(lambda: asker.datagrams == [b"hi", b"again"])
        with pytest.raises(InvalidAddressError, match="sends there only"):
            client.write(b"elsewhere", f"{path}.other")
    assert asker.events == ["start", "stop"]
    assert not os.path.exists(f"{path}.client")
    with pytest.raises(NotListeningError):
        client.write(b"late")


def test_a_slow_peer_makes_a_connected_socket_wait_and_nothing_is_lost(any_reactor: Reactor, path: str) -> None:
    texts = [b"%d" % number for number in range(2000)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow:
        slow.bind(path)
        slow.settimeout(2)
        with closing(any_reactor.connectUNIXDatagram(path, ConnectedListener())) as client:
            for text in texts:
                client.write(text)
            assert client.datagramsSent < len(texts)
            assert [slow.recv(99) for _ in texts] == texts
            assert eventually(lambda: client.datagramsSent == len(texts))
            assert client.datagramsDropped == 0


def test_nobody_to_connect_to_is_told_to_the_protocol(any_reactor: Reactor, path: str) -> None:
    asker = ConnectedListener()
    port = any_reactor.connectUNIXDatagram(path, asker, bindAddress=f"{path}.client")
    assert asker.failure is not None
    assert isinstance(asker.failure.value, BadFileError)
    assert (asker.events, port.state, os.path.exists(f"{path}.client")) == ([], "closed", False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crashed:
        crashed.bind(path)
    any_reactor.connectUNIXDatagram(path, asker)
    assert isinstance(asker.failure.value, ConnectionRefusedError)
    any_reactor.connectUNIXDatagram("x" * 200, asker)
    assert isinstance(asker.failure.value, BadFileError)
    any_reactor.connectUNIXDatagram(path, asker, bindAddress=path)
    assert isinstance(asker.failure.value, CannotListenError)
    assert not list(any_reactor.handles)


def test_a_peer_that_went_away_refuses(any_reactor: Reactor, path: str) -> None:
    asker = ConnectedListener()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(path)
        port = any_reactor.connectUNIXDatagram(path, asker)
    with closing(port):
        port.write(b"anybody?")
        assert eventually(lambda: "refused" in asker.events)
        assert port.datagramsDropped == 1


def test_what_has_many_peers_is_not_connected(any_reactor: Reactor, path: str) -> None:
    protocol: Any = Listener()
    with pytest.raises(TypeError, match="takes a ConnectedDatagramProtocol, not"):
        any_reactor.connectUNIXDatagram(path, protocol)


# --- every call fails once


@pytest.mark.timeout(120)
def test_a_conversation_survives_any_error_in_any_call(reported: Reports, tmp_path: Path) -> None:
    server_name, client_name = str(tmp_path / "server"), str(tmp_path / "client")

    def converse(fault: Fault) -> None:
        with faulty_reactor(fault) as reactor:
            answerer, asker = Answerer(), ConnectedListener()
            try:
                reactor.listenUNIXDatagram(server_name, answerer)
                client = reactor.connectUNIXDatagram(server_name, asker, bindAddress=client_name)
                client.write(b"question")
            except (OSError, CannotListenError, NotListeningError):
                pass
            for _ in range(10):
                reactor.iterate(0.001)
            ended = [handle.closeHandle() for handle in list(reactor.handles)]
            drive(reactor, lambda: all(deferred.called for deferred in ended))
            assert os.listdir(tmp_path) == []
            if fault.at is None:
                assert asker.datagrams == [b"question"]

    run_with_every_fault(converse, reported)
