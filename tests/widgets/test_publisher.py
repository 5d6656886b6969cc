"""When messages go, to whom, and what ends them: the pace, the publisher step by step, its thread."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from tests.conftest import Reports, eventually
from wirebook_widgets._publisher import (
    BREATH,
    BURST,
    FEW,
    INTERVAL,
    OUTSTANDING,
    PAGES,
    REST,
    STALL,
    Pace,
    Publisher,
)

cell: ContextVar[str] = ContextVar("cell", default="none")


def looking(*pages: str, outstanding: int = OUTSTANDING) -> Pace:
    pace = Pace(0.0, outstanding)
    for page in pages:
        pace.look(page, 0)
    return pace


def send_all(pace: Pace, until: float, *answering: str) -> list[float]:
    """Send whenever the pace allows, pages `answering` at once; when the messages went."""
    times: list[float] = []
    while (due := pace.due()) is not None and due <= until:
        pace.prepared(due, 0.0)
        pace.sent(due)
        times.append(due)
        for page in answering:
            pace.ack(page, pace.number)
    return times


# ------------------------------------------------------------------------------------------ pace


def test_nothing_is_due_before_a_page_looks() -> None:
    assert Pace(0.0).due() is None


def test_a_page_that_looks_gets_a_message_at_once_and_a_complete_one() -> None:
    pace = looking("a")
    assert pace.due() == 0.0
    assert pace.fresh


def test_messages_that_are_acknowledged_go_ten_a_second_at_most() -> None:
    times = send_all(looking("a"), 1.0, "a")
    assert times == pytest.approx([number * INTERVAL for number in range(11)])


def test_the_next_message_waits_for_the_acknowledgement() -> None:
    pace = looking("a")
    pace.prepared(0.0, 0.0)
    pace.sent(0.0)
    assert pace.due() == STALL
    pace.ack("a", 1)
    assert pace.due() == INTERVAL


def test_a_silent_page_gets_one_message_a_second_until_too_many_are_outstanding() -> None:
    times = send_all(looking("a", outstanding=4), inf)
    assert times == [0.0, 1.0, 2.0, 3.0]


def test_a_page_that_was_given_up_comes_back_with_an_acknowledgement() -> None:
    pace = looking("a", outstanding=4)
    send_all(pace, inf)
    pace.ack("a", 4)
    assert pace.due() == 3.0 + INTERVAL
    assert not pace.fresh


def test_a_page_that_was_given_up_comes_back_by_looking_and_gets_a_complete_message() -> None:
    pace = looking("a", outstanding=4)
    send_all(pace, inf)
    pace.look("a", 2)
    assert pace.due() is not None
    assert pace.fresh


def test_a_silent_page_holds_an_answering_one_up_for_a_few_messages_only() -> None:
    times = send_all(looking("a", "gone"), 5.0, "a")
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[: FEW - 1] == [STALL] * (FEW - 1)
    assert max(gaps[FEW - 1 :]) < STALL


def test_a_page_that_is_hidden_gets_nothing() -> None:
    pace = looking("a")
    pace.hide("a", 1.0)
    assert pace.due() is None


def test_a_page_that_looks_again_and_missed_nothing_needs_no_complete_message() -> None:
    pace = looking("a")
    send_all(pace, 1.0, "a")
    pace.hide("a", 1.0)
    pace.look("a", pace.number)
    assert not pace.fresh


def test_a_lost_message_leads_to_a_complete_one() -> None:
    pace = looking("a")
    send_all(pace, 1.0, "a")
    pace.resync("a")
    assert pace.fresh
    assert pace.due() is not None


def test_an_acknowledgement_from_the_future_counts_as_one_of_the_last_message() -> None:
    pace = looking("a")
    pace.prepared(0.0, 0.0)
    pace.sent(0.0)
    pace.ack("a", 10**9)
    pace.prepared(INTERVAL, 0.0)
    pace.sent(INTERVAL)
    assert pace.due() == INTERVAL + STALL


def test_a_steady_stream_pauses_so_that_clients_can_connect() -> None:
    times = send_all(looking("a"), 10.0, "a")
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps[:BURST]) == pytest.approx(BREATH)
    assert sum(gap >= 0.3 for gap in gaps) >= 4


def test_a_delta_that_is_dear_is_made_less_often() -> None:
    pace = looking("a")
    pace.prepared(0.0, 0.05)
    assert pace.due() == pytest.approx(1.0)


def test_the_number_of_pages_is_bounded() -> None:
    pace = looking(*(f"page {number}" for number in range(10 * PAGES)))
    pace.prepared(0.0, 0.0)
    pace.sent(0.0)
    for number in range(9 * PAGES, 10 * PAGES):
        pace.ack(f"page {number}", 1)
    assert pace.due() == INTERVAL


# ------------------------------------------------------------------------- the publisher, stepped


class FakeView:
    """A view with a counter to show."""

    def __init__(self) -> None:
        self.value = 0
        self.told: int | None = None
        self.sent: list[dict[str, Any]] = []
        self.cells: list[str] = []
        self.log: list[str] = []
        self.broken = False

    def wake(self) -> None:
        self.log.append("wake")

    def rest(self) -> None:
        self.log.append("rest")

    def capture(self) -> int:
        return self.value

    def delta(self, captured: int, fresh: bool) -> dict[str, Any] | None:
        if self.broken:
            raise ValueError("no such picture")
        if not fresh and captured == self.told:
            return None
        self.told = captured
        return {"value": captured}

    def send(self, content: dict[str, Any]) -> None:
        self.sent.append(content)
        self.cells.append(cell.get())


class Stepper:
    """A publisher without a thread: the test is the thread."""

    def __init__(self) -> None:
        self.now = 0.0
        self.publisher = Publisher(clock=lambda: self.now, start=lambda run: None)

    def step(self, seconds: float = 0.0) -> float | None:
        """Let so much time pass and do what is due."""
        self.now += seconds
        self.publisher.drain(self.now)
        return self.publisher.step(self.now)

    def say(self, view: FakeView, kind: str, number: object = 0, page: object = "a") -> None:
        """A message from a page."""
        self.publisher.hear(view, {"type": kind, "page": page, "seq": number})


@pytest.fixture
def steps() -> Stepper:
    return Stepper()


@pytest.fixture
def view(steps: Stepper) -> FakeView:
    view = FakeView()
    steps.publisher.open(view)
    steps.step()
    return view


def test_a_displayed_view_is_silent_until_a_page_looks(steps: Stepper, view: FakeView) -> None:
    steps.step(1.0)
    assert view.log == ["wake"]
    assert view.sent == []


def test_the_first_message_is_complete_and_has_number_1(steps: Stepper, view: FakeView) -> None:
    steps.say(view, "look")
    steps.step()
    assert view.sent == [{"type": "delta", "seq": 1, "full": True, "body": {"value": 0}}]


def test_nothing_is_sent_when_nothing_changed(steps: Stepper, view: FakeView) -> None:
    steps.say(view, "look")
    steps.step()
    steps.say(view, "ack", 1)
    for _ in range(50):
        steps.step(INTERVAL)
    assert len(view.sent) == 1


def test_a_change_is_sent_with_the_next_number(steps: Stepper, view: FakeView) -> None:
    steps.say(view, "look")
    steps.step()
    steps.say(view, "ack", 1)
    view.value = 7
    steps.step(INTERVAL)
    assert view.sent[1] == {"type": "delta", "seq": 2, "full": False, "body": {"value": 7}}


def test_a_resync_is_answered_with_a_complete_message(steps: Stepper, view: FakeView) -> None:
    steps.say(view, "look")
    steps.step()
    steps.say(view, "resync")
    steps.step(INTERVAL)
    assert view.sent[1] == {"type": "delta", "seq": 2, "full": True, "body": {"value": 0}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"type": "look"},
        {"type": "look", "page": 7},
        {"type": "look", "page": "x" * 65},
        {"type": "look", "page": "a", "seq": "1"},
        {"type": "other", "page": "a"},
    ],
)
def test_a_malformed_message_changes_nothing(steps: Stepper, view: FakeView, content: dict[str, Any]) -> None:
    steps.publisher.hear(view, content)
    steps.step(1.0)
    assert view.sent == []


def test_step_tells_when_it_wants_to_be_called_again(steps: Stepper, view: FakeView) -> None:
    assert steps.step() == REST
    steps.say(view, "look")
    assert steps.step() == pytest.approx(STALL)
    steps.say(view, "ack", 1)
    assert 0 < (steps.step() or 0) <= STALL


def test_a_view_that_nobody_looks_at_rests_and_wakes_when_somebody_does(steps: Stepper, view: FakeView) -> None:
    assert steps.step(REST) is None
    assert view.log == ["wake", "rest"]
    steps.say(view, "look")
    steps.step()
    assert view.log == ["wake", "rest", "wake"]
    assert view.sent[0]["full"]


def test_messages_are_sent_in_the_context_of_the_cell_that_displayed_the_view(steps: Stepper) -> None:
    view = FakeView()
    token = cell.set("cell 3")
    steps.publisher.open(view)
    cell.reset(token)
    steps.step()
    steps.say(view, "look")
    steps.step()
    assert view.cells == ["cell 3"]


def test_an_answer_does_not_wait_for_the_pace(steps: Stepper, view: FakeView) -> None:
    steps.publisher.tell(view, {"type": "answer"})
    steps.step()
    assert view.sent == [{"type": "answer"}]


def test_a_closed_view_rests_and_hears_nothing(steps: Stepper, view: FakeView) -> None:
    steps.publisher.close(view)
    steps.say(view, "look")
    steps.publisher.tell(view, {"type": "answer"})
    steps.step(1.0)
    assert view.log == ["wake", "rest"]
    assert view.sent == []


def test_a_view_that_is_opened_twice_is_published_once(steps: Stepper, view: FakeView) -> None:
    steps.publisher.open(view)
    steps.say(view, "look")
    steps.step()
    assert view.log == ["wake"]
    assert len(view.sent) == 1


def test_a_view_that_fails_is_reported_once_and_the_others_go_on(
    steps: Stepper, view: FakeView, reported: Reports
) -> None:
    other = FakeView()
    steps.publisher.open(other)
    view.broken = True
    for _ in range(3):
        steps.say(view, "look")
        steps.say(other, "look")
        steps.step(INTERVAL)
    (record,) = reported()
    assert "is no longer updated" in record.getMessage()
    assert view.log == ["wake", "rest"]
    assert other.sent


# ------------------------------------------------------------------------------------ the thread


def publisher_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wirebook-publisher"]


def test_one_daemon_thread_runs_from_the_first_view_to_the_last() -> None:
    publisher, first, second = Publisher(), FakeView(), FakeView()
    assert publisher_threads() == []
    publisher.open(first)
    publisher.open(second)
    (thread,) = publisher_threads()
    assert thread.daemon
    assert vars(thread)["pydev_do_not_trace"]
    publisher.close(first)
    publisher.hear(second, {"type": "look", "page": "a", "seq": 0})
    assert eventually(lambda: second.sent)
    publisher.close(second)
    thread.join(5)
    assert publisher_threads() == []


def test_a_view_that_opens_after_the_last_one_closed_is_published_by_a_new_thread() -> None:
    publisher = Publisher()
    for _ in range(20):
        view = FakeView()
        publisher.open(view)
        publisher.hear(view, {"type": "look", "page": "a", "seq": 0})
        assert eventually(lambda view=view: view.sent)  # type: ignore[misc]
        publisher.close(view)
    assert eventually(lambda: not publisher_threads())
