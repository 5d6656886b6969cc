"""UNIX-domain streams: files and their permissions, locks, abstract names, credentials, passed descriptors."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import cell, in_cell
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, drive, receive_all, receive_exactly
from tests.core.transports.faults import Fault, descriptors, faulty_reactor, run_with_every_fault
from wirebook.address import UNIXAddress
from wirebook.error import (
    BadFileError,
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionRefusedError,
    FileDescriptorOverrun,
    TimeoutError,
)
from wirebook.protocol import Factory
from wirebook.transports.reactor import Reactor
from wirebook.transports.unix import UNIXPort

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
LARGE = bytes(range(256)) * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a socket may be."""
    return tmp_path / "sock"


@contextmanager
def serving(reactor: Reactor, factory: Any, address: Any, **how: Any) -> Iterator[UNIXPort]:
    """A port that is closed, and its connections aborted, at the end of the block."""
    port = reactor.listenUNIX(address, factory, **how)
    try:
        yield port
    finally:
        port.stopListening()
        for connection in reactor.handles.of("connection"):
            if getattr(connection, "port", None) is port:
                connection.closeHandle(abort=True)


@contextmanager
def pair(reactor: Reactor, kind: Callable[[], Any], path: Path) -> Iterator[tuple[Any, socket.socket]]:
    """A served protocol of this kind, and the plain socket at the other end."""
    factory = Recorders(kind)
    with serving(reactor, factory, path), dial(path) as sock:
        yield factory.number(0), sock


def dial(address: Any) -> socket.socket:
    """A plain blocking socket, connected to `address`."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(os.fsencode(address))
    return sock


# --- talking


def test_a_plain_client_gets_its_echo_whole_and_in_order(any_reactor: Reactor, path: Path) -> None:
    with pair(any_reactor, Recorder, path) as (protocol, sock):
        protocol.transport.write(LARGE)
        protocol.transport.write(b"the end")
        assert receive_exactly(sock, len(LARGE) + 7) == LARGE + b"the end"


def test_our_client_and_our_server_talk(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    with serving(reactor, Factory.forProtocol(Echo), path):
        connector = reactor.connectUNIX(path, clients)
        client = clients.number(0)
        client.transport.write(b"hello")
        assert eventually(lambda: client.data == b"hello")
        connector.disconnect()
        assert isinstance(client.end(), ConnectionDone)
    assert clients.events == ["start", "connecting", "lost", "stop"]


def test_half_close_sends_an_end_and_still_receives(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, sock):
        protocol.transport.loseWriteConnection()
        assert receive_all(sock) == b""
        sock.sendall(b"still here")
        assert eventually(lambda: protocol.data == b"still here")


def test_addresses_name_the_path_on_the_servers_side(reactor: Reactor, path: Path) -> None:
    clients, servers = Recorders(Recorder), Recorders(Recorder)
    with serving(reactor, servers, path) as port:
        assert port.getHost() == UNIXAddress(path)
        connector = reactor.connectUNIX(str(path), clients)
        client, server = clients.number(0).transport, servers.number(0).transport
        assert (client.getHost(), client.getPeer()) == (UNIXAddress(None), UNIXAddress(path))
        assert (server.getHost(), server.getPeer()) == (UNIXAddress(path), UNIXAddress(None))
        assert server.transportName == client.transportName == port.transportName == "UNIX"
        assert str(path) in repr(server)
        connector.disconnect()
        clients.error()


def test_a_connection_runs_in_the_context_of_its_listen(reactor: Reactor, path: Path) -> None:
    class Cell(Recorder):
        def connectionMade(self) -> None:
            self.cell = cell.get()
            super().connectionMade()

    factory = Recorders(Cell)
    port = in_cell("seven", reactor.listenUNIX, path, factory)
    with dial(path):
        assert factory.number(0).cell == "seven"
        assert factory.number(0).transport.context.get(cell) == "seven"
    port.stopListening()


# --- the socket's file


def test_the_file_has_the_mode_asked_for_and_goes_with_the_port(reactor: Reactor, path: Path) -> None:
    port = reactor.listenUNIX(path, Factory.forProtocol(Echo), mode=0o600)
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    port.stopListening()
    assert not path.exists()


def test_a_file_that_somebody_else_put_there_stays(reactor: Reactor, path: Path) -> None:
    port = reactor.listenUNIX(path, Factory.forProtocol(Echo))
    path.unlink()
    path.write_text("mine")
    port.stopListening()
    assert path.read_text() == "mine"


def refused(reactor: Reactor, path: Any, **how: Any) -> str:
    """Why listening there fails."""
    before = descriptors()
    with pytest.raises(CannotListenError) as caught:
        reactor.listenUNIX(path, Factory.forProtocol(Echo), **how)
    assert descriptors() == before
    return str(caught.value)


def test_a_socket_that_is_served_is_refused_with_the_reason(reactor: Reactor, path: Path) -> None:
    with serving(reactor, Factory.forProtocol(Echo), path):
        assert f"cannot listen on {path}: the socket exists: another program serves it (EADDRINUSE)" in refused(
            reactor, path
        )


def test_a_socket_that_was_left_behind_is_refused_with_what_to_do(reactor: Reactor, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fsencode(path))
    assert "wantPID=True does so by itself" in refused(reactor, path)


def test_a_file_that_is_no_socket_is_named(reactor: Reactor, path: Path) -> None:
    path.write_text("data")
    assert "a file that is no socket has this name" in refused(reactor, path)
    assert path.read_text() == "data"


def test_a_path_that_is_too_long_says_how_long_it_may_be(reactor: Reactor, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    assert f"the name is too long: it has {len(str(long))} bytes, and 107 are possible" in refused(reactor, long)


def test_a_folder_that_does_not_exist_is_an_error(reactor: Reactor, tmp_path: Path) -> None:
    assert "no such file or directory (ENOENT)" in refused(reactor, tmp_path / "nowhere" / "sock")


@pytest.mark.parametrize("address", ["", "a\0b", b""])
def test_an_impossible_address_is_refused(reactor: Reactor, address: Any) -> None:
    with pytest.raises(ValueError, match="cannot be a UNIX socket's path"):
        reactor.listenUNIX(address, Factory.forProtocol(Echo))


def test_an_address_of_the_wrong_type_is_named(reactor: Reactor) -> None:
    with pytest.raises(TypeError, match="not 8007"):
        reactor.listenUNIX(8007, Factory.forProtocol(Echo))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"mode": "666"}, "mode are the permissions of a socket's file, a number such as 0o600, not '666'"),
        ({"backlog": "many"}, "backlog is the number of connections that may wait, not 'many'"),
    ],
)
def test_what_is_no_mode_and_no_backlog_is_refused_and_leaves_nothing(
    reactor: Reactor, path: Path, how: dict[str, Any], problem: str
) -> None:
    before = descriptors()
    with pytest.raises(TypeError, match=problem):
        reactor.listenUNIX(path, Factory.forProtocol(Echo), **how)
    assert not path.exists()
    assert not descriptors() - before


# --- locks


def test_a_lock_file_tells_who_serves_the_socket(reactor: Reactor, path: Path) -> None:
    lock = path.with_name("sock.lock")
    with serving(reactor, Factory.forProtocol(Echo), path, wantPID=True):
        assert os.readlink(lock) == str(os.getpid())
        assert "another process serves it" in refused(reactor, path, wantPID=True)
        assert lock.is_symlink()
    assert not lock.is_symlink()
    assert not path.exists()


def test_a_locked_socket_of_a_dead_process_is_replaced(reactor: Reactor, path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path.with_name("sock.lock").symlink_to(str(dead.pid))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fsencode(path))
    with serving(reactor, Factory.forProtocol(Echo), path, wantPID=True), dial(path) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"


def test_a_client_that_checks_refuses_a_server_without_a_lock(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    with serving(reactor, Factory.forProtocol(Echo), path):
        reactor.connectUNIX(path, clients, checkPID=True)
        error = clients.error()
    assert isinstance(error, BadFileError)
    assert "sock.lock" in str(error)


def test_a_client_that_checks_finds_a_server_with_a_lock(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    with serving(reactor, Factory.forProtocol(Echo), path, wantPID=True):
        connector = reactor.connectUNIX(path, clients, checkPID=True)
        clients.number(0)
        connector.disconnect()
        clients.error()


# --- connecting that fails


def test_a_socket_that_does_not_exist_fails_by_name(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    reactor.connectUNIX(path, clients)
    error = clients.error()
    assert isinstance(error, BadFileError)
    assert str(error) == f"cannot connect to {path}: there is no such socket"


def test_a_path_that_is_too_long_fails_to_connect(reactor: Reactor, tmp_path: Path) -> None:
    clients = Recorders(Recorder)
    long = tmp_path / ("x" * 120)
    reactor.connectUNIX(long, clients)
    error = clients.error()
    assert isinstance(error, BadFileError)
    assert str(error) == (
        f"cannot connect to {long}: the name is too long: it has {len(str(long))} bytes, and 107 are possible"
    )


@pytest.mark.parametrize("name", ["x" * 107, pytest.param("\0" + "x" * 107, marks=LINUX)])
def test_a_name_may_be_as_long_as_the_error_says(reactor: Reactor, name: str, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    longer = Recorders(Recorder)
    reactor.connectUNIX(name + "x", longer)
    assert f"it has {len(name) + 1} bytes, and {len(name)} are possible" in str(longer.error())
    port, clients = reactor.listenUNIX(name, Recorders(Recorder)), Recorders(Recorder)
    connector = reactor.connectUNIX(name, clients)
    clients.number(0)
    connector.disconnect()
    port.stopListening()


@pytest.mark.parametrize(
    ("target", "what"), [("folder", "it is a folder, and no socket"), ("file", "it is a file, and no socket")]
)
def test_connecting_to_what_is_no_socket_says_what_it_is(
    reactor: Reactor, tmp_path: Path, target: str, what: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    clients = Recorders(Recorder)
    reactor.connectUNIX(tmp_path / target, clients)
    error = clients.error()
    assert isinstance(error, ConnectionRefusedError)
    assert str(error) == f"cannot connect to {tmp_path / target}: {what}"


def test_connecting_to_a_socket_that_is_left_over_says_that_nobody_serves_it(reactor: Reactor, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(os.fspath(path))
    clients = Recorders(Recorder)
    reactor.connectUNIX(path, clients)
    assert str(clients.error()) == f"cannot connect to {path}: the connection was refused: nobody serves this socket"


def test_a_full_queue_is_tried_again_until_there_is_room(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fsencode(path))
        server.listen(0)
        with dial(path):
            connector = reactor.connectUNIX(path, clients)
            assert connector.state == "connecting"
            server.accept()[0].close()
            clients.number(0)
            connector.disconnect()
            clients.error()


def test_a_full_queue_ends_in_a_timeout(reactor: Reactor, path: Path) -> None:
    clients = Recorders(Recorder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fsencode(path))
        server.listen(0)
        with dial(path):
            reactor.connectUNIX(path, clients, timeout=0.1)
            assert isinstance(clients.error(), TimeoutError)


# --- Linux


@LINUX
def test_an_abstract_name_leaves_no_file(reactor: Reactor) -> None:
    name = f"\0wirebook-test-{os.getpid()}"
    with serving(reactor, Factory.forProtocol(Echo), name) as port, dial(name) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        assert str(port.getHost()) == f"@wirebook-test-{os.getpid()}"
        assert "address already in use" in refused(reactor, name)


@LINUX
def test_an_abstract_name_can_have_no_lock(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="no lock file"):
        reactor.listenUNIX("\0wirebook", Factory.forProtocol(Echo), wantPID=True)


@LINUX
def test_a_server_knows_who_its_client_is(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, _):
        assert protocol.transport.getPeerCredentials() == (os.getpid(), os.getuid(), os.getgid())


# --- passing descriptors


class Receiver(Recorder):
    """Remembers the descriptors it gets, and what had arrived before each."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: list[tuple[int, bytes]] = []

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.descriptors.append((descriptor, bytes(self.data)))


def test_a_descriptor_arrives_before_the_bytes_it_came_with(any_reactor: Reactor, path: Path) -> None:
    with pair(any_reactor, Receiver, path) as (protocol, sock):
        sock.sendall(b"first;")
        assert eventually(lambda: protocol.data == b"first;")
        one, other = os.pipe()
        socket.send_fds(sock, [b"second"], [other])
        os.close(other)
        assert eventually(lambda: protocol.data == b"first;second")
        ((descriptor, before),) = protocol.descriptors
        assert before == b"first;"
        os.write(descriptor, b"through")
        os.close(descriptor)
        assert os.read(one, 100) == b"through"
        os.close(one)


def test_a_descriptor_travels_with_the_next_write_and_may_be_closed_at_once(any_reactor: Reactor, path: Path) -> None:
    with pair(any_reactor, Recorder, path) as (protocol, sock):
        one, other = os.pipe()
        transport = protocol.transport
        with any_reactor.turn():
            transport.write(b"before;")
            transport.sendFileDescriptor(other)
            os.close(other)
            transport.write(b"with it;")
            transport.write(b"after")
        data, received = b"", []
        while len(data) < 20:
            piece, fds, _, _ = socket.recv_fds(sock, 100, 5)
            data += piece
            received += fds
        assert data == b"before;with it;after"
        (descriptor,) = received
        os.write(descriptor, b"x")
        os.close(descriptor)
        assert os.read(one, 1) == b"x"
        os.close(one)


def test_descriptors_wait_behind_a_full_queue(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, sock):
        transport = protocol.transport
        with reactor.turn():
            transport.write(LARGE)
            transport.sendFileDescriptor(0)
            transport.write(b"!" * 100_000)
        assert receive_exactly(sock, len(LARGE)) == LARGE
        data, fds, _, _ = socket.recv_fds(sock, 1, 5)
        assert data == b"!"
        os.close(*fds)
        assert receive_exactly(sock, 99_999) == b"!" * 99_999


def test_descriptors_that_were_never_sent_are_closed_with_the_connection(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, _):
        before = descriptors()
        with reactor.turn():
            protocol.transport.write(LARGE)
            protocol.transport.sendFileDescriptor(0)
            protocol.transport.write(b"x")
            protocol.transport.sendFileDescriptor(0)
            assert len(descriptors() - before) == 2
            protocol.transport.abortConnection()
        assert isinstance(protocol.end(), ConnectionAborted)
        assert not descriptors() - before


def receive_descriptors(sock: socket.socket, size: int) -> list[int]:
    """The descriptors that come with the next `size` bytes."""
    received = []
    while size:
        data, descriptors, _, _ = socket.recv_fds(sock, size, 253)
        assert data
        size -= len(data)
        received += descriptors
    return received


@pytest.mark.parametrize("count", [3, 600])
def test_each_descriptor_needs_a_byte_and_the_bytes_may_come_in_several_writes(
    reactor: Reactor, path: Path, count: int
) -> None:
    with pair(reactor, Recorder, path) as (protocol, sock):
        with reactor.turn():
            for _ in range(count):
                protocol.transport.sendFileDescriptor(0)
            protocol.transport.write(b"x")
            protocol.transport.write(b"y" * count)
        received = receive_descriptors(sock, count + 1)
        for descriptor in received:
            os.close(descriptor)
        assert len(received) == count


def test_a_cell_has_as_long_as_it_likes_to_write_the_byte(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, sock):
        protocol.transport.sendFileDescriptor(0)
        # A whole iteration passes.
        sock.sendall(b"?")
        assert eventually(lambda: protocol.data == b"?")
        protocol.transport.write(b"!")
        os.close(*receive_descriptors(sock, 1))


@pytest.mark.parametrize("written", [b"", b"x"])
def test_more_descriptors_than_bytes_end_the_connection(reactor: Reactor, path: Path, written: bytes) -> None:
    class Overrun(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.sendFileDescriptor(0)
            self.transport.sendFileDescriptor(0)
            self.transport.write(written)

    before = descriptors()
    with pair(reactor, Overrun, path) as (protocol, _):
        assert isinstance(protocol.end(), FileDescriptorOverrun)
    assert eventually(lambda: not descriptors() - before)


def test_a_producer_is_paused_while_many_descriptors_wait(reactor: Reactor, path: Path) -> None:
    class Producer(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def pauseProducing(self) -> None:
            self.calls.append("pause")

        def resumeProducing(self) -> None:
            self.calls.append("resume")

        def stopProducing(self) -> None:
            self.calls.append("stop")

    with pair(reactor, Producer, path) as (protocol, sock):
        transport = protocol.transport
        with reactor.turn():
            transport.registerProducer(protocol, True)
            for _ in range(64):
                transport.sendFileDescriptor(0)
                transport.write(b"x")
            assert protocol.calls == []
            transport.sendFileDescriptor(0)
            assert protocol.calls == ["pause"]
            transport.write(b"x")
        for descriptor in receive_descriptors(sock, 65):
            os.close(descriptor)
        assert eventually(lambda: protocol.calls == ["pause", "resume"])


def test_a_descriptor_that_is_none_is_refused(reactor: Reactor, path: Path) -> None:
    with pair(reactor, Recorder, path) as (protocol, _), pytest.raises(OSError, match="Bad file descriptor"):
        protocol.transport.sendFileDescriptor(9999)


def test_a_protocol_that_raises_loses_no_descriptors(reactor: Reactor, path: Path, reported: Reports) -> None:
    class Raiser(Recorder):
        def fileDescriptorReceived(self, descriptor: int) -> None:
            os.close(descriptor)
            raise ValueError("no")

    with pair(reactor, Raiser, path) as (protocol, sock):
        before = descriptors()
        socket.send_fds(sock, [b"x"], [0, 1, 2])
        assert isinstance(protocol.end(), ValueError)
        assert eventually(lambda: not descriptors() - before)
        assert len(reported()) == 1


# --- faults


def talk(path: Path, fault: Fault) -> None:
    """A server, a client, a long echo and the end, on a reactor whose sockets meet `fault`."""
    with faulty_reactor(fault) as reactor:
        servers, clients = Recorders(Echo), Recorders(Receiver)
        try:
            port = reactor.listenUNIX(path, servers)
        except CannotListenError:
            assert not path.exists()
            return
        connector = reactor.connectUNIX(path, clients, timeout=1)
        drive(reactor, lambda: clients.protocols or clients.reason)
        if connector.transport is not None:
            connector.transport.write(LARGE[:300_000])
            drive(reactor, lambda: clients.reason or len(clients.protocols[0].data) == 300_000)
            connector.disconnect()
        drive(reactor, lambda: not reactor.handles.of("connection"))
        assert clients.events.count("lost") + clients.events.count("failed") == 1
        port.stopListening()
        for _ in range(3):
            reactor.iterate(0)
        assert not path.exists()


@pytest.mark.timeout(120)
def test_a_conversation_survives_any_error_in_any_call(path: Path, reported: Reports) -> None:
    run_with_every_fault(lambda fault: talk(path, fault), reported)
