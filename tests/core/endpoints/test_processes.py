"""Programs as endpoints."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import pytest

from tests.conftest import Reports
from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Recorder
from wirebook.endpoints import ProcessEndpoint, StandardErrorBehavior, StandardIOEndpoint, connectProtocol
from wirebook.error import ConnectionDone, NoProtocol, ProcessTerminated
from wirebook.protocol import Factory
from wirebook.transports.reactor import Reactor

CAT = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().upper())"


def endpoint(reactor: Any, program: str, **how: Any) -> ProcessEndpoint:
    return ProcessEndpoint(reactor, sys.executable, [sys.executable, "-c", program], dict(os.environ), **how)


class Sender(Recorder):
    """Sends a word and closes its direction."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"hello")
        self.transport.closeStdin()


def test_a_program_is_spoken_with_over_its_standard_streams(any_reactor: Reactor) -> None:
    protocol = connectProtocol(endpoint(any_reactor, CAT), Sender()).wait(PATIENCE)
    assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.data == b"HELLO"


def test_a_program_that_fails_says_why(any_reactor: Reactor) -> None:
    protocol = connectProtocol(endpoint(any_reactor, "raise SystemExit(3)"), Recorder()).wait(PATIENCE)
    error = protocol.end()
    assert isinstance(error, ProcessTerminated)
    assert error.exitCode == 3


@pytest.mark.parametrize("flag", StandardErrorBehavior)
def test_standard_error_goes_to_the_log_or_nowhere(
    any_reactor: Reactor, caplog: pytest.LogCaptureFixture, flag: StandardErrorBehavior
) -> None:
    caplog.set_level(logging.INFO)
    program = "import sys; sys.stderr.write('oh dear')"
    protocol = connectProtocol(endpoint(any_reactor, program, errFlag=flag), Recorder()).wait(PATIENCE)
    protocol.end()
    assert protocol.data == b""
    assert ("oh dear" in caplog.text) is (flag is StandardErrorBehavior.LOG)


@pytest.mark.parametrize("method", ["connectionMade", "dataReceived"])
def test_a_protocol_that_raises_ends_its_program(any_reactor: Reactor, reported: Reports, method: str) -> None:
    protocol = Recorder()
    made = protocol.connectionMade

    def begin() -> None:
        made()
        protocol.transport.write(b"hello")

    def broken(*args: Any) -> None:
        raise ValueError("a mistake in the program")

    protocol.connectionMade = begin  # type: ignore[method-assign]
    setattr(protocol, method, broken)
    connectProtocol(ProcessEndpoint(any_reactor, "/bin/cat", ["cat"]), protocol).wait(PATIENCE)
    assert isinstance(protocol.end(), ValueError)
    assert len(reported()) == 1


class Spawning:
    """A reactor that remembers what it is to start, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.spawned: list[tuple[Any, ...]] = []

    def spawnProcess(self, *args: Any) -> None:
        if self.error is not None:
            raise self.error
        self.spawned.append(args)


def test_the_reactor_is_asked_for_what_the_endpoint_was_made_with() -> None:
    reactor = Spawning()
    protocol = Recorder()
    how = ("/bin/cat", ["cat"], {"A": "1"}, "/tmp", 1, 2, True, {0: "w"})
    assert outcome(connectProtocol(ProcessEndpoint(reactor, *how), protocol)) is protocol
    assert reactor.spawned[0][1:] == how
    outcome(connectProtocol(ProcessEndpoint(reactor, "/bin/cat"), protocol))
    assert reactor.spawned[1][1:] == ("/bin/cat", (), {}, None, None, None, 0, None)


def test_what_cannot_be_started_fails_the_deferred() -> None:
    error_of(connectProtocol(ProcessEndpoint(Spawning(OSError("no")), "/bin/cat"), Recorder()), OSError)


class Refusing(Factory):
    """Builds nothing."""

    def buildProtocol(self, addr: Any) -> None:
        return None


def test_without_a_protocol_nothing_is_started() -> None:
    reactor = Spawning()
    error_of(ProcessEndpoint(reactor, "/bin/cat").connect(Refusing()), NoProtocol)
    assert reactor.spawned == []
    error_of(StandardIOEndpoint(reactor).listen(Refusing()), NoProtocol)


STDIO = """
from wirebook import reactor
from wirebook.endpoints import serverFromString
from wirebook.protocol import Factory, Protocol

class Upper(Protocol):
    def dataReceived(self, data):
        self.transport.write(data.upper())
    def connectionLost(self, reason):
        reactor.stop()

serverFromString(reactor, "stdio:").listen(Factory.forProtocol(Upper))
reactor.run()
"""


def test_a_program_serves_its_standard_streams(any_reactor: Reactor) -> None:
    protocol = connectProtocol(endpoint(any_reactor, STDIO), Sender()).wait(PATIENCE)
    assert isinstance(protocol.end(), ConnectionDone)
    assert protocol.data == b"HELLO"
