"""Descriptors from elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.core.deferred_kit import error_of, outcome
from tests.core.net_kit import PATIENCE, Echo, receive_exactly
from wirebook.endpoints import AdoptedStreamServerEndpoint, ListenFDs
from wirebook.error import AlreadyListened, UnsupportedAddressFamily
from wirebook.protocol import Factory
from wirebook.testing import MemoryReactor
from wirebook.transports.reactor import Reactor

FACTORY = Factory.forProtocol(Echo)
ME = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "descriptors", "named"),
    [
        ({"LISTEN_PID": ME, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}, [3, 4], {"a": 3, "b": 4}),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}, [], {}),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}, [], {}),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "2"}, [], {}),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "many"}, [], {}),
        ({"LISTEN_PID": ME}, [], {}),
        ({}, [], {}),
    ],
)
def test_the_environment_says_what_was_inherited(environ: Any, descriptors: Any, named: Any) -> None:
    found = ListenFDs.fromEnvironment(environ)
    assert (found.inheritedDescriptors(), found.inheritedNamedDescriptors()) == (descriptors, named)


def test_it_says_so_once() -> None:
    environ = {"LISTEN_PID": ME, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a", "OTHER": "1"}
    assert ListenFDs.fromEnvironment(environ, start=7).inheritedDescriptors() == [7]
    assert environ == {"OTHER": "1"}


def test_a_listening_socket_is_served_once(any_reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        descriptor = os.dup(server.fileno())
    endpoint = AdoptedStreamServerEndpoint(any_reactor, descriptor, socket.AF_INET)
    port = endpoint.listen(FACTORY).wait(PATIENCE)
    error_of(endpoint.listen(FACTORY), AlreadyListened)
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=PATIENCE) as caller:
        caller.sendall(b"hello")
        assert receive_exactly(caller, 5) == b"hello"
    port.stopListening()


def test_the_descriptor_no_longer_blocks_and_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        descriptor = os.dup(server.fileno())
        reactor = MemoryReactor()
        outcome(AdoptedStreamServerEndpoint(reactor, descriptor, socket.AF_INET).listen(FACTORY))
        assert reactor.adoptedPorts == [(descriptor, socket.AF_INET, FACTORY)]
        assert not os.get_blocking(server.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_cannot_be_adopted_fails_the_deferred(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = AdoptedStreamServerEndpoint(reactor, server.fileno(), socket.AF_INET6)
        error_of(endpoint.listen(FACTORY), UnsupportedAddressFamily)


SERVICE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
from wirebook import reactor
from wirebook.endpoints import serverFromString
from wirebook.protocol import Factory, Protocol

class Hello(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello")
        self.transport.loseConnection()
        reactor.callLater(0, reactor.stop)

serverFromString(reactor, "systemd:domain=INET:name=web").listen(Factory.forProtocol(Hello))
reactor.run()
"""


def test_a_service_gets_its_socket_as_systemd_hands_it_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        caller.settimeout(20)
        environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        command = [sys.executable, "-c", SERVICE, str(server.fileno())]
        service = subprocess.Popen(command, env=environment, pass_fds=[server.fileno()])
        try:
            assert receive_exactly(caller, 5) == b"hello"
            assert service.wait(20) == 0
        finally:
            service.kill()
            service.wait()
