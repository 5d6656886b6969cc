"""The reactor's parts: the poller, timers, calls, triggers and the run loop. Transports stand above."""

from wirebook.reactor.handles import Handles
from wirebook.reactor.loop import ReactorBase
from wirebook.reactor.poller import Poller, best_poller
from wirebook.reactor.pool import ThreadPool
from wirebook.reactor.timers import DelayedCall

__all__ = ["DelayedCall", "Handles", "Poller", "ReactorBase", "ThreadPool", "best_poller"]
