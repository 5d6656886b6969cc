"""What keeps the reactor is interrupted in the user's code, or left behind, and the reactor goes on."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest

from tests.conftest import Reports, eventually
from tests.core.net_kit import dial, on_reactor, receive_all, serving
from wirebook import Deferred, Factory, Failure, Protocol, ensureDeferred, reactor
from wirebook.turn import turn
from wirebook_kernel import hogs
from wirebook_kernel.frames import position_of
from wirebook_kernel.hogs import Interruption
from wirebook_kernel.interrupts import bell
from wirebook_kernel.tripwire import enlist_thread

PATIENCE = 10.0


class Hog:
    """A callback that keeps the reactor: `function`, given this. ``result`` is what became of it."""

    def __init__(self, function: Callable[[Hog], Any]) -> None:
        self.began = threading.Event()
        self.let_go = threading.Event()
        # For the end of a test that has failed.
        self.over = False
        self.noted: list[str] = []
        self.result: Any = None
        self.ended = threading.Event()
        deferred: Deferred[Hog] = Deferred()
        deferred.addCallback(function)
        deferred.addBoth(self._note)
        reactor.callFromThread(deferred.callback, self)

    def was_interrupted(self) -> bool:
        """Wait until its Deferred has fired; whether that is with a KeyboardInterrupt."""
        assert self.ended.wait(PATIENCE)
        return isinstance(self.result, Failure) and self.result.check(KeyboardInterrupt) is not None

    def _note(self, result: object) -> None:
        self.result = result
        self.ended.set()


@pytest.fixture(autouse=True)
def hosted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's reactor runs, and a moment is long enough to keep it."""
    monkeypatch.setattr(hogs, "KEPT", 0.02)
    reactor.runInThread()
    reactor.hosting.prepare_threads(enlist_thread)
    on_reactor(reactor, str)
    yield
    reactor.shutDown()


@pytest.fixture
def started() -> Iterator[Callable[[Callable[[Hog], Any]], Hog]]:
    """Start hogs, and wait until they are at it; they are let go at the end."""
    begun: list[Hog] = []

    def start(function: Callable[[Hog], Any]) -> Hog:
        hog = Hog(function)
        begun.append(hog)
        assert hog.began.wait(PATIENCE)
        return hog

    yield start
    for hog in begun:
        hog.let_go.set()
        hog.over = True
        assert hog.ended.wait(PATIENCE)


Start = Callable[[Callable[[Hog], Any]], Hog]


def press() -> None:
    """Press the stop button, and urge until the turn comes, as the watchdog does."""
    deadline = time.monotonic() + PATIENCE
    with Interruption(pressed=True) as interruption:
        while not turn.comes_within(0.01):
            interruption.urge()
            assert time.monotonic() < deadline


def alive() -> bool:
    """Whether the reactor works."""
    return on_reactor(reactor, reactor.onReactorThread)


# --- ways to keep the reactor --------------------------------------------------------------------------


def compute(hog: Hog) -> None:
    hog.began.set()
    while not hog.over:
        pass


def call_the_framework(hog: Hog) -> None:
    hog.began.set()
    while not hog.over:
        reactor.callLater(60, print).cancel()


def compute_in_a_coroutine(hog: Hog) -> Deferred[None]:
    async def coroutine() -> None:
        compute(hog)

    return ensureDeferred(coroutine())


def compute_in_a_callback_of_a_callback(hog: Hog) -> Deferred[Any]:
    inner: Deferred[Any] = Deferred()
    inner.addCallback(compute)
    inner.callback(hog)
    return inner


def block(hog: Hog) -> None:
    hog.began.set()
    hog.let_go.wait(PATIENCE)
    hog.noted.append("went on")


@pytest.mark.parametrize(
    "function", [compute, call_the_framework, compute_in_a_coroutine, compute_in_a_callback_of_a_callback]
)
def test_a_callback_that_computes_gets_a_keyboard_interrupt(function: Callable[[Hog], Any], started: Start) -> None:
    hog = started(function)
    press()
    assert hog.was_interrupted()
    assert alive()


def test_a_protocol_that_computes_loses_its_connection_and_the_server_lives_on(reported: Reports) -> None:
    lost = threading.Event()

    class Greedy(Protocol):
        def dataReceived(self, data: bytes) -> None:
            if data != b"hog":
                self.transport.write(data)
                return
            lost.set()
            while True:
                pass

    with serving(reactor, Factory.forProtocol(Greedy)) as port, dial(port) as good, dial(port) as bad:
        bad.send(b"hog")
        assert lost.wait(PATIENCE)
        good.send(b"hello")
        press()
        assert good.recv(5) == b"hello"
        assert receive_all(bad) == b""
    (report,) = reported.wait()
    assert report.exc_info is not None
    assert report.exc_info[0] is KeyboardInterrupt


def test_a_call_that_blocks_is_left_behind_and_interrupted_when_it_returns(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    hog = started(block)
    left = reactor.hosting.thread
    assert left is not None
    press()
    assert alive()
    assert reactor.hosting.thread is not left
    assert not hog.ended.is_set()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("hog.let_go.wait() cannot be interrupted before it returns; the reactor goes on without it")
    assert said.endswith("and block() gets its KeyboardInterrupt then")
    hog.let_go.set()
    assert hog.was_interrupted()
    assert hog.noted == []
    assert eventually(lambda: not left.is_alive())
    assert alive()


def test_what_is_left_behind_goes_on_only_in_the_turn(started: Start) -> None:
    def ending(hog: Hog) -> None:
        try:
            block(hog)
        finally:
            hog.noted.append(f"held: {turn.held()}")

    hog = started(ending)
    press()
    with turn:
        hog.let_go.set()
        assert eventually(lambda: turn.waiting)
        assert hog.noted == []
    assert hog.was_interrupted()
    assert hog.noted == ["held: True"]


def test_several_are_left_behind(started: Start) -> None:
    begun = []
    for _ in range(3):
        begun.append(started(block))
        press()
    for hog in reversed(begun):
        hog.let_go.set()
        assert hog.was_interrupted()
    assert alive()


def test_the_end_of_the_reactor_does_not_wait_for_what_was_left_behind(started: Start) -> None:
    hog = started(block)
    press()
    began = time.monotonic()
    reactor.shutDown(PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
    hog.let_go.set()
    assert hog.was_interrupted()


def waits_for_it(thread: int) -> bool:
    """Whether a lock's ``acquire`` was called as a callback and has not returned."""
    frame = sys._current_frames().get(thread)
    return frame is not None and position_of(frame).function == "lock.acquire"


def test_a_function_written_in_c_is_left_behind_and_what_it_returns_stays(caplog: pytest.LogCaptureFixture) -> None:
    lock = threading.Lock()
    lock.acquire()
    deferred: Deferred[bool] = Deferred()
    deferred.addCallback(lock.acquire)
    after: list[object] = []
    deferred.addCallback(lambda result: after.append(result))
    reactor.callFromThread(deferred.callback, True)
    try:
        assert eventually(lambda: waits_for_it(turn.owner))
        press()
        assert alive()
    finally:
        lock.release()
    assert "acquire() cannot be interrupted" in caplog.text
    assert eventually(lambda: after)
    assert after == [True]
    assert alive()


# --- who is not interrupted ----------------------------------------------------------------------------


def test_nothing_happens_unless_the_button_is_pressed(started: Start) -> None:
    hog = started(block)
    with Interruption(pressed=False) as interruption:
        for _ in range(5):
            assert not turn.comes_within(hogs.KEPT)
            interruption.urge()
        hog.let_go.set()
        assert hog.ended.wait(PATIENCE)
    assert hog.noted == ["went on"]


def test_the_button_may_be_pressed_meanwhile(started: Start) -> None:
    hog = started(compute)
    with Interruption(pressed=False) as interruption:
        bell.press()
        while not turn.comes_within(0.01):
            interruption.urge()
    assert hog.was_interrupted()


def test_a_callback_that_has_only_begun_is_not_meant(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hogs, "KEPT", PATIENCE)
    hog = started(block)
    with Interruption(pressed=True) as interruption:
        for _ in range(5):
            interruption.urge()
        hog.let_go.set()
        assert hog.ended.wait(PATIENCE)
    assert hog.noted == ["went on"]


def test_the_next_callback_is_not_meant_although_the_turn_is_still_kept() -> None:
    lock = threading.Lock()
    lock.acquire()
    began = threading.Event()

    def first(_: None) -> None:
        began.set()
        lock.acquire()

    def second(_: None) -> str:
        return "".join(str(number) for number in range(3))

    chain: Deferred[Any] = Deferred()
    chain.addCallback(first).addCallback(second)
    reactor.callFromThread(chain.callback, None)
    assert began.wait(PATIENCE)
    with Interruption(pressed=True) as interruption:
        while interruption._shot is None:
            interruption.urge()
        lock.release()
        assert chain.wait(PATIENCE) == "012"


def test_short_callbacks_that_never_end_are_meant_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = 0

    def again(_: object) -> None:
        nonlocal ran
        ran += 1
        endless.addCallback(again)

    endless: Deferred[None] = Deferred()
    endless.addCallback(again)
    reactor.callFromThread(endless.callback, None)
    with Interruption(pressed=True) as interruption:
        assert eventually(lambda: ran > 1000, PATIENCE)
        for _ in range(10):
            interruption.urge()
        assert interruption._shot is None
    monkeypatch.setattr(hogs, "ALL_KEPT", 0.0)
    press()
    with pytest.raises(KeyboardInterrupt):
        endless.wait(PATIENCE)


def test_a_thread_of_the_program_s_own_that_keeps_the_turn_is_left_alone() -> None:
    began, let_go = threading.Event(), threading.Event()

    def keep() -> None:
        with turn:
            began.set()
            let_go.wait(PATIENCE)

    thread = threading.Thread(target=keep)
    thread.start()
    assert began.wait(PATIENCE)
    with Interruption(pressed=True) as interruption:
        for _ in range(5):
            assert not turn.comes_within(hogs.KEPT)
            interruption.urge()
        let_go.set()
        thread.join(PATIENCE)
    assert alive()


def test_an_interrupt_that_the_main_thread_held_back_is_pressed_again() -> None:
    came = threading.Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: came.set())

    def press_in_a_thread() -> None:
        with Interruption(pressed=True) as interruption:
            interruption.urge()

    try:
        with turn:
            turn.interrupted = threading.get_ident()
            thread = threading.Thread(target=press_in_a_thread)
            thread.start()
            thread.join(PATIENCE)
            assert eventually(came.is_set)
            turn.interrupted = 0
    finally:
        signal.signal(signal.SIGINT, before)


# --- where Python drops exceptions -----------------------------------------------------------------------


class Late:
    """Calls `function` when it is freed."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function

    def __del__(self) -> None:
        self.function()


@pytest.mark.parametrize("how", ["computes", "blocks"])
def test_what_is_freed_is_left_to_end_and_the_interrupt_comes_afterwards(how: str, started: Start) -> None:
    def free(hog: Hog) -> None:
        hog.began.set()
        if how == "blocks":
            hog.let_go.wait(PATIENCE)
        while not hog.let_go.is_set():
            pass
        hog.noted.append("freed")

    def function(hog: Hog) -> None:
        Late(lambda: free(hog))
        while not hog.over:
            pass

    hog = started(function)
    thread = reactor.hosting.thread
    with Interruption(pressed=True) as interruption:
        while interruption._shot is None:
            interruption.urge()
        for _ in range(10):
            interruption.urge()
        assert not hog.ended.is_set()
        hog.let_go.set()
        while not turn.comes_within(0.01):
            interruption.urge()
    assert hog.was_interrupted()
    assert hog.noted == ["freed"]
    assert reactor.hosting.thread is thread


@pytest.mark.parametrize("stuck", [False, True])
def test_an_interrupt_that_is_dropped_loses_nothing(
    stuck: bool, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell a callback of a weak reference from any other function."""
    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: dropped.append(unraisable.exc_type))

    def function(hog: Hog) -> str:
        freed = Late(str)
        reference = ref(freed, lambda _: block(hog) if stuck else compute(hog))
        del freed
        assert reference() is None
        return "went on"

    hog = started(function)
    press()
    hog.let_go.set()
    assert not hog.was_interrupted()
    assert hog.result == "went on"
    assert dropped == [KeyboardInterrupt]
    assert eventually(lambda: turn.owner == 0)
    assert alive()
