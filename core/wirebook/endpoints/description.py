"""The notation of endpoints: ``kind:value:name=value``.

Colons separate the parts, the first ``=`` of a part makes it a named one, and a backslash takes what follows as it
is. Every part remembers where it stood, so that an error can point there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

# IPv6 addresses have them, and paths may.
_COLONS = r"a colon that belongs to a value is written \:"


class EndpointStringError(ValueError):
    """A description that cannot be understood: ``description`` from ``start`` to ``end`` is where it goes wrong."""

    def __init__(self, problem: str, description: str, start: int, end: int) -> None:
        super().__init__(problem, description, start, end)
        self.problem = problem
        self.description = description
        self.start = start
        self.end = end

    def __str__(self) -> str:
        # A control character would put the mark in the wrong place.
        shown = "".join(char if char.isprintable() else "?" for char in self.description)
        mark = " " * self.start + "^" * max(1, self.end - self.start)
        return f"{self.problem}\n  {shown}\n  {mark}"


class EndpointArgumentError(EndpointStringError, TypeError):
    """A description that lacks a value, or has one too many or by an unknown name."""


class Text(str):
    """A part of a description, without escapes, that knows where it stood: ``description[start:end]``."""

    __slots__ = ("description", "end", "start")
    description: str
    start: int
    end: int

    @classmethod
    def at(cls, text: str, description: str, start: int, end: int) -> Text:
        """The part `text`."""
        part = cls(text)
        part.description, part.start, part.end = description, start, end
        return part

    def error(self, problem: str) -> EndpointStringError:
        """The error that points at this part."""
        return EndpointStringError(problem, self.description, self.start, self.end)


@dataclass
class Description:
    """A description, taken apart: what kind of endpoint, its values in order, and those with a name."""

    text: str
    kind: Text
    values: list[Text] = field(default_factory=list)
    named: dict[str, Text] = field(default_factory=dict)
    names: dict[str, Text] = field(default_factory=dict)


def read_description(text: str | bytes) -> Description:
    """Take `text` apart. Raises `EndpointStringError`, and `TypeError` for what is neither str nor bytes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if not isinstance(text, str):
        raise TypeError(f'an endpoint is described by a str such as "tcp:8007", not {text!r}')
    kind, *parts = _parts(text)
    if len(kind) > 1 or not kind[0]:
        raise EndpointStringError('a description begins with a kind, as in "tcp:8007"', text, 0, kind[-1].end)
    description = Description(text, kind[0])
    for part in parts:
        if len(part) == 1:
            description.values.append(part[0])
            continue
        name, value = part
        if name in description.named:
            raise EndpointArgumentError(f"{name!r} is given twice", text, name.start, value.end)
        description.named[str(name)] = value
        description.names[str(name)] = name
    return description


def _parts(text: str) -> list[list[Text]]:
    """The parts: each a list of one text, or of two with a ``=`` between them."""
    parts: list[list[Text]] = [[]]
    current, start, at = "", 0, 0
    while at < len(text):
        char = text[at]
        if char == ":" or (char == "=" and not parts[-1]):
            parts[-1].append(Text.at(current, text, start, at))
            if char == ":":
                parts.append([])
            current, start = "", at + 1
        elif char == "\\":
            at += 1
            if at == len(text):
                raise EndpointStringError(r"nothing follows the backslash: write \\ for one", text, at - 1, at)
            current += text[at]
        else:
            current += char
        at += 1
    parts[-1].append(Text.at(current, text, start, at))
    return parts


def quoteStringArgument(argument: str) -> str:
    r"""`argument` as a part of a description: with ``\`` before colons and backslashes."""
    return argument.replace("\\", "\\\\").replace(":", "\\:")


def unread_description(values: tuple[str, ...], named: Mapping[str, str]) -> str:
    """The description that has these parts, the first of which is its kind."""
    parts = [_without_equals(value) for value in values]
    pairs = [f"{_without_equals(name)}={quoteStringArgument(value)}" for name, value in named.items()]
    return ":".join([*parts, *pairs])


def _without_equals(text: str) -> str:
    return quoteStringArgument(text).replace("=", "\\=")


def build(description: Description, maker: Callable[..., Any], reactor: Any) -> Any:
    """Call ``maker(reactor, ...)`` with the parts of `description`.

    A value without a name goes to the parameter in its place, or, when that is given by name, to the next one that must
    be given. Raises `EndpointArgumentError` when they do
    not fit the maker's parameters.
    """
    _, *parameters = inspect.signature(maker).parameters.values()
    if any(parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for parameter in parameters):
        return maker(reactor, *description.values, **description.named)
    known = [parameter.name for parameter in parameters]
    required = [parameter.name for parameter in parameters if parameter.default is Parameter.empty]
    _check_names(description, known)
    arguments = description.named | _placed(description, known, required)
    for name in required:
        if not arguments.get(name):
            end = len(description.text)
            problem = f"{description.kind} needs a value for {name}; it has {_listed(known)}"
            raise EndpointArgumentError(problem, description.text, end, end)
    return maker(reactor, **arguments)


def _placed(description: Description, known: list[str], required: list[str]) -> dict[str, Text]:
    """The values without a name, each by the name of the parameter that it is for."""
    free = [name for name in known if name not in description.named]
    # When a name has taken a value's place, the value moves on to another that must be given, as in tcp:host=here:80.
    count = len(description.values)
    moves = count <= len(free) and all(name in required for name in free[:count])
    places = free if moves else known
    for place, value in zip(places, description.values, strict=False):
        if place in description.named:
            problem = f"{place} is given twice, here and by its name; {_COLONS}"
            raise EndpointArgumentError(problem, description.text, value.start, value.end)
    if len(description.values) > len(places):
        extra = description.values[len(places)]
        problem = f"{description.kind} takes no more values; it has {_listed(known)}; {_COLONS}"
        raise EndpointArgumentError(problem, description.text, extra.start, extra.end)
    return dict(zip(places, description.values, strict=False))


def _check_names(description: Description, known: list[str]) -> None:
    for name, text in description.names.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(known)}"
            problem = f"{description.kind} has no {name!r}; {hint}"
            raise EndpointArgumentError(problem, description.text, text.start, text.end)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


# --- what values mean ------------------------------------------------------------------------------------


def number(text: str, what: str, lowest: int = 0, highest: int | None = None, base: int = 10) -> int:
    """The whole number that `text`, the part for `what`, stands for. Raises `EndpointStringError`."""
    limits = f"{lowest} up" if highest is None else f"{lowest} to {highest:{'o' if base == 8 else 'd'}}"
    try:
        value = int(text, base)
    except ValueError:
        kind = "an octal number" if base == 8 else "a number"
        raise refusal(text, f"the {what} is {str(text)!r}, and should be {kind} from {limits}") from None
    if value < lowest or (highest is not None and value > highest):
        raise refusal(text, f"the {what} is {value}, and should be from {limits}")
    return value


def port_number(text: str) -> int:
    """The port that `text` stands for."""
    return number(text, "port", 0, 65535)


def seconds(text: str) -> float:
    """The timeout that `text` stands for."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise refusal(text, f"the timeout is {str(text)!r}, and should be a number of seconds")
    return int(value) if value.is_integer() else value


def flag(text: str, what: str) -> bool:
    """Whether `text` is 1, not 0."""
    return bool(number(text, what, 0, 1))


def refusal(text: str, problem: str) -> ValueError:
    """The error for the part `text`: it points at it, if it comes from a description."""
    return text.error(problem) if isinstance(text, Text) else ValueError(problem)
