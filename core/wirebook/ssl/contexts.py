"""Context factories: the older way to say what TLS shall be like, for programs that make their own contexts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from OpenSSL import SSL, crypto

from wirebook.ssl.errors import TLSError, in_words, reasons
from wirebook.ssl.keys import KeyPair

_SAFE = (
    SSL.OP_NO_SSLv3
    | SSL.OP_NO_TLSv1
    | SSL.OP_NO_TLSv1_1
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)


class ContextFactory:
    """Makes contexts for servers: subclass it and override `getContext`."""

    isClient = 0

    def getContext(self) -> SSL.Context:
        """The ``OpenSSL.SSL.Context`` for a connection. Override it."""
        raise NotImplementedError(f"{type(self).__name__}.getContext() has to return an OpenSSL.SSL.Context")


class DefaultOpenSSLContextFactory(ContextFactory):
    """A server's context from two PEM files: the private key, and the certificate with what leads to its root.

    Raises `TLSError` (an ``SSL.Error``) at once when the files are not good, `ValueError` for a key with a passphrase.
    """

    def __init__(
        self,
        privateKeyFileName: Any,
        certificateFileName: Any,
        sslmethod: int = SSL.TLS_METHOD,
        _contextFactory: Any = SSL.Context,
    ) -> None:
        self.privateKeyFileName = privateKeyFileName
        self.certificateFileName = certificateFileName
        self.sslmethod = sslmethod
        self._new_context = _contextFactory
        self._context: Any = None
        self.cacheContext()

    def cacheContext(self) -> None:
        """Make the context, unless it is there."""
        if self._context is not None:
            return
        context = self._new_context(self.sslmethod)
        context.set_options(_SAFE)
        for use, name in (
            (context.use_certificate_chain_file, self.certificateFileName),
            (_refuse_passphrase, self.privateKeyFileName),
            (context.use_privatekey_file, self.privateKeyFileName),
        ):
            try:
                use(name)
            except SSL.Error as error:
                queue = reasons(error)
                raise TLSError(f"cannot use {name!r} for TLS: {in_words(queue)}", queue) from None
            except ValueError as error:
                raise ValueError(f"cannot use {name!r} for TLS: {error}") from None
        self._context = context

    def getContext(self) -> SSL.Context:
        """The context, the same for all connections."""
        context: SSL.Context = self._context
        return context


def _refuse_passphrase(name: Any) -> None:
    """Raise `ValueError` for a key with a passphrase: the context would ask for it, on the terminal."""
    with suppress(OSError, crypto.Error), open(name, "rb") as file:
        KeyPair.load(file.read(), crypto.FILETYPE_PEM)


class ClientContextFactory:
    """Makes contexts for clients that verify nothing: for labs. `optionsForClientTLS` is what clients need."""

    isClient = 1
    method = SSL.TLS_METHOD
    _contextFactory: Any = SSL.Context

    def getContext(self) -> SSL.Context:
        """A new context."""
        context: SSL.Context = self._contextFactory(self.method)
        context.set_options(_SAFE)
        return context
