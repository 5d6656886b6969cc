"""The contract of a poller as tests, for each kind; a test module subclasses it with a poller of its own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from wirebook.reactor.poller import READ, WRITE, Poller


class PollerContract:
    """What the run loop expects of every poller."""

    def make(self) -> Poller:
        """A new poller of the kind under test."""
        raise NotImplementedError

    @pytest.fixture
    def poller(self) -> Iterator[Poller]:
        poller = self.make()
        yield poller
        poller.close()

    @pytest.fixture
    def ends(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            yield here, there

    def test_nothing_is_ready_in_an_empty_set(self, poller: Poller) -> None:
        assert poller.poll(0) == []

    def test_a_socket_with_data_is_readable_until_it_is_read(
        self, poller: Poller, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        here, there = ends
        poller.add(here.fileno(), READ)
        assert poller.poll(0) == []
        there.send(b"x")
        assert poller.poll(1) == [(here.fileno(), READ)]
        assert poller.poll(0) == [(here.fileno(), READ)]
        here.recv(10)
        assert poller.poll(0) == []

    def test_a_socket_with_room_is_writable(self, poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
        here, _ = ends
        poller.add(here.fileno(), WRITE)
        assert poller.poll(1) == [(here.fileno(), WRITE)]

    def test_both_directions_are_told(self, poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
        here, there = ends
        poller.add(here.fileno(), READ | WRITE)
        there.send(b"x")
        masks = [mask for fd, mask in poller.poll(1) if fd == here.fileno()]
        assert sum(masks) == READ | WRITE

    def test_interest_can_change(self, poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
        here, _ = ends
        poller.add(here.fileno(), 0)
        assert poller.poll(0) == []
        poller.change(here.fileno(), WRITE)
        assert poller.poll(1) == [(here.fileno(), WRITE)]
        poller.change(here.fileno(), READ)
        assert poller.poll(0) == []

    def test_a_removed_descriptor_is_forgotten(self, poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
        here, _ = ends
        poller.add(here.fileno(), WRITE)
        poller.remove(here.fileno())
        assert poller.poll(0) == []
        poller.add(here.fileno(), WRITE)
        assert poller.poll(0) == [(here.fileno(), WRITE)]

    def test_a_descriptor_is_added_once(self, poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
        here, _ = ends
        poller.add(here.fileno(), READ)
        with pytest.raises(FileExistsError):
            poller.add(here.fileno(), READ)

    def test_an_unknown_descriptor_cannot_be_changed(
        self, poller: Poller, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        with pytest.raises((FileNotFoundError, KeyError)):
            poller.change(ends[0].fileno(), READ)

    def test_a_peer_that_closed_makes_a_reader_readable(
        self, poller: Poller, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        here, there = ends
        poller.add(here.fileno(), READ)
        there.close()
        ((fd, mask),) = poller.poll(1)
        assert fd == here.fileno()
        assert mask & READ

    def test_a_wait_without_end_ends_with_an_event(
        self, poller: Poller, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        here, there = ends
        poller.add(here.fileno(), READ)
        found: list[list[tuple[int, int]]] = []
        thread = threading.Thread(target=lambda: found.append(poller.poll(-1)))
        thread.start()
        there.send(b"x")
        thread.join(5)
        assert found == [[(here.fileno(), READ)]]

    def test_a_change_while_waiting_is_seen_or_asks_for_a_wake(
        self, poller: Poller, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        here, _ = ends
        found: list[list[tuple[int, int]]] = []
        waker, wake = os.pipe()
        poller.add(waker, READ)
        thread = threading.Thread(target=lambda: found.append(poller.poll(5)))
        thread.start()
        poller.add(here.fileno(), WRITE)
        if poller.needs_wake:
            os.write(wake, b"x")
        thread.join(10)
        os.write(wake, b"x")
        assert found
        assert found[0]
        assert (here.fileno(), WRITE) in poller.poll(0)
        poller.remove(waker)
        os.close(waker)
        os.close(wake)
