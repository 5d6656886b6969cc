"""What goes wrong with TLS, in sentences. Nothing of it is sent to the peer, which gets the alert alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError

from wirebook.error import ConnectionLost


class TLSError(SSL.Error, ConnectionLost):
    """TLS was not agreed on, or broke later. It is an ``OpenSSL.SSL.Error`` and a `ConnectionLost`.

    ``args[0]`` is OpenSSL's list of (library, function, reason), empty where OpenSSL was not asked.
    """

    def __init__(self, sentence: str, queue: Sequence[tuple[str, str, str]] = ()) -> None:
        super().__init__(list(queue))
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class PeerNameError(TLSError, VerificationError):
    """The server's certificate is a good one, but for another name. ``errors`` says what was looked for."""

    def __init__(self, sentence: str, errors: Sequence[Any] = ()) -> None:
        TLSError.__init__(self, sentence)
        self.errors = errors

    __repr__ = Exception.__repr__


# By the reason's text: OpenSSL's numbers differ between its versions.
_HINTS = {
    "certificate verify failed": "its certificate was refused",
    "http request": "the peer speaks plain HTTP; it must use https:// for this port",
    "https proxy request": "the peer takes this port for an HTTP proxy",
    "wrong version number": "what arrived is not TLS; does the other side speak TLS on this port?",
    "unsupported protocol": "there is no TLS version that both sides allow",
    "no protocols available": "the options allow no TLS version",
    "no shared cipher": "there is no cipher that both sides allow, or this side has no certificate",
    "no suitable signature algorithm": "the certificate's key fits none of the peer's signature algorithms",
    "no application protocol": "there is no application protocol (ALPN) that both sides speak",
    "peer did not return a certificate": "the peer showed no certificate, and these options require one",
    "system lib": "the file cannot be read",
    "PEM lib": "the file has no such thing in PEM format",
    "unexpected message": "the peer sent a message out of order",
    "decryption failed or bad record mac": "a record was changed on its way, or is no TLS record",
}
_ALERTS = {
    "unknown ca": "it does not know the authority that signed this side's certificate",
    "bad certificate": "it does not accept this side's certificate",
    "certificate unknown": "it does not accept this side's certificate",
    "certificate expired": "this side's certificate has expired",
    "certificate required": "it requires a client certificate, and this side showed none",
    "handshake failure": "it found no common parameters, or misses a certificate of this side",
    "protocol version": "it allows no TLS version that this side offers",
    "no application protocol": "it speaks none of this side's application protocols (ALPN)",
    "unrecognized name": "it does not serve the name that was asked for",
}


def reasons(error: Exception) -> list[tuple[str, str, str]]:
    """The list of (library, function, reason) in an error of OpenSSL's, empty when there is none."""
    return error.args[0] if error.args and isinstance(error.args[0], list) else []


def in_words(queue: Sequence[tuple[str, str, str]]) -> str:
    """OpenSSL's list of reasons as a sentence: the last one, with what it means."""
    if not queue:
        return "OpenSSL gave no reason"
    reason = str(queue[-1][-1])
    about = reason.partition(" alert ")[2]
    if about:
        meaning = _ALERTS.get(about, "")
        return f"the peer refused it with the alert {about!r}{meaning and f': {meaning}'}"
    return f"{_HINTS[reason]} ({reason})" if reason in _HINTS else reason
