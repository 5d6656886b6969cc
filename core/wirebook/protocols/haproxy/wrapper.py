"""Serving behind a proxy: the header is taken off, and ``getPeer`` and ``getHost`` say what it says.

The program's protocol is built and connected when the header is there, so it never sees the proxy's address, and a
connection without a valid header never reaches it.
"""

from __future__ import annotations

from typing import Any

from wirebook.endpoints.description import unread_description
from wirebook.endpoints.strings import serverFromString
from wirebook.endpoints.tls import WrapperServerEndpoint
from wirebook.failure import Failure
from wirebook.interfaces import IStreamServerEndpoint
from wirebook.logger import Logger
from wirebook.policies import ProtocolWrapper, WrappingFactory
from wirebook.protocol import build_protocol, connectionDone
from wirebook.protocols.haproxy.wire import InvalidProxyHeader, ProxyInfo, read_header

_log = Logger()
# Seconds that a header may take, on transports that have a reactor. The specification asks for 3 at least.
HEADER_TIMEOUT = 10.0


class HAProxyProtocolWrapper(ProtocolWrapper):
    """One connection from a proxy. ``wrappedProtocol`` is built when the header has come, and None before.

    ``info`` is the header's content, None before it has arrived. `addr` is the proxy's address.
    """

    info: ProxyInfo | None = None

    def __init__(self, factory: HAProxyWrappingFactory, addr: Any) -> None:
        super().__init__(factory, None)
        self._addr = addr
        self._header = b""
        self._timer: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and wait for the header. Called by it."""
        self.transport = transport
        self.factory.registerProtocol(self)
        reactor = getattr(transport, "reactor", None)
        if reactor is not None:
            self._timer = reactor.callLater(HEADER_TIMEOUT, self._refuse, f"none within {HEADER_TIMEOUT:g} s")

    def dataReceived(self, data: bytes) -> None:
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
        elif not self.disconnecting:
            self._header += data
            try:
                found = read_header(self._header)
            except InvalidProxyHeader as error:
                self._refuse(str(error))
                return
            if found is not None:
                self._connect(*found)

    def _connect(self, info: ProxyInfo, rest: bytes) -> None:
        self._stop_timer()
        self.info, self._header = info, b""
        self.wrappedProtocol = build_protocol(self.factory.wrappedFactory, info.source or self._addr)
        if self.wrappedProtocol is None:
            self.loseConnection()
            return
        self.wrappedProtocol.makeConnection(self)
        # It may have been exchanged.
        if rest and self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self._stop_timer()
        self._header = b""
        peer = self.transport.getPeer()
        _log.info("the connection from {peer} is closed for want of a PROXY header: {why}", peer=peer, why=why)
        self.loseConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        super().connectionLost(reason)

    def getPeer(self) -> Any:
        """Who has connected to the proxy; the proxy itself as long as that is not known."""
        return (self.info and self.info.source) or self.transport.getPeer()

    def getHost(self) -> Any:
        """Where the proxy was reached; this end's own address as long as that is not known."""
        return (self.info and self.info.destination) or self.transport.getHost()


class HAProxyWrappingFactory(WrappingFactory):
    """A factory for connections from a proxy, whose protocols come from `wrappedFactory`."""

    protocol = HAProxyProtocolWrapper
    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        """A wrapper that has no protocol yet; `addr` is the proxy's address."""
        return self.protocol(self, addr)

    def logPrefix(self) -> str:
        """The wrapped factory's, with "(PROXY)"."""
        prefix = getattr(self.wrappedFactory, "logPrefix", None)
        return f"{prefix() if prefix is not None else type(self.wrappedFactory).__name__} (PROXY)"


def proxyEndpoint(wrappedEndpoint: IStreamServerEndpoint) -> WrapperServerEndpoint:
    """`wrappedEndpoint` behind a proxy that sends PROXY headers, of version 1 or 2.

    Serve it where the proxy alone can connect: whoever can may claim to be anybody.
    """
    return WrapperServerEndpoint(wrappedEndpoint, HAProxyWrappingFactory)


class HAProxyServerParser:
    """The plug-in for descriptions such as ``haproxy:tcp:8007``."""

    prefix = "haproxy"

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> IStreamServerEndpoint:
        """The endpoint that the rest of the description stands for, behind a proxy."""
        return proxyEndpoint(serverFromString(reactor, unread_description(args, kwargs)))
