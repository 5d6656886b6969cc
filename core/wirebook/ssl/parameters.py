"""What two sides have to agree on: versions, ciphers, groups, application protocols."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from OpenSSL import SSL

from wirebook.ssl.errors import reasons


class TLSVersion(enum.IntEnum):
    """The versions, in order. The values are those in the protocol (RFC 8446, section 4.1.2)."""

    SSLv3 = 0x0300
    TLSv1_0 = 0x0301
    TLSv1_1 = 0x0302
    TLSv1_2 = 0x0303
    TLSv1_3 = 0x0304

    @classmethod
    def iterconstants(cls) -> Iterator[TLSVersion]:
        """The versions, oldest first."""
        return iter(cls)

    @classmethod
    def lookupByName(cls, name: str) -> TLSVersion:
        """The version of that name. Raises ValueError."""
        if name not in cls.__members__:
            raise ValueError(f"{name!r} is no TLS version; they are {', '.join(cls.__members__)}")
        return cls[name]


class ProtocolNegotiationSupport(enum.Flag):
    """Ways to agree on an application protocol."""

    NOSUPPORT = 0
    NPN = 1
    ALPN = 2


def protocolNegotiationMechanisms() -> ProtocolNegotiationSupport:
    """The ways that are there: ALPN always is."""
    return ProtocolNegotiationSupport.ALPN


@dataclass(frozen=True)
class OpenSSLCipher:
    """A cipher suite by OpenSSL's name, as "ECDHE-RSA-AES256-GCM-SHA384"."""

    fullName: str


class AcceptableCiphers:
    """Cipher suites that are allowed, the preferred ones first."""

    def __init__(self, ciphers: Iterable[OpenSSLCipher]) -> None:
        self._ciphers = tuple(ciphers)

    def selectCiphers(self, availableCiphers: Iterable[OpenSSLCipher]) -> tuple[OpenSSLCipher, ...]:
        """Those that are also available, in this object's order."""
        available = set(availableCiphers)
        return tuple(cipher for cipher in self._ciphers if cipher in available)

    @classmethod
    def fromOpenSSLCipherString(cls, cipherString: str | bytes) -> AcceptableCiphers:
        """From OpenSSL's own language, for example "ECDH+AESGCM:!aNULL" (see ciphers(1)).

        It is about TLS 1.2; the suites of TLS 1.3 are always among them.
        """
        text = cipherString.decode("ascii") if isinstance(cipherString, bytes) else cipherString
        return cls(expand(text))


@lru_cache(maxsize=32)
def expand(cipher_string: str) -> tuple[OpenSSLCipher, ...]:
    """The suites that this OpenSSL has of those that `cipher_string` names; none when it knows none of them."""
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.set_cipher_list(cipher_string.encode("ascii"))
    except SSL.Error as error:
        queue = reasons(error)
        if not queue or queue[0][2] == "no cipher match":
            return ()
        raise
    return tuple(OpenSSLCipher(name) for name in SSL.Connection(context, None).get_cipher_list())


# Forward secrecy, and ciphers that authenticate what they encrypt, first (RFC 9325, section 4.2; AES before ChaCha20,
# for most processors do it in hardware). Those without forward secrecy stay at the end for old peers.
defaultCiphers = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDH+AESGCM:ECDH+CHACHA20:DH+AESGCM:DH+CHACHA20:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:"
    "RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS"
)


def set_ciphers(context: SSL.Context, acceptable: Any, insecure: bool) -> None:
    """Allow the `acceptable` ones (an `AcceptableCiphers`). Raises `ValueError` when this OpenSSL has none of them."""
    names = [cipher.fullName for cipher in acceptable.selectCiphers(expand("ALL"))]
    modern = [name for name in names if name.startswith("TLS_")]
    classic = [name for name in names if not name.startswith("TLS_")]
    if not names:
        raise ValueError(f"{acceptable!r} leaves no cipher that this OpenSSL has")
    if classic:
        # What is older than TLS 1.2 needs signatures that the usual security level forbids.
        context.set_cipher_list(":".join([*classic, *(["@SECLEVEL=0"] if insecure else [])]).encode("ascii"))
    else:
        context.set_min_proto_version(TLSVersion.TLSv1_3)
    if modern:
        context.set_tls13_ciphersuites(":".join(modern).encode("ascii"))
    else:
        context.set_max_proto_version(TLSVersion.TLSv1_2)


class DiffieHellmanParameters:
    """The group for classic Diffie-Hellman. Without one these suites are off; the elliptic ones need none."""

    def __init__(self, parameters: Any) -> None:
        self.path = os.fspath(getattr(parameters, "path", parameters))

    @classmethod
    def fromFile(cls, filePath: Any) -> DiffieHellmanParameters:
        """From a PEM file as ``openssl dhparam -out FILE 2048`` writes it. It is read when a context is made."""
        return cls(filePath)


def accepted_by(layer: Any, fixed: Sequence[bytes]) -> list[bytes]:
    """The application protocols for a connection: those of its factory, if it names any, then the `fixed` ones."""
    factory = getattr(getattr(layer, "factory", None), "wrappedFactory", None)
    ask = getattr(factory, "acceptableProtocols", None)
    return [*(ask() if ask is not None else ()), *fixed]
