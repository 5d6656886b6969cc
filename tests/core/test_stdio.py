"""Standard input and output: of programs of their own, with pipes, files and terminals at the other end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.conftest import eventually
from tests.core.net_kit import PATIENCE, Recorder
from tests.core.process_kit import run
from wirebook.error import ConnectionDone
from wirebook.stdio import PipeAddress, StandardIO
from wirebook.transports.reactor import Reactor

# A program that says on standard error what it is told; its protocol is finished by the test.
BEGINNING = """
    import os, sys
    from wirebook import Protocol, reactor
    from wirebook.stdio import StandardIO

    def say(*words):
        print(*words, file=sys.stderr)

    class Base(Protocol):
        def connectionLost(self, reason):
            say("lost", reason.type.__name__)
            reactor.stop()
"""
ENDING = """
    StandardIO(Stdio())
    reactor.run()
    print("the last words", flush=True)
"""


def program(middle: str) -> list[str]:
    """The command of a program with this class ``Stdio``."""
    return [sys.executable, "-c", dedent(BEGINNING) + dedent(middle) + dedent(ENDING)]


def finished(middle: str, given: Any = b"", **how: Any) -> tuple[bytes, str]:
    """Run a program with the bytes `given` as its input; its output and what it says."""
    source = {"stdin": given} if hasattr(given, "fileno") else {"input": given}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **source, **how}
    done = subprocess.run(program(middle), timeout=30, check=False, **how)
    return done.stdout or b"", done.stderr.decode()


ECHO = """
    class Stdio(Base):
        def dataReceived(self, data):
            self.transport.write(data.upper())
"""


def test_a_program_is_a_filter_between_two_pipes() -> None:
    large = b"abc" * 500_000
    assert finished(ECHO, large) == (large.upper() + b"the last words\n", "lost ConnectionDone\n")


def test_a_program_is_a_filter_between_two_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc" * 100_000)
    with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as wanted:
        assert finished(ECHO, given, stdout=wanted)[1] == "lost ConnectionDone\n"
    assert (tmp_path / "out").read_bytes() == b"ABC" * 100_000 + b"the last words\n"


def test_an_empty_input_ends_at_once() -> None:
    with open(os.devnull, "rb") as given:
        assert finished(ECHO, given) == (b"the last words\n", "lost ConnectionDone\n")


def test_losing_the_connection_writes_what_is_queued() -> None:
    middle = """
        class Stdio(Base):
            def connectionMade(self):
                self.transport.writeSequence([b"x" * 3_000_000, b"end\\n"])
                self.transport.loseConnection()
    """
    assert finished(middle) == (b"x" * 3_000_000 + b"end\nthe last words\n", "lost ConnectionDone\n")


def test_a_half_closeable_protocol_goes_on_after_the_end_of_its_input() -> None:
    middle = """
        class Stdio(Base):
            def readConnectionLost(self):
                say("read lost")
                self.transport.write(b"goes on\\n")
                self.transport.loseConnection()
            def writeConnectionLost(self):
                say("write lost")
    """
    assert finished(middle, b"x") == (b"goes on\nthe last words\n", "read lost\nlost ConnectionDone\n")


def test_a_reader_that_goes_ends_the_program_s_connection(reactor: Reactor) -> None:
    words = program('class Stdio(Base):\n    def connectionMade(self): self.transport.write(b"ready")')
    watcher = run(reactor, words[0], *words[1:])
    assert watcher.has(b"ready")
    watcher.transport.closeStdout()
    assert watcher.has(b"lost ConnectionLost", descriptor=2)
    watcher.transport.closeHandle(abort=True)
    watcher.end()


def on_a_terminal(reactor: Reactor, words: Sequence[str]) -> Any:
    return run(reactor, words[0], *words[1:], usePTY=True)


def test_a_program_talks_with_a_terminal_and_leaves_it_as_it_was(reactor: Reactor) -> None:
    middle = """
        class Stdio(Base):
            def connectionMade(self):
                self.transport.write(b"ready, blocking: %d\\n" % os.get_blocking(0))
            def dataReceived(self, data):
                self.transport.write(b"got " + data)
                self.transport.loseConnection()
    """
    watcher = on_a_terminal(reactor, program(middle))
    assert watcher.has(b"ready, blocking: 1\r\n" if sys.platform == "linux" else b"ready")
    watcher.transport.write(b"typed\n")
    watcher.end()
    assert watcher.data[1].endswith(b"typed\r\ngot typed\r\nlost ConnectionDone\r\nthe last words\r\n")


def test_the_end_of_input_on_a_terminal_is_an_end(reactor: Reactor) -> None:
    watcher = on_a_terminal(reactor, program(ECHO + '\n        def connectionMade(self): say("ready")'))
    assert watcher.has(b"ready")
    watcher.transport.write(b"\x04")
    watcher.end()
    assert watcher.has(b"lost ConnectionDone")


# --- in this process


def test_descriptors_are_read_written_and_left_open(any_reactor: Reactor) -> None:
    source, feed = os.pipe()
    drain, sink = os.pipe()
    protocol = Recorder()
    transport = StandardIO(protocol, source, sink, any_reactor)
    assert protocol.transport is transport
    assert (transport.kind, transport.transportName, transport.state) == ("connection", "stdio", "open")
    assert transport.getHost() == PipeAddress(f"descriptors {source} and {sink}")
    assert transport.getPeer() == PipeAddress("standard input and output")
    os.write(feed, b"in")
    assert eventually(lambda: protocol.data == b"in")
    transport.write(b"out")
    assert os.read(drain, 10) == b"out"
    transport.loseConnection()
    assert isinstance(protocol.end(), ConnectionDone)
    for descriptor in (source, feed, drain, sink):
        assert os.get_blocking(descriptor)
        os.close(descriptor)


def test_a_terminal_is_named(reactor: Reactor) -> None:
    master, slave = os.openpty()
    transport = StandardIO(Recorder(), slave, slave, reactor)
    assert str(transport.getPeer()) == os.ttyname(slave)
    transport.closeHandle().wait(PATIENCE)
    os.close(master)
    os.close(slave)


def test_a_protocol_class_is_no_protocol(reactor: Reactor) -> None:
    with pytest.raises(TypeError, match=r"takes a protocol object: Recorder\(\), not the class"):
        StandardIO(Recorder, reactor=reactor)


def test_what_is_no_descriptor_is_refused(reactor: Reactor) -> None:
    with pytest.raises(OSError, match="cannot read from descriptor 9999: bad file descriptor"):
        StandardIO(Recorder(), 9999, 1, reactor)
    with pytest.raises(OSError, match="cannot write to descriptor 9999: bad file descriptor"):
        StandardIO(Recorder(), 1, 9999, reactor)
    assert len(reactor.handles) == 0


@pytest.mark.parametrize(
    ("redirection", "which"),
    [("<&-", "input (descriptor 0)"), (">&-", "output (descriptor 1)"), ("<&- >&-", "input (descriptor 0)")],
)
def test_a_program_that_was_started_without_a_stream_says_which(redirection: str, which: str) -> None:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *program(ECHO)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    last = done.stderr.decode().splitlines()[-1]
    assert last == f"OSError: [Errno 9] the standard {which} is closed: start the program with one, or with /dev/null"


def test_what_a_program_has_put_in_the_place_of_a_closed_stream_is_used() -> None:
    source, sink = os.pipe()
    os.write(sink, b"later")
    os.close(sink)
    put = f"import os; os.dup2({source}, 0)\n"
    words = program(ECHO)
    words[-1] = put + words[-1]
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *words]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, pass_fds=[source])
    os.close(source)
    assert done.stdout.decode() == "LATERthe last words\n", done.stderr.decode()
