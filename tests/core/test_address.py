"""Addresses print as people write them."""

from __future__ import annotations

import socket
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from wirebook.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress, from_sockaddr


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
    assert from_sockaddr(("::1", 5, 7, 0), "UDP") == IPv6Address("UDP", "::1", 5, flowInfo=7)
    number, name = socket.if_nameindex()[0]
    address = from_sockaddr(("fe80::1", 5, 7, number), "UDP")
    assert address == IPv6Address("UDP", f"fe80::1%{name}", 5, flowInfo=7, scopeID=number)


def test_addresses_are_values_that_can_be_keys() -> None:
    assert len({IPv4Address("TCP", "10.0.0.1", 5), IPv4Address("TCP", "10.0.0.1", 5)}) == 1
    with pytest.raises(FrozenInstanceError):
        IPv4Address("TCP", "10.0.0.1", 5).port = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/run/app.sock", "/run/app.sock"),
        (b"\0app", "@app"),
        (Path("app.sock"), "app.sock"),
        (None, "unnamed"),
        ("", "unnamed"),
    ],
)
def test_a_unix_address_prints_its_path(name: Any, text: str) -> None:
    assert str(UNIXAddress(name)) == text


def test_two_paths_to_one_socket_are_the_same_address(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    (tmp_path / "other").symlink_to("one")
    one, other = UNIXAddress(tmp_path / "one"), UNIXAddress(tmp_path / "other")
    assert one == other
    assert hash(one) == hash(other)
    assert one != UNIXAddress(tmp_path / "third")
    assert one != "one"


def test_a_unix_address_keeps_its_name_as_bytes() -> None:
    assert UNIXAddress("/run/app.sock").name == b"/run/app.sock"
    assert UNIXAddress(None).name is None
    assert repr(UNIXAddress(b"/run/app.sock")) == "UNIXAddress('/run/app.sock')"
