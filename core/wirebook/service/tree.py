"""What a service is, and services made of services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wirebook.deferred import Deferred, DeferredList, maybeDeferred
from wirebook.turn import in_turn


class Service:
    """A part of a program that can be started and stopped. Override `startService` and `stopService`.

    ``running`` tells whether it is started, ``name`` is a name or None, ``parent`` the `MultiService` that it is in.
    A copy by pickle is not running.
    """

    running: Any = False
    name: str | None = None
    parent: MultiService | None = None

    def setName(self, name: str) -> None:
        """Name it. RuntimeError when it is in a parent already, which knows it by its name."""
        if self.parent is not None:
            raise RuntimeError(f"cannot name the service {name!r}: it is in {self.parent!r} already")
        self.name = name

    @in_turn
    def setServiceParent(self, parent: MultiService) -> None:
        """Put it into `parent`, taking it out of another one; it is started if that runs.

        RuntimeError when `parent` has a service with its name. Any thread.
        """
        if self.parent is not None:
            self.disownServiceParent()
        self.parent = parent
        try:
            parent.addService(self)
        except BaseException:
            if self not in parent:
                self.parent = None
            raise

    @in_turn
    def disownServiceParent(self) -> Any:
        """Take it out of its parent. A Deferred that fires when it has stopped, or None. Any thread."""
        if self.parent is None:
            raise RuntimeError(f"{self!r} is in no parent that it could leave")
        parent, self.parent = self.parent, None
        return parent.removeService(self)

    def privilegedStartService(self) -> None:
        """Do what needs the rights that the program gives up before `startService`. Override it."""

    def startService(self) -> None:
        """Start it."""
        self.running = True

    def stopService(self) -> Any:
        """Stop it. Returns a Deferred that fires when it has stopped, or None when that is already so."""
        self.running = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "running"}


class MultiService(Service):
    """A service made of others, which it starts in order and stops in reverse. Iterating gives them."""

    def __init__(self) -> None:
        self.services: list[Service] = []
        self.namedServices: dict[str, Service] = {}

    @in_turn
    def privilegedStartService(self) -> None:
        """Have all that it has do so. Any thread."""
        super().privilegedStartService()
        for service in list(self):
            service.privilegedStartService()

    @in_turn
    def startService(self) -> None:
        """Start it and all that it has. Any thread."""
        super().startService()
        for service in list(self):
            service.startService()

    @in_turn
    def stopService(self) -> Deferred[Any]:
        """Stop all that it has, without one waiting for another. Any thread.

        Fires when all have stopped, with a list of pairs as of `DeferredList`.
        """
        super().stopService()
        return DeferredList([maybeDeferred(service.stopService) for service in reversed(self.services)])

    def getServiceNamed(self, name: str) -> Service:
        """The service with this name; `KeyError` when there is none."""
        return self.namedServices[name]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    @in_turn
    def addService(self, service: Service) -> None:
        """Take `service` in, and start it if this one runs. For `Service.setServiceParent`.

        RuntimeError when there is one with its name.
        """
        if service.name is not None:
            if service.name in self.namedServices:
                raise RuntimeError(f"cannot add {service!r}: there is a service named {service.name!r} already")
            self.namedServices[service.name] = service
        self.services.append(service)
        if self.running:
            service.privilegedStartService()
            service.startService()

    @in_turn
    def removeService(self, service: Service) -> Any:
        """Give `service` away, stopping it if this one runs. For `Service.disownServiceParent`.

        A Deferred that fires when it has stopped, or None. `ValueError` when it is not in here.
        """
        if service not in self.services:
            raise ValueError(f"{service!r} is not in {self!r}")
        self.services.remove(service)
        if service.name is not None:
            del self.namedServices[service.name]
        return service.stopService() if self.running else None
