"""Letting some events pass and others not."""

from __future__ import annotations

from collections.abc import Iterable

from wirebook.logger.interfaces import ILogFilterPredicate, ILogObserver, LogEvent, PredicateResult
from wirebook.logger.levels import InvalidLogLevelError, LogLevel


def bitbucketLogObserver(event: LogEvent) -> None:
    """An observer for events that nobody wants."""


class FilteringLogObserver:
    """Passes an event on to `observer` if the predicates let it, else to `negativeObserver`.

    The first predicate that says ``yes`` or ``no`` decides; when all say ``maybe`` the event passes. An answer
    that is no `PredicateResult` is a `TypeError`.
    """

    def __init__(
        self,
        observer: ILogObserver,
        predicates: Iterable[ILogFilterPredicate],
        negativeObserver: ILogObserver = bitbucketLogObserver,
    ) -> None:
        self._observer = observer
        self._predicates = tuple(predicates)
        self._negative = negativeObserver

    def __call__(self, event: LogEvent) -> None:
        """Pass `event` on to the one or the other."""
        chosen = self._observer if self._passes(event) else self._negative
        if "log_trace" in event:
            event["log_trace"].append((self, chosen))
        chosen(event)

    def _passes(self, event: LogEvent) -> bool:
        for predicate in self._predicates:
            result = predicate(event)
            if not isinstance(result, PredicateResult):
                raise TypeError(f"{predicate!r} says {result!r} of an event; it must say a PredicateResult")
            if result is not PredicateResult.maybe:
                return result is PredicateResult.yes
        return True


class LogLevelFilterPredicate:
    """Stops events below the level set for their namespace, and those without a level or a namespace.

    A level holds for a namespace and all below it: one for ``app`` is also that of ``app.web``, unless this
    has its own. Namespaces without any have `defaultLogLevel`.
    """

    def __init__(self, defaultLogLevel: LogLevel = LogLevel.info) -> None:
        self.defaultLogLevel = defaultLogLevel
        self._levels: dict[str, LogLevel] = {}
        self.clearLogLevels()

    def logLevelForNamespace(self, namespace: str) -> LogLevel:
        """The level that holds for `namespace`; "" is the default's."""
        while namespace and namespace not in self._levels:
            namespace = namespace.rpartition(".")[0]
        return self._levels[namespace or ""]

    def setLogLevelForNamespace(self, namespace: str, level: LogLevel) -> None:
        """Set the level of `namespace`, "" for the default. `InvalidLogLevelError` if it is no `LogLevel`."""
        if not isinstance(level, LogLevel):
            raise InvalidLogLevelError(level)
        self._levels[namespace or ""] = level

    def clearLogLevels(self) -> None:
        """Forget all levels but ``defaultLogLevel``."""
        self._levels = {"": self.defaultLogLevel}

    def __call__(self, event: LogEvent) -> PredicateResult:
        """``no`` for what is below its level, else ``maybe``."""
        level, namespace = event.get("log_level"), event.get("log_namespace")
        if level is None or not namespace or level < self.logLevelForNamespace(namespace):
            return PredicateResult.no
        return PredicateResult.maybe
