"""What the tests of names share: resolvers that say what they are told to, and receivers that remember."""

from __future__ import annotations

from typing import Any

from wirebook.reactor.names.waiting import HostResolution


class Answering:
    """A resolver that answers at once with `addresses`, whatever it is asked; ``asked`` is what that was."""

    def __init__(self, addresses: list[Any]) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, portNumber: int = 0, *_: Any, **__: Any) -> Any:
        resolution = HostResolution(hostName)
        self.asked.append((hostName, portNumber))
        resolutionReceiver.resolutionBegan(resolution)
        for address in self.addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return resolution


class Waiting:
    """A resolver that answers when the test lets ``receiver`` know."""

    receiver: Any = None
    resolution: HostResolution

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *_: Any, **__: Any) -> HostResolution:
        self.receiver = resolutionReceiver
        self.resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(self.resolution)
        return self.resolution


class Receiver:
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.began: Any = None
        self.completed = 0

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.began = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        assert not self.completed
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.completed += 1
