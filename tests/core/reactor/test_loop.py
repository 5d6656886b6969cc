"""The run loop: running and stopping, waking, thread calls, the hosting contract, the trace."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import boom, cell, in_cell, run_threads
from tests.core.net_kit import PATIENCE, Echo, Recorders, dial, drive, on_reactor, receive_exactly, serving
from wirebook.deferred import Deferred
from wirebook.error import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning
from wirebook.reactor.poller import best_poller
from wirebook.reactor.select_ import SelectPoller
from wirebook.transports.reactor import Reactor
from wirebook.turn import turn


@pytest.fixture(params=[best_poller, SelectPoller], ids=["best", "select"])
def idle(request: pytest.FixtureRequest) -> Iterator[Reactor]:
    """A reactor that nobody runs."""
    reactor = Reactor(poller=request.param())
    yield reactor
    assert not list(reactor.handles)
    reactor.close()


# --- run and stop


def test_run_returns_after_stop_and_may_be_repeated(idle: Reactor) -> None:
    for _ in range(3):
        idle.callWhenRunning(idle.stop)
        idle.run(installSignalHandlers=False)
        assert not idle.running


def test_stop_runs_the_shutdown_triggers_and_waits_for_their_deferreds(idle: Reactor) -> None:
    seen: list[str] = []
    waited: Deferred[None] = Deferred()
    idle.addSystemEventTrigger("before", "shutdown", lambda: waited)
    idle.addSystemEventTrigger("during", "shutdown", seen.append, "during")
    idle.addSystemEventTrigger("before", "startup", seen.append, "startup")
    idle.callWhenRunning(idle.stop)
    idle.callLater(0.02, seen.append, "later")
    idle.callLater(0.021, waited.callback, None)
    idle.run(installSignalHandlers=False)
    assert seen == ["startup", "later", "during"]


def test_stopping_what_does_not_run_is_refused(idle: Reactor) -> None:
    with pytest.raises(ReactorNotRunning, match="not running"):
        idle.stop()


def test_stopping_twice_is_refused(idle: Reactor) -> None:
    idle.startRunning()
    idle.stop()
    with pytest.raises(ReactorNotRunning, match="is stopping already"):
        idle.stop()
    drive(idle, lambda: not idle.running)


@pytest.mark.parametrize("again", ["startRunning", "run"])
def test_running_what_runs_is_refused(idle: Reactor, again: str) -> None:
    errors: list[BaseException] = []

    def run_again() -> None:
        try:
            getattr(idle, again)()
        except ReactorAlreadyRunning as error:
            errors.append(error)

    idle.callWhenRunning(run_again)
    idle.callWhenRunning(idle.callLater, 0, run_again)
    idle.callWhenRunning(idle.callLater, 0, idle.stop)
    idle.run(installSignalHandlers=False)
    assert len(errors) == 2


def test_crash_ends_run_without_the_shutdown_event(idle: Reactor) -> None:
    seen: list[str] = []
    key = idle.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
    idle.callWhenRunning(idle.crash)
    idle.run(installSignalHandlers=False)
    assert seen == []
    idle.removeSystemEventTrigger(key)


def test_another_thread_can_stop_a_sleeping_reactor(idle: Reactor) -> None:
    thread = threading.Thread(target=idle.run)
    thread.start()
    assert eventually(lambda: idle._waiting)
    idle.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_runs_cannot_be_closed(reactor: Reactor) -> None:
    with pytest.raises(ReactorAlreadyRunning, match="stop it first"):
        reactor.close()


def test_call_when_running_waits_for_the_start_or_calls_at_once(idle: Reactor) -> None:
    seen: list[str] = []
    removed = idle.callWhenRunning(seen.append, "never")
    assert removed is not None
    idle.removeSystemEventTrigger(removed)
    idle.callWhenRunning(seen.append, "started")
    assert seen == []
    idle.startRunning()
    assert seen == ["started"]
    assert idle.callWhenRunning(seen.append, "at once") is None
    assert seen == ["started", "at once"]
    idle.crash()


def test_a_system_event_can_be_fired(idle: Reactor) -> None:
    seen: list[int] = []
    idle.addSystemEventTrigger("during", "persist", seen.append, 1)
    assert idle.fireSystemEvent("persist").called
    assert seen == [1]


# --- calls from threads


def test_a_call_from_a_thread_wakes_a_sleeping_poller(any_reactor: Reactor) -> None:
    for _ in range(20):
        assert eventually(lambda: any_reactor._waiting)
        assert on_reactor(any_reactor, any_reactor.onReactorThread)


def test_calls_from_many_threads_are_made_once_each_in_each_thread_s_order(any_reactor: Reactor) -> None:
    seen: list[tuple[int, int]] = []

    def call(number: int) -> None:
        for index in range(500):
            any_reactor.callFromThread(seen.append, (number, index))

    run_threads(4, call)
    assert eventually(lambda: len(seen) == 2000, PATIENCE)
    for number in range(4):
        assert [i for origin, i in seen if origin == number] == list(range(500))


def test_a_call_from_a_thread_runs_in_the_caller_s_context_and_the_turn(any_reactor: Reactor) -> None:
    seen: list[tuple[str, bool]] = []
    in_cell("four", any_reactor.callFromThread, lambda: seen.append((cell.get(), turn.held())))
    assert eventually(lambda: seen == [("four", True)])


def test_a_call_that_raises_is_reported_and_the_loop_goes_on(any_reactor: Reactor, reported: Reports) -> None:
    any_reactor.callFromThread(boom)
    (record,) = reported.wait()
    assert "a call raised" in record.getMessage()
    assert on_reactor(any_reactor, str, 1) == "1"


def test_a_call_may_be_interrupted_and_the_loop_goes_on(any_reactor: Reactor, reported: Reports) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    any_reactor.callFromThread(interrupted)
    (record,) = reported.wait()
    assert vars(record)["wirebook_failure"].check(KeyboardInterrupt)
    assert on_reactor(any_reactor, str, 1) == "1"


def test_calls_that_add_calls_let_the_poller_have_its_turn(any_reactor: Reactor) -> None:
    stop = threading.Event()

    def again() -> None:
        if not stop.is_set():
            any_reactor.callFromThread(again)

    any_reactor.callFromThread(again)
    with serving(any_reactor, Recorders(Echo)) as port, dial(port) as sock:
        sock.sendall(b"x")
        assert receive_exactly(sock, 1) == b"x"
    stop.set()


# --- the hosting contract


def test_the_timeout_says_how_long_a_host_may_wait(idle: Reactor) -> None:
    assert idle.timeout() == -1
    call = idle.callLater(60, int)
    assert 59 < idle.timeout() <= 60
    idle.callFromThread(int)
    assert idle.timeout() == 0
    idle.iterate()
    assert 59 < idle.timeout() <= 60
    call.cancel()
    assert idle.timeout() == -1


def test_iterate_waits_no_longer_than_it_is_told(idle: Reactor) -> None:
    call = idle.callLater(60, int)
    began = time.monotonic()
    idle.iterate(0.02)
    assert 0.015 < time.monotonic() - began < 1
    call.cancel()


def test_iterate_waits_no_longer_than_the_next_timer(idle: Reactor) -> None:
    seen: list[int] = []
    idle.callLater(0.01, seen.append, 1)
    drive_once = time.monotonic()
    idle.iterate(30)
    idle.iterate(0.01)
    assert seen == [1]
    assert time.monotonic() - drive_once < 5


@pytest.mark.parametrize("timer", [False, True])
@pytest.mark.parametrize("delay", [-1, math.nan, "1"])
def test_iterate_refuses_a_delay_that_cannot_be_waited_for(idle: Reactor, delay: Any, timer: bool) -> None:
    call = idle.callLater(60, int) if timer else None
    with pytest.raises(ValueError, match="a number of seconds, 0 or more"):
        idle.iterate(delay)
    if call is not None:
        call.cancel()


def test_a_host_needs_only_the_descriptor_the_timeout_and_iterate() -> None:
    reactor = Reactor()
    if reactor.fileno() < 0:
        pytest.skip("this poller has no descriptor of its own")
    finished = threading.Event()
    factory = Recorders(Echo)
    port = reactor.listenTCP(0, factory)

    def talk() -> None:
        with dial(port) as sock:
            sock.sendall(b"hello")
            assert receive_exactly(sock, 5) == b"hello"
        finished.set()

    thread = threading.Thread(target=talk)
    thread.start()
    while not (finished.is_set() and factory.protocols[0].lost.is_set()):
        wait = reactor.timeout()
        select.select([reactor.fileno()], [], [], 0.05 if wait < 0 else wait)
        reactor.iterate(0)
    thread.join()
    port.stopListening()
    reactor.close()


def test_a_held_interrupt_leaves_the_turn_whole(idle: Reactor) -> None:
    idle.callFromThread(turn.hold_interrupt)
    with pytest.raises(KeyboardInterrupt):
        idle.iterate()
    assert not turn.held()
    assert turn.owner == 0
    idle.iterate()


# --- the trace


class Trace:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object] | str] = []

    def begin(self, cause: str, subject: object, origin: Context | None = None) -> None:
        assert turn.held()
        self.heard.append((cause, subject))

    def end(self) -> None:
        self.heard.append("end")


def test_the_trace_hears_the_begin_and_end_of_every_callback(any_reactor: Reactor, reported: Reports) -> None:
    trace = Trace()
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port, dial(port) as sock:
        connection = factory.number(0).transport
        any_reactor.trace = trace
        sock.sendall(b"x")
        receive_exactly(sock, 1)
        any_reactor.callLater(0, boom)
        reported.wait()
        on_reactor(any_reactor, int)
        any_reactor.trace = None
    heard = trace.heard
    assert [entry == "end" for entry in heard[:6]] == [False, True] * 3
    assert ("read", connection) in heard
    assert ("timer", boom) in heard
    assert "call" in [entry[0] for entry in heard]


def test_the_trace_hears_of_writing(any_reactor: Reactor) -> None:
    trace = Trace()
    factory = Recorders(Echo)
    with serving(any_reactor, factory) as port, dial(port) as sock:
        connection = factory.number(0).transport
        any_reactor.trace = trace
        connection.write(bytes(8 << 20))
        receive_exactly(sock, 8 << 20)
        assert eventually(lambda: connection.bytesSent == 8 << 20)
        any_reactor.trace = None
    assert ("write", connection) in trace.heard


# --- what a program sees of its start and end


def test_running_is_true_from_the_startup_to_the_shutdown_event(idle: Reactor) -> None:
    seen: list[tuple[str, bool]] = []
    for phase in ("before", "during", "after"):
        for event in ("startup", "shutdown"):
            idle.addSystemEventTrigger(phase, event, lambda name: seen.append((name, idle.running)), f"{phase} {event}")
    idle.callWhenRunning(idle.stop)
    idle.run(installSignalHandlers=False)
    assert seen == [
        ("before startup", False),
        ("during startup", True),
        ("after startup", True),
        ("before shutdown", True),
        ("during shutdown", False),
        ("after shutdown", False),
    ]


def test_run_inside_a_callback_says_that_it_runs_already(reactor: Reactor) -> None:
    with pytest.raises(ReactorAlreadyRunning, match="one of its callbacks"):
        on_reactor(reactor, reactor.run)


def test_a_reactor_that_was_closed_does_not_run_again() -> None:
    reactor = Reactor()
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    reactor.close()
    with pytest.raises(ReactorNotRestartable, match="closed for good"):
        reactor.run()
