"""PROXY headers, whole, byte by byte and with more behind them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirebook.address import IPv4Address, IPv6Address, UNIXAddress
from wirebook.protocols.haproxy import (
    InvalidNetworkProtocol,
    InvalidProxyHeader,
    MissingAddressData,
    ProxyInfo,
    read_header,
)
from wirebook.protocols.haproxy.wire import V2_SIGNATURE


def block(command: int, family: int, body: bytes) -> bytes:
    return V2_SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


FOUR = b"\x7f\0\0\1\x7f\0\0\2\x1f\x90\x22\xb8"
SIX = b"\0" * 15 + b"\1" + b"\0" * 15 + b"\2" + b"\x1f\x90\x22\xb8"
PATHS = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")
FURTHER = b"\x02\0\x04host"

CASES = [
    (
        b"PROXY TCP4 1.1.1.1 2.2.2.2 8080 8888\r\n",
        IPv4Address("TCP", "1.1.1.1", 8080),
        IPv4Address("TCP", "2.2.2.2", 8888),
    ),
    (b"PROXY TCP6 ::1 ::2 8080 8888\r\n", IPv6Address("TCP", "::1", 8080), IPv6Address("TCP", "::2", 8888)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, None),
    (block(1, 0x11, FOUR), IPv4Address("TCP", "127.0.0.1", 8080), IPv4Address("TCP", "127.0.0.2", 8888)),
    (block(1, 0x12, FOUR), IPv4Address("UDP", "127.0.0.1", 8080), IPv4Address("UDP", "127.0.0.2", 8888)),
    (block(1, 0x21, SIX + FURTHER), IPv6Address("TCP", "::1", 8080), IPv6Address("TCP", "::2", 8888)),
    (block(1, 0x31, PATHS), UNIXAddress("/run/a"), UNIXAddress("/run/b")),
    (block(1, 0x00, b""), None, None),
    (block(1, 0x10, FOUR), None, None),
    (block(0, 0x11, FOUR), None, None),
    (block(0, 0x00, FURTHER), None, None),
]


@pytest.mark.parametrize(("header", "source", "destination"), CASES)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 200])
def test_a_header_is_read_up_to_its_end(header: bytes, source: Any, destination: Any, rest: bytes) -> None:
    shown = header.removesuffix(b"\r\n")
    assert read_header(header + rest) == (ProxyInfo(shown, source, destination), rest)


@pytest.mark.parametrize("header", [case[0] for case in CASES])
def test_a_part_of_a_header_waits_for_the_rest(header: bytes) -> None:
    assert all(read_header(header[:length]) is None for length in range(len(header)))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"G", InvalidProxyHeader),
        (b"NOTPROXY anything\r\n", InvalidProxyHeader),
        (b"PROXYTCP4", InvalidProxyHeader),
        (b"\0" + block(1, 0x11, FOUR)[1:], InvalidProxyHeader),
        (b"PROXY TCP4 " + b"1" * 97, InvalidProxyHeader),
        (b"PROXY \r\n", InvalidNetworkProtocol),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", InvalidNetworkProtocol),
        (b"PROXY TCP4 1.1.1.1\r\n", MissingAddressData),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", MissingAddressData),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", MissingAddressData),
        (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", MissingAddressData),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", MissingAddressData),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", MissingAddressData),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", MissingAddressData),
        (b"PROXY TCP4 1.1.1.1 2.2.2.\xff 1 2\r\n", MissingAddressData),
        (V2_SIGNATURE + b"\x11\x11\0\0", InvalidProxyHeader),
        (block(2, 0x11, FOUR), InvalidProxyHeader),
        (block(1, 0x41, FOUR), InvalidNetworkProtocol),
        (block(1, 0x13, FOUR), InvalidNetworkProtocol),
        (block(1, 0x11, FOUR[:-1]), MissingAddressData),
        (block(1, 0x21, FOUR), MissingAddressData),
        (block(1, 0x31, FOUR), MissingAddressData),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        read_header(data)
    assert type(caught.value) is error


@given(st.binary(max_size=300))
def test_garbage_gives_the_peer_s_error_only(data: bytes) -> None:
    for begin in (b"", b"PROXY ", V2_SIGNATURE + b"\x21"):
        try:
            read_header(begin + data)
        except InvalidProxyHeader:
            continue
