"""What tables call the work that waits for its time: by the user's function, never by what carries it."""

from __future__ import annotations

from functools import partial

from wirebook.deferred.chain import short


def name_of(work: object) -> str:
    """The name of a function, method, generator or coroutine, seen through ``partial``; else its repr."""
    while isinstance(work, partial):
        work = work.func
    name = getattr(work, "__qualname__", None)
    return name if isinstance(name, str) else short(work)
