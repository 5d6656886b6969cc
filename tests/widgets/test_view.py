"""The base of the views: messages in and out, display, the static fallback, the end."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from wirebook.turn import turn
from wirebook_widgets import views
from wirebook_widgets._publisher import Publisher
from wirebook_widgets._view import Action, Answer, View

WIDGET = "application/vnd.jupyter.widget-view+json"


class Counter(View):
    """A view of one number."""

    _esm = "export default {}"

    def __init__(self, publish: Publisher) -> None:
        self.value = 0
        self.sent: list[dict[str, Any]] = []
        super().__init__(publish)

    @property
    def actions(self) -> Mapping[str, Action]:
        return {"set": self.set_value}

    def set_value(self, content: dict[str, Any], answer: Answer) -> None:
        if content["value"] < 0:
            answer("The value must not be negative.")
        else:
            self.value = content["value"]
            answer(None)

    def capture(self) -> int:
        return self.value

    def delta(self, captured: int, fresh: bool) -> dict[str, Any] | None:
        return {"value": captured}

    def picture(self) -> dict[str, Any]:
        return {"value": self.value}

    def static_html(self, picture: dict[str, Any]) -> str:
        return f"<b>{picture['value']}</b>"

    def static_text(self, picture: dict[str, Any]) -> str:
        return str(picture["value"])

    def send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        self.sent.append(content)


@pytest.fixture
def publisher() -> Publisher:
    return Publisher(clock=lambda: 0.0, start=lambda run: None)


@pytest.fixture
def view(publisher: Publisher) -> Iterator[Counter]:
    view = Counter(publisher)
    yield view
    view.close()


def step(publisher: Publisher, now: float = 0.0) -> None:
    publisher.drain(now)
    publisher.step(now)


def display(view: View) -> dict[str, Any]:
    data, _ = view._repr_mimebundle_()
    return data


def test_a_view_is_found_by_its_comm_until_it_is_closed(view: Counter) -> None:
    number = view.model_id
    assert views.get(number) is view
    view.close()
    assert views.get(number) is None


def test_a_page_that_looks_gets_deltas(view: Counter, publisher: Publisher) -> None:
    display(view)
    view.receive({"type": "look", "page": "a", "seq": 0})
    step(publisher)
    assert view.sent == [{"type": "delta", "seq": 1, "full": True, "body": {"value": 0}}]


def test_a_view_that_was_not_displayed_sends_nothing(view: Counter, publisher: Publisher) -> None:
    view.receive({"type": "look", "page": "a", "seq": 0})
    step(publisher)
    assert view.sent == []


def test_messages_of_a_stock_kernel_arrive_through_on_msg(view: Counter, publisher: Publisher) -> None:
    display(view)
    view._handle_custom_msg({"type": "look", "page": "a", "seq": 0}, [])
    step(publisher)
    assert len(view.sent) == 1


@pytest.mark.parametrize(("value", "error"), [(5, None), (-1, "The value must not be negative.")], ids=["good", "bad"])
def test_a_request_is_carried_out_and_answered(
    view: Counter, publisher: Publisher, value: int, error: str | None
) -> None:
    display(view)
    view.receive({"type": "set", "page": "a", "id": 1, "value": value})
    step(publisher)
    assert view.sent == [{"type": "answer", "page": "a", "id": 1, "error": error}]
    assert view.value == max(0, value)


def test_an_unknown_request_is_answered_with_those_there_are(view: Counter, publisher: Publisher) -> None:
    display(view)
    view.receive({"type": "eat", "page": "a", "id": 1})
    step(publisher)
    assert view.sent[0]["error"] == "'eat' is no request of Counter: it knows set"


@pytest.mark.parametrize("content", [None, "look", [], {}, {"type": ["look"]}, {"type": "set"}, {"type": 1, "id": 1}])
def test_what_is_no_message_is_ignored(view: Counter, publisher: Publisher, content: object) -> None:
    display(view)
    view.receive(content)
    step(publisher)
    assert view.sent == []


def test_messages_may_arrive_on_any_thread_and_in_the_turn(view: Counter, publisher: Publisher) -> None:
    display(view)

    def arrive() -> None:
        with turn:
            view.receive({"type": "look", "page": "a", "seq": 0})

    thread = threading.Thread(target=arrive)
    thread.start()
    thread.join()
    step(publisher)
    assert len(view.sent) == 1


# --------------------------------------------------------------------------------------- display


def test_a_displayed_view_has_a_static_form_beside_the_live_one(view: Counter) -> None:
    data = display(view)
    assert data[WIDGET]["model_id"] == view.model_id
    assert data["text/html"] == "<b>0</b>"
    assert data["text/plain"] == "0"


def test_displaying_keeps_a_picture_in_the_state_that_is_saved(view: Counter) -> None:
    view.value = 3
    display(view)
    assert view.get_state()["snapshot"] == {"value": 3}


def test_closing_keeps_the_last_picture(view: Counter) -> None:
    display(view)
    view.value = 4
    view.close()
    assert view.snapshot == {"value": 4}


def test_a_callback_that_displays_a_view_sets_no_trait(view: Counter) -> None:
    view.value = 3
    with turn:
        data = display(view)
    assert data["text/plain"] == "3"
    assert view.snapshot == {}


def test_closing_twice_is_closing_once(view: Counter) -> None:
    view.close()
    view.close()


def test_a_closed_view_is_published_no_more(view: Counter, publisher: Publisher) -> None:
    display(view)
    view.receive({"type": "look", "page": "a", "seq": 0})
    view.close()
    step(publisher)
    assert view.sent == []


@pytest.fixture
def run_cell(view: Counter) -> Iterator[Callable[[str], int]]:
    """Run code as a cell that knows ``view``; returns how often a view was displayed."""
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    shell.user_ns["view"] = view

    def run(code: str) -> int:
        with capture_output() as captured:
            result = shell.run_cell(code, store_history=True)
        result.raise_error()
        return len(captured.outputs) + len(re.findall(r"^Out\[\d+\]: \S", captured.stdout, re.MULTILINE))

    yield run
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("cells", "displayed"),
    [
        (["view"], [1]),
        (["view.show()"], [1]),
        (["view.show(); view"], [1]),
        (["view.show()", "view"], [1, 1]),
        (["view.show(); view", "view"], [1, 1]),
    ],
)
def test_a_view_is_displayed_as_often_as_a_reader_expects(
    run_cell: Callable[[str], int], cells: list[str], displayed: list[int]
) -> None:
    assert [run_cell(code) for code in cells] == displayed
