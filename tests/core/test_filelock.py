"""FilesystemLock and DeferredFilesystemLock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.core.deferred_kit import error_of, outcome, run_threads
from wirebook import reactor as process_reactor
from wirebook.deferred import (
    AlreadyTryingToLockError,
    CancelledError,
    DeferredFilesystemLock,
    FilesystemLock,
    TimeoutError,
    isLocked,
)
from wirebook.deferred.filelock import alone_in
from wirebook.task import Clock
from wirebook.transports.reactor import Reactor

HOLDER = """
import sys
from wirebook.deferred import FilesystemLock
lock = FilesystemLock(sys.argv[1])
print(lock.lock(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def name(tmp_path: Path) -> str:
    """The path of a lock that nobody has."""
    return str(tmp_path / "lock")


def dead_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def function_of(thread: threading.Thread) -> str:
    """The name of the function that `thread` is in."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame.f_code.co_name if frame else ""


# ----------------------------------------------------------------------------- FilesystemLock


def test_a_lock_is_a_link_that_names_this_process(name: str) -> None:
    lock = FilesystemLock(name)
    assert (lock.name, lock.locked, lock.clean) == (name, False, None)
    assert lock.lock()
    assert (lock.locked, lock.clean) == (True, True)
    assert os.readlink(name) == str(os.getpid())
    lock.unlock()
    assert not lock.locked
    assert not os.path.lexists(name)


def test_a_lock_that_is_had_cannot_be_had_again(name: str) -> None:
    first, second = FilesystemLock(name), FilesystemLock(name)
    assert first.lock()
    assert not second.lock()
    assert not first.lock()
    assert not second.locked
    first.unlock()
    assert second.lock()
    assert second.clean


def test_another_process_has_the_lock_until_it_dies(name: str) -> None:
    command = [sys.executable, "-c", HOLDER, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lock = FilesystemLock(name)
        assert isLocked(name)
        assert not lock.lock()
        with pytest.raises(ValueError, match=f"process {holder.pid} has locked it"):
            lock.unlock()
        holder.kill()
        holder.wait(10)
    assert not isLocked(name)
    assert lock.lock()
    assert (lock.locked, lock.clean) == (True, False)
    assert os.readlink(name) == str(os.getpid())


def test_a_process_of_somebody_else_is_alive(name: str) -> None:
    os.symlink("1", name)
    assert isLocked(name)
    assert not FilesystemLock(name).lock()


def test_looking_changes_nothing(name: str) -> None:
    assert not isLocked(name)
    assert not os.path.lexists(name)
    stale = str(dead_process())
    os.symlink(stale, name)
    assert not isLocked(name)
    assert os.readlink(name) == stale


def test_a_stale_lock_leaves_nothing_but_the_lock(name: str) -> None:
    os.symlink(str(dead_process()), name)
    assert FilesystemLock(name).lock()
    assert os.listdir(os.path.dirname(name)) == ["lock"]


def test_a_link_left_by_a_crash_while_replacing_does_no_harm(name: str) -> None:
    os.symlink(str(dead_process()), name)
    os.symlink("left over", f"{name}.{os.getpid()}")
    assert FilesystemLock(name).lock()
    assert os.listdir(os.path.dirname(name)) == ["lock"]


def test_of_many_who_find_a_stale_lock_one_gets_it(name: str) -> None:
    stale = str(dead_process())
    for _ in range(100):
        os.symlink(stale, name)
        locks = [FilesystemLock(name) for _ in range(4)]
        start = threading.Barrier(len(locks))

        def take(number: int, locks: list[FilesystemLock] = locks, start: threading.Barrier = start) -> None:
            start.wait(10)
            locks[number].lock()

        run_threads(len(locks), take)
        assert sorted(lock.locked for lock in locks) == [False, False, False, True]
        assert [lock.clean for lock in locks if lock.locked] == [False]
        next(lock for lock in locks if lock.locked).unlock()


def test_a_stale_lock_is_looked_at_again_before_it_is_replaced(name: str) -> None:
    os.symlink(str(dead_process()), name)
    lock = FilesystemLock(name)
    with alone_in(os.path.dirname(name)):
        late = threading.Thread(target=lock.lock)
        late.start()
        assert eventually(lambda: function_of(late) == alone_in.__name__)
        os.unlink(name)
        os.symlink("1", name)
    late.join(10)
    assert not lock.locked
    assert os.readlink(name) == "1"


def test_unlocking_what_nobody_has_says_so(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="not locked"):
        FilesystemLock(name).unlock()


@pytest.mark.parametrize("target", ["elsewhere", "-1", "0", "99999999999999999999", "١"])  # noqa: RUF001 -- a digit
def test_a_link_to_something_else_is_no_lock(name: str, target: str) -> None:
    os.symlink(target, name)
    for use in (FilesystemLock(name).lock, FilesystemLock(name).unlock, lambda: isLocked(name)):
        with pytest.raises(ValueError, match="no process id"):
            use()


def test_a_file_of_that_name_is_no_lock(name: str) -> None:
    Path(name).write_text("mine")
    with pytest.raises(FileExistsError, match="not as a lock"):
        FilesystemLock(name).lock()
    assert Path(name).read_text() == "mine"


def test_a_folder_that_is_missing_is_an_error(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        FilesystemLock(f"{name}/below").lock()


def test_a_lock_may_be_named_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink(str(dead_process()), "lock")
    assert FilesystemLock("lock").lock()


# --------------------------------------------------------------------- DeferredFilesystemLock


def test_a_free_lock_is_had_at_once(name: str) -> None:
    clock = Clock()
    lock = DeferredFilesystemLock(name, clock)
    assert outcome(lock.deferUntilLocked(timeout=1)) is None
    assert lock.locked
    assert clock.getDelayedCalls() == []


def test_a_lock_is_tried_every_second_until_it_is_free(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, scheduler=clock)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=10)
    clock.pump([1, 1, 0.5])
    assert not waiting.called
    other.unlock()
    clock.advance(0.4)
    assert not waiting.called
    clock.advance(0.1)
    assert outcome(waiting) is None
    assert lock.locked
    assert clock.getDelayedCalls() == []


def test_a_lock_that_is_not_to_be_had_in_time_fails(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, clock)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=5.5)
    clock.pump([1, 1, 1, 1, 1, 0.4])
    assert not waiting.called
    clock.advance(0.1)
    assert "within 5.5 seconds" in str(error_of(waiting, TimeoutError))
    assert not lock.locked
    assert clock.getDelayedCalls() == []


def test_the_timeout_tries_once_more(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, clock)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=0.5)
    other.unlock()
    clock.advance(0.5)
    assert outcome(waiting) is None
    assert lock.locked


def test_a_negative_timeout_is_refused(name: str) -> None:
    lock = DeferredFilesystemLock(name, Clock())
    with pytest.raises(ValueError, match="timeout is -1"):
        lock.deferUntilLocked(-1)
    assert not lock.locked


def test_waiting_twice_at_the_same_time_fails(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, clock)
    other.lock()
    first = lock.deferUntilLocked()
    assert name in str(error_of(lock.deferUntilLocked(), AlreadyTryingToLockError))
    other.unlock()
    clock.advance(1)
    assert outcome(first) is None


def test_a_callback_may_unlock_and_wait_again(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, clock)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=3)
    waiting.addCallback(lambda _: lock.unlock())
    waiting.addCallback(lambda _: lock.deferUntilLocked())
    other.unlock()
    clock.advance(1)
    assert outcome(waiting) is None
    assert lock.locked


def test_cancelling_ends_the_wait(name: str) -> None:
    clock = Clock()
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, clock)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=1)
    other.unlock()
    waiting.cancel()
    error_of(waiting, CancelledError)
    assert clock.getDelayedCalls() == []
    assert not lock.locked
    assert outcome(lock.deferUntilLocked()) is None


def test_an_error_of_the_file_system_fails_the_deferred(name: str) -> None:
    clock = Clock()
    lock = DeferredFilesystemLock(name, clock)
    os.symlink("1", name)
    waiting = lock.deferUntilLocked(timeout=10)
    os.unlink(name)
    Path(name).write_text("no lock")
    clock.advance(1)
    error_of(waiting, FileExistsError)
    assert clock.getDelayedCalls() == []
    error_of(lock.deferUntilLocked(), FileExistsError)


def test_the_process_reactor_counts_the_seconds_when_no_other_is_given(name: str) -> None:
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name)
    other.lock()
    waiting = lock.deferUntilLocked()
    (call,) = process_reactor.getDelayedCalls()
    assert 0 < call.getTime() - process_reactor.seconds() <= 1
    waiting.cancel()
    error_of(waiting, CancelledError)


def test_a_reactor_in_a_thread_of_its_own_waits_for_the_lock(name: str, reactor: Reactor) -> None:
    other, lock = FilesystemLock(name), DeferredFilesystemLock(name, reactor)
    other.lock()
    waiting = lock.deferUntilLocked(timeout=30)
    other.unlock()
    waiting.wait(30)
    assert lock.locked
