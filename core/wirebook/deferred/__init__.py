"""Deferreds: results that are not there yet, and everything that is made of them."""

from builtins import TimeoutError

from wirebook.deferred.chain import AlreadyCalledError, AlreadyCancelledError, CancelledError, NotACoroutineError
from wirebook.deferred.core import Deferred, getDebugging, setDebugging
from wirebook.deferred.filelock import AlreadyTryingToLockError, DeferredFilesystemLock, FilesystemLock, isLocked
from wirebook.deferred.gathering import (
    FAILURE,
    SUCCESS,
    DeferredList,
    FailureGroup,
    FirstError,
    gatherResults,
    race,
)
from wirebook.deferred.generators import inlineCallbacks, returnValue
from wirebook.deferred.inspecting import ChainState, chainState
from wirebook.deferred.locks import DeferredLock, DeferredSemaphore
from wirebook.deferred.making import ensureDeferred, execute, fail, maybeDeferred, succeed
from wirebook.deferred.queues import DeferredQueue, QueueOverflow, QueueUnderflow
from wirebook.deferred.running import DeferredTracer, getTracer, setTracer
from wirebook.deferred.steps import logError, passthru, timeout

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyCancelledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "ChainState",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "DeferredTracer",
    "FailureGroup",
    "FilesystemLock",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "chainState",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "getDebugging",
    "getTracer",
    "inlineCallbacks",
    "isLocked",
    "logError",
    "maybeDeferred",
    "passthru",
    "race",
    "returnValue",
    "setDebugging",
    "setTracer",
    "succeed",
    "timeout",
]
