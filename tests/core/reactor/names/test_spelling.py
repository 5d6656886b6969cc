"""How hosts are written."""

from __future__ import annotations

import pytest

from wirebook.address import IPv4Address, IPv6Address
from wirebook.reactor.names import idna_bytes, idna_text, ip_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", IPv4Address("UDP", "192.0.2.1", 53)),
        ("::1", IPv6Address("UDP", "::1", 53)),
        ("localhost", None),
        ("", None),
        ("nul\0", None),
        ("a" * 300, None),
        ("bücher.example", None),
    ],
)
def test_numbers_are_told_from_names(host: str, address: object) -> None:
    assert ip_address(host, 53, "UDP") == address


def test_a_scope_is_part_of_a_number() -> None:
    address = ip_address("fe80::1%lo", 80)
    assert isinstance(address, IPv6Address)
    assert address.scopeID == 1


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("example.org", b"example.org"),
        ("my_host", b"my_host"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("Bücher.example", b"xn--bcher-kva.example"),
    ],
)
def test_names_are_encoded_as_they_are_sent(text: str, octets: bytes) -> None:
    assert idna_bytes(text) == octets


def test_encoded_names_can_be_read_again() -> None:
    assert idna_text(b"xn--bcher-kva.example") == "bücher.example"
    assert idna_text(b"my_host") == "my_host"


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(UnicodeError):
        idna_bytes("\u2ff0-garbage")
    with pytest.raises(UnicodeError):
        idna_text(b"\xff")
