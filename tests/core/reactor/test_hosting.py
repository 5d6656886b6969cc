"""The reactor in a thread of its own, beside a program with a main loop of its own."""

from __future__ import annotations

import logging
import sys
import threading
import time
from asyncio import CancelledError
from bdb import BdbQuit
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from socket import socketpair
from types import FrameType

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import run_python
from tests.core.net_kit import PATIENCE, Echo, Recorder, Recorders, dial, free_port, on_reactor, receive_all, serving
from wirebook.deferred import Deferred
from wirebook.error import ConnectionAborted, ConnectionDone, ReactorAlreadyRunning, ReactorNotRunning
from wirebook.failure import Failure
from wirebook.protocol import Factory, Protocol
from wirebook.reactor.poller import best_poller
from wirebook.reactor.select_ import SelectPoller
from wirebook.transports.reactor import Reactor
from wirebook.turn import turn

POLLERS = [best_poller, SelectPoller]


def stop_when_awaited(reactor: Reactor) -> None:
    """Stop on the reactor as soon as somebody waits in run()."""
    if reactor.hosting._runs:
        reactor.stop()
    else:
        reactor.callLater(0.001, stop_when_awaited, reactor)


def test_the_hosted_reactor_runs_in_a_daemon_thread_with_a_name(any_reactor: Reactor) -> None:
    thread = on_reactor(any_reactor, threading.current_thread)
    assert (thread.name, thread.daemon) == ("wirebook-reactor", True)
    assert any_reactor.running
    assert on_reactor(any_reactor, any_reactor.onReactorThread)
    assert not any_reactor.onReactorThread()


def test_hosting_twice_is_harmless(reactor: Reactor) -> None:
    thread = reactor.hosting.thread
    reactor.runInThread()
    assert reactor.hosting.thread is thread


def test_run_waits_until_stop_and_the_hosted_loop_goes_on(any_reactor: Reactor) -> None:
    seen: list[str] = []
    any_reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")

    stop_when_awaited(any_reactor)
    any_reactor.run()
    assert seen == ["shutdown"]
    assert any_reactor.running
    assert on_reactor(any_reactor, str, 1) == "1"


def test_run_and_stop_can_be_repeated(reactor: Reactor) -> None:
    for _ in range(3):
        stop_when_awaited(reactor)
        reactor.run()


def test_one_stop_ends_every_run_that_waits(reactor: Reactor) -> None:
    threads = [threading.Thread(target=reactor.run) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(reactor.hosting._runs) == 3)
    reactor.stop()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


# --- programs that believe the reactor is their own ---------------------------------------------------


def as_program(reactor: Reactor, main: Callable[[], object]) -> threading.Thread:
    """Run `main` as a host runs a program: in a context of its own, which begins and ends the program."""

    def body() -> None:
        reactor.hosting.begin_program()
        main()
        reactor.hosting.end_program()

    thread = threading.Thread(target=copy_context().run, args=(body,))
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


def test_a_stop_before_run_makes_it_return_at_once(any_reactor: Reactor) -> None:
    seen: list[str] = []

    def main() -> None:
        any_reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")
        any_reactor.callWhenRunning(any_reactor.stop)
        seen.append("before run")
        any_reactor.run()
        seen.append("after run")

    assert ended(as_program(any_reactor, main))
    assert seen == ["before run", "shutdown", "after run"]


def test_a_stop_before_run_counts_once(reactor: Reactor) -> None:
    returned = threading.Event()

    def main() -> None:
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
        returned.set()
        reactor.run()

    thread = as_program(reactor, main)
    assert returned.wait(PATIENCE)
    assert eventually(lambda: reactor.hosting._runs)
    reactor.stop()
    assert ended(thread)


def test_a_second_stop_before_run_is_refused_as_for_any_reactor_that_is_stopping(reactor: Reactor) -> None:
    refused: list[str] = []

    def again() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning as error:
            refused.append(str(error))

    def main() -> None:
        reactor.callWhenRunning(reactor.stop)
        reactor.callWhenRunning(again)
        reactor.run()

    assert ended(as_program(reactor, main))
    assert len(refused) == 1


def test_a_stop_that_no_callback_makes_is_refused_before_run(reactor: Reactor) -> None:
    refused: list[str] = []

    def main() -> None:
        with pytest.raises(ReactorNotRunning):
            reactor.stop()
        refused.append("yes")

    assert ended(as_program(reactor, main))
    assert refused == ["yes"]


def test_a_stop_by_a_callback_of_a_program_that_is_over_is_reported(reactor: Reactor, reported: Reports) -> None:
    waiting: list[Deferred[None]] = [Deferred()]
    assert ended(as_program(reactor, lambda: waiting[0].addCallback(lambda _: reactor.stop())))
    reactor.callFromThread(waiting[0].callback, None)
    assert eventually(lambda: waiting[0].called)
    waiting.clear()
    (record,) = reported.wait()
    assert record.exc_info is not None
    assert record.exc_info[0] is ReactorNotRunning


def test_what_a_program_has_opened_is_closed_when_it_is_stopped_and_nothing_else(reactor: Reactor) -> None:
    others = reactor.listenTCP(0, Recorders(Echo))
    others_call = reactor.callLater(60, print)
    seen: list[str] = []
    trigger = reactor.addSystemEventTrigger("before", "shutdown", seen.append, "another's")
    factory = Recorders(Echo)

    def main() -> None:
        port = reactor.listenTCP(0, factory)
        reactor.callLater(60, print)
        with dial(port):
            factory.number(0)
            reactor.callLater(0, reactor.stop)
            reactor.run()

    assert ended(as_program(reactor, main))
    assert isinstance(factory.protocols[0].end(), ConnectionDone)
    assert set(reactor.handles) == {others, others_call}
    assert seen == []
    reactor.removeSystemEventTrigger(trigger)
    others_call.cancel()
    others.stopListening()


def test_interrupting_run_ends_the_program_too() -> None:
    code = """
import os, signal, threading, time
from wirebook import reactor
from wirebook.protocol import Factory, Protocol
reactor.runInThread()
reactor.hosting.begin_program()
reactor.listenTCP(0, Factory.forProtocol(Protocol))
reactor.addSystemEventTrigger("before", "shutdown", print, "shutdown")
def press():
    while not reactor.hosting._runs:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press).start()
try:
    reactor.run()
except KeyboardInterrupt:
    print("interrupted", len(reactor.handles), reactor.running)
reactor.shutDown()
"""
    assert run_python(code).stdout == "shutdown\ninterrupted 0 True\n"


def test_the_callbacks_of_one_program_may_end_the_run_of_another(reactor: Reactor) -> None:
    go: Deferred[None] = Deferred()
    assert ended(as_program(reactor, lambda: go.addCallback(lambda _: reactor.stop())))
    thread = as_program(reactor, reactor.run)
    assert eventually(lambda: reactor.hosting._runs)
    reactor.callFromThread(go.callback, None)
    assert ended(thread)


@pytest.mark.parametrize("verb", ["stop", "crash"])
def test_stopping_what_nobody_runs_is_refused(reactor: Reactor, verb: str) -> None:
    with pytest.raises(ReactorNotRunning, match=r"no run\(\) is waiting.*Close ports and connections instead"):
        getattr(reactor, verb)()
    assert reactor.running


def test_another_thread_may_not_iterate_a_hosted_reactor(reactor: Reactor) -> None:
    with pytest.raises(ReactorAlreadyRunning, match="another thread runs this reactor"):
        reactor.iterate()


# --- its threads ---------------------------------------------------------------------------------------


class Stuck:
    """A callback that does not come back before it is told to, and that loses its thread."""

    def __init__(self) -> None:
        self.began, self._go_on = threading.Event(), threading.Event()
        self._depth = 0
        self._left: threading.Thread | None = None

    def __call__(self) -> None:
        self.began.set()
        assert self._go_on.wait(PATIENCE)
        turn.take_back(self._depth)

    def leave_behind(self, reactor: Reactor) -> None:
        """Wait until it is stuck, and have the reactor go on without it."""
        assert self.began.wait(PATIENCE)
        self._left = reactor.hosting.thread
        self._depth = reactor.hosting.replace_thread()

    def come_back(self) -> None:
        """Let it end, and its thread with it."""
        self._go_on.set()
        assert self._left is not None
        self._left.join(PATIENCE)
        assert not self._left.is_alive()


def test_another_thread_takes_over_from_one_that_a_callback_has_kept(any_reactor: Reactor) -> None:
    stuck, old = Stuck(), any_reactor.hosting.thread
    any_reactor.callFromThread(stuck)
    stuck.leave_behind(any_reactor)
    assert on_reactor(any_reactor, threading.current_thread) is not old
    stuck.come_back()
    assert on_reactor(any_reactor, any_reactor.onReactorThread)
    assert any_reactor.running


class OneByte:
    """Reads a byte, and counts how often it was asked to; the first one of all is stuck in that."""

    def __init__(self, stuck: Stuck) -> None:
        self.here, self.there = socketpair()
        self.here.setblocking(False)
        self.asked = 0
        self._stuck = stuck

    def fileno(self) -> int:
        return self.here.fileno()

    def logPrefix(self) -> str:
        return "one byte"

    def doRead(self) -> None:
        self.asked += 1
        self.here.recv(1)
        if not self._stuck.began.is_set():
            self._stuck()

    def connectionLost(self, reason: Failure) -> None:
        raise AssertionError(reason)


def test_what_was_ready_beside_a_callback_that_is_stuck_is_dealt_with_once(any_reactor: Reactor) -> None:
    stuck = Stuck()
    readers = [OneByte(stuck) for _ in range(3)]
    with any_reactor.turn():
        for reader in readers:
            any_reactor.addReader(reader)
            reader.there.send(b"x")
    stuck.leave_behind(any_reactor)
    assert eventually(lambda: all(reader.asked for reader in readers))
    stuck.come_back()
    for reader in readers:
        any_reactor.removeReader(reader)
        reader.here.close()
        reader.there.close()
    assert [reader.asked for reader in readers] == [1, 1, 1]


def test_each_thread_is_prepared_before_anything_runs_in_it(reactor: Reactor) -> None:
    prepared: list[threading.Thread] = []
    reactor.hosting.prepare_threads(lambda: prepared.append(threading.current_thread()))
    first = on_reactor(reactor, threading.current_thread)
    assert prepared == [first]
    reactor.shutDown()
    seen: list[int] = []
    reactor.callWhenRunning(lambda: seen.append(len(prepared)))
    reactor.runInThread()
    assert prepared == [first, reactor.hosting.thread]
    assert seen == [2]


def test_an_interrupt_between_callbacks_does_not_end_the_hosted_reactor(reactor: Reactor, reported: Reports) -> None:
    def interrupted(_: None) -> None:
        raise KeyboardInterrupt

    with reactor.turn():
        # What a transport queues is the loop's own, so nothing stands between it and the loop.
        reactor.call_soon(interrupted, None)
    (record,) = reported.wait()
    assert "was interrupted" in record.getMessage()
    assert on_reactor(reactor, str, 1) == "1"


def test_an_error_between_callbacks_does_not_end_the_hosted_reactor(any_reactor: Reactor, reported: Reports) -> None:
    with any_reactor.turn():
        any_reactor.call_soon(int, "a transport")
    (record,) = reported.wait()
    assert "of 'a transport' raised" in record.getMessage()
    assert on_reactor(any_reactor, str, 1) == "1"


def test_what_runs_in_the_program_s_own_thread_is_not_hosted_too() -> None:
    reactor = Reactor()
    running = threading.Event()
    thread = threading.Thread(target=reactor.run)
    reactor.callWhenRunning(running.set)
    thread.start()
    assert running.wait(PATIENCE)
    with pytest.raises(ReactorAlreadyRunning, match="in a thread of the program's own"):
        reactor.runInThread()
    with pytest.raises(ReactorAlreadyRunning):
        reactor.run()
    reactor.stop()
    thread.join(PATIENCE)
    reactor.close()


def test_a_callback_that_calls_exit_does_not_end_the_hosted_reactor(any_reactor: Reactor, reported: Reports) -> None:
    any_reactor.callFromThread(sys.exit, 3)
    (record,) = reported.wait()
    assert "sys.exit()" in record.getMessage()
    assert on_reactor(any_reactor, str, 1) == "1"


class Unusual(BaseException):
    """An error that is no `Exception`, as those that cancel things are."""


@pytest.mark.parametrize("error", [CancelledError, GeneratorExit, Unusual])
def test_no_error_of_a_callback_ends_the_reactor(
    error: type[BaseException], any_reactor: Reactor, reported: Reports
) -> None:
    def fails() -> None:
        raise error

    any_reactor.callFromThread(fails)
    any_reactor.callFromThread(any_reactor.callLater, 0, fails)
    assert [record.getMessage().partition(":")[0] for record in reported.wait(2)] == ["a call raised", "a timer raised"]
    assert on_reactor(any_reactor, str, 1) == "1"


@pytest.mark.parametrize("error", [CancelledError, GeneratorExit, Unusual])
@pytest.mark.parametrize("method", ["connectionMade", "dataReceived"])
def test_any_error_of_a_protocol_ends_its_connection_and_no_more(
    method: str, error: type[BaseException], any_reactor: Reactor, reported: Reports
) -> None:
    class Failing(Protocol):
        pass

    def fails(*_: object) -> None:
        raise error

    setattr(Failing, method, fails)
    with serving(any_reactor, Factory.forProtocol(Failing)) as port:
        with dial(port) as client, suppress(ConnectionError):
            client.sendall(b"x")
            assert client.recv(1) == b""
        (record,) = reported.wait()
    assert "is closed" in record.getMessage()
    assert on_reactor(any_reactor, str, 1) == "1"


def test_a_debugger_left_at_a_line_of_the_framework_does_not_end_the_reactor(
    any_reactor: Reactor, reported: Reports
) -> None:
    def step_out_and_quit() -> None:
        def trace(frame: FrameType, event: str, arg: object) -> None:
            raise BdbQuit

        caller = sys._getframe().f_back
        assert caller is not None
        caller.f_trace = trace
        sys.settrace(lambda *_: None)

    any_reactor.callFromThread(step_out_and_quit)
    (record,) = reported.wait()
    assert record.exc_info is not None
    assert record.exc_info[0] is BdbQuit
    assert on_reactor(any_reactor, str, 1) == "1"


@pytest.mark.parametrize("where", ["a call", "a protocol"])
def test_an_exit_is_reported_in_the_context_of_its_callback_while_the_reactor_runs(
    where: str, any_reactor: Reactor, reported: Reports, request: pytest.FixtureRequest
) -> None:
    class Exiting(Protocol):
        def connectionMade(self) -> None:
            sys.exit(3)

    cell = ContextVar("cell", default="none")
    seen: list[tuple[str, bool]] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append((cell.get(), any_reactor.running))  # type: ignore[method-assign]
    log = logging.getLogger("wirebook")
    log.addHandler(handler)
    request.addfinalizer(lambda: log.removeHandler(handler))
    token = cell.set("cell 3")
    port = any_reactor.listenTCP(0, Factory.forProtocol(Exiting))
    if where == "a call":
        any_reactor.callFromThread(sys.exit, 3)
    cell.reset(token)
    if where == "a protocol":
        dial(port).close()
    reported.wait()
    port.stopListening()
    assert seen == [("cell 3", True)]


@pytest.mark.parametrize("poller", POLLERS)
def test_shutting_down_closes_ports_connections_and_calls_in_order(poller: type) -> None:
    reactor, factory, connected = Reactor(poller()), Recorders(Echo), Recorders(Recorder)
    reactor.runInThread()
    seen: list[str] = []
    reactor.addSystemEventTrigger("before", "shutdown", lambda: seen.append(f"{len(reactor.handles)} handles"))
    port = reactor.listenTCP(0, factory)
    reactor.callLater(60, seen.append, "never")
    reactor.connectTCP("127.0.0.1", port.port, connected)
    connected.number(0)
    with dial(port) as sock:
        factory.number(1)
        thread = reactor.hosting.thread
        reactor.shutDown()
        assert receive_all(sock) == b""
    assert isinstance(factory.protocols[0].end(), ConnectionDone)
    assert seen == ["4 handles"] or seen == ["5 handles"]
    assert not list(reactor.handles)
    assert not reactor.running
    assert thread is not None
    assert not thread.is_alive()
    reactor.shutDown()
    reactor.close()


def test_what_does_not_close_in_time_is_aborted() -> None:
    reactor, factory = Reactor(), Recorders(Recorder)
    reactor.runInThread()
    port = reactor.listenTCP(0, factory)
    with dial(port):
        # The peer never reads, so this can never be flushed.
        factory.number(0).transport.write(bytes(16 << 20))
        began = time.monotonic()
        reactor.shutDown(timeout=0.5)
        assert time.monotonic() - began < 1.5
        assert isinstance(factory.protocols[0].end(), ConnectionAborted)
    reactor.close()


def test_a_before_trigger_that_never_finishes_does_not_hold_up_the_end() -> None:
    reactor = Reactor()
    reactor.runInThread()
    reactor.addSystemEventTrigger("before", "shutdown", Deferred)
    began = time.monotonic()
    reactor.shutDown(timeout=0.3)
    assert time.monotonic() - began < 1
    assert not reactor.running
    reactor.close()


def test_shutting_down_ends_the_runs_that_wait() -> None:
    reactor = Reactor()
    reactor.runInThread()
    thread = threading.Thread(target=reactor.run)
    thread.start()
    assert eventually(lambda: reactor.hosting._runs)
    reactor.shutDown()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    reactor.close()


def test_a_reactor_that_was_shut_down_can_be_hosted_again() -> None:
    reactor = Reactor()
    for _ in range(2):
        reactor.runInThread()
        assert on_reactor(reactor, str, 1) == "1"
        reactor.shutDown()
    reactor.close()


def test_an_attempt_under_way_is_ended_by_the_shutdown() -> None:
    reactor, connected = Reactor(), Recorders(Recorder)
    reactor.runInThread()
    with reactor.turn():
        reactor.connectTCP("localhost", free_port(), connected)
    reactor.shutDown()
    assert connected.error()
    reactor.close()


def test_shutting_down_does_not_wait_for_a_callback_that_keeps_the_turn() -> None:
    reactor, stuck, go_on = Reactor(), threading.Event(), threading.Event()

    def hog() -> None:
        stuck.set()
        go_on.wait(10)

    reactor.runInThread()
    thread = reactor.hosting.thread
    reactor.callFromThread(hog)
    assert stuck.wait(5)
    reactor.shutDown(timeout=0.2)
    assert not go_on.is_set()
    assert thread is not None
    assert thread.is_alive()
    go_on.set()
    thread.join(5)
    reactor.close()


def test_shutting_down_does_not_wait_for_a_protocol_that_blocks_when_its_connection_is_closed() -> None:
    reactor, go_on = Reactor(), threading.Event()

    class Blocking(Recorder):
        def connectionLost(self, reason: Failure | None = None) -> None:
            go_on.wait(10)

    reactor.runInThread()
    thread = reactor.hosting.thread
    blocking = Recorders(Blocking)
    with dial(reactor.listenTCP(0, blocking)):
        blocking.number(0)
        reactor.shutDown(timeout=0.3)
    assert thread is not None
    assert thread.is_alive()
    go_on.set()
    thread.join(5)
    reactor.close()
