"""TLS errors in sentences."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from wirebook.error import ConnectionLost
from wirebook.ssl import TLSError
from wirebook.ssl.errors import in_words, reasons


def test_the_error_is_openssls_and_a_lost_connection() -> None:
    error = TLSError("it broke", [("SSL routines", "", "no shared cipher")])
    assert isinstance(error, SSL.Error)
    assert isinstance(error, ConnectionLost)
    assert str(error) == "it broke"
    assert error.args[0][0][2] == "no shared cipher"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no shared cipher", "there is no cipher that both sides allow"),
        ("tlsv1 alert unknown ca", "the peer refused it with the alert 'unknown ca': it does not know the authority"),
        ("ssl/tls alert certificate unknown", "alert 'certificate unknown': it does not accept"),
        ("tlsv1 alert something new", "the peer refused it with the alert 'something new'"),
        ("a reason nobody has heard of", "a reason nobody has heard of"),
    ],
)
def test_reasons_are_explained(reason: str, words: str) -> None:
    assert words in in_words([("SSL routines", "", reason)])


@pytest.mark.parametrize("error", [SSL.Error(), SSL.Error([]), SSL.SysCallError(-1, "Unexpected EOF")])
def test_no_reason_is_no_trouble(error: SSL.Error) -> None:
    assert in_words(reasons(error)) == "OpenSSL gave no reason"
