"""What each kind of description means: one function each, whose parameters are the values that it takes."""

from __future__ import annotations

import socket
from functools import cache
from typing import Any

from wirebook.endpoints.description import flag, number, port_number, refusal, seconds
from wirebook.endpoints.hostname import HostnameEndpoint
from wirebook.endpoints.processes import StandardIOEndpoint
from wirebook.endpoints.systemd import AdoptedStreamServerEndpoint, ListenFDs, family_of_descriptor
from wirebook.endpoints.tcp import TCP4ClientEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from wirebook.endpoints.tls import SSL4ClientEndpoint, SSL4ServerEndpoint, wrapClientTLS, wrapServerTLS
from wirebook.endpoints.unix import UNIXClientEndpoint, UNIXServerEndpoint
from wirebook.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from wirebook.transports.memory import MemoryClientEndpoint, MemoryServerEndpoint

# --- servers ---------------------------------------------------------------------------------------------


def tcp_server(reactor: Any, port: str, interface: str = "", backlog: str | None = None) -> TCP4ServerEndpoint:
    """``tcp:8007``"""
    return TCP4ServerEndpoint(reactor, port_number(port), _backlog(backlog), str(interface))


def tcp6_server(reactor: Any, port: str, backlog: str | None = None, interface: str = "::1") -> TCP6ServerEndpoint:
    """``tcp6:8007``"""
    return TCP6ServerEndpoint(reactor, port_number(port), _backlog(backlog), str(interface))


def unix_server(
    reactor: Any, address: str, mode: str = "666", backlog: str | None = None, lockfile: str = "1"
) -> UNIXServerEndpoint:
    """``unix:/run/app.sock``"""
    permissions = number(mode, "mode", 0, 0o7777, base=8)
    return UNIXServerEndpoint(reactor, str(address), _backlog(backlog), permissions, flag(lockfile, "lockfile"))


def ssl_server(  # noqa: PLR0913 - as in Twisted
    reactor: Any,
    port: str,
    privateKey: str = "server.pem",
    certKey: str | None = None,
    sslmethod: str | None = None,
    interface: str = "",
    backlog: str | None = None,
    extraCertChain: str | None = None,
    dhParameters: str | None = None,
) -> SSL4ServerEndpoint:
    """``ssl:443:privateKey=key.pem:certKey=certificate.pem``"""
    from wirebook.endpoints import pem

    options = pem.server_options(privateKey, certKey or privateKey, sslmethod, extraCertChain, dhParameters)
    return SSL4ServerEndpoint(reactor, port_number(port), options, _backlog(backlog), str(interface))


def tls_server(
    reactor: Any, path: str, port: str = "443", backlog: str | None = None, interface: str = "::1"
) -> IStreamServerEndpoint:
    """``tls:certificates:443``"""
    from wirebook.endpoints import pem

    endpoint = TCP6ServerEndpoint(reactor, port_number(port), _backlog(backlog), str(interface))
    return wrapServerTLS(pem.options_of_directory(path), endpoint)


def stdio_server(reactor: Any, nothing: str = "") -> StandardIOEndpoint:
    """``stdio:``"""
    return StandardIOEndpoint(reactor)


def memory_server(reactor: Any, name: str) -> MemoryServerEndpoint:
    """``memory:chat``"""
    return MemoryServerEndpoint(reactor, str(name))


@cache
def inherited() -> ListenFDs:
    """What systemd has handed to this process; read once, for reading takes it away."""
    return ListenFDs.fromEnvironment()


def systemd_server(
    reactor: Any, domain: str, index: str | None = None, name: str | None = None
) -> AdoptedStreamServerEndpoint:
    """``systemd:domain=INET:index=0`` or ``systemd:domain=INET:name=http``"""
    if (index is None) == (name is None):
        raise refusal(domain, "systemd needs index or name of the descriptor, and not both")
    if index is not None:
        descriptors = inherited().inheritedDescriptors()
        place = number(index, "index")
        if place >= len(descriptors):
            raise refusal(index, f"there is no descriptor {place}: systemd has handed over {len(descriptors)}")
        return AdoptedStreamServerEndpoint(reactor, descriptors[place], _family(domain))
    assert name is not None
    named = inherited().inheritedNamedDescriptors()
    if name not in named:
        raise refusal(name, f"there is no descriptor {str(name)!r}: systemd has handed over {sorted(named) or 'none'}")
    return AdoptedStreamServerEndpoint(reactor, named[name], _family(domain))


def descriptor_server(reactor: Any, fileno: str, domain: str | None = None) -> AdoptedStreamServerEndpoint:
    """``fd:3``"""
    descriptor = number(fileno, "descriptor")
    try:
        family = family_of_descriptor(descriptor)
    except OSError as error:
        raise refusal(fileno, f"the descriptor {descriptor} is no socket: {error.strerror}") from error
    return AdoptedStreamServerEndpoint(reactor, descriptor, family if domain is None else _family(domain))


def _family(domain: str) -> int:
    family: int | None = getattr(socket, f"AF_{domain.upper()}", None)
    if family is None or domain.upper() not in ("INET", "INET6", "UNIX"):
        raise refusal(domain, f"the domain is {str(domain)!r}, and should be INET, INET6 or UNIX")
    return family


def _backlog(text: str | None) -> int | None:
    return None if text is None else number(text, "backlog", 1)


# --- clients ---------------------------------------------------------------------------------------------


def tcp_client(
    reactor: Any, host: str, port: str, timeout: str = "30", bindAddress: str | None = None
) -> TCP4ClientEndpoint:
    """``tcp:example.org:80``"""
    return TCP4ClientEndpoint(reactor, str(host), port_number(port), seconds(timeout), _bind_address(bindAddress))


def unix_client(reactor: Any, path: str, timeout: str = "30", lockfile: str = "0") -> UNIXClientEndpoint:
    """``unix:/run/app.sock``"""
    return UNIXClientEndpoint(reactor, str(path), seconds(timeout), flag(lockfile, "lockfile"))


def ssl_client(  # noqa: PLR0913 - as in Twisted
    reactor: Any,
    host: str,
    port: str,
    timeout: str = "30",
    bindAddress: str | None = None,
    hostname: str | None = None,
    certKey: str | None = None,
    privateKey: str | None = None,
    caCertsDir: str | None = None,
) -> SSL4ClientEndpoint:
    """``ssl:example.org:443:hostname=example.org``"""
    from wirebook.endpoints import pem

    options = pem.client_options(hostname, caCertsDir, certKey, privateKey)
    return SSL4ClientEndpoint(
        reactor, str(host), port_number(port), options, seconds(timeout), _bind_address(bindAddress)
    )


def tls_client(  # noqa: PLR0913 - as in Twisted
    reactor: Any,
    host: str,
    port: str,
    timeout: str = "30",
    bindAddress: str | None = None,
    certificate: str | None = None,
    privateKey: str | None = None,
    trustRoots: str | None = None,
    endpoint: str | None = None,
) -> IStreamClientEndpoint:
    """``tls:example.org:443``"""
    from wirebook.endpoints import pem

    below: IStreamClientEndpoint
    if endpoint is None:
        below = HostnameEndpoint(reactor, str(host), port_number(port), seconds(timeout), _bind_address(bindAddress))
    else:
        from wirebook.endpoints.strings import clientFromString

        below = clientFromString(reactor, endpoint)
    return wrapClientTLS(pem.client_options(host, trustRoots, certificate, privateKey), below)


def memory_client(reactor: Any, name: str, timeout: str = "30") -> MemoryClientEndpoint:
    """``memory:chat``"""
    return MemoryClientEndpoint(reactor, str(name), seconds(timeout))


def _bind_address(host: str | None) -> tuple[str, int] | None:
    return None if host is None else (str(host), 0)
