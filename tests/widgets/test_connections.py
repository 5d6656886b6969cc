"""The connection table as a widget: its requests, its pictures, its script."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest

import wirebook_widgets
from tests.widgets.fakes import FakeReactor
from wirebook_widgets import Connections
from wirebook_widgets._publisher import Publisher


class Sending(Connections):
    """A table whose messages are kept."""

    def __init__(self, reactor: FakeReactor, publish: Publisher) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(reactor, publish)

    def send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        self.sent.append(content)


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def publisher() -> Publisher:
    return Publisher(clock=lambda: 0.0, start=lambda run: None)


@pytest.fixture
def table(reactor: FakeReactor, publisher: Publisher) -> Iterator[Sending]:
    table = Sending(reactor, publisher)
    table._repr_mimebundle_()
    yield table
    table.close()


def request(table: Sending, publisher: Publisher, reactor: FakeReactor, kind: str, handle: object) -> object:
    """What a page gets for pressing a button: the error, or None."""
    table.receive({"type": kind, "page": "a", "id": 1, "handle": handle})
    reactor.run_calls()
    publisher.drain(0.0)
    (answer,) = table.sent
    assert (answer["type"], answer["page"], answer["id"]) == ("answer", "a", 1)
    return answer["error"]


@pytest.mark.parametrize(("kind", "abort"), [("close", False), ("reset", True)])
def test_a_button_closes_the_handle_on_the_reactor(
    table: Sending, publisher: Publisher, reactor: FakeReactor, kind: str, abort: bool
) -> None:
    handle = reactor.open(7)
    table.receive({"type": kind, "page": "a", "id": 1, "handle": 7})
    assert handle.closings == []
    reactor.run_calls()
    publisher.drain(0.0)
    assert handle.closings == [abort]
    assert table.sent == [{"type": "answer", "page": "a", "id": 1, "error": None}]


@pytest.mark.parametrize("handle", [8, None, "7", [7]])
def test_a_button_of_a_handle_that_is_gone_gets_an_error(
    table: Sending, publisher: Publisher, reactor: FakeReactor, handle: object
) -> None:
    reactor.open(7)
    assert request(table, publisher, reactor, "close", handle) == f"Handle {handle!r} is not open any more."


def test_a_close_that_fails_is_answered_with_its_reason(
    table: Sending, publisher: Publisher, reactor: FakeReactor
) -> None:
    reactor.open(7, refusal=OSError("the plug is stuck"))
    assert request(table, publisher, reactor, "close", 7) == "OSError: the plug is stuck"


def test_a_picture_holds_the_first_rows_and_all_of_the_totals(reactor: FakeReactor, table: Sending) -> None:
    for number in range(200):
        reactor.open(number)
    picture = table.picture()
    assert len(picture["rows"]) == 50
    assert picture["totals"]["connections"] == 200
    assert "150 more not shown" in table.static_html(picture)


def test_the_saved_state_is_small(reactor: FakeReactor, table: Sending) -> None:
    for number in range(10_000):
        reactor.open(number)
    table._repr_mimebundle_()
    state = table.get_state()
    assert len(str(state["snapshot"])) < 20_000
    assert len(state["_esm"]) + len(state["_css"]) < 60_000


def test_cells_are_named_by_whoever_knows_them(
    reactor: FakeReactor, table: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = reactor.open(1)
    assert table.picture()["rows"][0][8] == ""
    asked: list[Context] = []

    def describe(context: Context) -> str:
        asked.append(context)
        return "12"

    monkeypatch.setattr(wirebook_widgets, "describe_cell", describe)
    assert table.picture()["rows"][0][8] == "12"
    assert asked == [handle.context]


def test_a_closed_table_observes_nothing(reactor: FakeReactor, table: Sending, publisher: Publisher) -> None:
    publisher.drain(0.0)
    table.close()
    publisher.drain(0.0)
    reactor.close(reactor.open(1))
    assert table.capture().closed == []
