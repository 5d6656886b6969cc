"""The PROXY protocol: how a proxy tells the server behind it who has connected."""

from wirebook.protocols.haproxy.wire import (
    InvalidNetworkProtocol,
    InvalidProxyHeader,
    MissingAddressData,
    ProxyInfo,
    read_header,
)
from wirebook.protocols.haproxy.wrapper import (
    HAProxyProtocolWrapper,
    HAProxyServerParser,
    HAProxyWrappingFactory,
    proxyEndpoint,
)

# What the entry point "haproxy" leads to.
server_parser = HAProxyServerParser()

__all__ = [
    "HAProxyProtocolWrapper",
    "HAProxyServerParser",
    "HAProxyWrappingFactory",
    "InvalidNetworkProtocol",
    "InvalidProxyHeader",
    "MissingAddressData",
    "ProxyInfo",
    "proxyEndpoint",
    "read_header",
    "server_parser",
]
