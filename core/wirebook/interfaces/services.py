"""Parts of a program that are started and stopped, and collections of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class IService(Protocol):
    """A part of a program that can be started and stopped; `wirebook.service.Service` is the one to subclass."""

    name: str | None
    running: Any
    parent: Any

    def setName(self, name: str) -> None:
        """Name it. RuntimeError when it has a parent."""

    def setServiceParent(self, parent: Any) -> None:
        """Put it into the collection `parent`. RuntimeError when that has one with its name."""

    def disownServiceParent(self) -> Any:
        """Take it out of its parent. Returns a Deferred that fires when it has stopped, or None."""

    def privilegedStartService(self) -> None:
        """Do what needs the rights that the program gives up before `startService`."""

    def startService(self) -> None:
        """Start it."""

    def stopService(self) -> Any:
        """Stop it. Returns a Deferred that fires when it has stopped, or None when that is already so."""


class IServiceCollection(Protocol):
    """Services that are started and stopped together."""

    def getServiceNamed(self, name: str) -> Any:
        """The one with this name; `KeyError` when there is none."""

    def __iter__(self) -> Iterator[Any]: ...

    def addService(self, service: Any) -> None:
        """Take `service` in; for `IService.setServiceParent`. RuntimeError when there is one with its name."""

    def removeService(self, service: Any) -> Any:
        """Give `service` away; for `IService.disownServiceParent`. `ValueError` when it is not in here."""
