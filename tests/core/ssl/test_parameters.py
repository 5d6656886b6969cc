"""Versions, ciphers, groups and application protocols."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from OpenSSL import SSL

from wirebook.ssl import (
    AcceptableCiphers,
    DiffieHellmanParameters,
    OpenSSLCipher,
    ProtocolNegotiationSupport,
    TLSVersion,
    defaultCiphers,
    protocolNegotiationMechanisms,
)
from wirebook.ssl.parameters import accepted_by, expand, set_ciphers


def test_versions_are_in_order() -> None:
    assert list(TLSVersion.iterconstants()) == sorted(TLSVersion)
    assert TLSVersion.TLSv1_2 < TLSVersion.TLSv1_3
    assert TLSVersion.lookupByName("TLSv1_2") is TLSVersion.TLSv1_2
    with pytest.raises(ValueError, match="'TLSv9' is no TLS version; they are SSLv3, TLSv1_0"):
        TLSVersion.lookupByName("TLSv9")


def test_alpn_is_always_there() -> None:
    assert protocolNegotiationMechanisms() & ProtocolNegotiationSupport.ALPN
    assert not protocolNegotiationMechanisms() & ProtocolNegotiationSupport.NPN


def test_acceptable_ciphers_keep_their_order() -> None:
    a, b, c = (OpenSSLCipher(name) for name in "abc")
    assert AcceptableCiphers([c, a]).selectCiphers([a, b, c]) == (c, a)


def test_openssls_language_is_understood_as_text_and_as_bytes() -> None:
    for text in ("ECDHE-RSA-AES128-GCM-SHA256", b"ECDHE-RSA-AES128-GCM-SHA256"):
        chosen = AcceptableCiphers.fromOpenSSLCipherString(text).selectCiphers(expand("ALL"))
        assert OpenSSLCipher("ECDHE-RSA-AES128-GCM-SHA256") in chosen
        assert not [cipher for cipher in chosen if "CBC" in cipher.fullName or "RSA-AES256" in cipher.fullName]


def test_the_default_begins_with_forward_secrecy_and_has_no_anonymous_cipher() -> None:
    names = [cipher.fullName for cipher in defaultCiphers.selectCiphers(expand("ALL"))]
    classic = [name for name in names if not name.startswith("TLS_")]
    assert classic[0].startswith("ECDHE-")
    assert "GCM" in classic[0]
    assert not [name for name in names if any(bad in name for bad in ("ADH", "NULL", "RC4", "DES", "MD5"))]


def test_unknown_ciphers_are_none() -> None:
    assert expand("no-such-cipher") == ()
    with pytest.raises(ValueError, match="leaves no cipher that this OpenSSL has"):
        set_ciphers(SSL.Context(SSL.TLS_METHOD), AcceptableCiphers([OpenSSLCipher("x")]), insecure=False)


@pytest.mark.parametrize(("name", "left"), [("TLS_AES_128_GCM_SHA256", 1), ("ECDHE-RSA-AES128-GCM-SHA256", 1)])
def test_only_the_chosen_ciphers_are_left(name: str, left: int) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    set_ciphers(context, AcceptableCiphers([OpenSSLCipher(name)]), insecure=False)
    usable = [cipher for cipher in SSL.Connection(context, None).get_cipher_list() if cipher == name]
    assert len(usable) == left


def test_groups_come_from_a_path_in_any_form() -> None:
    assert DiffieHellmanParameters.fromFile("dh.pem").path == "dh.pem"
    assert DiffieHellmanParameters.fromFile(Path("dh.pem")).path == "dh.pem"
    assert DiffieHellmanParameters.fromFile(SimpleNamespace(path="dh.pem")).path == "dh.pem"


def test_a_factory_names_its_protocols_before_the_fixed_ones() -> None:
    class Factory:
        def acceptableProtocols(self) -> list[bytes]:
            return [b"mine"]

    layer = SimpleNamespace(factory=SimpleNamespace(wrappedFactory=Factory()))
    assert accepted_by(layer, [b"fixed"]) == [b"mine", b"fixed"]
    assert accepted_by(None, [b"fixed"]) == [b"fixed"]
