"""Looking up host names without blocking the reactor: the system's resolver, in threads."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from wirebook.deferred import Deferred, succeed
from wirebook.error import DNSLookupError
from wirebook.failure import Failure

if TYPE_CHECKING:
    from wirebook.reactor.loop import ReactorBase


def look_up(reactor: ReactorBase, host: str, port: int) -> Deferred[list[tuple[int, Any]]]:
    """The (family, sockaddr) pairs of `host` for TCP, IPv4 first.

    A numeric address is answered at once, a name by a daemon thread, so that a resolver that hangs holds up
    neither the reactor nor the program's end. Fails with `DNSLookupError`; cancelling forgets the answer.
    """
    try:
        return succeed(_ask(host, port, socket.AI_NUMERICHOST))
    except (socket.gaierror, ValueError):
        pass
    found: Deferred[list[tuple[int, Any]]] = Deferred()

    def work() -> None:
        try:
            answer: Any = _ask(host, port, 0)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, socket.gaierror) else error
            answer = Failure(DNSLookupError(f"the host name {host!r} does not resolve ({why}): check its spelling"))
        reactor.callFromThread(deliver, answer)

    def deliver(answer: Any) -> None:
        # A cancelled Deferred has been fired already.
        if not found.called:
            found.callback(answer)

    threading.Thread(target=work, name="wirebook-resolver", daemon=True).start()
    return found


def _ask(host: str, port: int, flags: int) -> list[tuple[int, Any]]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    pairs = [(int(family), sockaddr) for family, _, _, _, sockaddr in answers]
    return sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)
