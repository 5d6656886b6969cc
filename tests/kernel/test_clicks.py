"""What a widget's handler opens belongs to the cell that made the widget, whatever runs when it is clicked."""

from __future__ import annotations

from tests.kernel.kit import Notebook, Run

BUTTON = """
import ipywidgets
button = ipywidgets.Button()
button.on_click(lambda _: {})
"""
LISTEN = "reactor.listenTCP(0, Factory.forProtocol(Protocol))"


def click(notebook: Notebook, name: str = "button") -> None:
    """As the page does, and wait until it is handled."""
    comm = notebook.value(f"{name}.model_id")
    content = {"comm_id": comm, "data": {"method": "custom", "content": {"event": "click"}}}
    Run(notebook, notebook.send("comm_msg", content)).wait(lambda run: len(run.of_type("status")) == 2)


def test_a_port_that_a_click_opens_is_closed_when_the_cell_of_the_button_runs_again(notebook: Notebook) -> None:
    notebook.run(BUTTON.format(LISTEN), cell="buttons")
    notebook.run("pass", cell="another")
    click(notebook)
    assert notebook.value("len(reactor.handles)") == 1
    notebook.run("pass", cell="another")
    assert notebook.value("len(reactor.handles)") == 1
    notebook.run("pass", cell="buttons")
    assert notebook.value("len(reactor.handles)") == 0


def test_a_change_of_a_value_counts_as_a_click(notebook: Notebook) -> None:
    code = f"import ipywidgets\nslider = ipywidgets.IntSlider()\nslider.observe(lambda _: {LISTEN}, 'value')"
    notebook.run(code, cell="sliders")
    comm = notebook.value("slider.model_id")
    update = {"comm_id": comm, "data": {"method": "update", "state": {"value": 7}}}
    notebook.send("comm_msg", update)
    assert notebook.value("len(reactor.handles)") == 1
    notebook.run("pass", cell="sliders")
    assert notebook.value("len(reactor.handles)") == 0


def test_a_widget_that_a_click_makes_belongs_to_the_same_cell(notebook: Notebook) -> None:
    notebook.run(BUTTON.format("globals().update(inner=ipywidgets.Button()) or inner.on_click(opens)"), cell="buttons")
    notebook.run(f"def opens(button): {LISTEN}")
    click(notebook)
    click(notebook, "inner")
    assert notebook.value("len(reactor.handles)") == 1
    notebook.run("pass", cell="buttons")
    assert notebook.value("len(reactor.handles)") == 0


def test_what_an_output_widget_catches_is_left_to_it(notebook: Notebook) -> None:
    notebook.run("output = ipywidgets.Output()")
    notebook.run(BUTTON.format("say()") + "\ndef say():\n    with output: print('caught')")
    published = len(notebook.published)
    click(notebook)
    caught = [message["content"] for message in notebook.published[published:]]
    texts = [content for content in caught if "caught" in str(content)]
    assert len(texts) == 1


def test_the_handler_is_as_before_without_the_extension() -> None:
    with Notebook("python3") as notebook:
        handled = "get_ipython().kernel.shell_handlers['comm_msg'].__self__.__class__.__name__"
        before = notebook.value(handled)
        notebook.run("%load_ext wirebook_kernel")
        assert notebook.value(handled) == "Clicks"
        notebook.run("%unload_ext wirebook_kernel")
        assert notebook.value(handled) == before
        assert not notebook.value("'register_comm' in vars(get_ipython().kernel.comm_manager)")
