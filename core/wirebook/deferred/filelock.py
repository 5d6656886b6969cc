"""A lock between processes: a symbolic link whose target is the process id of the one that has it.

Making a symbolic link is atomic and fails when the name exists, so the file system decides who gets the lock, and
the link says who that was. When that process has died, the link is stale and may be replaced. Two processes that
find it stale at the same time must not both replace it: the slower one would take the lock away from the faster.
So whoever replaces a link holds ``flock`` on its folder, looks again, and renames a link of its own over the stale
one. Nobody has to clean up that ``flock`` after a crash, and in the whole course the name never is free, so
the one who replaced the link is the one who has the lock.

Twisted's ``FilesystemLock`` uses the same links, so the two exclude each other (Twisted's, when it breaks a
stale lock, does not wait for the ``flock``).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from wirebook.deferred.attaching import Clock, TimerHandle
from wirebook.deferred.core import Deferred
from wirebook.deferred.making import fail
from wirebook.failure import caught
from wirebook.installed import the_reactor
from wirebook.turn import in_turn

RETRY_SECONDS = 1.0


class AlreadyTryingToLockError(Exception):
    """`DeferredFilesystemLock.deferUntilLocked` was called while an earlier call still waits for the lock."""

    __module__ = "wirebook.deferred"


class FilesystemLock:
    """A lock that one process at a time can have, named by a path on a local file system.

    ``locked`` tells whether this object has it; ``clean`` whether its last owner gave it back (False: it died
    with it; None: not locked yet). Any thread.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.locked = False
        self.clean: bool | None = None

    def lock(self) -> bool:
        """Take the lock if nobody has it; whether that succeeded. Never waits.

        `OSError` when the link cannot be made or read, also when `name` is something else than a link;
        `ValueError` when it is a link to something else than a process id.
        """
        while True:
            if self._make_link():
                return self._have(clean=True)
            owner = owner_of(self.name)
            if owner is not None:
                if is_alive(owner):
                    return False
                if self._replace_link():
                    return self._have(clean=False)

    def unlock(self) -> None:
        """Give the lock back. `ValueError` when another process has it; `OSError` when nobody has."""
        owner = owner_of(self.name)
        if owner is None:
            raise FileNotFoundError(errno.ENOENT, "it is not locked, so it cannot be unlocked", self.name)
        if owner != os.getpid():
            raise ValueError(
                f"cannot unlock {self.name!r}: process {owner} has locked it, this is process {os.getpid()}"
            )
        os.unlink(self.name)
        self.locked = False

    def _have(self, clean: bool) -> bool:
        self.locked, self.clean = True, clean
        return True

    def _make_link(self) -> bool:
        """Make the link, unless there is one."""
        try:
            os.symlink(str(os.getpid()), self.name)
        except FileExistsError:
            return False
        return True

    def _replace_link(self) -> bool:
        """Put a link of our own in the place of the stale one, unless somebody else has done so meanwhile."""
        with alone_in(os.path.dirname(self.name) or "."):
            owner = owner_of(self.name)
            if owner is None or is_alive(owner):
                return False
            ours = f"{self.name}.{os.getpid()}"
            with suppress(FileNotFoundError):
                os.unlink(ours)
            os.symlink(str(os.getpid()), ours)
            try:
                os.rename(ours, self.name)
            except OSError:
                os.unlink(ours)
                raise
            return True


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Keep all others out who call this for the same folder; they wait, for as long as a few system calls take."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def owner_of(name: str) -> int | None:
    """The process id that the link `name` names; None when there is no link. Errors as `FilesystemLock.lock`."""
    try:
        target = os.readlink(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise FileExistsError(errno.EEXIST, "it is there, and not as a lock (a symbolic link)", name) from None
    if not (target.isascii() and target.isdigit() and 0 < int(target) < 2**31):
        raise ValueError(f"{name!r} is no lock: it links to {target!r}, which is no process id. Choose another name.")
    return int(target)


def is_alive(process: int) -> bool:
    """Whether there is a process with this id, whoever runs it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def isLocked(name: str) -> bool:
    """Whether a living process has the lock `name`. It only looks. Errors as `FilesystemLock.lock`; any thread."""
    owner = owner_of(name)
    return owner is not None and is_alive(owner)


class DeferredFilesystemLock(FilesystemLock):
    """A `FilesystemLock` that can be waited for: it is tried once a second.

    `scheduler` is the reactor or clock that counts the seconds; None: the process's reactor.
    """

    def __init__(self, name: str, scheduler: Clock | None = None) -> None:
        super().__init__(name)
        self._scheduler = scheduler
        self._waiting: Deferred[None] | None = None
        self._retry: TimerHandle | None = None
        self._deadline: TimerHandle | None = None

    @in_turn
    def deferUntilLocked(self, timeout: float | None = None) -> Deferred[None]:
        """A Deferred that fires with None once this object has the lock; at once when it is free.

        It fails with `TimeoutError` when `timeout` seconds were not enough (None: it waits for ever), with
        `AlreadyTryingToLockError` while an earlier call is waiting, and with the errors of `lock`. Cancelling ends
        the wait. Any thread. `ValueError` for a timeout below 0.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout!r}; it is a number of seconds from 0 up, or None for ever")
        if self._waiting is not None:
            return fail(AlreadyTryingToLockError(f"{self.name!r} is being waited for already: wait for that Deferred"))
        deferred: Deferred[None] = Deferred(self._stop_waiting)
        self._waiting = deferred
        self._try(deferred)
        if timeout is not None and self._waiting is deferred:
            late = TimeoutError(f"the lock {self.name!r} was not to be had within {timeout} seconds")
            self._deadline = self._call_later(timeout, partial(self._try, deferred, late))
        return deferred

    def _try(self, deferred: Deferred[None], otherwise: TimeoutError | None = None) -> None:
        """Try to lock; without success fail with `otherwise`, or try again later when that is None."""
        try:
            locked = self.lock()
        except Exception as error:
            self._stop_waiting()
            deferred.errback(caught(error))
            return
        if not locked and otherwise is None:
            self._retry = self._call_later(RETRY_SECONDS, partial(self._try, deferred))
            return
        self._stop_waiting()
        if locked:
            deferred.callback(None)
        else:
            deferred.errback(otherwise)

    def _stop_waiting(self, _: object = None) -> None:
        self._waiting = None
        for call in (self._retry, self._deadline):
            if call is not None and call.active():
                call.cancel()
        self._retry = self._deadline = None

    def _call_later(self, seconds: float, function: Callable[[], None]) -> TimerHandle:
        return (self._scheduler or the_reactor()).callLater(seconds, function)
