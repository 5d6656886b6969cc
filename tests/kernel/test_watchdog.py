"""What keeps the reactor is reported while it lasts, in its cell, with what to use instead."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar

import pytest

from tests.conftest import eventually
from tests.core.net_kit import on_reactor
from tests.kernel.kit import Notebook
from wirebook import Deferred, Failure, ensureDeferred, reactor
from wirebook.error import ConnectionDone
from wirebook.turn import turn
from wirebook_kernel.watchdog import Stall, Update, Watchdog

LIMIT = 0.1
PATIENCE = 10.0
mark: ContextVar[str] = ContextVar("mark", default="none")


class Watched:
    """A watchdog of the process's reactor, and what it has shown: each stall with its context, then its end."""

    def __init__(self) -> None:
        self.dog = Watchdog(reactor)
        self.dog.limit = LIMIT
        self.dog.show = self.show
        self.shown: list[tuple[Stall, str]] = []
        self.ended: list[Stall] = []

    def show(self, stall: Stall, context: Context) -> Update:
        self.shown.append((stall, context.get(mark, "none")))
        return self.ended.append

    def first(self) -> Stall:
        """The first stall, which is reported while it lasts."""
        assert eventually(lambda: self.shown, PATIENCE)
        return self.shown[0][0]


@pytest.fixture
def watched() -> Iterator[Watched]:
    reactor.runInThread()
    watched = Watched()
    watched.dog.start()
    yield watched
    watched.dog.stop()
    reactor.shutDown()


class Hog:
    """A callback that keeps the reactor until it is let go; `wait` is what it does meanwhile."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def wait(self, *_: object) -> None:
        self.let_go.wait(PATIENCE)

    def compute(self, *_: object) -> None:
        while not self.let_go.is_set():
            sum(range(100))


@pytest.fixture
def hog(watched: Watched) -> Iterator[Hog]:
    hog = Hog()
    yield hog
    hog.let_go.set()


def test_a_blocking_callback_is_reported_while_it_lasts(watched: Watched, hog: Hog) -> None:
    reactor.callFromThread(hog.wait)
    stall = watched.first()
    assert not watched.ended
    assert stall.at.function == "Hog.wait"
    assert stall.at.source == "self.let_go.wait(PATIENCE)"
    assert stall.at.call == "self.let_go.wait"
    assert stall.place.startswith(f"{__file__}, line ")
    assert stall.seconds >= LIMIT
    assert "deferToThread(self.let_go.wait, ...)" in stall.advice
    assert "keeps the reactor waiting" in repr(stall)


def test_it_is_reported_once_and_its_end_with_how_long_it_took(watched: Watched, hog: Hog) -> None:
    began = time.monotonic()
    reactor.callFromThread(hog.wait)
    watched.first()
    time.sleep(LIMIT * 3)
    hog.let_go.set()
    assert eventually(lambda: watched.ended)
    assert len(watched.shown) == 1
    (end,) = watched.ended
    assert end.over
    assert LIMIT * 3 < end.seconds < time.monotonic() - began + LIMIT
    assert "it took" in repr(end)
    assert end.at == watched.first().at


def test_a_computation_is_told_from_a_blocking_call(watched: Watched, hog: Hog) -> None:
    reactor.callFromThread(hog.compute)
    assert watched.first().computing
    assert "cooperate()" in watched.first().advice


WAYS: dict[str, Callable[[Hog], object]] = {
    "a call": lambda hog: reactor.callFromThread(hog.wait),
    "a timer": lambda hog: reactor.callLater(0, hog.wait),
    "a step of a Deferred": lambda hog: reactor.callFromThread(Deferred[None]().addCallback(hog.wait).callback, None),
    "a coroutine": lambda hog: reactor.callFromThread(ensureDeferred, coroutine(hog)),
    "a reader": lambda hog: reactor.addReader(Reading(hog)),
}


class Reading:
    """Has something to read at once."""

    def __init__(self, hog: Hog) -> None:
        self.hog = hog
        self.here, self.there = socket.socketpair()
        self.there.send(b"x")

    def fileno(self) -> int:
        return self.here.fileno()

    def doRead(self) -> Exception:
        self.hog.wait()
        return ConnectionDone()

    def connectionLost(self, reason: Failure) -> None:
        self.here.close()
        self.there.close()


async def coroutine(hog: Hog) -> None:
    """Wait in a coroutine."""
    hog.wait()


@pytest.mark.parametrize("way", WAYS)
def test_the_cell_of_a_stall_is_that_of_its_context(way: str, watched: Watched, hog: Hog) -> None:
    token = mark.set("cell 3")
    WAYS[way](hog)
    mark.reset(token)
    watched.first()
    assert watched.shown[0][1] == "cell 3"


def test_the_method_of_a_reader_is_named(watched: Watched, hog: Hog) -> None:
    reactor.addReader(Reading(hog))
    stall = watched.first()
    assert (stall.at.function, stall.in_cell) == ("Reading.doRead", False)
    assert stall.title.startswith("Reading.doRead() keeps the reactor waiting")


def test_what_the_reactor_calls_in_no_context_is_no_cell(watched: Watched, hog: Hog) -> None:
    class Asked(Reading):
        def doRead(self) -> None:  # type: ignore[override]
            self.here.recv(1)
            self.fileno = self.ask  # type: ignore[method-assign]

        def ask(self) -> int:
            self.hog.wait()
            return -1

    reactor.addReader(Asked(hog))
    stall = watched.first()
    assert stall.in_cell is False
    assert "wait() keeps the reactor waiting" in stall.title


def test_a_function_written_in_c_is_named_too(watched: Watched) -> None:
    reactor.callLater(0, time.sleep, LIMIT * 4)
    stall = watched.first()
    assert (stall.at.function, stall.place) == ("sleep", "a function written in C")
    assert eventually(lambda: watched.ended)


def test_what_waits_is_counted(watched: Watched, hog: Hog) -> None:
    here, there = socket.socketpair()
    reader = Reader(here)
    reactor.addReader(reader)
    reactor.callFromThread(hog.wait)
    with eventually_kept():
        there.send(b"x")
        reactor.callLater(0, str)
        reactor.callFromThread(str)
        reactor.callFromThread(str)
    stall = watched.first()
    assert stall.waiting == (1, 1, 2)
    assert stall.events == "4 events wait for it: 1 descriptor, 1 timer, 2 calls"
    hog.let_go.set()
    reactor.removeReader(reader)
    here.close()
    there.close()


class Reader:
    """Reads one byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fileno = sock.fileno

    def doRead(self) -> None:
        self.sock.recv(1)

    def connectionLost(self, reason: object) -> None:
        """Nothing to do."""

    def logPrefix(self) -> str:
        return "reader"


class eventually_kept:
    """Enter when the reactor has begun with a callback."""

    def __enter__(self) -> None:
        assert eventually(lambda: turn.owner, PATIENCE)

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""


def test_a_cell_that_holds_the_turn_is_told(watched: Watched) -> None:
    token = mark.set("cell 4")
    watched.dog.note_cell()
    with turn:
        time.sleep(LIMIT * 3)
        assert eventually(lambda: watched.shown)
    mark.reset(token)
    stall, cell = watched.shown[0]
    assert cell == "cell 4"
    assert stall.in_cell
    assert "This cell keeps" in stall.title
    assert "leave 'with reactor.turn()'" in stall.advice


def test_many_short_callbacks_are_no_stall(watched: Watched) -> None:
    running = True

    def again() -> None:
        time.sleep(0.001)
        if running:
            reactor.callFromThread(again)

    reactor.callFromThread(again)
    time.sleep(LIMIT * 5)
    running = False
    assert watched.shown == []


def test_it_can_be_turned_off_and_on(watched: Watched) -> None:
    watched.dog.limit = None
    on_reactor(reactor, time.sleep, LIMIT * 3)
    assert watched.shown == []
    watched.dog.limit = LIMIT
    on_reactor(reactor, time.sleep, LIMIT * 3)
    assert len(watched.shown) == 1


@pytest.mark.parametrize("bad", [0, -1, 0.01, float("nan"), float("inf")])
def test_a_limit_that_makes_no_sense_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="a limit is a number of seconds"):
        Watchdog(reactor).limit = bad


def test_it_stands_as_a_box_in_a_page(watched: Watched, hog: Hog) -> None:
    reactor.callFromThread(hog.wait)
    html = watched.first()._repr_html_()
    assert "Hog.wait() keeps the reactor waiting" in html
    assert "deferToThread" in html


# --- in a kernel ---------------------------------------------------------------------------------------


def test_a_stall_is_shown_in_the_cell_that_attached_the_callback_and_updated_at_its_end(notebook: Notebook) -> None:
    notebook.run("%reactor watchdog 0.2")
    run = notebook.run("def slow():\n    time.sleep(1)\nreactor.callLater(0, slow);")
    notebook.run("other = 1")
    run.wait(lambda run: run.of_type("update_display_data"))
    (shown,) = run.displays
    assert shown["text/plain"].startswith("slow() keeps the reactor waiting: 0.")
    assert "at Cell In[" in shown["text/plain"]
    assert "], line 2\n    time.sleep(1)" in shown["text/plain"]
    (update,) = run.of_type("update_display_data")
    assert update["content"]["data"]["text/plain"].startswith("slow() kept the reactor waiting: it took ")
    notebook.run("%reactor watchdog 1")


def test_the_limit_is_set_by_a_magic(notebook: Notebook) -> None:
    assert notebook.run("%reactor watchdog off").stdout == "The watchdog is off.\n"
    assert notebook.run("%reactor watchdog 2.5").stdout == "The watchdog is on: what takes over 2.5 s is reported.\n"
    run = notebook.run("%reactor watchdog soon")
    assert run.stderr.startswith("UsageError: %reactor watchdog takes a number of seconds or 'off', not 'soon'")
    assert notebook.run("%reactor watchdog 1").stdout.endswith("over 1 s is reported.\n")
