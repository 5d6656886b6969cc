"""Addresses print as people write them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from wirebook.address import HostnameAddress, IPv4Address, IPv6Address, from_sockaddr


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", "127.0.0.1", 8007), "127.0.0.1:8007"),
        (IPv6Address("TCP", "::1", 8007), "[::1]:8007"),
        (HostnameAddress(b"example.net", 80), "example.net:80"),
        (HostnameAddress(b"\xff.net", 80), "\\xff.net:80"),
    ],
)
def test_an_address_prints_as_people_write_it(address: object, text: str) -> None:
    assert str(address) == text


def test_a_pair_is_an_ipv4_address() -> None:
    assert from_sockaddr(("10.0.0.1", 5)) == IPv4Address("TCP", "10.0.0.1", 5)


def test_four_values_are_an_ipv6_address_with_flow_and_scope() -> None:
    address = from_sockaddr(("fe80::1", 5, 7, 2), "UDP")
    assert address == IPv6Address("UDP", "fe80::1", 5, flowInfo=7, scopeID=2)


def test_addresses_are_values_that_can_be_keys() -> None:
    assert len({IPv4Address("TCP", "10.0.0.1", 5), IPv4Address("TCP", "10.0.0.1", 5)}) == 1
    with pytest.raises(FrozenInstanceError):
        IPv4Address("TCP", "10.0.0.1", 5).port = 6  # type: ignore[misc]
