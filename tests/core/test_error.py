"""Errors: the hierarchy that programs catch by, and sentences that say what would be right."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from wirebook import error
from wirebook.address import IPv4Address
from wirebook.error import CannotListenError, ConnectError, connect_error, describe


def test_an_error_without_a_message_says_its_sentence() -> None:
    assert str(error.ConnectionDone()) == "the connection was closed cleanly"
    assert str(error.ConnectionRefusedError()) == error.ConnectionRefusedError.sentence


def test_an_error_with_a_message_says_the_message() -> None:
    assert str(error.ConnectionLost("the tunnel", "fell in")) == "the tunnel fell in"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EADDRINUSE, "choose another port, or 0"),
        (errno.EACCES, "below 1024 need privileges"),
        (errno.EADDRNOTAVAIL, "an address of this machine"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_a_port_that_cannot_be_opened_says_what_would_be_right(number: int, hint: str) -> None:
    raised = CannotListenError("127.0.0.1", 80, OSError(number, "Some Words"))
    assert str(raised).startswith(f"cannot listen on 127.0.0.1:80: some Words ({errno.errorcode[number]})")
    assert hint in str(raised)
    assert (raised.interface, raised.port, raised.socketError.errno) == ("127.0.0.1", 80, number)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, error.ConnectionRefusedError),
        (errno.ETIMEDOUT, error.TCPTimedOutError),
        (errno.ENETUNREACH, error.NoRouteError),
        (errno.EHOSTUNREACH, error.NoRouteError),
        (errno.EADDRNOTAVAIL, error.ConnectBindError),
        (errno.EIO, ConnectError),
    ],
)
def test_an_errno_becomes_the_connect_error_of_its_kind(number: int, kind: type[ConnectError]) -> None:
    made = connect_error(number, "10.0.0.1:7")
    assert type(made) is kind
    assert made.osError == number
    assert str(made).startswith("cannot connect to 10.0.0.1:7: ")


def test_a_path_that_cannot_be_opened_says_what_would_be_right() -> None:
    raised = CannotListenError(None, "/run/some", OSError(errno.EMFILE, "Some Words"))
    assert str(raised) == (
        "cannot listen on /run/some: some Words (EMFILE); close connections, or raise the limit (ulimit -n)"
    )


def test_a_connect_error_without_a_target_is_only_the_sentence() -> None:
    assert str(connect_error(errno.ECONNREFUSED)) == error.ConnectionRefusedError.sentence


def test_the_reasons_of_an_end_share_a_base() -> None:
    for kind in (error.ConnectionDone, error.ConnectionLost, error.ConnectionAborted, error.NotConnectedError):
        assert issubclass(kind, error.ConnectionClosed)
    assert issubclass(error.ConnectionAborted, error.ConnectionLost)
    assert not issubclass(error.ConnectionDone, error.ConnectionLost)


def test_every_failed_attempt_is_a_connect_error() -> None:
    for kind in (error.UserError, error.TimeoutError, error.UnknownHostError, error.NoRouteError):
        assert issubclass(kind, ConnectError)
    assert issubclass(error.TimeoutError, error.UserError)


def test_an_operating_system_error_is_described_with_its_name() -> None:
    assert describe(OSError(errno.EPIPE, "Broken pipe")) == "broken pipe (EPIPE)"


def test_a_lookup_error_is_described_by_its_words() -> None:
    assert describe(socket.gaierror(-2, "Name unknown")) == "Name unknown"


def test_an_error_without_a_number_is_described_by_its_text() -> None:
    assert describe(OSError("Odd")) == "odd"


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ((errno.ECONNREFUSED, "refused"), error.ConnectionRefusedError, "refused"),
        (OSError(errno.ETIMEDOUT, "late"), error.TCPTimedOutError, "late"),
        (socket.gaierror(-2, "no such name"), error.UnknownHostError, "no such name"),
        ((9999, "strange"), ConnectError, "strange"),
        (ValueError("no errno"), ConnectError, "no errno"),
    ],
)
def test_what_a_socket_call_raised_becomes_a_connect_error(given: Any, kind: type[ConnectError], text: str) -> None:
    made = error.getConnectError(given)
    assert type(made) is kind
    assert str(made) == text


def test_a_wrong_address_is_named() -> None:
    raised = error.InvalidAddressError("localhost", "not an address")
    assert (raised.address, raised.message, str(raised)) == (
        "localhost",
        "not an address",
        "'localhost': not an address",
    )
    assert isinstance(raised, ValueError)


def test_errors_of_datagrams_have_sentences() -> None:
    assert str(error.MessageLengthError()) == "the datagram is too long to be sent"
    assert str(error.MulticastJoinError("cannot join 1.2.3.4")) == "cannot join 1.2.3.4"


@pytest.fixture
def advised() -> Iterator[list[Exception]]:
    """A host that knows something about every error; the errors it was asked about."""
    asked: list[Exception] = []

    def advise(error: Exception) -> str:
        asked.append(error)
        return "ask the one next door"

    error.setAdviser(advise)
    yield asked
    error.setAdviser(None)


def test_a_host_may_add_what_it_knows(advised: list[Exception]) -> None:
    refused = CannotListenError("127.0.0.1", 80, OSError(errno.EADDRINUSE, "In use"))
    assert advised == [], "it is asked when somebody reads the text"
    assert str(refused) == "cannot listen on 127.0.0.1:80: in use (EADDRINUSE); ask the one next door"
    assert str(refused) == str(refused)
    assert advised == [refused], "and only once"
    path = CannotListenError(None, "/tmp/x", OSError(errno.EADDRINUSE, "In use"))
    assert str(path) == "cannot listen on /tmp/x: in use (EADDRINUSE); ask the one next door"
    assert str(connect_error(errno.ECONNREFUSED)).endswith("; ask the one next door")


def test_without_advice_the_hint_stays(advised: list[Exception]) -> None:
    error.setAdviser(lambda error: "")
    refused = CannotListenError("127.0.0.1", 80, OSError(errno.EADDRINUSE, "In use"))
    assert "; stop what listens there" in str(refused)


def test_a_connect_error_keeps_where_it_led() -> None:
    address = IPv4Address("TCP", "10.0.0.1", 7)
    refused = connect_error(errno.ECONNREFUSED, address)
    assert refused.address is address
    assert "cannot connect to 10.0.0.1:7: " in str(refused)
    assert connect_error(errno.ECONNREFUSED).address is None


@pytest.mark.parametrize("given", [ValueError("no"), ValueError()])
def test_a_connect_error_keeps_what_was_raised_when_that_has_no_errno(given: Exception) -> None:
    made = error.getConnectError(given)
    assert type(made) is error.ConnectError
    assert made.args == (given,)
    assert str(made) == (str(given) or error.ConnectError.sentence)
