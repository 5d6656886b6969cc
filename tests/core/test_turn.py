"""The turn: exclusive, re-entrant, fair, and never a trap to wait in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.core.deferred_kit import run_python, run_threads, until
from tests.core.net_kit import PATIENCE, Echo, Recorders, on_reactor, serving
from wirebook.deferred import Deferred
from wirebook.transports.listening import Port
from wirebook.transports.reactor import Reactor
from wirebook.turn import LOOK_AGAIN, Turn, TurnHeldError, in_turn, turn


def test_nobody_holds_a_new_turn() -> None:
    fresh = Turn()
    assert fresh.owner == 0
    assert not fresh.held()


def test_the_holder_is_known() -> None:
    with turn as held:
        assert held is turn
        assert turn.held()
        assert turn.owner == threading.get_ident()
    assert not turn.held()


def test_the_turn_can_be_taken_again_by_its_holder() -> None:
    with turn:
        with turn:
            pass
        assert turn.held()
    assert not turn.held()


def test_two_threads_are_never_in_the_turn_at_once() -> None:
    inside = overlaps = 0

    def enter(_: int) -> None:
        nonlocal inside, overlaps
        for _ in range(200):
            with turn:
                inside += 1
                overlaps += inside != 1
                inside -= 1

    run_threads(4, enter)
    assert overlaps == 0


def test_only_the_holder_may_release() -> None:
    with pytest.raises(RuntimeError, match="does not hold it"):
        turn.release()


def test_an_exception_gives_the_turn_back() -> None:
    with pytest.raises(ValueError, match="boom"), turn:
        raise ValueError("boom")
    assert not turn.held()


def test_a_held_interrupt_is_raised_at_the_outermost_release() -> None:
    reached = []

    def interrupted() -> None:
        with turn:
            with turn:
                turn.hold_interrupt()
            reached.append("inner release")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == ["inner release"]
    assert not turn.held()
    with turn:
        """The interrupt was raised once."""


def test_the_turn_can_be_taken_from_a_thread_that_is_stuck_and_comes_back_as_deep_as_it_was() -> None:
    stuck, go_on = threading.Event(), threading.Event()
    depth: list[int] = []
    seen: list[bool] = []

    def hold() -> None:
        with turn, turn:
            stuck.set()
            go_on.wait(PATIENCE)
            turn.take_back(depth[0])
            seen.append(turn.held())
        seen.append(turn.held())

    thread = threading.Thread(target=hold)
    thread.start()
    assert stuck.wait(PATIENCE)
    depth.append(turn.take_away())
    with turn:
        go_on.set()
        until(lambda: turn.waiting)
        assert seen == []
    thread.join(PATIENCE)
    assert seen == [True, False]


def test_who_waits_is_woken_when_the_turn_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirebook.turn.LOOK_AGAIN", 10 * PATIENCE)
    fresh = Turn()
    fresh.acquire()
    waiter = threading.Thread(target=lambda: (fresh.acquire(), fresh.release()))  # type: ignore[func-returns-value]
    waiter.start()
    until(lambda: fresh.waiting)
    fresh.take_away()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


FORK = """
import os, signal, sys, threading
from wirebook.turn import turn
held, go_on = threading.Event(), threading.Event()
def hold():
    with turn:
        held.set()
        go_on.wait()
def wait():
    with turn:
        pass
threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
if "main" in sys.argv:
    turn.acquire()
    threads.pop(0)
for thread in threads:
    thread.start()
if "main" not in sys.argv:
    held.wait()
while not turn.waiting:
    pass
child = os.fork()
if not child:
    signal.alarm(10)
    with turn:
        pass
    os._exit(turn.held() + 2 * turn.waiting)
go_on.set()
if "main" in sys.argv:
    turn.release()
for thread in threads:
    thread.join()
print(os.waitpid(child, 0)[1] >> 8)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize(("holder", "held_in_child"), [("thread", False), ("main", True)])
def test_a_forked_child_has_the_turn_of_its_only_thread(holder: str, held_in_child: bool) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, holder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{int(held_in_child)}\n", "")


def test_a_marked_method_holds_the_turn_and_keeps_its_name() -> None:
    class Thing:
        @in_turn
        def entry(self, number: int, *, twice: bool) -> tuple[bool, int]:
            """What it does."""
            return turn.held(), number * (2 if twice else 1)

    assert Thing().entry(4, twice=True) == (True, 8)
    with turn:
        assert Thing().entry(4, twice=False) == (True, 4)
    assert Thing.entry.__name__ == "entry"


def test_interrupts_at_any_moment_leave_the_turn_free_wherever_they_are_raised() -> None:
    code = """
import signal, threading, time
from wirebook.deferred import Deferred
from wirebook.turn import in_turn, turn
main, done, armed, caught = threading.get_ident(), threading.Event(), False, 0
def raise_here(number, frame):
    if armed:
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, raise_here)
@in_turn
def entry(_):
    pass
def interrupt():
    for _ in range(1000):
        time.sleep(0.0003)
        signal.pthread_kill(main, signal.SIGINT)
    done.set()
def contend():
    while not done.is_set():
        with turn:
            time.sleep(0.0001)
        time.sleep(0.0003)
def use():
    while not done.is_set():
        entry(None)
        Deferred().addBoth(lambda _: None).callback(None)
threads = [threading.Thread(target=interrupt), threading.Thread(target=contend)]
for thread in threads:
    thread.start()
while not done.is_set():
    try:
        armed = True
        use()
    except KeyboardInterrupt:
        armed = False
        caught += 1
    armed = False
for thread in threads:
    thread.join()
with turn:
    print(caught > 0, turn.held())
print(turn.owner)
"""
    assert run_python(code).stdout == "True True\n0\n"


def test_a_waiter_is_woken_when_the_turn_is_given_back() -> None:
    taken = threading.Event()
    waited: list[float] = []

    def wait() -> None:
        assert taken.wait(10)
        asked = time.perf_counter()
        with turn:
            waited.append(time.perf_counter() - asked)

    def hold() -> None:
        with turn:
            taken.set()
            until(lambda: turn.waiting)

    for _ in range(20):
        run_threads(2, lambda number: [hold, wait][number]())
        taken.clear()
    # Without being woken it would look again by itself, but only then.
    assert sorted(waited)[10] < LOOK_AGAIN


def test_a_waiter_gets_the_turn_while_the_reactor_is_under_constant_load(reactor: Reactor) -> None:
    running = True

    def again() -> None:
        deadline = time.perf_counter() + 0.001
        while time.perf_counter() < deadline:
            """Keep the processor busy, as a callback would."""
        if running:
            reactor.callFromThread(again)

    reactor.callFromThread(again)
    waits = []
    for _ in range(50):
        asked = time.perf_counter()
        with turn:
            waits.append(time.perf_counter() - asked)
    running = False
    # One batch is a millisecond; the rest is for a busy machine.
    assert sorted(waits)[len(waits) // 2] < 0.02


WAITS: dict[str, Any] = {
    "Deferred.wait": lambda reactor: Deferred().wait(),
    "run": lambda reactor: reactor.run(),
    "runInThread": lambda reactor: reactor.runInThread(),
    "shutDown": lambda reactor: reactor.shutDown(),
}


@pytest.mark.parametrize("what", WAITS)
def test_waiting_while_holding_the_turn_is_refused(what: str, reactor: Reactor) -> None:
    with reactor.turn(), pytest.raises(TurnHeldError, match="would wait for ever"):
        WAITS[what](reactor)
    assert reactor.running


@pytest.mark.parametrize("what", sorted(WAITS.keys() - {"run"}))
def test_waiting_in_a_callback_is_refused(what: str, reactor: Reactor) -> None:
    with pytest.raises(TurnHeldError, match="attach a callback instead"):
        on_reactor(reactor, WAITS[what], reactor)
    assert reactor.running


def test_many_threads_listen_at_once(any_reactor: Reactor) -> None:
    ports: list[Port] = []
    run_threads(8, lambda _: ports.extend(any_reactor.listenTCP(0, Recorders(Echo)) for _ in range(5)))
    assert len({port.getHost().port for port in ports}) == 40
    assert set(any_reactor.handles) == set(ports)

    def stop(number: int) -> None:
        for port in ports[number::8]:
            port.stopListening()

    run_threads(8, stop)
    assert not list(any_reactor.handles)


def test_the_world_stands_still_inside_the_turn(reactor: Reactor) -> None:
    called: list[int] = []
    with serving(reactor, Recorders(Echo)), reactor.turn():
        reactor.callFromThread(called.append, 1)
        reactor.callLater(0, called.append, 2)
        assert called == []
    on_reactor(reactor, int)
    assert 1 in called
