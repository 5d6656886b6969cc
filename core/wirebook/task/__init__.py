"""Work that waits for its time: virtual clocks, looping and delayed calls, cooperative tasks, and whole scripts."""

from wirebook.task.clock import Clock
from wirebook.task.cooperation import (
    CooperativeTask,
    Cooperator,
    NotPaused,
    SchedulerError,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskFinished,
    TaskStopped,
    coiterate,
    cooperate,
)
from wirebook.task.later import deferLater
from wirebook.task.looping import LoopingCall
from wirebook.task.script import react

__all__ = [
    "Clock",
    "CooperativeTask",
    "Cooperator",
    "LoopingCall",
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
    "coiterate",
    "cooperate",
    "deferLater",
    "react",
]
