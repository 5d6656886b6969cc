"""The table of handles: what a delta holds, what it costs, and what it never forgets."""

from __future__ import annotations

import json
import time
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

import wirebook_widgets
from tests.widgets.fakes import FakeReactor
from wirebook_widgets._table import COLUMNS, COUNTERS, KEPT, LINGER, LONGEST, PIECE, HandleTable

Delta = dict[str, Any]


class Page:
    """A table and what a page that applies its deltas would hold."""

    def __init__(self, reactor: FakeReactor) -> None:
        self.table = HandleTable(reactor, self.describe)
        self.table.observe()
        self.rows: dict[int, Delta] = {}
        self.described: list[Context] = []

    def describe(self, context: Context) -> str:
        self.described.append(context)
        return "3"

    def pull(self, fresh: bool = False) -> Delta | None:
        delta = self.table.delta(self.table.capture(), fresh)
        if delta is None:
            return None
        self.rows = {} if fresh else self.rows
        for row in delta["rows"]:
            self.rows[row[0]] = dict(zip(COLUMNS, row, strict=True))
        for row in delta["counts"]:
            self.rows[row[0]].update(zip(COUNTERS, row, strict=True))
        for number in delta["gone"]:
            del self.rows[number]
        return delta


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


@pytest.fixture
def page(reactor: FakeReactor) -> Page:
    return Page(reactor)


def pull(page: Page, fresh: bool = False) -> Delta:
    delta = page.pull(fresh)
    assert delta is not None
    return delta


def test_a_fresh_delta_shows_what_is_open(reactor: FakeReactor, page: Page) -> None:
    reactor.open(1, kind="port", state="listening", role="", peerAddress=None, connectionCount=1)
    reactor.open(2, bytesReceived=10, bytesSent=20)
    delta = pull(page, fresh=True)
    assert delta["totals"] == {"ports": 1, "connections": 1, "received": 10, "sent": 20}
    assert page.rows[1] == {
        "id": 1,
        "kind": "port",
        "transport": "TCP",
        "role": "",
        "state": "listening",
        "local": "127.0.0.1:8007",
        "peer": "",
        "protocol": "Echo",
        "cell": "3",
        "born": 100.0,
        "ended": None,
        "received": 0,
        "sent": 0,
        "open": 1,
    }


def test_a_fresh_delta_of_an_empty_reactor_is_not_nothing(page: Page) -> None:
    assert pull(page, fresh=True)["rows"] == []


def test_no_change_is_no_delta(reactor: FakeReactor, page: Page) -> None:
    reactor.open(1)
    page.pull(fresh=True)
    assert page.pull() is None


def test_changed_counters_are_sent_alone(reactor: FakeReactor, page: Page) -> None:
    busy = reactor.open(1)
    reactor.open(2)
    page.pull(fresh=True)
    busy.bytesReceived = 5
    delta = pull(page)
    assert delta["rows"] == []
    assert delta["counts"] == [[1, 5, 0, 0]]


def test_a_changed_state_sends_the_row_again(reactor: FakeReactor, page: Page) -> None:
    handle = reactor.open(1, state="connecting", localAddress=None)
    page.pull(fresh=True)
    handle.state, handle.localAddress = "open", "127.0.0.1:5000"
    page.pull()
    assert (page.rows[1]["state"], page.rows[1]["local"]) == ("open", "127.0.0.1:5000")


def test_the_cell_is_asked_for_with_the_context_of_the_handle(reactor: FakeReactor, page: Page) -> None:
    handle = reactor.open(1)
    page.pull(fresh=True)
    assert page.described == [handle.context]


def test_a_closed_handle_stays_for_a_while_and_then_goes(reactor: FakeReactor, page: Page) -> None:
    handle = reactor.open(1)
    page.pull(fresh=True)
    handle.bytesSent = 9
    reactor.now += 1
    reactor.close(handle)
    page.pull()
    assert (page.rows[1]["state"], page.rows[1]["ended"], page.rows[1]["sent"]) == ("closed", 101.0, 9)
    reactor.now += LINGER - 0.1
    assert page.pull() is None
    reactor.now += 0.2
    assert pull(page)["gone"] == [1]
    assert page.rows == {}


def test_a_connection_that_opens_and_closes_between_two_deltas_is_seen(reactor: FakeReactor, page: Page) -> None:
    page.pull(fresh=True)
    reactor.close(reactor.open(1, bytesReceived=3))
    delta = pull(page)
    assert page.rows[1]["state"] == "closed"
    assert delta["totals"] == {"ports": 0, "connections": 0, "received": 3, "sent": 0}


def test_a_handle_whose_state_says_closed_before_it_is_told_still_gets_its_end(
    reactor: FakeReactor, page: Page
) -> None:
    handle = reactor.open(1, state="closed")
    page.pull(fresh=True)
    reactor.handles.closed(handle)
    page.pull()
    assert page.rows[1]["ended"] == 100.0


def test_timers_are_no_rows(reactor: FakeReactor, page: Page) -> None:
    page.pull(fresh=True)
    reactor.close(reactor.open(1, kind="timer"))
    assert page.pull() is None


def test_bytes_of_closed_connections_stay_in_the_totals(reactor: FakeReactor, page: Page) -> None:
    reactor.open(1, kind="port", bytesReceived=1000)
    reactor.close(reactor.open(2, bytesReceived=40, bytesSent=1))
    reactor.open(3, bytesReceived=2)
    reactor.now += 2 * LINGER
    assert pull(page, fresh=True)["totals"] == {"ports": 1, "connections": 1, "received": 42, "sent": 1}


def test_the_number_of_closed_rows_is_bounded(reactor: FakeReactor, page: Page) -> None:
    for number in range(3 * KEPT):
        reactor.close(reactor.open(number, bytesReceived=1))
    delta = pull(page, fresh=True)
    assert len(delta["rows"]) == KEPT
    assert delta["totals"]["received"] == 3 * KEPT


def test_nothing_is_kept_once_nobody_looks(reactor: FakeReactor, page: Page) -> None:
    reactor.open(1)
    page.pull(fresh=True)
    page.table.unobserve()
    reactor.close(reactor.open(2))
    assert page.table.capture().closed == []
    assert page.pull(fresh=True) is not None
    assert list(page.rows) == [1]


def test_names_are_cut(reactor: FakeReactor, page: Page) -> None:
    reactor.open(1, label="x" * 10_000)
    page.pull(fresh=True)
    assert len(page.rows[1]["protocol"]) == LONGEST


def test_a_large_table_comes_in_pieces_that_all_arrive(reactor: FakeReactor, page: Page) -> None:
    for number in range(3 * PIECE + 1):
        reactor.open(number)
    delta = pull(page, fresh=True)
    assert delta["totals"]["connections"] == 3 * PIECE + 1
    pieces = [delta]
    while delta["more"]:
        delta = pull(page)
        pieces.append(delta)
    assert [len(piece["rows"]) for piece in pieces] == [PIECE, PIECE, PIECE, 1]
    assert len(page.rows) == 3 * PIECE + 1


def test_busy_rows_take_turns(reactor: FakeReactor, page: Page) -> None:
    handles = [reactor.open(number) for number in range(2 * PIECE)]
    page.pull(fresh=True)
    page.pull()
    sent: set[int] = set()
    for received in (1, 2):
        for handle in handles:
            handle.bytesReceived = received
        sent.update(row[0] for row in pull(page)["counts"])
    assert len(sent) == 2 * PIECE


def test_ten_thousand_busy_connections_cost_little_a_delta(reactor: FakeReactor, page: Page) -> None:
    handles = [reactor.open(number, label="HTTPChannel") for number in range(10_000)]
    page.pull(fresh=True)
    costs, sizes = [], []
    for received in range(1, 31):
        for handle in handles:
            handle.bytesReceived = received * 1_000_000
        started = time.thread_time()
        delta = page.table.delta(page.table.capture(), False)
        sizes.append(len(json.dumps(delta)))
        costs.append(time.thread_time() - started)
    costs.sort()
    # What it may cost is far above what it does (some 20 ms), so that a loaded machine does not fail.
    assert costs[len(costs) // 2] < 0.15
    assert max(sizes) < 150_000


def test_the_pages_script_knows_the_same_columns() -> None:
    script = (Path(wirebook_widgets.__file__).parent / "static" / "store.js").read_text()
    listed = script.partition("COLUMNS = [")[2].partition("]")[0]
    assert tuple(json.loads(f"[{listed.strip().rstrip(',')}]")) == COLUMNS
