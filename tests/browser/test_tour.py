"""The tour in a real JupyterLab: what a person sees who runs its cells from top to bottom.

The page is opened once. Each test runs the server's cell again, which also gives it a port of its own, and
talks to it from here, from outside the kernel. To block the kernel a cell that sleeps is added to the copy.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.conftest import BUILD
from tests.browser.lab import Lab, Notebook
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(240)

TOUR = "00-tour.ipynb"
SLEEP = "import time\n\ntime.sleep(120)  # the browser test looks on"
SECONDS = 10
Connect = Callable[[], socket.socket]


def code_cells() -> int:
    """How many code cells the tour has."""
    notebook = nbformat.read(ROOT / "notebooks" / TOUR, as_version=4)
    return sum(cell.cell_type == "code" for cell in notebook.cells)


@pytest.fixture(scope="module")
def tour(context: BrowserContext, lab: Lab) -> Notebook:
    """The tour, each of its cells run once; then comes the cell that sleeps."""
    path = lab.root / TOUR
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(SLEEP))
    nbformat.write(notebook, path)
    opened = Notebook.open(context, lab, TOUR)
    for number in range(code_cells()):
        opened.run(number)
    return opened


@pytest.fixture
def server(tour: Notebook) -> int:
    """The number of the cell that starts the echo server, freshly run."""
    number = tour.find("listenTCP(")
    tour.run(number)
    return number


@pytest.fixture
def connect(tour: Notebook, server: int) -> Iterator[Connect]:
    """Connect to the server of the tour; closed after the test."""
    clients: list[socket.socket] = []

    def open_one() -> socket.socket:
        clients.append(socket.create_connection(("127.0.0.1", port_of(tour, server)), timeout=SECONDS))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


@pytest.fixture
def table(tour: Notebook, server: int) -> Locator:
    """The live table, freshly shown."""
    number = tour.find("watch()")
    tour.run(number)
    grid = tour.outputs(number).get_by_role("grid")
    grid.scroll_into_view_if_needed()
    expect(grid).to_be_visible()
    return grid


@pytest.fixture
def asleep(tour: Notebook, table: Locator) -> Iterator[Callable[[], bool]]:
    """A cell blocks the kernel's main thread for the whole test; the value tells that it still does."""
    number = tour.find(SLEEP)
    before = tour.prompt(number)
    tour.start(number)
    expect(tour.cells.nth(number).locator(".jp-InputPrompt")).to_have_text("[*]:")
    table.scroll_into_view_if_needed()
    yield lambda: tour.running(number)
    tour.interrupt()
    tour.await_done(number, before)


def port_of(tour: Notebook, server: int) -> int:
    """The port that the server's cell shows as its result."""
    found = re.search(r"127\.0\.0\.1:(\d+)", tour.output(server))
    assert found, f"no address in the output of the server's cell: {tour.output(server)!r}"
    return int(found[1])


def echo(client: socket.socket, data: bytes) -> bytes:
    """Send `data` and receive as much."""
    client.sendall(data)
    return client.recv(len(data), socket.MSG_WAITALL)


def row_of(table: Locator, client: socket.socket) -> Locator:
    """The row of the server's side of a connection."""
    return table.locator("tbody tr").filter(has_text=f":{client.getsockname()[1]}")


def value(table: Locator, row: Locator, column: str) -> Locator:
    """The cell of `row` under the heading `column`."""
    headings = [text.strip() for text in table.locator("th").all_inner_texts()]
    return row.locator("td").nth(headings.index(column))


def test_every_cell_of_the_tour_runs(tour: Notebook) -> None:
    prompts = [tour.prompt(number) for number in range(code_cells())]
    assert prompts
    assert all(re.fullmatch(r"\[\d+\]:", prompt) for prompt in prompts), prompts


def test_a_print_of_a_callback_is_under_the_cell_that_started_the_server(
    tour: Notebook, server: int, connect: Connect, asleep: Callable[[], bool]
) -> None:
    echo(connect(), b"written by the browser test")
    expect(tour.outputs(server)).to_contain_text("written by the browser test")
    others = [number for number in range(code_cells() + 1) if number != server]
    assert not any("written by the browser test" in tour.output(number) for number in others)
    assert asleep()


def test_the_byte_counters_grow_while_a_cell_sleeps(
    table: Locator, connect: Connect, asleep: Callable[[], bool]
) -> None:
    client = connect()
    row = row_of(table, client)
    for total in ("10 B", "20 B", "30 B"):
        assert echo(client, b"0123456789") == b"0123456789"
        expect(value(table, row, "In")).to_have_text(total)
        expect(value(table, row, "Out")).to_have_text(total)
    assert asleep()


def test_the_close_button_works_while_a_cell_sleeps(
    table: Locator, connect: Connect, asleep: Callable[[], bool]
) -> None:
    client = connect()
    echo(client, b"hello")
    row_of(table, client).get_by_role("button", name=re.compile("^Close")).click()
    assert client.recv(1) == b"", "the server's side ends in order"
    assert asleep()


def test_running_the_server_cell_again_closes_its_old_port_first(tour: Notebook, server: int, connect: Connect) -> None:
    old = port_of(tour, server)
    tour.run(server)
    new = port_of(tour, server)
    assert echo(connect(), b"the new one answers") == b"the new one answers"
    if new != old:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", old), timeout=SECONDS)


def test_the_table_can_be_looked_at_in_both_themes(
    tour: Notebook, table: Locator, connect: Connect, asleep: Callable[[], bool]
) -> None:
    tour.make_room()
    BUILD.mkdir(exist_ok=True)
    clients = [connect() for _ in range(3)]
    age = value(table, row_of(table, clients[0]), "Age")
    for second, speaking in enumerate((1, 2, 1, 3, 2, 3), 1):
        for client, words in zip(clients[:speaking], (b"hello", b"is anybody there?", b"so am I"), strict=False):
            echo(client, words * speaking)
        expect(age).to_have_text(f"{second}s")
    for theme, name in (("JupyterLab Light", "tour-light"), ("JupyterLab Dark", "tour-dark")):
        tour.set_theme(theme)
        table.evaluate("node => node.closest('.jp-Cell').scrollIntoView({ block: 'end' })")
        tour.page.screenshot(path=BUILD / f"{name}.png", animations="disabled")
    tour.set_theme("JupyterLab Light")
    assert (BUILD / "tour-light.png").read_bytes() != (BUILD / "tour-dark.png").read_bytes()
