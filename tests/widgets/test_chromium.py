"""The table in a real browser, loaded as anywidget loads it; the test plays the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from wirebook_widgets import Connections
from wirebook_widgets._table import COLUMNS

START = """async ([script, style, snapshot]) => {
    const sheet = document.createElement("style");
    sheet.textContent = style;
    document.head.append(sheet);
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const widget = (await import(url)).default();
    window.heard = [];
    const model = {
        get: (name) => (name === "snapshot" ? snapshot : undefined),
        send: (content) => heard.push(content),
        on: (name, callback) => { window.deliver = callback; },
        off: () => {},
    };
    await widget.initialize({ model });
    await widget.render({ model, el: document.body });
}"""

Row = dict[str, Any]


@pytest.fixture
def leak_check() -> None:
    """Not here: Playwright keeps threads of its own."""


class Table:
    """A page with the widget, and the kernel's end of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.number = 0
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.rows = page.locator(".wb-row")

    def load(self, snapshot: dict[str, Any] | None = None) -> None:
        self.page.evaluate(START, [str(Connections._esm), str(Connections._css), snapshot or {}])

    def send(self, *rows: Row, full: bool = False, more: bool = False, counts: Any = ()) -> None:
        self.number += 1
        body = picture(*rows) | {"counts": list(counts), "gone": [], "more": more}
        self.deliver({"type": "delta", "seq": self.number, "full": full, "body": body})

    def deliver(self, content: dict[str, Any]) -> None:
        self.page.evaluate("content => deliver(content, [])", content)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        return [content for content in self.page.evaluate("heard") if content["type"] == kind]

    def await_heard(self, kind: str) -> dict[str, Any]:
        self.page.wait_for_function("kind => heard.some(content => content.type === kind)", arg=kind)
        return self.heard(kind)[-1]

    def row(self, number: int) -> Any:
        return self.page.locator(f".wb-row[data-id='{number}']")


def picture(*rows: Row) -> dict[str, Any]:
    totals = {"ports": 0, "connections": len(rows), "received": 0, "sent": 0}
    return {"now": 100.0, "totals": totals, "rows": [[row[name] for name in COLUMNS] for row in rows]}


def connection(number: int, **changes: Any) -> Row:
    return {
        "id": number,
        "kind": "connection",
        "transport": "TCP",
        "role": "server",
        "state": "open",
        "local": "127.0.0.1:8007",
        "peer": f"127.0.0.1:{40000 + number}",
        "protocol": "Echo",
        "cell": "1",
        "born": 90.0,
        "ended": None,
        "received": number,
        "sent": 0,
        "open": 0,
        **changes,
    }


@pytest.fixture
def table(browser: Browser) -> Iterator[Table]:
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    table = Table(page)
    table.load()
    yield table
    page.close()
    assert table.errors == []


def test_the_page_looks_gets_rows_and_acknowledges_them(table: Table) -> None:
    table.await_heard("look")
    expect(table.page.get_by_text("Nothing is open.")).to_be_visible()
    table.send(connection(1), full=True)
    expect(table.row(1)).to_contain_text("127.0.0.1:40001")
    expect(table.page.get_by_text("Nothing is open.")).to_be_hidden()
    assert table.await_heard("ack")["seq"] == 1


def test_until_the_first_delta_the_picture_is_shown(browser: Browser) -> None:
    page = browser.new_page()
    table = Table(page)
    table.load({**picture(connection(1)), "taken": "2026-01-31T12:00:00+00:00"})
    expect(table.row(1)).to_be_visible()
    expect(table.row(1).get_by_role("button", name="Close")).to_be_hidden()
    page.close()


def test_names_from_the_network_are_never_markup(table: Table) -> None:
    evil = "<img src=x onerror=alert(1)>"
    table.send(connection(1, protocol=evil, peer=evil, cell=evil, state=evil, local=evil, role=evil), full=True)
    expect(table.row(1)).to_contain_text(evil)
    assert table.page.locator("img").count() == 0


def test_ten_thousand_rows_are_a_few_dozen_in_the_document(table: Table) -> None:
    numbers = range(1, 10_001)
    for first in numbers[::2500]:
        rows = [connection(number) for number in range(first, first + 2500)]
        table.send(*rows, full=first == 1, more=first < 7501)
    expect(table.rows.first).to_be_visible()
    table.page.locator(".wb-scroll").evaluate("node => { node.scrollTop = node.scrollHeight; }")
    expect(table.row(10_000)).to_be_in_viewport()
    assert table.rows.count() < 60
    assert table.page.get_by_role("grid").get_attribute("aria-rowcount") == "10001"


def test_keys_move_the_row_and_reach_its_buttons(table: Table) -> None:
    table.send(*(connection(number) for number in range(1, 100)), full=True)
    table.row(1).focus()
    for key in ("End", "ArrowUp", "Home", "ArrowDown", "ArrowDown", "Tab", "Enter"):
        table.page.keyboard.press(key)
    assert table.await_heard("close")["handle"] == 3
    expect(table.row(3)).to_contain_text("closing")


def test_what_the_kernel_refuses_is_shown(table: Table) -> None:
    table.send(connection(1), full=True)
    table.row(1).get_by_role("button", name="Reset").click()
    asked = table.await_heard("reset")
    table.deliver({"type": "answer", "page": asked["page"], "id": asked["id"], "error": "The plug is stuck."})
    expect(table.page.get_by_role("alert")).to_contain_text("Could not reset server")
    expect(table.page.get_by_role("alert")).to_contain_text("The plug is stuck.")
    table.page.get_by_role("button", name="Dismiss").click()
    expect(table.page.get_by_role("alert")).to_be_hidden()


def test_a_closed_row_has_no_buttons(table: Table) -> None:
    table.send(connection(1, state="closed", ended=95.0), full=True)
    expect(table.row(1)).to_contain_text("5s")
    expect(table.row(1).get_by_role("button")).to_have_count(0)


def test_the_filter_works_without_the_kernel(table: Table) -> None:
    table.send(connection(1), connection(2, protocol="Chat"), full=True)
    table.page.get_by_label("Filter rows").fill("proto:chat")
    expect(table.rows).to_have_count(1)
    expect(table.page.get_by_role("status")).to_have_text("1 of 2 rows")
    table.page.get_by_label("Filter rows").fill("nonesuch")
    table.page.get_by_role("button", name="Clear the filter").click()
    expect(table.rows).to_have_count(2)


def test_a_click_on_a_heading_sorts(table: Table) -> None:
    table.send(connection(1), connection(2), full=True)
    heading = table.page.get_by_role("button", name="In", exact=True)
    header = table.page.get_by_role("columnheader", name="In", exact=True)
    for direction, first in (("descending", "2"), ("ascending", "1")):
        heading.click()
        expect(header).to_have_attribute("aria-sort", direction)
        expect(table.rows.first).to_have_attribute("data-id", first)


def test_rows_stay_where_they_are_under_the_pointer(table: Table) -> None:
    table.send(connection(1), connection(2), full=True)
    table.page.get_by_role("button", name="In", exact=True).click()
    table.row(2).hover()
    table.send(counts=[[1, 999, 0, 0]])
    expect(table.row(1)).to_contain_text("999 B")
    expect(table.rows.first).to_have_attribute("data-id", "2")
    table.page.get_by_label("Filter rows").hover()
    expect(table.rows.first).to_have_attribute("data-id", "1")


def test_a_paused_table_stands_still_and_loses_nothing(table: Table) -> None:
    table.send(connection(1), full=True)
    expect(table.row(1)).to_be_visible()
    table.page.get_by_role("button", name="Pause").click()
    table.send(connection(2))
    expect(table.page.get_by_text("Paused")).to_be_visible()
    expect(table.rows).to_have_count(1)
    table.page.get_by_role("button", name="Resume").click()
    expect(table.rows).to_have_count(2)
