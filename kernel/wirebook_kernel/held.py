"""Errors in Deferreds that a notebook keeps.

The framework reports an error that nobody handled when its Deferred is forgotten, for until then somebody may. In a
notebook that can be never: a variable keeps it, or ``Out``, which keeps the value of every cell. The error of a
``LoopingCall(...).start(1)`` at the end of a cell would vanish. So an error that was there before a cell ran, and is
not handled when that cell has ended, is reported like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from wirebook import Deferred
from wirebook.deferred import chainState
from wirebook.logger import report_failure

# IPython's names for the values of cells: of the last three, and of each.
_LATEST = frozenset({"_", "__", "___"})
_OUTPUT = re.compile(r"_(\d+)")


class HeldErrors:
    """Reports the errors of the Deferreds that `namespace`, a notebook's variables, keeps."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._held: WeakSet[Deferred[Any]] = WeakSet()
        self._failed_before: WeakSet[Deferred[Any]] = WeakSet()
        self._reported: WeakSet[Deferred[Any]] = WeakSet()

    def before_cell(self) -> None:
        """A cell begins, which may still handle what has failed by now."""
        self._failed_before = WeakSet(each for each in self._held if chainState(each).failed)

    def after_cell(self) -> None:
        """A cell has ended: report what it did not handle, each in the cell that made it, once."""
        held = self._by_name()
        self._held = WeakSet(each for _, each in held)
        for name, each in held:
            if each in self._failed_before and each not in self._reported and chainState(each).failed:
                self._reported.add(each)
                report_failure(each.result, f"{_spoken(name)} has failed, and nothing handles it", each.context)

    def _by_name(self) -> list[tuple[str, Deferred[Any]]]:
        held = [(name, value) for name, value in list(self._namespace.items()) if isinstance(value, Deferred)]
        # IPython's own names come last.
        return sorted((pair for pair in held if pair[0] not in _LATEST), key=lambda pair: pair[0].startswith("_"))


def _spoken(name: str) -> str:
    """What people call a variable: ``Out[7]`` for ``_7``."""
    output = _OUTPUT.fullmatch(name)
    return f"Out[{output[1]}]" if output else name
