"""The error of a Deferred that a variable or ``Out`` keeps is reported, unless a cell handles it."""

from __future__ import annotations

import pytest

from tests.kernel.kit import Notebook

BOOM = "def boom(value): raise ValueError('it went boom')\n"


def test_it_is_shown_once_in_the_cell_that_made_it_after_another_cell(notebook: Notebook) -> None:
    made = notebook.run(BOOM + "d = Deferred().addCallback(boom)")
    notebook.run("d.callback(1)")
    assert made.stderr == "", "the next cell may handle it"
    others = [notebook.run(f"'cell {number}'") for number in range(3)]
    notebook.drain()
    assert made.stderr.startswith("d has failed, and nothing handles it\n")
    assert made.stderr.count("it went boom") == 2, "once in the source line and once in the message"
    assert [run.stderr for run in others] == [""] * 3


def test_the_value_of_a_cell_is_named_by_its_number(notebook: Notebook) -> None:
    made = notebook.run("wirebook.LoopingCall(lambda: 1 / 0).start(1)")
    number = made.reply["content"]["execution_count"]
    notebook.run("'another cell'")
    made.wait(lambda run: f"Out[{number}] has failed, and nothing handles it" in run.stderr)


@pytest.mark.parametrize("handles", ["d.addErrback(lambda failure: None);", "try: await d\nexcept ValueError: pass"])
def test_an_error_that_the_next_cell_handles_is_not_shown(handles: str, notebook: Notebook) -> None:
    made = notebook.run(BOOM + "d = Deferred().addCallback(boom)")
    fires = notebook.run("d.callback(1)")
    handled = notebook.run(handles)
    notebook.drain()
    assert [run.stderr for run in (made, fires, handled)] == ["", "", ""]


def test_an_error_is_listed_and_can_still_be_handled(notebook: Notebook) -> None:
    notebook.run(BOOM + "d = Deferred().addCallback(boom); d.callback(1)")
    notebook.run("'another cell'")
    assert "d has failed" in notebook.run("%reactor errors").displays[0]["text/plain"]
    assert notebook.run("d.addErrback(lambda failure: print(failure.value));").stdout == "it went boom\n"
