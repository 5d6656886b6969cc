"""Live classes: what is open follows the classes that cells define anew.

Running the cell of a class again makes a new class with the old name. A server in another cell would go on to
build the old one, and its user would look for the mistake in the new code. So after each cell the classes of the
notebook are compared with those that had their names before. Where one was replaced, factories in use build
the new one from then on: whatever their attribute ``protocol`` is or comes from, an instance's, a class's or a
`functools.partial`. Functions that name the class, as ``buildProtocol`` methods and lambdas do, follow by
themselves. Objects that are there already keep their class until `LiveClasses.upgrade`.

Only classes that stand at the top of a cell take part, and only under one and the same name. A class that was
defined again in the same words is exchanged without a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakSet, ref

from wirebook import Factory, reactor
from wirebook.interfaces import IHandle
from wirebook.protocol import AbstractDatagramProtocol, BaseProtocol
from wirebook.turn import in_turn
from wirebook_kernel.cells import Cell, cell_of
from wirebook_kernel.html import counted

NOTEBOOK = "__main__"
MOST_WRAPPERS = 20
MOST_NAMES = 5


class Use(NamedTuple):
    """A factory or a protocol, and the handle that it works for."""

    handle: IHandle
    thing: Any

    @property
    def is_factory(self) -> bool:
        """Whether it builds protocols."""
        return callable(getattr(self.thing, "buildProtocol", None))

    @property
    def name(self) -> str:
        """What to call the one that uses it; connections are only counted."""
        handle = self.handle
        if handle.kind == "port":
            return f"port {getattr(handle.localAddress, 'port', handle.localAddress)}"
        if handle.kind == "process":
            return f"process {handle.label}"
        return f"the client of {handle.peerAddress}" if handle.kind == "connection" else "a client"


def uses_in_reactor() -> Iterator[Use]:
    """Every factory and protocol in use, those inside others included; each once, but for every port it serves."""
    seen: set[int] = set()
    for handle in sorted(reactor.handles, key=lambda handle: handle.kind != "port"):
        # A client that waits before it tries again is known to its timer only.
        waiting = getattr(getattr(handle, "func", None), "__self__", None)
        things = [getattr(handle, name, None) for name in ("factory", "protocol", "proto")]
        for thing in [*things, waiting if isinstance(waiting, Factory) else None]:
            for inner in _unwrapped(thing):
                if handle.kind == "port" or id(inner) not in seen:
                    seen.add(id(inner))
                    yield Use(handle, inner)


def _unwrapped(thing: Any) -> Iterator[Any]:
    """`thing`, what it wraps, what that wraps, and so on."""
    for _ in range(MOST_WRAPPERS):
        if thing is None:
            return
        yield thing
        inside = (getattr(thing, name, None) for name in ("wrappedFactory", "wrappedProtocol", "stands_for"))
        thing = next((inner for inner in inside if inner is not None), None)


class LiveClasses:
    """Knows the classes of a notebook, whose variables `namespace` has, and those that they have replaced."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._known: dict[str, ref[type]] = {}
        self._replaced: WeakSet[type] = WeakSet()

    def follow(self, run: Cell | None = None) -> list[str]:
        """Let what is open follow the classes that were replaced since the last call; a sentence for each.

        What `run` has opened, the run of a cell that has ended just now, was made with the classes it wanted.
        """
        pairs = self._redefined()
        return [sentence for old, new in pairs if (sentence := self._replace(old, new, run))]

    def _redefined(self) -> list[tuple[type, type]]:
        """The pairs of an old and a new class."""
        pairs = []
        for name, new in list(self._namespace.items()):
            if not isinstance(new, type) or new.__module__ != NOTEBOOK or new.__qualname__ != name:
                continue
            known = self._known.get(name)
            old = None if known is None else known()
            if old is not new:
                self._known[name] = ref(new)
                self._replaced.discard(new)
                if old is not None:
                    self._replaced.add(old)
                    pairs.append((old, new))
        return pairs

    @in_turn
    def _replace(self, old: type, new: type, run: Cell | None) -> str:
        uses = [use for use in uses_in_reactor() if run is None or cell_of(use.handle) != run]
        builders = _names(use for use in uses if use.is_factory and self._builds(use.thing, new))
        kept = [use for use in uses if self._is_replaced_by(type(use.thing), new)]
        spare = [thing for thing in self._namespace.values() if isinstance(thing, Factory) and self._builds(thing, new)]
        if spare and not builders:
            builders = ["its factory"]
        heirs = self._heirs(new)
        if same_definition(old, new):
            return ""
        parts = []
        if builders:
            parts.append(f"{_several(builders, 'now build')} the new one")
        if kept:
            them = "it" if len(kept) == 1 else "them"
            parts.append(f"{_several(_kept(kept), 'keep')} the old (%reactor upgrade moves {them})")
        if heirs:
            parts.append(f"{_several(heirs, 'inherit')} from the old: run the cell of {' and '.join(heirs)} again")
        return f"{new.__name__} redefined: {'; '.join(parts)}" if parts else ""

    def _is_replaced_by(self, kind: type, new: type) -> bool:
        return kind in self._replaced and kind.__qualname__ == new.__qualname__

    def _heirs(self, new: type) -> list[str]:
        """The protocol and factory classes of the notebook that still inherit from what `new` has replaced."""
        kinds = [kind for live in self._known.values() if (kind := live()) is not None and kind is not new]
        return [
            kind.__name__
            for kind in kinds
            if self._namespace.get(kind.__qualname__) is kind
            and issubclass(kind, BaseProtocol | AbstractDatagramProtocol | Factory)
            and any(self._is_replaced_by(base, new) for base in kind.__mro__)
        ]

    # --- factories -----------------------------------------------------------------------------------

    def _builds(self, factory: Any, new: type) -> bool:
        """Whether `factory` builds the class `new`, after it was told so if it built one that was replaced."""
        protocol = getattr(factory, "protocol", None)
        renewed = self._renewed(protocol, new)
        if renewed is not protocol:
            _owner(factory, "protocol").protocol = renewed
        called = renewed.func if isinstance(renewed, partial) else renewed
        return called is new or self._looks_up(called, new) or self._looks_up(factory.buildProtocol, new)

    def _renewed(self, protocol: Any, new: type) -> Any:
        """What a factory has as its ``protocol``, with the new class in the place of a replaced one."""
        if isinstance(protocol, type):
            return new if self._is_replaced_by(protocol, new) else protocol
        if isinstance(protocol, partial) and self._renewed(protocol.func, new) is not protocol.func:
            return partial(new, *protocol.args, **protocol.keywords)
        return protocol

    def _looks_up(self, function: Any, new: type) -> bool:
        """Whether a function of the notebook looks the class up by its name."""
        function = getattr(function, "__func__", function)
        if getattr(function, "__globals__", None) is not self._namespace:
            return False
        return new.__name__ in _names_in(function.__code__)

    # --- what is there already -----------------------------------------------------------------------

    @in_turn
    def upgrade(self) -> str:
        """Give all that is in use the newest class of its name; says what was done, and what could not be done."""
        moved: dict[str, list[Use]] = {}
        stuck = []
        # All at once, for a protocol is known by what wraps it, and a factory may serve several ports.
        for use in {id(use.thing): use for use in uses_in_reactor()}.values():
            new = self._namespace.get(type(use.thing).__qualname__)
            if type(use.thing) not in self._replaced or not isinstance(new, type):
                continue
            try:
                use.thing.__class__ = new
            except TypeError as error:
                stuck.append(f"{' '.join(_kept([use]))} cannot be moved to the new {new.__name__}: {error}. Close it.")
            else:
                moved.setdefault(new.__name__, []).append(use)
        lines = [f"{_several(_kept(uses), 'now have', 'now has')} the new {name}." for name, uses in moved.items()]
        return "\n".join([*lines, *stuck]) or "Nothing to upgrade: everything in use has the newest class."


def _owner(factory: Any, attribute: str) -> Any:
    """Where a factory's attribute is to be set: where it was, unless that is a class from elsewhere."""
    if attribute in getattr(factory, "__dict__", ()):
        return factory
    owner = next((kind for kind in type(factory).__mro__ if attribute in vars(kind)), None)
    return owner if owner is not None and owner.__module__ == NOTEBOOK else factory


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


# --- whether it is another one ---------------------------------------------------------------------------


def same_definition(old: type, new: type) -> bool:
    """Whether two classes were defined in the same words, as far as can be told."""
    if old.__bases__ != new.__bases__ or vars(old).keys() != vars(new).keys():
        return False
    return all(_same(value, vars(new)[name]) for name, value in vars(old).items() if name not in _OF_ITSELF)


_OF_ITSELF = {"__dict__", "__weakref__", "__firstlineno__"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def _same(old: Any, new: Any) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(old, type):
        return old is new or (old.__qualname__ == new.__qualname__ and same_definition(old, new))
    if isinstance(old, property):
        return all(_same(*pair) for pair in ((old.fget, new.fget), (old.fset, new.fset), (old.fdel, new.fdel)))
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(_same(value, new[key]) for key, value in old.items())
    if hasattr(old, "__func__"):
        return _same(old.__func__, new.__func__)
    if hasattr(old, "__code__"):
        return bool(old.__code__ == new.__code__ and _same(old.__defaults__, new.__defaults__))
    try:
        return bool(old == new) or (not _has_own(old, "__eq__") and _looks(old) == _looks(new))
    except Exception:
        return False


def _looks(thing: Any) -> str:
    """What an object is like that is equal to nothing but itself: what it says of itself, or has."""
    return _ADDRESS.sub("", repr(thing if _has_own(thing, "__repr__") else getattr(thing, "__dict__", None)))


def _has_own(thing: Any, method: str) -> bool:
    """Whether a method of `thing` is not the one that every object has."""
    return getattr(type(thing), method) is not getattr(object, method)


# --- words -----------------------------------------------------------------------------------------------


def _names(uses: Iterable[Use]) -> list[str]:
    return list(dict.fromkeys(use.name for use in uses))


def _kept(uses: Iterable[Use]) -> list[str]:
    """What to call those that have an old class: ports and processes by name, connections by their number."""
    counts = Counter("" if use.handle.kind == "connection" and not use.is_factory else use.name for use in uses)
    connections = counts.pop("", 0)
    return [*counts, *([counted(connections, "open connection")] if connections else [])]


def _several(names: Sequence[str], verb: str, one: str = "") -> str:
    """The names as the subject of `verb`: ``port 1 and port 2 now build``; `one` is the verb for one of them."""
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1:,} more"]
    singular = len(names) == 1 and not (names[0][0].isdigit() and names[0].endswith("s"))
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed} {(one or f'{verb}s') if singular else verb}"
