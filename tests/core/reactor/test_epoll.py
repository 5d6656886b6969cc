"""epoll: the contract, and the facts about it that the loop relies on."""

from __future__ import annotations

import os
import select
import socket
import sys

import pytest

from tests.core.net_kit import send_reset
from tests.core.reactor.poller_kit import PollerContract
from wirebook.reactor.poller import HANGUP, READ, WRITE, Poller

if sys.platform != "linux":
    pytest.skip("epoll is Linux's", allow_module_level=True)

from wirebook.reactor.epoll import EpollPoller


class TestEpollPoller(PollerContract):
    def make(self) -> Poller:
        return EpollPoller()


def test_the_masks_are_epoll_s_own_numbers() -> None:
    assert (READ, WRITE, HANGUP) == (select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR)


def test_a_batch_is_bounded() -> None:
    poller = EpollPoller(batch=3)
    pipes = [os.pipe() for _ in range(5)]
    for _, writer in pipes:
        poller.add(writer, WRITE)
    seen = set()
    for _ in range(4):
        batch = poller.poll(0)
        assert len(batch) == 3
        seen |= {fd for fd, _ in batch}
    assert seen == {writer for _, writer in pipes}, "ready descriptors rotate"
    poller.close()
    for end in sum(pipes, ()):
        os.close(end)


def test_a_reset_is_reported_although_nothing_was_asked_for() -> None:
    poller = EpollPoller()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            poller.add(accepted.fileno(), 0)
            send_reset(client)
            ((fd, mask),) = poller.poll(1)
            assert fd == accepted.fileno()
            assert mask & HANGUP
            assert not mask & (READ | WRITE)
    poller.close()


def test_the_poller_s_own_descriptor_is_readable_when_something_is_ready() -> None:
    poller = EpollPoller()
    reader, writer = os.pipe()
    poller.add(reader, READ)
    assert select.select([poller.fileno()], [], [], 0)[0] == []
    os.write(writer, b"x")
    assert select.select([poller.fileno()], [], [], 1)[0] == [poller.fileno()]
    poller.close()
    os.close(reader)
    os.close(writer)
