"""A flood of output is limited for each cell and counted; the kernel answers meanwhile, and the reactor never waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.kit import Message, Notebook, Run
from wirebook_kernel.floods import CHARACTERS_PER_LINE, LEAST_LINES, LINES_PER_SECOND, Budget

FLOOD = """
def flood():
    for number in range(100_000):
        print("line", number)
"""
MEMORY = "int(open('/proc/self/statm').read().split()[1]) * 4096"


@pytest.fixture
def limit(notebook: Notebook) -> Iterator[Callable[[object], Run]]:
    """Set the limit for this test."""
    yield lambda lines: notebook.run(f"%reactor limit {lines}")
    notebook.run(f"%reactor limit {LINES_PER_SECOND}")


def left_out(run: Run) -> int:
    """How many lines the notes of a run say are left out."""
    notes = [line for line in run.stdout.splitlines() if line.startswith("⋮")]
    return sum(int(line.split()[1].replace(",", "")) for line in notes)


def lines(run: Run) -> int:
    """How many lines of its own a run shows."""
    return sum(line.startswith("line") for line in run.stdout.splitlines())


def test_of_100_000_lines_of_a_callback_some_are_shown_and_the_others_counted(notebook: Notebook) -> None:
    run = notebook.run(FLOOD + "reactor.callLater(0, flood)")
    run.wait(lambda run: lines(run) + left_out(run) == 100_000)
    assert lines(run) >= LINES_PER_SECOND
    assert "too much at once (%reactor limit changes how much is)" in run.stdout
    assert len(run.stdout) < 10 * LINES_PER_SECOND * CHARACTERS_PER_LINE


def test_a_cells_own_output_is_never_touched(notebook: Notebook) -> None:
    assert lines(notebook.run(FLOOD + "flood()")) == 100_000


def test_a_worker_is_limited_from_the_end_of_its_cell_on(notebook: Notebook) -> None:
    run = notebook.run(
        "import threading; ended = threading.Event()\n"
        + FLOOD
        + "wirebook.deferToThread(lambda: ended.wait(10) and flood());"
    )
    notebook.run("ended.set()")
    run.wait(lambda run: lines(run) + left_out(run) == 100_000)
    assert left_out(run) > 50_000


def test_an_endless_flood_leaves_the_kernel_responsive_and_its_memory_bounded(notebook: Notebook) -> None:
    run = notebook.run("""
        def flood():
            for number in range(1000):
                print("line", number)
        endless = wirebook.LoopingCall(flood)
        endless.start(0.001);
    """)
    run.wait(lambda run: left_out(run))
    before = notebook.value(MEMORY)
    for _ in range(5):
        began = time.monotonic()
        notebook.run("pass")
        assert time.monotonic() - began < 1
    shown = lines(run)
    run.wait(lambda run: left_out(run) > 100_000)
    notebook.run("endless.stop()")
    assert notebook.value(MEMORY) - before < 20_000_000
    assert lines(run) - shown < 2 * LINES_PER_SECOND, "a flood that goes on gets less and less"


def test_other_cells_are_not_limited_by_a_flood(notebook: Notebook) -> None:
    notebook.run(FLOOD + "reactor.callLater(0, flood)")
    other = notebook.run("reactor.callLater(0.1, print, 'here')")
    other.wait(lambda run: "here" in run.stdout)


def test_a_flood_that_keeps_the_reactor_is_reported_as_any_callback_that_does(notebook: Notebook) -> None:
    notebook.run("%reactor watchdog 0.2")
    run = notebook.run("""
        go_on = True
        def flood():
            while go_on: print("line")
        reactor.callLater(0, flood);
    """)
    run.wait(lambda run: run.displays)
    notebook.run("go_on = False")
    assert "flood() keeps the reactor waiting" in run.displays[0]["text/plain"]
    run.wait(lambda run: any("flood() kept" in update["text/plain"] for update in updates(run)))
    notebook.run("%reactor watchdog 1")


def test_what_was_left_out_is_told_before_the_cell_ends(notebook: Notebook) -> None:
    run = notebook.run(FLOOD + "reactor.callLater(0, flood); __import__('wirebook_kernel').settle()")
    assert lines(run) + left_out(run) == 100_000


def test_text_without_line_ends_is_limited_too(notebook: Notebook) -> None:
    run = notebook.run("reactor.callLater(0, print, 'x' * 1_000_000, end='')")
    run.wait(lambda run: "left out" in run.stdout)
    shown = LINES_PER_SECOND * CHARACTERS_PER_LINE
    assert run.stdout.startswith("x" * shown + f"\n⋮ {1_000_000 - shown:,} characters left out")


def test_log_records_and_warnings_are_limited_too(notebook: Notebook) -> None:
    run = notebook.run("""
        import logging, sys
        handler = logging.StreamHandler(sys.stderr)
        logger = logging.getLogger("flood")
        logger.addHandler(handler)
        def flood():
            for number in range(5000):
                logger.warning("line %s", number)
        reactor.callLater(0, flood);
    """)
    run.wait(lambda run: "left out" in run.stderr)
    assert run.stderr.count("line") < 5000


def test_displays_are_limited_and_counted(notebook: Notebook) -> None:
    run = notebook.run("reactor.callLater(0, lambda: [display(number) for number in range(200)]);")
    run.wait(lambda run: len(run.displays) + left_out(run) == 200)
    assert 0 < len(run.displays) < 200
    assert "displays left out" in run.stdout


def test_of_the_updates_of_a_display_the_last_one_always_comes(notebook: Notebook) -> None:
    run = notebook.run("""
        shown = display("first", display_id=True)
        reactor.callLater(0, lambda: [shown.update(number) for number in range(2000)]);
    """)
    run.wait(lambda run: "1999" in [update["text/plain"] for update in updates(run)])
    assert len(updates(run)) < 200
    assert "left out" not in run.stdout


def updates(run: Run) -> list[Message]:
    """The MIME bundles that a run's displays were updated with."""
    return [message["content"]["data"] for message in run.of_type("update_display_data")]


def test_the_limit_can_be_set_and_lifted(notebook: Notebook, limit: Callable[[object], Run]) -> None:
    assert limit(20).stdout == "Of what each cell's callbacks write, at most 20 lines a second is shown.\n"
    run = notebook.run(FLOOD + "reactor.callLater(0, flood)")
    run.wait(lambda run: lines(run) + left_out(run) == 100_000)
    assert lines(run) < LINES_PER_SECOND
    assert limit("off").stdout == "Of what each cell's callbacks write, everything is shown.\n"
    run = notebook.run(FLOOD + "reactor.callLater(0, flood)")
    run.wait(lambda run: lines(run) == 100_000)


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_none_is_refused(wrong: str, limit: Callable[[object], Run]) -> None:
    assert f"takes a number of lines from 1 up, or 'off', not '{wrong}'" in limit(wrong).stderr


def test_the_reactor_does_not_wait_for_a_flush(notebook: Notebook) -> None:
    run = notebook.run("""
        import sys, threading
        done = threading.Event()
        busy = threading.Event()
        sys.stdout.pub_thread.schedule(lambda: busy.wait(5))
        reactor.callLater(0, lambda: [print("flushed", flush=True), display("shown"), done.set()])
        result = done.wait(4)
        busy.set()
        print(result)
    """)
    run.wait(lambda run: run.displays)
    assert "True" in run.stdout
    assert run.stdout.index("flushed") < run.stdout.index("True")


def test_a_stock_kernel_is_limited_from_the_loading_cell_on_and_until_it_is_unloaded() -> None:
    with Notebook("python3") as notebook:
        notebook.run("import sys, wirebook\nfrom wirebook import reactor\n%load_ext wirebook_kernel")
        run = notebook.run(FLOOD + "reactor.callLater(0, flood)")
        run.wait(lambda run: lines(run) + left_out(run) == 100_000)
        assert left_out(run)
        notebook.run("%unload_ext wirebook_kernel")
        assert notebook.value("type(sys.stdout).__mro__[1].__name__") == "TextIOBase"
        assert notebook.value("'publish' in vars(get_ipython().display_pub)") is False
        assert notebook.run("print('here')").stdout == "here\n"
        notebook.run("%load_ext wirebook_kernel")
        assert notebook.run("print('here')").stdout == "here\n"


PRINTS = """
import sys, threading, time
begin = threading.Barrier(2)
def prints(who):
    begin.wait(10)
    for number in range(300):
        print(who, "prints", "number", number)
"""


def test_threads_that_print_at_once_leave_each_others_lines_whole(notebook: Notebook) -> None:
    run = notebook.run(PRINTS + "wirebook.deferToThread(prints, 'worker'); prints('cell')\ntime.sleep(0.1)")
    run.wait(lambda run: run.stdout.count("\n") == 600)
    wanted = [f"{who} prints number {number}" for who in ("cell", "worker") for number in range(300)]
    assert sorted(run.stdout.splitlines()) == sorted(wanted)


def test_a_line_that_does_not_end_is_shown_while_its_cell_goes_on(notebook: Notebook) -> None:
    run = notebook.start("print('no end', end='')\nwirebook.Deferred().wait()")
    run.wait(lambda run: run.stdout == "no end")
    notebook.interrupt()
    run.wait()


def test_a_line_that_does_not_end_stays_in_its_cell(notebook: Notebook) -> None:
    one = notebook.run("go = wirebook.Deferred(); go.addCallback(lambda _: print('one', end=''));")
    two = notebook.run("go.addCallback(lambda _: print('two'));")
    notebook.run("reactor.callFromThread(go.callback, None)")
    two.wait(lambda run: run.stdout == "two\n")
    one.wait(lambda run: run.stdout == "one")


def test_a_budget_counts_lines() -> None:
    budget = Budget(3)
    assert budget.take("one\ntwo\n") == "one\ntwo\n"
    assert not budget.flooded
    assert budget.take("three\nfour\nfive\n") == "three\n"
    assert budget.take("six\n") == ""
    assert budget.summary() == "3 lines"


def test_a_budget_that_was_overdrawn_again_and_again_shrinks_to_a_few_lines() -> None:
    budget = Budget(1000)
    budget.floods = 1
    budget.renew(1000)
    assert budget.lines == 500
    budget.floods = 50
    budget.renew(1000)
    assert budget.lines == LEAST_LINES
    budget.renew(3)
    assert budget.lines == 3
