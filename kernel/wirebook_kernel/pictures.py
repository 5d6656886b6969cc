"""What the framework's objects look like, in words: a `Picture` of each at one moment.

Everything here is called in the turn, and only reads what the objects show of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from reprlib import Repr
from typing import Any, Final, NamedTuple

from IPython.core.getipython import get_ipython

from wirebook import Deferred, Failure
from wirebook.deferred import ChainState, DeferredList, chainState
from wirebook.trace import TracedStep, name_and_place, traced_steps
from wirebook_kernel.cells import describe_cell
from wirebook_kernel.html import amount, card, counted, duration
from wirebook_kernel.tracebacks import file_name, text_of

MOST_TEXT: Final = 400
MOST_STEPS: Final = 20


class Picture(NamedTuple):
    """An object in words: a title, a state (empty for what has none), named facts, and text as it was typed.

    The text may have colours, as terminals have them.
    """

    title: str
    state: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    code: str = ""

    def headline(self) -> str:
        """On one line."""
        parts = [self.state, *(f"{name} {value}" for name, value in self.facts)]
        told = ", ".join(part for part in parts if part)
        return f"<{self.title}: {told}>" if told else f"<{self.title}>"

    def text(self) -> str:
        """On one line, the code below it."""
        return f"{self.headline()}\n{self.code}" if self.code else self.headline()

    def html(self) -> str:
        """As a box."""
        return card(self.title, self.state, self.facts, self.code)


# --- ports and connections -------------------------------------------------------------------------------


def picture_port(port: Any) -> Picture:
    """A port that accepts connections."""
    connections = f"{port.connectionCount} open, {port.acceptedCount} accepted"
    facts = [("serves", port.label), ("connections", connections), ("cell", describe_cell(port))]
    return Picture(f"{port.transportName} port {port.getHost()}", port.state, _known(facts))


def picture_datagram_port(port: Any) -> Picture:
    """A port that receives and sends datagrams."""
    facts = [
        ("protocol", port.label),
        ("peer", str(port.peerAddress or "")),
        ("in", f"{counted(port.datagramsReceived, 'datagram')} of {amount(port.bytesReceived)}"),
        ("out", f"{counted(port.datagramsSent, 'datagram')} of {amount(port.bytesSent)}"),
        ("dropped", str(port.datagramsDropped or "")),
        ("cell", describe_cell(port)),
    ]
    return Picture(f"{port.transportName} port {port.localAddress}", port.state, _known(facts))


def picture_connection(connection: Any) -> Picture:
    """A connection, with what was agreed on where there is TLS."""
    facts = [
        ("protocol", connection.label),
        ("in", amount(connection.bytesReceived)),
        ("out", amount(connection.bytesSent)),
        *_tls_facts(connection),
        ("cell", describe_cell(connection)),
    ]
    title = f"{connection.transportName} {connection.localAddress} → {connection.peerAddress}"
    return Picture(title, connection.state, _known(facts))


def _tls_facts(connection: Any) -> Iterator[tuple[str, str]]:
    if connection.disconnected or not hasattr(connection, "getPeerCertificate"):
        return
    agreed = connection.getHandle()
    cipher = agreed.get_cipher_name()
    if cipher is None:
        yield "TLS", "handshake under way"
        return
    yield "TLS", f"{agreed.get_protocol_version_name()}, {cipher}"
    yield "speaks", (connection.negotiatedProtocol or b"").decode("ascii", "replace")
    certificate = connection.getPeerCertificate()
    yield "peer", "no certificate" if certificate is None else certificate.to_cryptography().subject.rfc4514_string()


def picture_connector(connector: Any) -> Picture:
    """What makes a client's connections."""
    facts = [("connection", str(connector.transport or "")), ("cell", describe_cell(connector))]
    return Picture(f"Connector to {connector.getDestination()}", connector.state, _known(facts))


def picture_process(process: Any) -> Picture:
    """A child process."""
    ended = "" if process.pid is not None else f"{process.status}"
    facts = [
        ("pid", str(process.pid or "")),
        ("status", ended),
        ("protocol", type(process.proto).__name__),
        ("in", amount(process.bytesReceived)),
        ("out", amount(process.bytesSent)),
        ("cell", describe_cell(process)),
    ]
    return Picture(f"Process {process.label}", process.state, _known(facts))


# What endpoints know that is worth showing. Programs' environments and keys are not.
_ENDPOINT_FACTS: Final = ("name", "host", "port", "interface", "address", "path", "bindAddress", "timeout", "backlog")


def picture_endpoint(endpoint: Any) -> Picture:
    """A place to connect to, or to listen at."""
    known = {name.lstrip("_"): value for name, value in vars(endpoint).items()}
    facts = [(name, str(known[name])) for name in _ENDPOINT_FACTS if known.get(name) not in (None, "")]
    inner = known.get("endpoint")
    code = "" if inner is None else f"around {picture_endpoint(inner).headline()}"
    return Picture(type(endpoint).__name__, "", _known(facts), code)


def picture_certificate(certificate: Any) -> Picture:
    """A certificate."""
    parsed = certificate.original.to_cryptography()
    facts = [
        ("issuer", parsed.issuer.rfc4514_string()),
        ("for", ", ".join(_alternative_names(parsed))),
        ("valid", f"{parsed.not_valid_before_utc:%Y-%m-%d} to {parsed.not_valid_after_utc:%Y-%m-%d}"),
        ("private key", "yes" if hasattr(certificate, "privateKey") else ""),
        ("SHA-256", certificate.digest("sha256").decode()),
    ]
    return Picture(f"Certificate {parsed.subject.rfc4514_string()}", "", _known(facts))


def _alternative_names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


# --- work that waits for its time ------------------------------------------------------------------------


def picture_timer(call: Any) -> Picture:
    """A delayed call."""
    facts = [("after", duration(call.getTime() - call.born)), ("cell", describe_cell(call))]
    return Picture(f"Delayed call of {call.label}", call.state, _known(facts))


def picture_loop(loop: Any) -> Picture:
    """A looping call."""
    call = loop.call
    facts = [
        ("every", "" if loop.interval is None else f"{loop.interval:g} s"),
        ("next in", "" if call is None else duration(max(0.0, call.getTime() - loop.clock.seconds()))),
        ("cell", describe_cell(call) if hasattr(call, "context") else ""),
    ]
    state = "running" if loop.running else "stopped"
    return Picture(f"Looping call of {_name(loop.f)}", state, _known(facts))


def picture_task(task: Any) -> Picture:
    """A cooperative task."""
    state, _, subject = task.state.partition(" ")
    return Picture(f"Cooperative task {task.label}", state, (), subject)


# --- pools, locks and queues -----------------------------------------------------------------------------


def picture_thread_pool(pool: Any) -> Picture:
    """A pool of threads."""
    state = "running" if pool.started else "stopped"
    facts = [
        ("threads", f"{pool.workers} of {pool.min} to {pool.max}"),
        ("busy", str(len(pool.working))),
        ("jobs waiting", str(pool.q.qsize())),
    ]
    return Picture(" ".join(["Thread pool", *([pool.name] if pool.name else [])]), state, _known(facts))


def picture_connection_pool(pool: Any) -> Picture:
    """A pool of connections to a database. How it connects is not shown: that may be a password."""
    facts = [("connections", f"{len(pool.connections)} of {pool.min} to {pool.max}")]
    return Picture(f"Connection pool of {pool.dbapiName}", "running" if pool.running else "stopped", _known(facts))


def picture_tokens(lock: Any) -> Picture:
    """A lock or a semaphore."""
    if lock.limit == 1:
        state, free = ("free" if lock.tokens else "locked"), ""
    else:
        state, free = ("free" if lock.tokens else "exhausted"), f"{lock.tokens} of {lock.limit} tokens"
    facts = [("free", free), ("waiting", str(len(lock.waiting) or ""))]
    return Picture(type(lock).__name__, state, _known(facts))


def picture_queue(queue: Any) -> Picture:
    """A queue."""
    facts = [
        ("objects", f"{len(queue.pending)}{'' if queue.size is None else f' of {queue.size}'}"),
        ("waiting", f"{len(queue.waiting)}{'' if queue.backlog is None else f' of {queue.backlog}'}"),
    ]
    objects = [f"{number}: {_shown(each)}" for number, each in zip(range(MOST_STEPS), queue.pending, strict=False)]
    more = [f"⋮ {len(queue.pending) - MOST_STEPS:,} more"] if len(queue.pending) > MOST_STEPS else []
    return Picture("DeferredQueue", "", _known(facts), "\n".join(objects + more))


# --- Deferreds and failures ------------------------------------------------------------------------------


def picture_deferred(deferred: Deferred[Any]) -> Picture:
    """A Deferred and its chain. Looking at a failure does not handle it: it is still reported if nobody does."""
    chain = chainState(deferred)
    state, value = _outcome(deferred, chain)
    members = list(_members(deferred)) if isinstance(deferred, DeferredList) else []
    coming = len(chain.pending)
    facts = [
        ("has", f"{deferred.finishedCount} of {len(members)} results" if isinstance(deferred, DeferredList) else ""),
        ("next", counted(coming, "callback") if coming else ""),
        ("cell", describe_cell(deferred)),
    ]
    told = [value] if value and not members else []
    lines = [*told, *members[:MOST_STEPS], *_steps_taken(traced_steps(deferred)), *_steps_to_come(chain)]
    return Picture(type(deferred).__name__, state, _known(facts), "\n".join(lines))


def _outcome(deferred: Deferred[Any], chain: ChainState) -> tuple[str, str]:
    """The state in a word, and what is known about the result."""
    if chain.waitsFor is not None:
        return "waiting", f"for {chain.waitsFor!r}"
    if not deferred.called:
        return ("paused" if deferred.paused else "waiting"), ""
    result = deferred.result
    state = "paused" if deferred.paused else "failed" if isinstance(result, Failure) else "fired"
    if isinstance(result, Failure):
        return state, f"{_error(result)}\n{_where(result)}".rstrip()
    return state, _shown(result)


def _members(gathering: DeferredList[Any]) -> Iterator[str]:
    """A line for each Deferred of the list."""
    for number, pair in enumerate(gathering.resultList):
        if pair is None:
            yield f"… {number}"
        else:
            succeeded, value = pair
            yield f"{'✔' if succeeded else '✘'} {number}: {_shown(value) if succeeded else _error(value)}"


def _steps_taken(steps: Sequence[TracedStep]) -> Iterator[str]:
    """A line for what the chain began with, then one for each step that was traced."""
    if len(steps) > MOST_STEPS:
        yield f"⋮ {counted(len(steps) - MOST_STEPS, 'earlier step')}"
        steps = steps[-MOST_STEPS:]
    if steps:
        yield f"▸ {steps[0].given}"
    for step in steps:
        if step.outcome == "waits":
            yield f"… {step.callback} → another Deferred"
            continue
        place = f", {_place(step.raised or step.place)}" if step.outcome == "failed" else ""
        yield f"{_SIGNS[step.outcome]} {step.callback} → {step.result} ({span(step.seconds)}{place})"


_SIGNS: Final = {"value": "✔", "failed": "✘"}


def _steps_to_come(chain: ChainState) -> Iterator[str]:
    """A line for each callback that is still to be called."""
    for callback, errback in chain.pending[:MOST_STEPS]:
        if callback is errback:
            yield f"○ {_name(callback)}, also after a failure"
        elif errback is None:
            yield f"○ {_name(callback)}"
        else:
            first = f"{_name(callback)}, " if callback is not None else ""
            yield f"○ {first}after a failure {_name(errback)}"
    if len(chain.pending) > MOST_STEPS:
        yield f"⋮ {len(chain.pending) - MOST_STEPS:,} more"


def picture_failure(failure: Failure) -> Picture:
    """A failure, with its traceback as the shell shows tracebacks."""
    trace, shell = failure.getTracebackObject(), get_ipython()
    if trace is None or shell is None:
        return Picture(f"Failure: {failure.type.__qualname__}", "failed", (), failure.getErrorMessage())
    text = text_of(shell, failure.value, trace).rstrip()
    return Picture(f"Failure: {failure.type.__qualname__}", "failed", (), text)


def _error(failure: Failure) -> str:
    return _short(f"{failure.type.__qualname__}: {failure.getErrorMessage()}")


def _where(failure: Failure) -> str:
    if not failure.frames:
        return ""
    function, file, line, *_ = failure.frames[-1]
    return f"in {function}(), {_cell_for(file)}, line {line}"


def _cell_for(file: str) -> str:
    """``cell [3]`` for the file that In [3] was compiled as; any other one as it is."""
    shell = get_ipython()
    name = file if shell is None else file_name(shell, file)
    return file if name == file else f"cell {name}"


def _place(text: str) -> str:
    """A place as a trace knows it, ``FILE:7 in start``, with the cell for the file."""
    file, colon, rest = text.rpartition(":")
    return f"{_cell_for(file)}{colon}{rest}"


# --- words -----------------------------------------------------------------------------------------------


class _Shortener(Repr):
    """Reprs of results: long enough to see what it is, and cheap also for what is huge."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MOST_TEXT
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = 30
        self.maxlevel = 4

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Bytes, cut before they are written out."""
        return repr(x[:MOST_TEXT])


_shortener: Final = _Shortener()


def _shown(value: object) -> str:
    """The repr of `value`, cut, and never raising."""
    try:
        return _short(_shortener.repr(value))
    except Exception:
        return object.__repr__(value)


def span(seconds: float) -> str:
    """A time span as steps have it: ``12 µs``, ``3.4 ms``, ``1.2 s``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _name(callback: object) -> str:
    return name_and_place(callback)[0]


def _known(facts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in facts if value)


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
