"""`watch`: displayed once, and given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from traitlets.config import Config

import wirebook
from tests.conftest import ROOT, eventually
from tests.widgets.fakes import FakeReactor
from wirebook_widgets import Connections, watch


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    shell.user_ns.update(watch=watch, reactor=FakeReactor())
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("code", ["view = watch(reactor)", "view = watch(reactor); view", "view = watch(reactor); 1"])
def test_watch_displays_the_dashboard_once(shell: InteractiveShell, code: str) -> None:
    with capture_output() as captured:
        result = shell.run_cell(code, store_history=True)
    result.raise_error()
    shell.user_ns["view"].close()
    (output,) = captured.outputs
    assert "Nothing is open" in output.data["text/html"]
    assert "Nothing is open" not in captured.stdout


@pytest.mark.usefixtures("shell")
def test_watch_without_a_reactor_watches_the_one_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = FakeReactor()
    mine.open(1, label="Mine")
    monkeypatch.setattr(wirebook, "reactor", mine, raising=False)
    with capture_output():
        view = watch()
    assert isinstance(view, Connections)
    assert view.snapshot["totals"]["connections"] == 1
    view.close()


@pytest.mark.usefixtures("shell")
def test_a_view_that_is_watched_ends_its_thread_when_it_is_closed() -> None:
    with capture_output():
        view = watch(FakeReactor())
    view.close()
    assert eventually(lambda: "wirebook-publisher" not in {thread.name for thread in threading.enumerate()})


def test_an_executed_notebook_keeps_the_table_as_html_and_as_widget_state() -> None:
    code = """
        from wirebook_widgets import watch
        from tests.widgets.fakes import FakeReactor
        watch(FakeReactor())
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    (output,) = notebook.cells[0].outputs
    assert "Nothing is open" in output.data["text/html"]
    model = output.data["application/vnd.jupyter.widget-view+json"]["model_id"]
    saved = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"][model]["state"]
    assert saved["snapshot"]["totals"]["ports"] == 0
