"""Places to listen and to connect to, and how they are read from text."""

from __future__ import annotations

from typing import Any, Protocol

from wirebook.deferred import Deferred
from wirebook.interfaces.streams import IProtocolFactory


class IStreamServerEndpoint(Protocol):
    """A place to listen."""

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Begin to listen; fires with the port."""


class IStreamClientEndpoint(Protocol):
    """A place to connect to."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once; fires with the connected protocol."""


class IStreamServerEndpointStringParser(Protocol):
    """A plug-in for ``serverFromString``, in the entry-point group ``wirebook.endpoints.server``."""

    @property
    def prefix(self) -> str:
        """The word that descriptions of its kind begin with."""

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> IStreamServerEndpoint:
        """The endpoint for what follows the prefix: ``prefix:one:two=2`` gives "one" and ``two="2"``."""


class IStreamClientEndpointStringParserWithReactor(Protocol):
    """A plug-in for ``clientFromString``, in the entry-point group ``wirebook.endpoints.client``."""

    @property
    def prefix(self) -> str:
        """The word that descriptions of its kind begin with."""

    def parseStreamClient(self, reactor: Any, *args: str, **kwargs: str) -> IStreamClientEndpoint:
        """As `IStreamServerEndpointStringParser.parseStreamServer`."""
