"""What holds for every datagram port: batches, waiting and dropping, errors, counters, taps, threads."""

from __future__ import annotations

import contextvars
import errno
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import PATIENCE, drive, on_reactor
from tests.core.transports.datagram_kit import (
    Answerer,
    DatagramTap,
    Listener,
    StreamTap,
    address,
    closing,
    plain_socket,
)
from wirebook.error import MessageLengthError, NotListeningError
from wirebook.reactor.sockets import Sockets
from wirebook.transports.datagram import DatagramPort
from wirebook.transports.reactor import Reactor


class Choosy(Sockets):
    """Sockets whose ``sendto`` fails with the errors of a list, one after the other, None being success."""

    def __init__(self, errors: list[int | None]) -> None:
        def sendto(sock: socket.socket, *args: Any) -> int:
            error = errors.pop(0) if errors else None
            if error is not None:
                raise OSError(error, "injected")
            return socket.socket.sendto(sock, *args)

        super().__init__(type("ChoosySocket", (socket.socket,), {"sendto": sendto, "__slots__": ()}))


@pytest.fixture
def own_reactor() -> Any:
    """A reactor that this thread drives."""
    reactor = Reactor()
    yield reactor
    assert not list(reactor.handles)
    reactor.close()


def finish(reactor: Reactor, *ports: DatagramPort) -> None:
    """Close ports of a reactor that this thread drives."""
    ended = [port.stopListening() for port in ports]
    drive(reactor, lambda: all(deferred.called for deferred in ended))


def test_the_log_prefix_names_the_protocol_and_how_its_datagrams_travel(any_reactor: Reactor, tmp_path: Path) -> None:
    ports = [
        any_reactor.listenUDP(0, Listener()),
        any_reactor.listenMulticast(0, Listener()),
        any_reactor.listenUNIXDatagram(tmp_path / "socket", Listener()),
    ]
    with closing(*ports):
        prefixes = [port.logPrefix() for port in ports]
    assert prefixes == ["Listener (UDP)", "Listener (multicast)", "Listener (UNIX)"]


def test_many_datagrams_are_read_in_one_go_but_not_all(own_reactor: Reactor) -> None:
    listener = Listener()
    port = own_reactor.listenUDP(0, listener)
    with plain_socket() as sock:
        for _ in range(150):
            sock.sendto(b"x", address(port))
        port.doRead()
        assert len(listener.datagrams) == 64
        port.doRead()
        port.doRead()
        assert len(listener.datagrams) == 150
        port.doRead()
    assert len(listener.datagrams) == 150
    finish(own_reactor, port)


def test_a_port_that_is_closed_by_its_protocol_reads_no_more(own_reactor: Reactor) -> None:
    class Once(Listener):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            self.transport.stopListening()

    once = Once()
    port = own_reactor.listenUDP(0, once)
    with plain_socket() as sock:
        sock.sendto(b"1", address(port))
        sock.sendto(b"2", address(port))
        drive(own_reactor, once.ended.is_set)
    assert [datagram for datagram, _ in once.datagrams] == [b"1"]


def test_a_paused_port_receives_when_it_is_resumed(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        port.pauseProducing()
        sock.sendto(b"later", address(port))
        on_reactor(any_reactor, lambda: None)
        assert listener.datagrams == []
        port.resumeProducing()
        assert listener.wait(1) == [b"later"]


def test_a_hang_up_without_a_reason_is_not_reported_for_ever(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        with any_reactor.turn():
            port.pauseProducing()
            port.hungUp()
            assert port not in any_reactor._descriptors.values()
        port.resumeProducing()
        sock.sendto(b"still there", address(port))
        assert listener.wait(1) == [b"still there"]


def test_an_error_that_a_write_has_met_before_it_is_dispatched_leaves_the_port_open(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        with any_reactor.turn():
            port.hungUp()
        sock.sendto(b"still there", address(port))
        assert listener.wait(1) == [b"still there"]


def test_an_error_that_is_nobody_s_is_reported_once(any_reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    class Ailing(socket.socket):
        errors: ClassVar = [errno.EPROTO, errno.EPROTO, errno.ENOMEM]

        def recvfrom(self, *args: Any) -> Any:
            if self.errors:
                raise OSError(self.errors.pop(), "injected")
            return super().recvfrom(*args)

    any_reactor.sockets = Sockets(Ailing)
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        sock.sendto(b"after all", address(port))
        assert listener.wait(1) == [b"after all"]
    said = [record.getMessage() for record in caplog.records if "could not receive" in record.getMessage()]
    assert [text.rpartition(" ")[2] for text in said] == ["(ENOMEM)", "(EPROTO)"]


def test_an_error_of_the_protocol_is_reported_and_the_port_lives_on(any_reactor: Reactor, reported: Reports) -> None:
    class Moody(Listener):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            if datagram == b"bad":
                raise ValueError("a mistake in the program")

    moody = Moody()
    with closing(any_reactor.listenUDP(0, moody)) as port, plain_socket() as sock:
        sock.sendto(b"bad", address(port))
        sock.sendto(b"good", address(port))
        assert moody.wait(2) == [b"bad", b"good"]
        (record,) = reported.wait()
    assert "Moody.datagramReceived() raised" in record.getMessage()


def test_errors_of_stop_protocol_are_reported_and_the_port_is_closed(any_reactor: Reactor, reported: Reports) -> None:
    class Unwilling(Listener):
        def stopProtocol(self) -> None:
            raise ValueError("not now")

    with closing(any_reactor.listenUDP(0, Unwilling())):
        pass
    (record,) = reported()
    assert "Unwilling.doStop() raised" in record.getMessage()


def test_a_start_that_raises_closes_the_port(any_reactor: Reactor) -> None:
    class Refusing(Listener):
        def startProtocol(self) -> None:
            raise ValueError("not here")

    with pytest.raises(ValueError, match="not here"):
        any_reactor.listenUDP(0, Refusing())
    assert not list(any_reactor.handles)


def test_stop_protocol_is_not_called_inside_start_protocol(any_reactor: Reactor) -> None:
    class Brief(Listener):
        def startProtocol(self) -> None:
            super().startProtocol()
            self.transport.stopListening()
            self.events.append("still starting")

    brief = Brief()
    any_reactor.listenUDP(0, brief)
    assert brief.ended.wait(PATIENCE)
    assert brief.events == ["start", "still starting", "stop"]


# --- what waits, and what is dropped


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EINTR])
def test_what_the_system_does_not_take_yet_waits_in_order(own_reactor: Reactor, error: int) -> None:
    own_reactor.sockets = Choosy([error, error])
    port = own_reactor.listenUDP(0, Listener())
    with plain_socket() as sock:
        for text in (b"1", b"2", b"3"):
            port.write(text, sock.getsockname())
        assert (port.datagramsSent, port.datagramsDropped) == (0, 0)
        drive(own_reactor, lambda: port.datagramsSent == 3)
        assert [sock.recv(9) for _ in range(3)] == [b"1", b"2", b"3"]
        port.write(b"4", sock.getsockname())
        assert sock.recv(9) == b"4"
    assert (port.bytesSent, port.datagramsSent, port.datagramsDropped) == (4, 4, 0)
    finish(own_reactor, port)


def test_what_waits_beyond_the_limit_is_dropped_counted_and_reported_once(
    own_reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    own_reactor.sockets = Choosy([errno.EAGAIN])
    port = own_reactor.listenUDP(0, Listener())
    port.backlogLimit = 10
    with plain_socket() as sock:
        for _ in range(5):
            port.write(b"12345", sock.getsockname())
        drive(own_reactor, lambda: port.datagramsSent == 2)
    assert port.datagramsDropped == 3
    assert [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()] == [
        f"{port!r} dropped a datagram: 10 bytes wait already (ENOBUFS). It counts those that follow "
        "(datagramsDropped); send more slowly"
    ]
    finish(own_reactor, port)


def test_a_full_device_drops_and_counts(own_reactor: Reactor) -> None:
    own_reactor.sockets = Choosy([errno.ENOBUFS])
    port = own_reactor.listenUDP(0, Listener())
    with plain_socket() as sock:
        port.write(b"lost", sock.getsockname())
        port.write(b"sent", sock.getsockname())
        assert sock.recv(9) == b"sent"
    assert (port.datagramsSent, port.datagramsDropped) == (1, 1)
    finish(own_reactor, port)


def test_what_fails_while_it_waits_is_dropped_and_the_rest_is_sent(own_reactor: Reactor) -> None:
    own_reactor.sockets = Choosy([errno.EAGAIN, errno.EHOSTUNREACH])
    port = own_reactor.listenUDP(0, Listener())
    with plain_socket() as sock:
        port.write(b"lost", sock.getsockname())
        port.write(b"sent", sock.getsockname())
        drive(own_reactor, lambda: port.datagramsSent == 1)
        assert sock.recv(9) == b"sent"
    assert port.datagramsDropped == 1
    finish(own_reactor, port)


def test_what_waits_when_the_port_is_closed_counts_as_dropped(own_reactor: Reactor) -> None:
    own_reactor.sockets = Choosy([errno.EAGAIN])
    port = own_reactor.listenUDP(0, Listener())
    port.write(b"late", ("127.0.0.1", 9))
    finish(own_reactor, port)
    assert port.datagramsDropped == 1


def test_what_is_written_over_the_limit_of_the_protocol_is_refused(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port:
        with pytest.raises(MessageLengthError, match="a datagram of 70000 bytes is too long: 65507 are possible"):
            port.write(bytes(70_000), ("127.0.0.1", 9))
        assert port.datagramsSent == 0


def test_a_datagram_longer_than_the_packet_size_is_cut_counted_and_reported(
    any_reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener, maxPacketSize=4)) as port, plain_socket() as sock:
        for text in (b"1234", b"12345", b"123456"):
            sock.sendto(text, address(port))
        assert listener.wait(3) == [b"1234", b"1234", b"1234"]
        assert (port.datagramsTruncated, port.bytesReceived) == (2, 12)
    assert len([record for record in caplog.records if "cut a datagram to 4 bytes" in record.getMessage()]) == 1


@pytest.mark.parametrize("datagram", ["text", 5, None])
def test_what_is_no_bytes_is_refused(any_reactor: Reactor, datagram: Any) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port, pytest.raises(TypeError, match="bytes-like"):
        port.write(datagram, ("127.0.0.1", 9))


@pytest.mark.parametrize("datagram", [bytearray(b"abc"), memoryview(b"abc"), b""])
def test_any_buffer_is_sent(any_reactor: Reactor, datagram: Any) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port, plain_socket() as sock:
        port.write(datagram, sock.getsockname())
        assert sock.recv(9) == bytes(datagram)


def test_pieces_go_as_one_datagram(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port, plain_socket() as sock:
        port.writeSequence((b"some", b" ", b"pieces"), sock.getsockname())
        assert sock.recv(99) == b"some pieces"


def test_an_empty_datagram_is_one(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener)) as port, plain_socket() as sock:
        sock.sendto(b"", address(port))
        assert listener.wait(1) == [b""]


# --- as a handle


def test_a_port_is_a_handle_that_counts(any_reactor: Reactor) -> None:
    answerer = Answerer()
    with closing(any_reactor.listenUDP(0, answerer)) as port, plain_socket() as sock:
        assert list(any_reactor.handles) == [port]
        sock.sendto(b"hello", address(port))
        assert sock.recv(9) == b"hello"
        assert eventually(lambda: port.datagramsSent == 1)
        assert (port.kind, port.transportName, port.label, port.state) == ("port", "UDP", "Answerer", "listening")
        assert (port.bytesReceived, port.bytesSent, port.datagramsReceived) == (5, 5, 1)
        assert (port.localAddress, port.peerAddress) == (port.getHost(), None)
        assert port.born <= any_reactor.seconds()
        assert repr(port) == f"<UDPPort of Answerer on UDP 127.0.0.1:{port.port}, listening>"
    assert (port.state, port.fileno(), port.getHost().port) == ("closed", -1, port.port)
    assert not list(any_reactor.handles)


def test_closing_the_handle_closes_the_port(any_reactor: Reactor) -> None:
    listener = Listener()
    port = any_reactor.listenUDP(0, listener)
    port.closeHandle().wait(PATIENCE)
    assert listener.events == ["start", "stop"]
    assert port.closeHandle(abort=True).called


def test_the_address_is_free_at_once_and_the_port_can_be_opened_again(any_reactor: Reactor) -> None:
    first, second = Listener(), Listener()
    port = any_reactor.listenUDP(0, first)
    with any_reactor.turn():
        port.stopListening()
        other = any_reactor.listenUDP(port.port, second)
    other.stopListening().wait(PATIENCE)
    port.startListening()
    with pytest.raises(RuntimeError, match="is open already"):
        port.startListening()
    port.stopListening().wait(PATIENCE)
    assert first.events == ["start", "stop"] * 2


def test_one_protocol_may_move_to_another_port(any_reactor: Reactor) -> None:
    listener = Listener()
    port = any_reactor.listenUDP(0, listener)
    with any_reactor.turn():
        port.stopListening()
        other = any_reactor.listenUDP(0, listener)
    port.stopListening().wait(PATIENCE)
    assert listener.transport is other
    other.stopListening().wait(PATIENCE)
    assert listener.transport is None
    assert listener.events == ["start", "stop"]


def test_a_closed_port_sends_nothing_and_says_so(any_reactor: Reactor) -> None:
    with closing(any_reactor.listenUDP(0, Listener())) as port:
        pass
    for use in (port.getHandle, lambda: port.write(b"x", ("127.0.0.1", 9)), lambda: port.connect("127.0.0.1", 9)):
        with pytest.raises(NotListeningError, match=r"has no socket \(any more\)"):
            use()


def test_lose_connection_is_the_deprecated_name(any_reactor: Reactor) -> None:
    listener = Listener()
    port = any_reactor.listenUDP(0, listener)
    with pytest.warns(DeprecationWarning, match=r"stopListening\(\)"):
        port.loseConnection()
    assert listener.ended.wait(PATIENCE)


def test_a_tap_sees_datagrams_with_their_peer(any_reactor: Reactor) -> None:
    tap = DatagramTap()
    port = any_reactor.listenUDP(0, Answerer())
    port.tap = tap
    with plain_socket() as sock:
        sock.sendto(b"hi", address(port))
        assert sock.recv(9) == b"hi"
        peer = sock.getsockname()
    port.stopListening().wait(PATIENCE)
    assert tap.seen == [("received", b"hi", peer), ("sent", b"hi", peer)]
    assert tap.events == ["closed"]


def test_a_tap_that_knows_only_bytes_sees_those(any_reactor: Reactor) -> None:
    tap = StreamTap()
    with closing(any_reactor.listenUDP(0, Answerer())) as port, plain_socket() as sock:
        port.tap = tap
        sock.sendto(b"hi", address(port))
        assert sock.recv(9) == b"hi"
    assert tap.seen == [("received", b"hi"), ("sent", b"hi")]


# --- contexts and threads

cell: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="none")


def test_callbacks_run_in_the_context_in_which_the_port_was_opened(any_reactor: Reactor) -> None:
    class Asking(Listener):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.events.append(cell.get())
            cell.set("changed")
            super().datagramReceived(datagram, addr)

        def stopProtocol(self) -> None:
            self.events.append(cell.get())
            super().stopProtocol()

    asking = Asking()
    cell.set("seven")
    port = any_reactor.listenUDP(0, asking)
    cell.set("other")
    with plain_socket() as sock:
        sock.sendto(b"1", address(port))
        sock.sendto(b"2", address(port))
        asking.wait(2)
    port.stopListening().wait(PATIENCE)
    assert asking.events == ["start", "seven", "seven", "seven", "stop"]


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_any_thread_may_write(any_reactor: Reactor) -> None:
    listener = Listener()
    with closing(any_reactor.listenUDP(0, listener), any_reactor.listenUDP(0, Listener())) as (port, other):

        def work() -> None:
            for _ in range(25):
                other.write(b"x", address(port))

        in_threads(4, work)
        listener.wait(100)
        assert (port.datagramsReceived, other.datagramsSent) == (100, 100)


# --- bad arguments


def test_a_protocol_class_is_no_protocol(any_reactor: Reactor) -> None:
    kind: Any = Listener
    with pytest.raises(TypeError, match=r"an instance of a DatagramProtocol, for example Listener\(\)"):
        any_reactor.listenUDP(0, kind)
    nothing: Any = None
    with pytest.raises(TypeError, match="not None"):
        any_reactor.listenUDP(0, nothing)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), ("9", TypeError), (True, TypeError)])
def test_a_packet_size_that_is_none_is_refused(any_reactor: Reactor, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"maxPacketSize is .*{size}"):
        any_reactor.listenUDP(0, Listener(), maxPacketSize=size)
