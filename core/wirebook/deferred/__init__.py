"""Deferreds: results that are not there yet, and everything that is made of them."""

from wirebook.deferred.chain import (
    AlreadyCalledError,
    AlreadyCancelledError,
    CancelledError,
    NotACoroutineError,
    TimeoutError,
)
from wirebook.deferred.core import Deferred, DeferredTracer, getDebugging, getTracer, setDebugging, setTracer
from wirebook.deferred.making import ensureDeferred, execute, fail, maybeDeferred, succeed

__all__ = [
    "AlreadyCalledError",
    "AlreadyCancelledError",
    "CancelledError",
    "Deferred",
    "DeferredTracer",
    "NotACoroutineError",
    "TimeoutError",
    "ensureDeferred",
    "execute",
    "fail",
    "getDebugging",
    "getTracer",
    "maybeDeferred",
    "setDebugging",
    "setTracer",
    "succeed",
]
