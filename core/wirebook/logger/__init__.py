"""The event log: structured events that are also records of the standard ``logging``.

A `Logger` emits events; whoever wants to watch (a cell, a file, a test) adds an observer to ``globalLogPublisher``,
or a handler to the standard logger named after the namespace: one concept, two doors. The names are Twisted's.
"""

from wirebook.logger.beginning import LogBeginner, capturedLogs, globalLogBeginner
from wirebook.logger.emitting import Logger, LogPublisher, Operation, globalLogPublisher
from wirebook.logger.fields import extractField, flattenEvent
from wirebook.logger.filtering import FilteringLogObserver, LogLevelFilterPredicate, bitbucketLogObserver
from wirebook.logger.interfaces import ILogFilterPredicate, ILogObserver, LogEvent, LogTrace, PredicateResult
from wirebook.logger.keeping import FileLogObserver, LimitedHistoryLogObserver, textFileLogObserver
from wirebook.logger.levels import InvalidLogLevelError, LogLevel
from wirebook.logger.redirecting import LoggingFile
from wirebook.logger.reports import log, report_event, report_failure
from wirebook.logger.saving import eventAsJSON, eventFromJSON, eventsFromJSONLogFile, jsonFileLogObserver
from wirebook.logger.standard import ObserverHandler, STDLibLogObserver
from wirebook.logger.text import eventAsText, formatEvent, formatEventAsClassicLogText, formatTime, timeFormatRFC3339

__all__ = [
    "FileLogObserver",
    "FilteringLogObserver",
    "ILogFilterPredicate",
    "ILogObserver",
    "InvalidLogLevelError",
    "LimitedHistoryLogObserver",
    "LogBeginner",
    "LogEvent",
    "LogLevel",
    "LogLevelFilterPredicate",
    "LogPublisher",
    "LogTrace",
    "Logger",
    "LoggingFile",
    "ObserverHandler",
    "Operation",
    "PredicateResult",
    "STDLibLogObserver",
    "bitbucketLogObserver",
    "capturedLogs",
    "eventAsJSON",
    "eventAsText",
    "eventFromJSON",
    "eventsFromJSONLogFile",
    "extractField",
    "flattenEvent",
    "formatEvent",
    "formatEventAsClassicLogText",
    "formatTime",
    "globalLogBeginner",
    "globalLogPublisher",
    "jsonFileLogObserver",
    "log",
    "report_event",
    "report_failure",
    "textFileLogObserver",
    "timeFormatRFC3339",
]
