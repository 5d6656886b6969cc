"""What the framework's objects look like as a cell's value: text and HTML.

IPython is told how to show them, type by type, so that core needs to know nothing of Jupyter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wirebook import Deferred, Failure
from wirebook.deferred import ChainState, chainState
from wirebook.reactor.timers import DelayedCall
from wirebook.trace import TracedStep, name_and_place, traced_steps
from wirebook.transports.listening import Port
from wirebook.transports.stream import StreamTransport
from wirebook.turn import turn
from wirebook_kernel.cells import describe_cell
from wirebook_kernel.html import amount, card, counted, duration

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MOST_TEXT = 400
MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Picture:
    """An object in words: a title, a state, named facts, and some text as it was typed."""

    title: str
    state: str
    facts: tuple[tuple[str, str], ...]
    code: str = ""

    def text(self) -> str:
        """On one line, the code below it."""
        facts = "".join(f", {name} {value}" for name, value in self.facts)
        return f"<{self.title}: {self.state}{facts}>" + (f"\n{self.code}" if self.code else "")

    def html(self) -> str:
        """As a box."""
        return card(self.title, self.state, self.facts, self.code)


def picture_port(port: Port) -> Picture:
    """A listening port."""
    connections = f"{port.connectionCount} open, {port.acceptedCount} accepted"
    facts = [("serves", port.label), ("connections", connections), ("cell", describe_cell(port))]
    return Picture(f"{port.transportName} port {port.getHost()}", port.state, _known(facts))


def picture_connection(connection: StreamTransport) -> Picture:
    """A connection."""
    facts = [
        ("protocol", connection.label),
        ("in", amount(connection.bytesReceived)),
        ("out", amount(connection.bytesSent)),
        ("cell", describe_cell(connection)),
    ]
    title = f"{connection.transportName} {connection.localAddress} → {connection.peerAddress}"
    return Picture(title, connection.state, _known(facts))


def picture_timer(call: DelayedCall) -> Picture:
    """A delayed call."""
    due = call.getTime() - call.born
    facts = [("after", duration(due)), ("cell", describe_cell(call))]
    return Picture(f"Delayed call of {call.label}", call.state, _known(facts))


def picture_deferred(deferred: Deferred[Any]) -> Picture:
    """A Deferred and its chain. Looking at a failure does not handle it: it is still reported if nobody does."""
    with turn:
        chain = chainState(deferred)
        state, value = _outcome(deferred, chain)
        traced = traced_steps(deferred)
    coming = len(chain.pending)
    facts = [("next", counted(coming, "callback") if coming else ""), ("cell", describe_cell(deferred))]
    lines = [*([value] if value else []), *_steps_taken(traced), *_steps_to_come(chain)]
    return Picture("Deferred", state, _known(facts), "\n".join(lines))


def _outcome(deferred: Deferred[Any], chain: ChainState) -> tuple[str, str]:
    """The state in a word, and what is known about the result."""
    if chain.waitsFor is not None:
        return "waiting", f"for {chain.waitsFor!r}"
    if not deferred.called:
        return ("paused" if deferred.paused else "waiting"), ""
    result = deferred.result
    state = "paused" if deferred.paused else "failed" if isinstance(result, Failure) else "fired"
    if isinstance(result, Failure):
        error = _short(f"{result.type.__qualname__}: {result.getErrorMessage()}")
        return state, f"{error}\n{_where(result)}".rstrip()
    return state, _short(repr(result[:MOST_TEXT] if isinstance(result, bytes | str) else result))


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
        place = f", {step.raised or step.place}" if step.outcome == "failed" else ""
        yield f"{_SIGNS[step.outcome]} {step.callback} → {step.result} ({span(step.seconds)}{place})"


_SIGNS = {"value": "✔", "failed": "✘"}


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


def span(seconds: float) -> str:
    """A time span as steps have it: ``12 µs``, ``3.4 ms``, ``1.2 s``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _name(callback: object) -> str:
    return name_and_place(callback)[0]


def picture_failure(failure: Failure) -> Picture:
    """A failure, with where it happened."""
    return Picture(
        f"Failure: {failure.type.__qualname__}", "failed", (), f"{failure.getErrorMessage()}\n{_where(failure)}".strip()
    )


def _where(failure: Failure) -> str:
    if not failure.frames:
        return ""
    function, file, line, *_ = failure.frames[-1]
    return f"in {function}(), {file}, line {line}"


def _known(facts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in facts if value)


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


_PICTURES: dict[type, Callable[[Any], Picture]] = {
    Port: picture_port,
    StreamTransport: picture_connection,
    DelayedCall: picture_timer,
    Deferred: picture_deferred,
    Failure: picture_failure,
}


def install(shell: InteractiveShell) -> None:
    """Let `shell` show the framework's objects."""
    for kind, picture in _PICTURES.items():
        _formatter(shell, "text/plain").for_type(kind, _printer(picture))
        _formatter(shell, "text/html").for_type(kind, _drawer(picture))


def uninstall(shell: InteractiveShell) -> None:
    """Take it back."""
    for kind in _PICTURES:
        for mime in ("text/plain", "text/html"):
            _formatter(shell, mime).pop(kind, None)


def _formatter(shell: InteractiveShell, mime: str) -> Any:
    formatter = shell.display_formatter
    assert formatter is not None
    return formatter.formatters[mime]


def _printer(picture: Callable[[Any], Picture]) -> Callable[[Any, Any, bool], None]:
    def pretty(shown: Any, printer: Any, cycle: bool) -> None:
        printer.text(picture(shown).text())

    return pretty


def _drawer(picture: Callable[[Any], Picture]) -> Callable[[Any], str]:
    return lambda shown: picture(shown).html()
