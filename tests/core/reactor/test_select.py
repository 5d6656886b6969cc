"""select keeps the contract, and survives what other threads do to its set while it waits."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

import pytest

from tests.core.reactor.poller_kit import PollerContract
from wirebook.reactor.poller import HANGUP, READ, Poller
from wirebook.reactor.select_ import SelectPoller


class TestSelectPoller(PollerContract):
    def make(self) -> Poller:
        return SelectPoller()


def test_it_has_no_descriptor_of_its_own() -> None:
    assert SelectPoller().fileno() == -1


def test_the_set_may_change_while_it_is_polled() -> None:
    poller = SelectPoller()
    pairs = [socket.socketpair() for _ in range(40)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    done = threading.Event()

    def churn() -> None:
        for _ in range(300):
            for here, _ in pairs:
                poller.add(here.fileno(), READ)
            for here, _ in pairs:
                poller.remove(here.fileno())
        done.set()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        while not done.is_set():
            assert poller.poll(0) == []
    finally:
        thread.join()
        sys.setswitchinterval(interval)
        for here, there in pairs:
            here.close()
            there.close()


def test_a_descriptor_that_was_closed_without_a_word_is_hung_up() -> None:
    poller = SelectPoller()
    reader, writer = os.pipe()
    closed, other = os.pipe()
    poller.add(reader, READ)
    poller.add(closed, READ)
    os.close(closed)
    os.write(writer, b"x")
    assert poller.poll(1) == [(closed, HANGUP)]
    poller.remove(closed)
    assert poller.poll(1) == [(reader, READ)]
    for end in (reader, writer, other):
        os.close(end)


@pytest.mark.parametrize("fd", [1024, 5000])
def test_a_descriptor_beyond_select_s_limit_is_refused_when_it_is_added(fd: int) -> None:
    with pytest.raises(ValueError, match="select cannot watch descriptor"):
        SelectPoller().add(fd, READ)


def test_a_descriptor_that_is_removed_is_out_of_a_wait_that_was_woken() -> None:
    for _ in range(50):
        _remove_while_waiting()


def _remove_while_waiting() -> None:
    poller = SelectPoller()
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        poller.add(reader, READ)
        poller.add(server.fileno(), READ)
        thread = threading.Thread(target=poller.poll, args=(-1,))
        thread.start()
        address = server.getsockname()
        os.write(writer, b"x")
        poller.remove(server.fileno())
    with socket.create_server(address):
        thread.join(10)
    for end in (reader, writer):
        os.close(end)


def test_a_signal_handler_inside_a_wait_may_remove_a_descriptor() -> None:
    poller = SelectPoller()
    reader, writer = os.pipe()
    removed, other = os.pipe()
    poller.add(reader, READ)
    poller.add(removed, READ)

    def handle(signum: int, frame: object) -> None:
        poller.remove(removed)
        os.write(writer, b"x")

    usual = signal.signal(signal.SIGUSR1, handle)
    alarm = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    alarm.start()
    try:
        assert poller.poll(10) == [(reader, READ)]
    finally:
        alarm.join()
        signal.signal(signal.SIGUSR1, usual)
    for end in (reader, writer, removed, other):
        os.close(end)
