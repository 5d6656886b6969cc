"""Child processes: their pipes, their ends, signals, terminals, handles, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Reports, eventually
from tests.core.deferred_kit import cell, in_cell, run_threads
from tests.core.net_kit import PATIENCE, drive, short_of_descriptors
from tests.core.process_kit import Watcher, alive, children, output_of, run, shell
from tests.core.transports.faults import Fault, descriptors, faulty_reactor, run_with_every_fault
from wirebook.error import ProcessDone, ProcessExitedAlready, ProcessTerminated, ReactorNotRunning
from wirebook.failure import Failure
from wirebook.process import Process, ProcessAddress, PTYProcess
from wirebook.protocol import ProcessProtocol
from wirebook.testing._harness import Producer, Tap
from wirebook.trace import tracing
from wirebook.transports import _spawning
from wirebook.transports.pipes import DescriptorChannel
from wirebook.transports.reactor import Reactor

if TYPE_CHECKING:
    from wirebook import interfaces

    def the_type_checker_agrees(
        process: Process, terminal: PTYProcess, protocol: ProcessProtocol, reactor: Reactor
    ) -> None:
        _transports: list[interfaces.IProcessTransport] = [process, terminal]
        _handles: list[interfaces.IHandle] = [process, terminal]
        _protocol: interfaces.IProcessProtocol = protocol
        _reactor: interfaces.IReactorProcess = reactor


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
LARGE = bytes(range(256)) * 20_000
# Runs until it is ended, and not longer than the test.
SLEEP = ("sleep", "60")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a descriptor or a child, be it a zombie."""
    if sys.platform != "linux":
        yield
        return
    gc.collect()
    before, running = descriptors(), children()
    yield
    assert eventually(lambda: children() <= running), f"left: {children() - running}"
    gc.collect()
    assert descriptors() <= before


# --- pipes


def test_a_process_gets_its_input_and_its_output_arrives(any_reactor: Reactor) -> None:
    watcher = run(any_reactor, "cat")
    watcher.transport.write(b"hello ")
    watcher.transport.writeSequence([b"wor", b"ld"])
    watcher.transport.closeStdin()
    assert isinstance(watcher.end(), ProcessDone)
    assert watcher.data[1] == b"hello world"
    assert sorted(watcher.events[1:-1], key=str) == [0, 1, 2, "exited"]


def test_megabytes_pass_whole_and_in_order(any_reactor: Reactor) -> None:
    watcher = run(any_reactor, "cat")
    with any_reactor.turn():
        watcher.transport.write(LARGE)
        watcher.transport.write(b"the end")
        watcher.transport.closeStdin()
    watcher.end()
    assert watcher.data[1] == LARGE + b"the end"


def test_output_and_errors_are_told_apart(reactor: Reactor) -> None:
    class Both(Watcher):
        def outReceived(self, data: bytes) -> None:
            self.events.append(("out", data))

        def errReceived(self, data: bytes) -> None:
            self.events.append(("err", data))

        def inConnectionLost(self) -> None:
            self.events.append("in lost")

        def outConnectionLost(self) -> None:
            self.events.append("out lost")

        def errConnectionLost(self) -> None:
            self.events.append("err lost")

    watcher = Both()
    reactor.spawnProcess(watcher, "/bin/sh", ["sh", "-c", "echo yes; echo no >&2"])
    watcher.end()
    assert ("out", b"yes\n") in watcher.events
    assert ("err", b"no\n") in watcher.events
    assert {"in lost", "out lost", "err lost"} <= set(watcher.events)


def test_every_descriptor_of_the_child_can_be_a_pipe(reactor: Reactor) -> None:
    watcher = shell(reactor, "cat <&5 >&7; echo done >&3", childFDs={3: "r", 5: "w", 7: "r"})
    watcher.transport.writeToChild(5, b"through")
    watcher.transport.closeChildFD(5)
    watcher.end()
    assert watcher.data == {7: b"through", 3: b"done\n"}


def test_a_child_may_have_our_descriptors_at_any_number(reactor: Reactor, tmp_path: Path) -> None:
    names = [tmp_path / "one", tmp_path / "two"]
    with names[0].open("w") as one, names[1].open("w") as two:
        # Each at the other's number: neither may be overwritten before it was moved.
        swapped = {one.fileno(): two.fileno(), two.fileno(): one.fileno(), 1: one.fileno()}
        script = f"os.write({one.fileno()}, b'two'); os.write({two.fileno()}, b'one'); os.write(1, b'!')"
        run(reactor, sys.executable, "-S", "-c", f"import os; {script}", childFDs=swapped).end()
    assert [name.read_text() for name in names] == ["one!", "two"]


@LINUX
@pytest.mark.parametrize("how", [{}, {"path": "/"}, {"usePTY": True}], ids=["pipes", "folder", "terminal"])
def test_a_child_has_no_other_descriptors(reactor: Reactor, how: dict[str, Any]) -> None:
    kept, other = os.pipe()
    os.set_inheritable(kept, True)
    try:
        found = output_of(reactor, "ls", "/proc/self/fd", **how).split()
    finally:
        os.close(kept)
        os.close(other)
    # One is the listing's own.
    assert found == [b"0", b"1", b"2", b"3"]


@LINUX
def test_a_child_without_descriptors_has_none(reactor: Reactor, tmp_path: Path) -> None:
    place = tmp_path / "listing"
    run(reactor, "sh", "-c", f"ls /proc/self/fd >{place}", childFDs={}).end()
    assert place.read_text().split()[0] == "0"
    assert "2" not in place.read_text().split()[2:]


def test_writing_to_what_is_no_input_is_a_key_error_that_says_why(reactor: Reactor) -> None:
    watcher = run(reactor, "cat")
    transport = watcher.transport
    with pytest.raises(KeyError, match=r"descriptor 13 .* was not mapped to 'w'"):
        transport.writeToChild(13, b"x")
    with pytest.raises(KeyError, match=r"descriptor 1 .* was not mapped to 'w'"):
        transport.writeToChild(1, b"x")
    transport.closeStdin()
    watcher.end()
    with pytest.raises(KeyError, match=r"descriptor 0 .* is closed"):
        transport.writeToChild(0, b"x")
    transport.write(b"is dropped")
    transport.closeChildFD(0)


def test_a_child_that_closes_its_input_is_noticed_without_a_write(any_reactor: Reactor) -> None:
    watcher = shell(any_reactor, "exec <&-; read x; exec sleep 60")
    assert eventually(lambda: 0 in watcher.events, PATIENCE)
    watcher.transport.closeHandle(abort=True)
    watcher.end()


def test_losing_the_connection_closes_the_three_pipes_after_what_is_queued(reactor: Reactor, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    watcher = shell(reactor, f"exec >/dev/null 2>&1; cat >{place}")
    with reactor.turn():
        watcher.transport.write(LARGE)
        watcher.transport.loseConnection()
        assert watcher.transport.disconnecting
    assert isinstance(watcher.end(), ProcessDone)
    assert place.read_bytes() == LARGE


def test_closing_its_output_makes_a_writer_stop(reactor: Reactor) -> None:
    watcher = run(reactor, "yes")
    assert watcher.has(b"y\n")
    watcher.transport.closeStdout()
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGPIPE


def test_reading_can_be_paused(reactor: Reactor) -> None:
    watcher = run(reactor, "cat")
    transport = watcher.transport
    transport.pauseProducing()
    transport.write(b"waits")
    # Another process has come and gone meanwhile.
    output_of(reactor, "true")
    assert not watcher.data[1]
    transport.resumeProducing()
    assert watcher.has(b"waits")
    transport.stopProducing()
    watcher.end()


@LINUX
def test_a_producer_fills_the_input_and_is_paused_while_the_child_does_not_read(reactor: Reactor) -> None:
    watcher = shell(reactor, "kill -STOP $$; cat >/dev/null")
    producer = Producer(watcher.transport, [])
    with reactor.turn():
        watcher.transport.registerProducer(producer, True)
        watcher.transport.write(LARGE)
        assert producer.asked == ["pause"]
    assert eventually(lambda: "T" in _state(watcher.transport.pid), PATIENCE)
    watcher.transport.signalProcess("CONT")
    assert eventually(lambda: producer.asked == ["pause", "resume"], PATIENCE)
    watcher.transport.unregisterProducer()
    watcher.transport.closeStdin()
    watcher.end()
    late = Producer(watcher.transport, [])
    watcher.transport.registerProducer(late, True)
    assert late.asked == ["stop"]
    watcher.transport.unregisterProducer()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# --- how it ends


def test_an_exit_code_is_in_the_reason(reactor: Reactor) -> None:
    watcher = shell(reactor, "exit 3")
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert (reason.exitCode, reason.signal, reason.status) == (3, None, 3 << 8)
    assert str(reason) == "the process ended with exit code 3"
    assert watcher.transport.status == 3 << 8


def test_success_is_process_done(reactor: Reactor) -> None:
    reason = run(reactor, "true").end()
    assert isinstance(reason, ProcessDone)
    assert (reason.exitCode, reason.signal, reason.status) == (0, None, 0)


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "TERM", "SIGUSR1", signal.SIGUSR2, 9])
def test_a_signal_is_in_the_reason(reactor: Reactor, name: Any) -> None:
    watcher = run(reactor, *SLEEP)
    watcher.transport.signalProcess(name)
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    number = getattr(signal, f"SIG{name.removeprefix('SIG')}") if isinstance(name, str) else name
    assert (reason.exitCode, reason.signal, reason.status) == (None, number, number)
    assert str(reason) == f"the process ended by signal {int(number)} ({signal.Signals(number).name})"


def test_the_pid_is_there_as_long_as_the_process(reactor: Reactor) -> None:
    class Asking(Watcher):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.pids = [self.transport.pid]

        def processExited(self, reason: Failure) -> None:
            self.pids.append(self.transport.pid)
            super().processExited(reason)

    watcher = Asking()
    reactor.spawnProcess(watcher, "/bin/sh", ["sh", "-c", "echo $$"])
    watcher.end()
    assert watcher.pids == [int(watcher.data[1]), None]
    with pytest.raises(ProcessExitedAlready, match=r"sh -c.*cannot get signal TERM: it has exited"):
        watcher.transport.signalProcess("TERM")


def test_an_unknown_signal_is_refused(reactor: Reactor) -> None:
    watcher = run(reactor, *SLEEP)
    with pytest.raises(ValueError, match="'WINK' is no signal"):
        watcher.transport.signalProcess("WINK")
    with pytest.raises(TypeError, match=r'a signal is a name such as "TERM" or a number, not None'):
        watcher.transport.signalProcess(None)
    watcher.transport.signalProcess("KILL")
    watcher.end()


def test_a_grandchild_that_holds_the_pipes_delays_the_end_but_not_the_exit(any_reactor: Reactor) -> None:
    watcher = shell(any_reactor, "sleep 60 & echo $!; exit 4")
    assert watcher.exited.wait(PATIENCE)
    assert watcher.transport.state == "exited"
    assert not watcher.ended.is_set()
    assert eventually(lambda: watcher.data[1])
    os.kill(int(watcher.data[1]), signal.SIGKILL)
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.exitCode == 4


def test_all_output_has_been_delivered_before_the_end(reactor: Reactor) -> None:
    watcher = run(reactor, "head", "-c", "3000000", "/dev/zero")
    watcher.end()
    assert len(watcher.data[1]) == 3_000_000


@pytest.mark.parametrize(
    "method", ["connectionMade", "childDataReceived", "childConnectionLost", "processExited", "processEnded"]
)
def test_a_protocol_that_raises_is_reported_and_its_process_still_ends(
    reactor: Reactor, reported: Reports, method: str
) -> None:
    def broken(*_: object) -> None:
        raise ValueError(f"in {method}")

    watcher = ProcessProtocol()
    setattr(watcher, method, broken)
    process = reactor.spawnProcess(watcher, "/bin/sh", ["sh", "-c", "echo x; read y"])
    process.closeStdin()
    assert eventually(lambda: not reactor.handles.of("process"), PATIENCE)
    assert all(f"in {method}" in str(record.exc_info) for record in reported.wait())


def test_a_process_may_do_without_a_protocol(reactor: Reactor) -> None:
    reactor.spawnProcess(None, "/bin/echo", ["echo", "x"])
    assert eventually(lambda: not reactor.handles.of("process"), PATIENCE)


# --- started as asked


def test_the_environment_is_empty_unless_given(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIREBOOK_TEST", "ours")
    watcher = Watcher()
    reactor.spawnProcess(watcher, "env")
    watcher.end()
    assert watcher.data[1] == b""
    assert b"WIREBOOK_TEST=ours\n" in output_of(reactor, "env", env=None)
    assert output_of(reactor, "/usr/bin/env", env={"A": "b", "B": "ü"}) == "A=b\nB=ü\n".encode()
    assert output_of(reactor, "env", env={b"A": b"\xff"}) == b"A=\xff\n"


def test_the_environment_is_the_same_in_another_folder(reactor: Reactor) -> None:
    assert output_of(reactor, "env", env={}, path="/") == b""
    assert output_of(reactor, "env", env={"LC_CTYPE": "C"}, path=b"/") == b"LC_CTYPE=C\n"


def test_a_program_runs_in_its_folder(reactor: Reactor, tmp_path: Path) -> None:
    assert output_of(reactor, "pwd", path=str(tmp_path)) == f"{tmp_path}\n".encode()
    script = tmp_path / "here"
    script.write_text('#!/bin/sh\necho "$@"\n')
    script.chmod(0o755)
    assert output_of(reactor, "./here", "a b", "", b"\xff", path=tmp_path) == b"a b  \xff\n"


def test_a_name_is_looked_up_in_the_path_that_the_program_gets(reactor: Reactor, tmp_path: Path) -> None:
    script = tmp_path / "wirebook-test"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    assert output_of(reactor, "wirebook-test", env={"PATH": f"{tmp_path}:/bin"}) == b"found\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_program_runs_as_another_user_and_group(reactor: Reactor) -> None:
    found = output_of(reactor, "sh", "-c", "id -u; id -g; id -G", uid=65534, gid=65533).split(b"\n")
    assert found[:2] == [b"65534", b"65533"]
    assert b"0" not in found[2].split()
    assert output_of(reactor, "id", "-g", gid=65533) == b"65533\n"
    terminal = output_of(reactor, "sh", "-c", "id -u; tty", uid=65534, usePTY=True)
    assert re.fullmatch(rb"65534\r\n/dev/(pts/|tty).*\r\n", terminal)


def test_only_root_may_choose_the_user(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="only root may run it as user 5"):
        run(reactor, "true", uid=5)


@pytest.mark.parametrize("how", [{}, {"path": "/"}, {"usePTY": True}], ids=["plain", "folder", "terminal"])
def test_a_signal_that_is_ignored_here_is_not_ignored_there(reactor: Reactor, how: dict[str, Any]) -> None:
    # As in a kernel between its cells.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        watcher = shell(reactor, "echo ready; exec sleep 60", **how)
    finally:
        signal.signal(signal.SIGINT, before)
    assert watcher.has(b"ready")
    watcher.transport.signalProcess("INT")
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGINT


# --- that cannot be started


def executable(place: Path, text: str) -> str:
    """A file that may be executed."""
    place.write_text(text)
    place.chmod(0o755)
    return str(place)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize(
    ("program", "how", "kind", "why"),
    [
        ("/no/such", {}, FileNotFoundError, "there is no file /no/such"),
        ("no-such", {"env": {"PATH": "/bin:/sbin"}}, FileNotFoundError, "there is no such program in /bin:/sbin"),
        ("/etc/passwd", {}, PermissionError, "/etc/passwd is not executable"),
        ("/etc", {}, PermissionError, "/etc is not executable"),
        ("cat", {"path": "/no/such"}, FileNotFoundError, "there is no folder /no/such to run it in"),
        ("{tmp}/empty", {}, OSError, "ENOEXEC"),
        ("{tmp}/lost", {}, FileNotFoundError, "ENOENT"),
        ("cat", {"args": ["cat", "x" * 4_000_000]}, OSError, "E2BIG"),
    ],
)
def test_what_cannot_be_run_says_why_and_leaves_nothing(
    reactor: Reactor, tmp_path: Path, terminal: bool, program: str, how: dict[str, Any], kind: Any, why: str
) -> None:
    executable(tmp_path / "empty", "")
    executable(tmp_path / "lost", "#!/no/such/interpreter\n")
    program = program.format(tmp=tmp_path)
    before = descriptors()
    with pytest.raises(kind, match=why) as raised:
        reactor.spawnProcess(Watcher(), program, **{"env": None, "usePTY": terminal, **how})
    assert f"cannot run {program!r}: " in str(raised.value)
    assert descriptors() == before
    assert len(reactor.handles) == 0


@pytest.mark.parametrize(("terminal", "enough"), [(False, 10), (True, 4)], ids=["pipes", "terminal"])
def test_without_descriptors_the_error_names_the_program_and_what_is_missing(
    reactor: Reactor, terminal: bool, enough: int
) -> None:
    gc.collect()
    before = descriptors()
    for room in range(enough):
        with short_of_descriptors(room), pytest.raises(OSError, match="cannot run '/bin/true': too many") as raised:
            reactor.spawnProcess(Watcher(), "/bin/true", usePTY=terminal)
        assert raised.value.errno == errno.EMFILE
        assert "raise the limit (ulimit -n)" in str(raised.value)
    assert descriptors() == before
    assert len(reactor.handles) == 0


def test_what_only_the_new_process_can_find_out_is_on_its_error_output(reactor: Reactor, tmp_path: Path) -> None:
    watcher = run(reactor, executable(tmp_path / "lost", "#!/no/such/interpreter\n"), path="/")
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.exitCode == 1
    assert watcher.data[2] == f"cannot run {tmp_path}/lost: No such file or directory\n".encode()


@pytest.mark.parametrize(
    ("arguments", "kind", "why"),
    [
        ({"executable": 5}, TypeError, "the executable is a path .* not 5"),
        ({"executable": ""}, TypeError, "the executable is a path .* not ''"),
        ({"args": "cat -n"}, TypeError, "args are a list of words .* not 'cat -n'"),
        ({"args": ["cat", 5]}, TypeError, "args are a list of words"),
        ({"args": iter(["cat"])}, TypeError, "args are a list of words"),
        ({"childFDs": {-1: "r"}}, ValueError, "a key of childFDs is a descriptor of the child, 0 or more, not -1"),
        ({"childFDs": {0: "x"}}, ValueError, r"childFDs\[0\] is 'r', 'w' or a descriptor of this process, not 'x'"),
        ({"childFDs": {0: "w", 1: -2}}, ValueError, r"childFDs\[1\] .* not -2"),
        ({"childFDs": {0: "w", 1: 9999}}, OSError, "bad file descriptor"),
        ({"childFDs": {0: "w"}, "usePTY": True}, ValueError, "childFDs cannot be used with usePTY"),
        ({"childFDs": [0, 1]}, TypeError, r"childFDs is a mapping such as .* not \[0, 1\]"),
        ({"env": {"A": "b\0c"}}, ValueError, "null byte"),
        ({"env": {"A": 5}}, TypeError, "the value 5 for 'A': both should be str or bytes"),
        ({"env": ["A=5"]}, TypeError, r"env is a mapping .* not \['A=5'\]"),
        ({"uid": -1}, ValueError, "uid is a number of the system, 0 or more, .* not -1"),
        ({"gid": "daemon"}, ValueError, "gid is a number of the system, .* not 'daemon'"),
        ({"usePTY": (1,)}, ValueError, r"usePTY is True or \(our side, .* not \(1,\)"),
        ({"processProtocol": Watcher}, TypeError, r"an instance of a ProcessProtocol, for example Watcher\(\), not"),
        ({"processProtocol": "cat"}, TypeError, "an instance of a ProcessProtocol, not 'cat'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    reactor: Reactor, arguments: dict[str, Any], kind: Any, why: str
) -> None:
    with pytest.raises(kind, match=why):
        reactor.spawnProcess(
            **{"processProtocol": Watcher(), "executable": "/bin/cat", "args": ["cat"], **arguments},
        )


def converse(fault: Fault, **how: Any) -> None:
    """Start cat, say something, hear it, end; on a reactor of this thread's."""
    with faulty_reactor(fault) as reactor:
        watcher = Watcher()
        try:
            process = reactor.spawnProcess(watcher, "/bin/cat", ["cat"], **how)
        except OSError:
            return
        process.write(b"hello\n")
        process.closeStdin()
        drive(reactor, lambda: watcher.data[1] or watcher.ended.is_set())
        if isinstance(process, PTYProcess):
            process.loseConnection()
        drive(reactor, watcher.ended.is_set)


@LINUX
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", [{}, {"usePTY": True}], ids=["pipes", "terminal"])
def test_any_call_may_fail_with_any_error(
    monkeypatch: pytest.MonkeyPatch, reported: Reports, how: dict[str, Any]
) -> None:
    current = Fault()

    def failing(real: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            current.meet(name)
            return real(*args, **kwargs)

        return call

    for name in ("pipe", "openpty", "dup", "set_blocking", "posix_spawn", "pidfd_open"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), name))
    monkeypatch.setattr(fcntl, "fcntl", failing(fcntl.fcntl, "fcntl"))
    for name in ("recv", "send", "sendmsg"):
        monkeypatch.setattr(DescriptorChannel, name, failing(getattr(DescriptorChannel, name), name))

    def talk(fault: Fault) -> None:
        nonlocal current
        current = fault
        converse(fault, **how)

    run_with_every_fault(talk, reported)


# --- in great numbers


@LINUX
def test_five_hundred_in_a_row_leave_nothing(reactor: Reactor) -> None:
    output_of(reactor, "true")
    before, threads = descriptors(), threading.active_count()
    for _ in range(500):
        watcher = Watcher()
        reactor.spawnProcess(watcher, "/bin/true", ["true"])
        watcher.end()
    assert descriptors() == before
    assert threading.active_count() == threads
    assert len(reactor.handles) == 0


def test_fifty_at_once_each_get_their_own(reactor: Reactor) -> None:
    watchers = [run(reactor, "cat") for _ in range(50)]
    for number, watcher in enumerate(watchers):
        watcher.transport.write(b"%d" % number)
        watcher.transport.closeStdin()
    for number, watcher in enumerate(watchers):
        watcher.end()
        assert watcher.data[1] == b"%d" % number


def test_processes_may_be_started_in_any_thread(reactor: Reactor) -> None:
    def start(number: int) -> None:
        for _ in range(5):
            assert output_of(reactor, "echo", str(number)) == b"%d\n" % number

    run_threads(5, start)


# --- reaping


@LINUX
def test_where_there_is_no_pidfd_a_thread_waits(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    watcher = run(reactor, *SLEEP)
    assert any(thread.name == f"wirebook-child-{watcher.transport.pid}" for thread in threading.enumerate())
    watcher.transport.signalProcess("KILL")
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGKILL


@LINUX
def test_a_status_that_somebody_else_collected_is_not_made_up(reactor: Reactor) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        reason = run(reactor, "false").end()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert isinstance(reason, ProcessTerminated)
    assert (reason.exitCode, reason.signal, reason.status) == (None, None, None)
    assert "something else in this program has collected its status" in str(reason)


def test_no_signal_handler_is_installed(reactor: Reactor) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    output_of(reactor, "true")
    assert signal.getsignal(signal.SIGCHLD) is before


def test_processes_of_asyncio_are_left_alone(reactor: Reactor) -> None:
    async def theirs() -> list[int]:
        processes = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {code}") for code in range(5)]
        ours = [shell(reactor, f"exit {code}") for code in range(5)]
        assert [watcher.end().exitCode for watcher in ours] == [0, 1, 2, 3, 4]
        return [await process.wait() for process in processes]

    assert asyncio.run(theirs()) == [0, 1, 2, 3, 4]


def test_a_process_that_ended_before_the_reactor_ran_is_reaped(any_poller_reactor: Reactor) -> None:
    reactor = any_poller_reactor
    watcher = run(reactor, "true", childFDs={})
    pid = watcher.transport.pid
    assert eventually(lambda: not alive(pid))
    assert not watcher.exited.is_set()
    drive(reactor, watcher.ended.is_set)
    assert isinstance(watcher.end(), ProcessDone)


@pytest.fixture
def any_poller_reactor() -> Iterator[Reactor]:
    """A reactor that this thread drives."""
    reactor = Reactor()
    yield reactor
    reactor.close()


# --- as a handle


def test_a_process_is_one_handle(reactor: Reactor) -> None:
    watcher = run(reactor, "cat", "-u")
    (handle,) = reactor.handles
    process = watcher.transport
    assert handle is process
    assert isinstance(process, Process)
    assert (process.kind, process.label, process.state) == ("process", "cat -u", "running")
    assert process.pid is not None
    assert process.peerAddress == ProcessAddress(process.pid)
    assert str(process.peerAddress) == f"pid {process.pid}"
    process.tap = tap = Tap()
    process.write(b"12345")
    assert watcher.has(b"12345")
    assert (process.bytesSent, process.bytesReceived) == (5, 5)
    assert repr(process) == f"<Process cat -u pid={process.pid} status=-1>"
    process.closeStdin()
    watcher.end()
    assert (process.bytesSent, process.bytesReceived, process.state) == (5, 5, "exited")
    assert tap.heard == {"sent": bytearray(b"12345"), "received": bytearray(b"12345")}
    assert tap.events == ["closed"]
    assert repr(process) == "<Process cat -u pid=None status=0>"
    for ask in (process.getHost, process.getPeer):
        with pytest.raises(NotImplementedError):
            ask()


def test_a_long_command_is_shortened(reactor: Reactor) -> None:
    watcher = run(reactor, "true", "x" * 1000)
    assert watcher.transport.label == f"true {'x' * 112}..."
    watcher.end()


def test_the_exit_is_a_turn_of_its_process(reactor: Reactor) -> None:
    with tracing(reactor) as trace:
        run(reactor, "true", childFDs={}).end()
        assert eventually(lambda: any(turn.subject == "true" for turn in trace.turns))


def test_callbacks_run_in_the_context_of_the_start(reactor: Reactor) -> None:
    class Cells(Watcher):
        def note(self) -> None:
            self.cells.add(cell.get())

        def connectionMade(self) -> None:
            self.cells: set[str] = set()
            super().connectionMade()

        def outReceived(self, data: bytes) -> None:
            self.note()

        def inConnectionLost(self) -> None:
            self.note()

        def processExited(self, reason: Failure) -> None:
            self.note()
            super().processExited(reason)

        def processEnded(self, reason: Failure) -> None:
            self.note()
            super().processEnded(reason)

    watcher = Cells()
    process = in_cell("seven", reactor.spawnProcess, watcher, "/bin/echo", ["echo", "x"])
    watcher.end()
    assert watcher.cells == {"seven"}
    assert process.context[cell] == "seven"


def test_closing_a_handle_ends_the_process_and_waits_for_it(reactor: Reactor) -> None:
    watcher = shell(reactor, "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.01; done")
    assert watcher.has(b"ready")
    watcher.transport.closeHandle().wait(PATIENCE)
    assert watcher.ended.is_set()
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.exitCode == 5
    assert watcher.data[1] == b"ready\ncaught\n"
    watcher.transport.closeHandle().wait(PATIENCE)


def test_a_process_that_ignores_sigterm_is_killed_after_a_while(reactor: Reactor) -> None:
    watcher = shell(reactor, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
    assert watcher.has(b"ready")
    watcher.transport.killAfter = 0.1
    closed = watcher.transport.closeHandle()
    watcher.transport.closeHandle()
    closed.wait(PATIENCE)
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGKILL


def test_a_stopped_process_can_be_ended(reactor: Reactor) -> None:
    watcher = run(reactor, *SLEEP)
    watcher.transport.signalProcess("STOP")
    watcher.transport.closeHandle().wait(PATIENCE)
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGTERM


@pytest.mark.parametrize("abort", [False, True])
def test_closing_a_handle_does_not_wait_for_who_else_holds_the_pipes(reactor: Reactor, abort: bool) -> None:
    watcher = shell(reactor, "sleep 60 & echo $!; wait")
    assert watcher.has(b"\n")
    watcher.transport.closeHandle(abort).wait(PATIENCE)
    watcher.end()
    os.kill(int(watcher.data[1]), signal.SIGKILL)


def test_closing_the_handle_of_an_exited_process_closes_its_pipes(reactor: Reactor) -> None:
    watcher = shell(reactor, "sleep 60 & echo $!")
    assert watcher.exited.wait(PATIENCE)
    watcher.transport.closeHandle().wait(PATIENCE)
    watcher.end()
    os.kill(int(watcher.data[1]), signal.SIGKILL)


def test_the_shutdown_of_a_hosted_reactor_ends_its_processes() -> None:
    reactor = Reactor()
    reactor.runInThread()
    watchers = [run(reactor, *SLEEP) for _ in range(3)]
    pids = [watcher.transport.pid for watcher in watchers]
    reactor.shutDown()
    reactor.close()
    assert not any(alive(pid) for pid in pids)
    assert all(watcher.ended.is_set() for watcher in watchers)


def test_the_end_of_a_program_s_reactor_ends_its_processes() -> None:
    reactor = Reactor()
    watcher = Watcher()

    def start() -> None:
        reactor.spawnProcess(watcher, "/bin/sh", ["sh", "-c", "trap '' TERM; echo x; while :; do sleep 0.01; done"])
        watcher.transport.killAfter = 0.1
        watcher.outReceived = lambda data: reactor.stop()  # type: ignore[method-assign]

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    reactor.close()
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGKILL


def test_a_program_that_stops_in_a_cell_ends_no_process_of_another(reactor: Reactor) -> None:
    watcher = run(reactor, *SLEEP)
    runner = threading.Thread(target=reactor.run)
    runner.start()

    def stopped() -> bool:
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()
            return True
        return False

    assert eventually(stopped)
    runner.join(PATIENCE)
    assert watcher.transport.state == "running"
    watcher.transport.closeHandle().wait(PATIENCE)
    watcher.end()


def test_a_poller_that_cannot_take_the_pipes_leaves_no_process(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    def refuse(fd: int, descriptor: Any, mask: int) -> None:
        refused.append(fd)
        raise OSError(errno.ENOSPC, "No space left on device")

    watcher = Watcher()
    with reactor.turn():
        monkeypatch.setattr(reactor, "watch", refuse)
        with pytest.raises(OSError, match="cannot run '/bin/cat': no space"):
            reactor.spawnProcess(watcher, "/bin/cat")
        monkeypatch.undo()
    assert eventually(lambda: not reactor.handles.of("process"), PATIENCE)
    assert refused
    assert watcher.events == []


# --- terminals


@pytest.fixture(params=[True, False], ids=["opened", "asked for"])
def any_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to a controlling terminal: Linux's, and that of the BSDs, which works on Linux too."""
    monkeypatch.setattr(_spawning, "OPENING_TAKES_TERMINAL", request.param)
    monkeypatch.setattr("wirebook.transports.process.OPENING_TAKES_TERMINAL", request.param)


@pytest.mark.usefixtures("any_way")
def test_a_program_gets_a_controlling_terminal_of_its_own(reactor: Reactor) -> None:
    watcher = shell(
        reactor, "tty; test -t 0 && test -t 1 && test -t 2 && echo three; echo hello >/dev/tty", usePTY=True
    )
    reason = watcher.end()
    assert isinstance(reason, ProcessDone), bytes(watcher.data[1])
    assert re.fullmatch(rb"/dev/(pts/|tty)[^\r]*\r\nthree\r\nhello\r\n", watcher.data[1])
    assert watcher.events == ["made", "exited", "ended"]


@pytest.mark.usefixtures("any_way")
def test_what_is_typed_is_echoed_and_control_c_interrupts(reactor: Reactor) -> None:
    watcher = shell(reactor, "echo ready; cat; exit 0", usePTY=True)
    assert watcher.has(b"ready\r\n")
    watcher.transport.write(b"typed\n")
    assert watcher.has(b"typed\r\ntyped\r\n")
    watcher.transport.write(b"\x03")
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert signal.SIGINT in (reason.signal, (reason.exitCode or 0) - 128)


def test_a_terminal_has_a_size_that_can_be_changed(reactor: Reactor) -> None:
    watcher = shell(reactor, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done", usePTY=True)
    assert watcher.has(b"ready")
    watcher.transport.setWindowSize(33, 111)
    assert watcher.has(b"33 111\r\n")
    assert watcher.transport.getWindowSize() == (33, 111)
    assert os.isatty(watcher.transport.fileno())
    watcher.transport.closeHandle(abort=True).wait(PATIENCE)
    assert watcher.transport.fileno() == -1
    with pytest.raises(OSError, match="is closed"):
        watcher.transport.getWindowSize()
    with pytest.raises(OSError, match="is closed"):
        watcher.transport.setWindowSize(1, 1)


@pytest.mark.parametrize("yes", [True, 1, 2, "yes"])
def test_whatever_is_true_asks_for_a_terminal(reactor: Reactor, yes: Any) -> None:
    assert output_of(reactor, "tty", usePTY=yes).startswith(b"/dev/")


def test_closing_a_terminal_hangs_up(reactor: Reactor) -> None:
    watcher = shell(reactor, "echo ready; exec sleep 60", usePTY=True)
    assert watcher.has(b"ready")
    watcher.transport.loseConnection()
    reason = watcher.end()
    assert isinstance(reason, ProcessTerminated)
    assert reason.signal == signal.SIGHUP


def test_an_interactive_python_can_be_talked_to(reactor: Reactor) -> None:
    watcher = run(reactor, sys.executable, "-i", "-q", "-E", usePTY=True, env={"TERM": "dumb", "PATH": os.defpath})
    assert watcher.has(b">>> ")
    watcher.transport.write(b"print(6 * 7)\n")
    assert watcher.has(b"42\r\n")
    watcher.transport.write(b"exit(3)\n")
    assert watcher.end().exitCode == 3


def test_a_terminal_may_be_given(reactor: Reactor) -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    assert output_of(reactor, "tty", usePTY=(master, slave, name)) == f"{name}\r\n".encode()
    for descriptor in (master, slave):
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)


def test_a_terminal_that_was_given_is_kept_when_nothing_can_be_run(reactor: Reactor) -> None:
    master, slave = os.openpty()
    with pytest.raises(FileNotFoundError):
        run(reactor, "/no/such", usePTY=(master, slave, os.ttyname(slave)))
    os.close(master)
    os.close(slave)


def test_a_terminal_has_no_single_descriptors(reactor: Reactor) -> None:
    watcher = run(reactor, *SLEEP, usePTY=True)
    process = watcher.transport
    process.closeStdin()
    process.closeStdout()
    process.closeStderr()
    with pytest.raises(NotImplementedError, match="has a terminal"):
        process.closeChildFD(0)
    with pytest.raises(NotImplementedError, match="has a terminal"):
        process.writeToChild(0, b"x")
    assert process.state == "running"
    process.closeHandle().wait(PATIENCE)
    watcher.end()


def test_much_passes_through_a_terminal(reactor: Reactor) -> None:
    lines = b"".join(b"%079d\n" % number for number in range(20_000))
    watcher = shell(reactor, "stty raw -echo; echo ready; head -c 1600000", usePTY=True)
    assert watcher.has(b"ready\n")
    watcher.transport.write(lines)
    watcher.end()
    assert watcher.data[1] == b"ready\n" + lines
