"""What the kernel adds to the text of network errors."""

from __future__ import annotations

import errno
import socket
from contextvars import Context, copy_context
from pathlib import Path

import pytest

from wirebook import Factory, Protocol, reactor
from wirebook.address import IPv4Address, UNIXAddress
from wirebook.error import CannotListenError, connect_error
from wirebook.protocol import DatagramProtocol
from wirebook_kernel import advice
from wirebook_kernel.advice import advise
from wirebook_kernel.cells import Cell, current_cell


def in_cell(number: int) -> Context:
    """The context of a cell."""
    context = copy_context()
    context.run(current_cell.set, Cell(f"cell{number}", number, 1))
    return context


def test_a_port_in_use_is_said_to_be_whose_with_what_to_do() -> None:
    port = in_cell(3).run(reactor.listenTCP, 0, Factory.forProtocol(Protocol))
    with pytest.raises(CannotListenError) as refused:
        reactor.listenTCP(port.port, Factory.forProtocol(Protocol))
    assert advise(refused.value) == (
        f"port {port.port} is in use by cell [3] of this kernel: close it with %reactor close cell 3, "
        "choose another port, or 0 for any free one"
    )
    port.stopListening()


def test_tcp_and_udp_ports_are_not_confused() -> None:
    datagrams = in_cell(4).run(reactor.listenUDP, 0, DatagramProtocol())
    with pytest.raises(CannotListenError) as refused:
        reactor.listenUDP(datagrams.port, DatagramProtocol())
    assert "in use by cell [4] of this kernel" in advise(refused.value)
    tcp = CannotListenError("127.0.0.1", datagrams.port, OSError(errno.EADDRINUSE, "in use"))
    assert "cell [4]" not in advise(tcp)
    datagrams.stopListening()


def test_a_path_in_use_is_said_to_be_whose(tmp_path: Path) -> None:
    port = in_cell(5).run(reactor.listenUNIX, tmp_path / "socket", Factory.forProtocol(Protocol))
    with pytest.raises(CannotListenError) as refused:
        reactor.listenUNIX(tmp_path / "socket", Factory.forProtocol(Protocol))
    assert advise(refused.value) == (
        "it is in use by cell [5] of this kernel: close it with %reactor close cell 5, or choose another path"
    )
    port.stopListening()


def test_where_nobody_is_known_nothing_is_added() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    assert advise(CannotListenError("127.0.0.1", number, OSError(errno.EADDRINUSE, "in use"))) == ""
    assert advise(CannotListenError("127.0.0.1", 80, OSError(errno.EACCES, "denied"))) == ""
    assert advise(ValueError("anything else")) == ""


def refusal(host: str = "127.0.0.1") -> Exception:
    """What connecting to a port ends with that nobody listens on."""
    return connect_error(errno.ECONNREFUSED, IPv4Address("TCP", host, 9))


def test_a_refused_connection_names_the_ports_that_listen() -> None:
    assert advise(refusal()) == "this kernel has no TCP port open: run the cell that listens"
    ports = [in_cell(2).run(reactor.listenTCP, 0, Factory.forProtocol(Protocol), interface="0.0.0.0")]
    first = ports[0].port
    assert advise(refusal("localhost")) == f"in this kernel port {first} on 0.0.0.0 of cell [2] listens"
    ports += [reactor.listenTCP(0, Factory.forProtocol(Protocol)) for _ in range(4)]
    last = ", ".join(f"port {port.port}" for port in ports[-3:])
    assert advise(refusal()) == f"in this kernel {last} (and 2 more) listen"
    for port in ports:
        port.stopListening()


def test_of_other_machines_and_errors_nothing_is_known() -> None:
    assert advise(refusal("192.0.2.1")) == ""
    assert advise(connect_error(errno.ETIMEDOUT, IPv4Address("TCP", "127.0.0.1", 9))) == ""
    assert advise(connect_error(errno.ECONNREFUSED, UNIXAddress("/nowhere"))) == ""
    assert advise(connect_error(errno.ECONNREFUSED)) == ""


def test_advice_that_fails_takes_nothing_from_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(transport: str) -> None:
        raise OSError("no /proc today")

    monkeypatch.setattr(advice, "kernel_ports", fail)
    assert advise(refusal()) == ""
