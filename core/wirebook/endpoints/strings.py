"""Endpoints from their descriptions: what a program's user writes in a configuration or on a command line.

The kinds that are not among the tables below come from plug-ins: entry points of any installed distribution in the
groups ``wirebook.endpoints.server`` and ``wirebook.endpoints.client``. The name of the entry point is the kind; it
leads to an object with ``parseStreamServer`` or ``parseStreamClient`` (see `wirebook.interfaces`).
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wirebook.endpoints import kinds
from wirebook.endpoints.description import Description, build, read_description
from wirebook.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

SERVER_GROUP = "wirebook.endpoints.server"
CLIENT_GROUP = "wirebook.endpoints.client"

_SERVERS: dict[str, Callable[..., Any]] = {
    "fd": kinds.descriptor_server,
    "memory": kinds.memory_server,
    "ssl": kinds.ssl_server,
    "stdio": kinds.stdio_server,
    "systemd": kinds.systemd_server,
    "tcp": kinds.tcp_server,
    "tcp6": kinds.tcp6_server,
    "tls": kinds.tls_server,
    "unix": kinds.unix_server,
}
_CLIENTS: dict[str, Callable[..., Any]] = {
    "memory": kinds.memory_client,
    "ssl": kinds.ssl_client,
    "tcp": kinds.tcp_client,
    "tls": kinds.tls_client,
    "unix": kinds.unix_client,
}


def serverFromString(reactor: Any, description: str) -> IStreamServerEndpoint:
    r"""The server endpoint that `description` stands for.

    =========================================  ======================================================================
    ``tcp:8007``                               a TCP port; more: ``interface=0.0.0.0``, ``backlog=100``
    ``tcp6:8007``                              the same over IPv6; ``interface=\:\:`` for all interfaces
    ``ssl:443:privateKey=k.pem:certKey=c.pem``  a TCP port with TLS; more: ``extraCertChain``, ``dhParameters``,
                                               ``sslmethod``, ``interface``, ``backlog``
    ``tls:certificates:443``                   a TCP port with TLS and the ``*.pem`` files of a directory: which
                                               certificate is shown depends on the name that a client asks for
    ``unix:/run/app.sock``                     a UNIX socket; more: ``mode=660``, ``lockfile=0``, ``backlog``
    ``systemd:domain=INET:index=0``            a descriptor from systemd, also by ``name=http``
    ``fd:3``                                   an inherited descriptor of a listening socket
    ``stdio:``                                 standard input and output
    ``memory:chat``                            a name in this reactor
    ``haproxy:tcp:8007``                       what follows, behind a proxy that sends PROXY headers
    =========================================  ======================================================================

    Every value has a name, which may be written (``tcp:port=8007``); a backslash before a colon takes it as it is
    (`quoteStringArgument`). Raises `EndpointStringError`, a `ValueError` that points at the place, and what reading
    files raises.
    """
    return _from_string(reactor, description, _SERVERS, SERVER_GROUP, "parseStreamServer")  # type: ignore[no-any-return]


def clientFromString(reactor: Any, description: str) -> IStreamClientEndpoint:
    """The client endpoint that `description` stands for; the notation is that of `serverFromString`.

    =========================================  ======================================================================
    ``tcp:example.org:80``                     a TCP server; more: ``timeout=30``, ``bindAddress=192.0.2.1``
    ``tls:example.org:443``                    a TLS server by its name, all its addresses tried; more: ``timeout``,
                                               ``bindAddress``, ``certificate``, ``privateKey``, ``trustRoots=DIR``,
                                               ``endpoint`` (another way to get there)
    ``ssl:example.org:443``                    a TLS server; verified only with ``hostname=...``; more: ``timeout``,
                                               ``bindAddress``, ``certKey``, ``privateKey``, ``caCertsDir``
    ``unix:/run/app.sock``                     a UNIX socket; more: ``timeout``, ``lockfile=1``
    ``memory:chat``                            a name in this reactor; more: ``timeout``
    =========================================  ======================================================================
    """
    return _from_string(reactor, description, _CLIENTS, CLIENT_GROUP, "parseStreamClient")  # type: ignore[no-any-return]


def _from_string(reactor: Any, text: str, table: dict[str, Callable[..., Any]], group: str, method: str) -> Any:
    description = read_description(text)
    kind = description.kind.lower()
    if kind in table:
        return build(description, table[kind], reactor)
    plugins = {point.name.lower(): point for point in entry_points(group=group)}
    if kind not in plugins:
        raise _unknown(description, [*table, *plugins])
    return build(description, getattr(_loaded(plugins[kind]), method), reactor)


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        error.add_note(f"while loading the endpoint plug-in {point.name!r} ({point.value}), group {point.group}")
        raise


def _unknown(description: Description, known: list[str]) -> ValueError:
    near = get_close_matches(description.kind.lower(), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
    return description.kind.error(f"Unknown endpoint type: {str(description.kind)!r}; {hint}")
