"""What a page loads: one ES module and one style sheet for each widget, put together from shared parts.

anywidget hands a page a single module, in which relative imports lead nowhere. So the parts under
``static/`` import each other like any modules, which is what editors, ``node --test`` and readers want, and
are joined here: every part once, what it needs before it, without the import lines and ``export`` words.
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def script(entry: str) -> str:
    """The module `entry` (a file name under ``static/``) with everything it imports."""
    return "\n".join(part_source(name) for name in parts_of(entry, ()))


def parts_of(name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """`before` and the parts that `name` needs, itself last, each once."""
    if name in before:
        return before
    for needed in IMPORT.findall(source(name)):
        before = parts_of(needed, before)
    return (*before, name)


def part_source(name: str) -> str:
    """One part, ready to stand beside the others in one module."""
    return EXPORT.sub("", IMPORT.sub("", source(name)))


def source(name: str) -> str:
    """The text of one file under ``static/``."""
    return (STATIC / name).read_text("utf-8")


def style(*names: str) -> str:
    """The style sheets `names`, one after the other."""
    return "\n".join(source(name) for name in names)
