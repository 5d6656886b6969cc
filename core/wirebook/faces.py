"""Names that a package's face hands on, and loads when they are first asked for.

A server, and a kernel at its start, needs little of all that a face offers. The rest waits behind the face's own
``__getattr__`` (PEP 562), which asks `load`; type checkers read ordinary imports, under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any


def load(face: str, name: str, later: Mapping[str, Collection[str]]) -> Any:
    """The attribute `name` of the package `face`, for its ``__getattr__``. Any thread.

    `later` says which names which modules have, by their full names; these modules can be asked for, too. What is
    found stays in the face. Raises `AttributeError` for any other name, and what the import raises.
    """
    for module, names in later.items():
        if name in names:
            value = getattr(import_module(module), name)
            setattr(sys.modules[face], name, value)
            return value
        if module == f"{face}.{name}":
            return import_module(module)
    raise AttributeError(f"module {face!r} has no attribute {name!r}")
