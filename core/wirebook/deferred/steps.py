"""Ready-made functions to attach to Deferreds."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from wirebook.deferred.core import Deferred
from wirebook.failure import Failure
from wirebook.logger import report_failure

T = TypeVar("T")


def passthru(arg: T) -> T:
    """Return `arg`: a callback that changes nothing."""
    return arg


def logError(err: Failure) -> Failure:
    """Log `err` and return it: an errback that passes the failure on.

    If no later errback handles it, it is reported as unhandled too.
    """
    report_failure(err, "An error passed through a Deferred")
    return err


def timeout(deferred: Deferred[Any]) -> None:
    """Fail `deferred` with `TimeoutError`. Deprecated: `Deferred.addTimeout` cancels the work as well."""
    warnings.warn("timeout() is deprecated: use Deferred.addTimeout", DeprecationWarning, stacklevel=2)
    deferred.errback(TimeoutError("Callback timed out"))
