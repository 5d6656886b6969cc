"""The fields of a format string: finding their values, and keeping them for later.

A format string is that of ``str.format`` with names only, and ``()`` behind a name calls it:
``"{peer.host}: {count()} bytes"``. Flattening looks up every field once and keeps both its value and its
text, so that the event can still be shown, and asked, when its objects are gone or have changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

from wirebook.logger.interfaces import LogEvent

_FIELD = re.compile(r"(?P<name>[^.\[\]]+)(?P<steps>(?:\.[^.\[\]]+|\[[^\]]+\])*)")
_STEP = re.compile(r"\.(?P<attribute>[^.\[]+)|\[(?P<index>[^\]]+)\]")


def field_value(field: str, values: Mapping[str, Any]) -> Any:
    """The value of a field such as ``name``, ``name[2].attribute`` or ``name.method()``."""
    parsed = _FIELD.fullmatch(field)
    if parsed is None:
        raise ValueError(f"{field!r} is no field: write a name, then .attribute, [index] or () as needed")
    value = _called(parsed["name"], values.__getitem__)
    for step in _STEP.finditer(parsed["steps"]):
        if step["index"] is None:
            holder = value
            value = _called(step["attribute"], lambda name, holder=holder: getattr(holder, name))
        else:
            value = value[int(step["index"]) if step["index"].isdigit() else step["index"]]
    return value


def _called(name: str, get: Any) -> Any:
    return get(name[:-2])() if name.endswith("()") else get(name)


_CONVERSIONS = (None, "s", "r", "a")


class FieldFormatter(Formatter):
    """``str.format`` whose fields are looked up by `field_value`."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        """The value of a field, and its name."""
        return field_value(field_name, kwargs), field_name


formatter = FieldFormatter()


def format_fields(text: str, values: Mapping[str, Any]) -> str:
    """`text` with its fields filled in from `values`."""
    return str(formatter.vformat(text, (), values))


class _Keys:
    """Names the fields of one format string: the same field a second time gets another key."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def key(self, field: str, spec: str | None, conversion: str | None) -> str:
        """The key under which a field is kept."""
        key = f"{field}!{conversion or ''}:{spec or ''}"
        self._seen[key] += 1
        return key if self._seen[key] == 1 else f"{key}/{self._seen[key]}"


Part = tuple[str, str | None, str, str | None]


def _parts(text: str) -> Iterator[Part]:
    """What `text` consists of: a literal, then a field, its format and its conversion (None: no field)."""
    for literal, field, spec, conversion in formatter.parse(text):
        yield literal, field, spec or "", conversion


def flattenEvent(event: LogEvent) -> None:
    """Keep, in ``log_flattened``, the value and the text that each field of the event's format has now.

    Nothing to do without ``log_format``. Raises what looking up a field raises; one with a conversion that
    there is not is left out, and whoever shows the event will say so.
    """
    text = event.get("log_format")
    if text is None:
        return
    kept: dict[str, Any] = event.get("log_flattened", {})
    keys = _Keys()
    for _, field, spec, conversion in _parts(text):
        if field is None or conversion not in _CONVERSIONS:
            continue
        as_text, as_value = keys.key(field, spec, conversion or "s"), keys.key(field, spec, "")
        if as_text not in kept:
            value = field_value(field, event)
            kept[as_value] = value
            kept[as_text] = _shown(value, format_fields(spec, event), conversion)
    if kept:
        event["log_flattened"] = kept


def _shown(value: Any, spec: str, conversion: str | None) -> str:
    converted = formatter.convert_field(value, conversion) if conversion else value
    return format(converted, spec) if spec else str(converted)


def extractField(field: str, event: LogEvent) -> Any:
    """The value of what would stand between braces in a format: ``"key[2].attribute"``, ``"name!r"``.

    With a conversion it is text. The event is flattened if it was not. `KeyError` when its format has no
    such field.
    """
    parts = list(_parts(f"{{{field}}}"))
    name, spec, conversion = parts[0][1:]
    if len(parts) > 1 or name is None:
        raise ValueError(f"{field!r} is no field: write what would stand between the braces of a format")
    if "log_flattened" not in event:
        flattenEvent(event)
    return event["log_flattened"][_Keys().key(name, spec, conversion)]


def format_flattened(event: LogEvent) -> str:
    """The text of an event that was flattened."""
    kept, keys, pieces = event["log_flattened"], _Keys(), []
    for literal, field, spec, conversion in _parts(event["log_format"]):
        pieces.append(literal)
        if field is not None:
            pieces.append(str(kept[keys.key(field, spec, conversion or "s")]))
    return "".join(pieces)
