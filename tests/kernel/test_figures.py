"""A figure that a callback draws with pyplot appears in the callback's cell; the figures of a cell are its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.conftest import NAMES
from tests.kernel.kit import Notebook, Run

DRAWING = """
import matplotlib.pyplot as plt
def draw(*values):
    plt.plot(values)
    print("lines:", len(plt.gca().lines))
def on_reactor(function, *args):
    "A Deferred of the cell, and a call that leaves its outcome there when the cell may have ended."
    came = Deferred()
    reactor.callLater(0.01, lambda: came.callback(function(*args)))
    return came
"""
SERVER = """
class Draws(Protocol):
    def connectionMade(self):
        draw(1, 2, 3)
        {}
        self.transport.loseConnection()
port = reactor.listenTCP(0, Factory.forProtocol(Draws))
"""
LIVE_PLOT = """
figure, axes = plt.subplots()
plt.close()
shown = display(figure, display_id=True)
def draw_again(left):
    axes.plot([1, left])
    shown.update(figure)
    if left > 1:
        reactor.callLater(0.01, draw_again, left - 1)
call = reactor.callLater(0.01, draw_again, 3)
"""
STEPS = """
async def steps():
    for _ in range(2):
        draw(1, 2)
        await reached()
def reached():
    global step
    step = Deferred()
    return step
call = reactor.callLater(0, wirebook.ensureDeferred, steps())
"""
PICTURE = ["image/png", "text/plain"]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """A kernel with pyplot in it."""
    with Notebook() as notebook:
        notebook.run(NAMES + DRAWING)
        yield notebook


def shows(count: int) -> Callable[[Run], bool]:
    """Whether a run has so many displays."""
    return lambda run: len(run.displays) == count


def pictures(run: Run) -> list[list[str]]:
    """The kinds of data of each of its displays."""
    return [sorted(each) for each in run.displays]


@pytest.mark.parametrize("last_words", ["", "plt.show()"])
def test_a_figure_of_a_callback_is_shown_in_its_cell_once(notebook: Notebook, last_words: str) -> None:
    run = notebook.run(SERVER.format(last_words))
    number = notebook.value("port.port")
    others = []
    for count in (1, 2):
        with socket.create_connection(("127.0.0.1", number), 10):
            others.append(notebook.run("'another cell'"))
            run.wait(shows(count))
    others.append(notebook.run("'another cell'"))
    assert pictures(run) == [PICTURE] * 2
    assert run.stdout == "lines: 1\n" * 2
    assert not [each.displays for each in others if each.displays]


def test_callbacks_of_one_iteration_have_a_figure_each(notebook: Notebook) -> None:
    run = notebook.run("%%reactor\nfor number in range(3): reactor.callLater(0, draw, number)")
    run.wait(shows(3))
    assert run.stdout == "lines: 1\n" * 3


def test_a_cell_goes_on_with_its_figure_while_a_callback_draws_another(notebook: Notebook) -> None:
    drawing = notebook.run("start = Deferred().addCallback(lambda _: draw(1, 2))")
    cell = notebook.run("""
        plt.plot([1, 2])
        await on_reactor(start.callback, None)
        draw(1, 2, 3)
    """)
    drawing.wait(shows(1))
    assert drawing.stdout == "lines: 1\n"
    assert cell.stdout == "lines: 2\n"
    assert pictures(cell) == [PICTURE]


def test_a_callback_of_the_running_cell_draws_a_figure_of_its_own(notebook: Notebook) -> None:
    run = notebook.run("draw(1)\nawait on_reactor(draw, 2)\ndraw(3)")
    run.wait(shows(2))
    assert run.stdout == "lines: 1\nlines: 1\nlines: 2\n"


def test_a_callback_that_a_later_cell_calls_draws_in_the_cell_that_attached_it(notebook: Notebook) -> None:
    attached = notebook.run("d = Deferred().addCallback(draw)")
    calling = notebook.run("d.callback(1)")
    attached.wait(shows(1))
    assert (calling.displays, calling.stdout) == ([], "")


def test_a_callback_that_its_own_cell_calls_draws_as_the_cell_does(notebook: Notebook) -> None:
    run = notebook.run("plt.plot([1])\nd = succeed(2).addCallback(draw)")
    assert run.stdout == "lines: 2\n"
    assert pictures(run) == [PICTURE]


def test_each_step_of_a_coroutine_shows_what_it_has_drawn(notebook: Notebook) -> None:
    run = notebook.run(STEPS).wait(shows(1))
    notebook.run("step.callback(None)")
    run.wait(shows(2))
    assert run.stdout == "lines: 1\nlines: 1\n"
    notebook.run("step.callback(None)")


def test_a_figure_that_a_callback_closes_is_not_shown(notebook: Notebook) -> None:
    run = notebook.run(
        "await on_reactor(lambda: (draw(1), plt.close('all')))\nfrom wirebook_kernel import settle; settle()"
    )
    assert (run.displays, run.stderr) == ([], "")


def test_what_cannot_be_drawn_is_reported_and_the_reactor_goes_on(notebook: Notebook) -> None:
    run = notebook.run("call = reactor.callLater(0, lambda: (draw(1), plt.title(r'$\\nonsense$')))")
    run.wait(lambda run: "nonsense" in run.error)
    assert notebook.run("await on_reactor(len, 'abc')").result["text/plain"] == "3"


@pytest.mark.parametrize(
    ("begin", "end"), [("plt.ioff()", "plt.ion()"), ("plt.switch_backend('agg')", "%matplotlib inline")]
)
def test_where_cells_show_nothing_callbacks_show_nothing(notebook: Notebook, begin: str, end: str) -> None:
    notebook.run(begin)
    run = notebook.run("await on_reactor(draw, 1)\nfrom wirebook_kernel import settle; settle()")
    notebook.run(end)
    assert (run.stdout, run.displays, run.stderr) == ("lines: 1\n", [], "")


def test_figures_that_stay_open_are_everybodys(notebook: Notebook) -> None:
    notebook.run("%config InlineBackend.close_figures = False")
    notebook.run("plt.plot([1])")
    run = notebook.run("await on_reactor(draw, 2)")
    notebook.run("%config InlineBackend.close_figures = True\nplt.close('all')")
    assert run.stdout == "lines: 2\n"


def test_a_figure_of_a_cell_is_drawn_again_by_callbacks_while_other_cells_end(notebook: Notebook) -> None:
    live = notebook.run(LIVE_PLOT)
    others = [notebook.run("'another cell'") for _ in range(5)]
    live.wait(lambda run: len(run.of_type("update_display_data")) == 3)
    assert not [each.displays for each in others if each.displays]


def test_in_a_stock_kernel_a_callback_may_be_the_first_to_load_pyplot() -> None:
    with Notebook("python3") as notebook:
        notebook.run("%load_ext wirebook_kernel\n" + NAMES)
        assert notebook.value("'matplotlib' in __import__('sys').modules") is False
        run = notebook.run(
            "call = reactor.callLater(0.01, lambda: exec('import matplotlib.pyplot as plt; plt.plot([1])'))"
        )
        run.wait(shows(1))
        notebook.run("%unload_ext wirebook_kernel")
        assert pictures(notebook.run("import matplotlib.pyplot as plt; plt.plot([1])")) == [PICTURE]
        assert notebook.value("type(plt._pylab_helpers.Gcf.figs).__name__") == "OrderedDict"


def test_the_extension_may_be_loaded_after_pyplot() -> None:
    with Notebook("python3") as notebook:
        assert pictures(notebook.run("import matplotlib.pyplot as plt; plt.plot([1])")) == [PICTURE]
        notebook.run("%load_ext wirebook_kernel")
        run = notebook.run("call = reactor.callLater(0.01, plt.plot, [1])")
        other = notebook.run("'another cell'")
        run.wait(shows(1))
        assert other.displays == []
