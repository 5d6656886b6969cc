"""Deferreds, asyncio's futures and coroutines mix in a cell, and plain code can wait."""

from __future__ import annotations

import pytest

from tests.kernel.kit import Notebook

NAMES = """
import asyncio
from wirebook import Deferred, ensureDeferred, fail, succeed
from wirebook.deferred import DeferredLock, DeferredQueue
def later(value, seconds=0.01):
    d = Deferred(); reactor.callLater(seconds, d.callback, value); return d
async def coroutine(value):
    await asyncio.sleep(0)
    return await later(value)
"""

CELLS = {
    "a Deferred": ("await later(1)", "1"),
    "Deferreds and coroutines gathered": ("await asyncio.gather(later(1), later(2), coroutine(3))", "[1, 2, 3]"),
    "a Deferred with a time limit": ("await asyncio.wait_for(later(1), 5)", "1"),
    "a Deferred in a block with a time limit": ("async with asyncio.timeout(5):\n    x = await later(1)\nx", "1"),
    "a task": ("await asyncio.create_task(coroutine(4))", "4"),
    "tasks in a group": (
        "async with asyncio.TaskGroup() as group:\n"
        "    tasks = [group.create_task(coroutine(n)) for n in range(3)]\n"
        "[task.result() for task in tasks]",
        "[0, 1, 2]",
    ),
    "whichever comes first": (
        "done, left = await asyncio.wait([later(1).asFuture(asyncio.get_running_loop())], timeout=5)\n"
        "[future.result() for future in done]",
        "[1]",
    ),
    "as they come": (
        "[await each for each in asyncio.as_completed([coroutine(1), coroutine(2)])] in ([1, 2], [2, 1])",
        "True",
    ),
    "a lock": (
        "lock = DeferredLock()\nasync with lock:\n    held = lock.locked\nheld, lock.locked",
        "(True, False)",
    ),
    "a queue": ("queue = DeferredQueue()\nreactor.callLater(0.01, queue.put, 5)\nawait queue.get()", "5"),
    "an asyncio future through a Deferred": (
        "future = asyncio.get_running_loop().create_future()\n"
        "asyncio.get_running_loop().call_later(0.01, future.set_result, 6)\n"
        "await Deferred.fromFuture(future)",
        "6",
    ),
    "one Deferred twice": ("d = later(7)\n(await d, await d)", "(7, 7)"),
    "a coroutine, as a Deferred": ("await ensureDeferred(coroutine(8))", "8"),
    "a Deferred, in plain code": ("later(9).wait(5)", "9"),
}


@pytest.mark.parametrize("what", CELLS)
def test_a_cell_can_wait_for(what: str, notebook: Notebook) -> None:
    notebook.run(NAMES)
    source, value = CELLS[what]
    run = notebook.run(source)
    assert run.error == ""
    assert run.result["text/plain"] == value
    assert run.stderr == ""


def test_a_task_of_an_earlier_cell_waits_for_a_deferred_of_a_later_one(notebook: Notebook) -> None:
    notebook.run(NAMES)
    notebook.run(
        "shared = Deferred()\nasync def waits():\n    return await shared\ntask = asyncio.create_task(waits())"
    )
    notebook.run("reactor.callLater(0.01, shared.callback, 'arrived');")
    assert notebook.run("await task").result == {"text/plain": "'arrived'"}


def test_a_time_limit_cancels_the_deferred(notebook: Notebook) -> None:
    notebook.run(NAMES)
    run = notebook.run("d = Deferred(lambda d: print('cancelled'))\nawait asyncio.wait_for(d, 0.02)")
    assert run.error.startswith("TimeoutError")
    assert run.stdout == "cancelled\n"


def test_a_time_limit_in_plain_code_leaves_the_deferred_alone(notebook: Notebook) -> None:
    notebook.run(NAMES)
    run = notebook.run("d = later('late', 0.1)\nd.wait(0.01)")
    assert run.error.startswith("TimeoutError: no result within 0.01 seconds")
    assert notebook.run("d.wait(5)").result == {"text/plain": "'late'"}


def test_waiting_on_the_reactors_thread_is_an_error_with_a_hint(notebook: Notebook) -> None:
    notebook.run(NAMES)
    run = notebook.run("d = later(0).addCallback(lambda _: Deferred().wait())\nawait d")
    assert run.error.startswith("TurnHeldError: Deferred.wait() would wait for ever")
    assert "attach a callback instead" in run.error


def test_awaiting_in_a_turn_of_the_cells_own_is_an_error_with_a_hint(notebook: Notebook) -> None:
    notebook.run(NAMES)
    run = notebook.run("with reactor.turn():\n    await later(1)")
    assert run.error.startswith("TurnHeldError: await would wait for ever: this thread holds the turn")


def test_the_error_of_one_of_many_is_the_cells(notebook: Notebook) -> None:
    notebook.run(NAMES)
    run = notebook.run("await asyncio.gather(later(1), fail(KeyError('lost')))")
    assert run.error == "KeyError: 'lost'"
    assert run.stderr == ""
