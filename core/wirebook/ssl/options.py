"""What a side of a TLS connection wants, and OpenSSL's context made from it."""

from __future__ import annotations

import copy
import inspect
import os
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeAlias

from cryptography import x509
from OpenSSL import SSL, crypto

from wirebook.failure import Failure
from wirebook.logger import report_event, report_failure
from wirebook.ssl.errors import TLSError, reasons
from wirebook.ssl.parameters import TLSVersion, accepted_by, defaultCiphers, set_ciphers
from wirebook.ssl.trust import OpenSSLCertificateAuthorities, as_trust_root

P = ParamSpec("P")
VersionRange: TypeAlias = tuple[TLSVersion, TLSVersion | None]

# Seconds that a handshake may take.
HANDSHAKE_TIMEOUT = 20.0
_SAFE_MINIMUM = TLSVersion.TLSv1_2
_SAFE = SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION
_METHOD_IS_OUTDATED = "CertificateOptions(method=...) is outdated: say raiseMinimumTo or lowerMaximumSecurityTo instead"
_EXCLUSIVE = (
    ("trustRoot", "requireCertificate"),
    ("trustRoot", "verify"),
    ("trustRoot", "caCerts"),
    ("method", "insecurelyLowerMinimumTo"),
    ("method", "raiseMinimumTo"),
    ("raiseMinimumTo", "insecurelyLowerMinimumTo"),
    ("method", "lowerMaximumSecurityTo"),
)


def _refusing_pairs(init: Callable[P, None]) -> Callable[P, None]:
    """`init`, but it raises `TypeError` when it is given both arguments of a pair, even with the default values."""
    signature = inspect.signature(init)

    @wraps(init)
    def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        given = signature.bind(*args, **kwargs).arguments
        for one, other in _EXCLUSIVE:
            if one in given and other in given:
                raise TypeError(f"{one} and {other} are mutually exclusive: give CertificateOptions one of them")
        init(*args, **kwargs)

    return checked


class CertificateOptions:
    """The options of TLS connections, for servers and for clients (a client that must know whom it talks to uses
    `optionsForClientTLS`). Pass them to ``listenSSL``, ``connectSSL``, ``startTLS`` or an endpoint.

    ``privateKey``, ``certificate``: this side's, both or neither. ``extraCertChain``: the certificates between it and
    the root. ``trustRoot``: the peer must show a certificate that is signed by whom this trusts. ``verify``,
    ``caCerts``, ``requireCertificate`` are the older way to say so. ``verifyDepth``: how long its chain may be.
    ``acceptableProtocols``: for ALPN, the preferred one first; a peer that speaks ALPN and none of them is refused.
    ``raiseMinimumTo``, ``insecurelyLowerMinimumTo``, ``lowerMaximumSecurityTo``: a `TLSVersion` other than the default
    (1.2 at least); ``method`` is the older way. ``acceptableCiphers``, ``dhParameters``: see `AcceptableCiphers` and
    `DiffieHellmanParameters`. ``enableSessions``, ``enableSessionTickets``: let peers resume sessions, from a cache
    here or from a ticket that they keep; as a client, with either, resume. ``verifyOnce``: not again then.
    ``contextForServerName``: called with the name that a client asks for (bytes, or None), returns the context to
    go on with, or None for this one; see `optionsByServerName`.

    Beyond Twisted: ``handshakeTimeout`` in seconds (None: no limit), and ``keylog``, a file for the secrets of every
    connection, in the format that Wireshark reads; without it SSLKEYLOGFILE of the environment is used.

    Raises `ValueError` and `TypeError` for what does not go together.
    """

    _context: SSL.Context | None = None

    @_refusing_pairs
    def __init__(  # noqa: PLR0913 - as in Twisted
        self,
        privateKey: Any = None,
        certificate: Any = None,
        method: int | None = None,
        verify: bool = False,
        caCerts: Sequence[crypto.X509] | None = None,
        verifyDepth: int = 9,
        requireCertificate: bool = True,
        verifyOnce: bool = True,
        enableSingleUseKeys: bool = True,
        enableSessions: bool = False,
        fixBrokenPeers: bool = False,
        enableSessionTickets: bool = False,
        extraCertChain: Sequence[Any] | None = None,
        acceptableCiphers: Any = None,
        dhParameters: Any = None,
        trustRoot: Any = None,
        acceptableProtocols: Sequence[bytes] | None = None,
        raiseMinimumTo: TLSVersion | None = None,
        insecurelyLowerMinimumTo: TLSVersion | None = None,
        lowerMaximumSecurityTo: TLSVersion | None = None,
        contextForServerName: Callable[[bytes | None], SSL.Context | None] | None = None,
        handshakeTimeout: float | None = HANDSHAKE_TIMEOUT,
        keylog: str | os.PathLike[str] | None = None,
    ) -> None:
        self.privateKey = privateKey
        self.certificate = certificate
        self.extraCertChain = list(extraCertChain or ())
        self._check_certificate(extraCertChain is not None)
        self.verifyDepth, self.verifyOnce = verifyDepth, verifyOnce
        self.enableSingleUseKeys, self.fixBrokenPeers = enableSingleUseKeys, fixBrokenPeers
        self.enableSessions, self.enableSessionTickets = enableSessions, enableSessionTickets
        self.acceptableCiphers = defaultCiphers if acceptableCiphers is None else acceptableCiphers
        self.dhParameters = dhParameters
        self.handshakeTimeout, self.keylog = handshakeTimeout, keylog
        self.method = SSL.TLS_METHOD if method is None else method
        self._versions: VersionRange | None = version_range(
            raiseMinimumTo, insecurelyLowerMinimumTo, lowerMaximumSecurityTo
        )
        if method is not None:
            self._versions = None
            warnings.warn(_METHOD_IS_OUTDATED, DeprecationWarning, stacklevel=3)
        self._set_trust(bool(verify), caCerts, bool(requireCertificate), trustRoot)
        self._acceptable_protocols = list(acceptableProtocols or ())
        self._context_for_name = contextForServerName
        # Finds out now whether any cipher is left.
        set_ciphers(SSL.Context(SSL.TLS_METHOD), self.acceptableCiphers, insecure=False)

    def _check_certificate(self, has_chain: bool) -> None:
        if (self.privateKey is None) != (self.certificate is None):
            raise ValueError("privateKey and certificate go together: give both, or neither")
        if has_chain and self.certificate is None:
            raise ValueError("extraCertChain leads to a certificate: give privateKey and certificate too")

    def _set_trust(self, verify: bool, ca_certs: Any, require: bool, trust_root: Any) -> None:
        if verify and not ca_certs:
            raise ValueError("verify needs caCerts: the certificates of the authorities to trust")
        self.caCerts = ca_certs
        self.verify = verify or trust_root is not None
        self.requireCertificate = require
        if trust_root is not None:
            self.trustRoot: Any = as_trust_root(trust_root)
        else:
            self.trustRoot = OpenSSLCertificateAuthorities(ca_certs) if verify else None

    def getContext(self) -> SSL.Context:
        """OpenSSL's context, made at the first call and shared by all connections: do not change it."""
        if self._context is None:
            self._context = self._new_context()
        return self._context

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_context"}

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """A connection for the server's side of the layer `protocol`."""
        return SSL.Connection(self.getContext(), None)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """A connection for the client's side of the layer `protocol`. The peer's name is not verified."""
        connection = SSL.Connection(self.getContext(), None)
        if protocols := accepted_by(protocol, self._acceptable_protocols):
            connection.set_alpn_protos(protocols)
        return connection

    # --- the context ---------------------------------------------------------------------------------

    def _new_context(self) -> SSL.Context:
        context = SSL.Context(self.method)
        context.set_options(self._option_bits())
        # Idle connections give their buffers back.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        if self._versions is not None:
            _limit_versions(context, *self._versions)
        insecure = self._versions is not None and self._versions[0] < _SAFE_MINIMUM
        set_ciphers(context, self.acceptableCiphers, insecure)
        if self.dhParameters is not None:
            context.load_tmp_dh(self.dhParameters.path)
        self._use_certificate(context)
        self._use_trust(context)
        self._use_sessions(context)
        if self._context_for_name is not None:
            context.set_tlsext_servername_callback(self._name_asked_for)
        context.set_alpn_select_callback(self._select_protocol)
        if path := self.keylog or os.environ.get("SSLKEYLOGFILE"):
            context.set_keylog_callback(keylog_writer(path))
        return context

    def _option_bits(self) -> int:
        bits = _SAFE
        if self.enableSingleUseKeys:
            bits |= SSL.OP_SINGLE_DH_USE | SSL.OP_SINGLE_ECDH_USE
        if self.fixBrokenPeers:
            bits |= SSL.OP_ALL
        if not self.enableSessionTickets:
            bits |= SSL.OP_NO_TICKET
        return bits

    def _use_certificate(self, context: SSL.Context) -> None:
        if self.certificate is None:
            return
        context.use_certificate(_certificate(self.certificate))
        context.use_privatekey(_key(self.privateKey))
        for link in self.extraCertChain:
            context.add_extra_chain_cert(_certificate(link))
        context.check_privatekey()

    def _use_trust(self, context: SSL.Context) -> None:
        if self.verify:
            flags = SSL.VERIFY_PEER
            if self.requireCertificate:
                flags |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            if self.verifyOnce:
                flags |= SSL.VERIFY_CLIENT_ONCE
            self.trustRoot._addCACertsToContext(context)
            context.set_verify(flags, note_refusal)
        context.set_verify_depth(self.verifyDepth)

    def _use_sessions(self, context: SSL.Context) -> None:
        # Without an id sessions with client certificates cannot be resumed (SSL_CTX_set_session_id_context(3)).
        context.set_session_id(secrets.token_bytes(16))
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER if self.enableSessions else SSL.SESS_CACHE_OFF)

    def _name_asked_for(self, connection: SSL.Connection) -> None:
        assert self._context_for_name is not None
        try:
            context = self._context_for_name(connection.get_servername())
        except Exception:
            asked = connection.get_servername()
            report_failure(Failure(), f"looking up the options for {asked!r} raised")
            if (layer := connection.get_app_data()) is not None:
                layer.failVerification(Failure(TLSError(f"the options for the name {asked!r} could not be looked up")))
        else:
            if context is not None:
                connection.set_context(context)

    def _select_protocol(self, connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
        accepted = accepted_by(connection.get_app_data(), self._acceptable_protocols)
        if not accepted:
            return SSL.NO_OVERLAPPING_PROTOCOLS
        for protocol in accepted:
            if protocol in offered:
                return protocol
        # An exception here sends the alert that RFC 7301, section 3.2, asks for.
        raise TLSError(f"no common application protocol: the peer speaks {list(offered)}, this side {accepted}")


def version_range(at_least: TLSVersion | None, lowered: TLSVersion | None, at_most: TLSVersion | None) -> VersionRange:
    """The oldest and the newest version (None: any) for the three arguments of `CertificateOptions`.

    Raises `ValueError` when nothing lies between them.
    """
    oldest = max(at_least, _SAFE_MINIMUM) if at_least is not None else lowered
    if oldest is None:
        oldest = _SAFE_MINIMUM if at_most is None else min(_SAFE_MINIMUM, at_most)
    if at_most is not None and oldest > at_most:
        name = "raiseMinimumTo" if at_least is not None else "insecurelyLowerMinimumTo"
        raise ValueError(f"{name} ({oldest.name}) has to be lower than lowerMaximumSecurityTo ({at_most.name})")
    return oldest, at_most


def _limit_versions(context: SSL.Context, oldest: TLSVersion, newest: TLSVersion | None) -> None:
    try:
        context.set_min_proto_version(oldest)
        if newest is not None:
            context.set_max_proto_version(newest)
    except SSL.Error as error:
        spoken = oldest.name if newest in (None, oldest) else f"{oldest.name} or {newest.name}"
        raise TLSError(f"this OpenSSL does not speak {spoken}", reasons(error)) from None


def _certificate(given: Any) -> x509.Certificate:
    original = getattr(given, "original", given)
    if isinstance(original, crypto.X509):
        return original.to_cryptography()
    if not isinstance(original, x509.Certificate):
        raise TypeError(f"a certificate is an OpenSSL.crypto.X509 or a wirebook.ssl.Certificate, not {given!r}")
    return original


def _key(given: Any) -> Any:
    original = getattr(given, "original", given)
    return original.to_cryptography_key() if isinstance(original, crypto.PKey) else original


# --- what is told of it ------------------------------------------------------------------------------------

_UNTRUSTED = (
    "whoever signed it is not trusted; to trust a lab's own authority, pass its certificate as trustRoot "
    "(LabAuthority.clientOptions() does)"
)
_REFUSALS = {
    SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED: "it expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
    SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID: "it is valid from {certificate.not_valid_before_utc:%Y-%m-%d} on",
    SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed, and not trusted itself; "
    "to trust it, pass it as trustRoot",
    SSL.X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN: "its root is not trusted; to trust a lab's own root, "
    "pass its certificate as trustRoot",
    SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _UNTRUSTED,
    SSL.X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _UNTRUSTED,
    SSL.X509VerificationCodes.ERR_CERT_REVOKED: "it was revoked",
    SSL.X509VerificationCodes.ERR_INVALID_PURPOSE: "it is not for this purpose",
    SSL.X509VerificationCodes.ERR_INVALID_CA: "whoever signed it may not sign certificates",
    SSL.X509VerificationCodes.ERR_CERT_CHAIN_TOO_LONG: "its chain is longer than verifyDepth allows",
}


def note_refusal(connection: SSL.Connection, cert: crypto.X509, code: int, depth: int, ok: int) -> bool:
    """OpenSSL's verification callback: agrees with OpenSSL, but keeps why a certificate was refused, for the error."""
    layer = connection.get_app_data()
    if not ok and layer is not None:
        certificate = cert.to_cryptography()
        why = _REFUSALS.get(code, "OpenSSL's verification code is {code}").format(certificate=certificate, code=code)
        layer.note = f"the certificate {certificate.subject.rfc4514_string()!r} was refused: {why}"
    return bool(ok)


def keylog_writer(path: str | os.PathLike[str]) -> Callable[[SSL.Connection, bytes], None]:
    """A callback that appends the secrets of a connection to a file (the format of NSS, which Wireshark reads)."""
    failed = False

    def write(connection: SSL.Connection, line: bytes) -> None:
        nonlocal failed
        try:
            # Whoever can read it can read the traffic.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(descriptor, "ab") as file:
                file.write(line + b"\n")
        except OSError as error:
            if not failed:
                failed = True
                report_event(f"cannot write TLS secrets to the key log {os.fspath(path)!r}: {error}")

    return write


def optionsByServerName(names: Mapping[str, CertificateOptions], default: CertificateOptions) -> CertificateOptions:
    """Options for a port that serves several names (SNI, RFC 6066): each with its certificate and its protocols.

    `names` has host names, or ``*.example.org`` for all names with one label more, as keys. Clients that ask for
    another name, or for none, get `default`, whose trust, versions and timeouts are those of all.
    """

    def context_for(name: bytes | None) -> SSL.Context | None:
        asked = (name or b"").decode("ascii", "replace").lower()
        options = names.get(asked) or names.get("*." + asked.partition(".")[2])
        return None if options is None else options.getContext()

    chosen = copy.copy(default)
    chosen._context = None
    chosen._context_for_name = context_for
    return chosen
