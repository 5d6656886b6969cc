"""Messages to live views are handled while a cell is running; all others go ipykernel's way."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from tests.conftest import eventually
from tests.kernel.conftest import ECHO
from tests.kernel.kit import Message, Notebook, Run
from wirebook_kernel.comms import keep_on_subshells, message_to_view
from wirebook_widgets import views


@contextmanager
def blocked(notebook: Notebook) -> Iterator[Run]:
    """The kernel while a cell blocks its main thread."""
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(10)
        run = notebook.start(f"gate = socket.create_connection({gate.getsockname()}); gate.recv(1); gate.close()")
        held, _ = gate.accept()
    with held:
        yield run
    run.wait()


def custom(comm: str, content: Message) -> Message:
    """The content of a message that a page sends to a view."""
    return {"comm_id": comm, "data": {"method": "custom", "content": content}}


def test_a_request_to_a_view_is_answered_while_a_cell_blocks(notebook: Notebook) -> None:
    notebook.run(ECHO)
    comm = notebook.run("view = watch()\nview.model_id", cell="view").result["text/plain"].strip("'")
    handle = notebook.value("port.handleId")
    close = custom(comm, {"type": "close", "page": "a-page", "id": 1, "handle": handle})
    with blocked(notebook) as run:
        sent = Run(notebook, notebook.send("comm_msg", close))
        notebook.pump(lambda: any(is_answer(message) for message in notebook.published))
        assert not run.done
    states = [message["content"]["execution_state"] for message in sent.wait().of_type("status")]
    assert states == ["busy", "idle"]
    assert notebook.value("len(reactor.handles)") == 0
    notebook.run("view.close()")


def is_answer(message: Message) -> bool:
    """Whether a message is a view's answer that a request was carried out."""
    content: Any = message["content"].get("data", {})
    return message["msg_type"] == "comm_msg" and bool(content.get("content", {}).get("type") == "answer")


def test_other_widgets_keep_their_order_with_cells(notebook: Notebook) -> None:
    comm = notebook.run("import ipywidgets; slider = ipywidgets.IntSlider()\nslider.model_id").result["text/plain"]
    update = {"comm_id": comm.strip("'"), "data": {"method": "update", "state": {"value": 7}}}
    with blocked(notebook):
        notebook.send("comm_msg", update)
    assert notebook.value("slider.value") == 7


@pytest.fixture
def frames() -> Callable[[str, object], tuple[Session, list[Any]]]:
    """What a kernel receives when a page sends a message with this content."""
    session = Session(key=b"a key")

    def of(kind: str, content: object) -> tuple[Session, list[Any]]:
        parts = session.serialize(session.msg(kind), ident=b"a page")
        parts[-1] = content if isinstance(content, bytes) else json.dumps(content).encode()
        parts[2] = session.sign(parts[3:])
        return session, [zmq.Frame(part) for part in parts]

    return of


class FakeView:
    """A view as far as the router knows it."""

    comm: Any = None


@pytest.fixture
def view() -> Iterator[FakeView]:
    """A view that is registered under the name "ours"."""
    view = FakeView()
    views["ours"] = view  # type: ignore[assignment]
    yield view
    del views["ours"]


def test_a_custom_message_to_our_view_is_taken_and_stays_readable(frames: Any, view: FakeView) -> None:
    session, parts = frames("comm_msg", custom("ours", {"type": "ack"}))
    message = message_to_view(session, parts)
    assert message is not None
    assert message.view is view
    assert message.content == {"type": "ack"}
    _, rest = session.feed_identities(parts, copy=False)
    assert session.deserialize(rest, content=True, copy=False)["msg_type"] == "comm_msg"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("comm_msg", custom("theirs", {})),
        ("comm_msg", {"comm_id": "ours", "data": {"method": "update", "state": {}}}),
        ("comm_msg", {"comm_id": "ours", "data": None}),
        ("comm_msg", {"comm_id": ["ours"], "data": {}}),
        ("comm_msg", []),
        ("comm_msg", b"\xff no json"),
        ("comm_close", {"comm_id": "ours", "data": {}}),
        ("execute_request", {"code": "1"}),
    ],
)
def test_everything_else_is_left_to_ipykernel(kind: str, content: object, frames: Any, view: FakeView) -> None:
    session, parts = frames(kind, content)
    assert message_to_view(session, parts) is None


def test_a_forged_message_is_left_to_ipykernel(frames: Any, view: FakeView) -> None:
    _, parts = frames("comm_msg", custom("ours", {}))
    assert message_to_view(Session(key=b"another key"), parts) is None


def test_a_comm_of_ours_answers_on_the_subshell_that_the_page_chose(view: FakeView) -> None:
    class Remembers:
        def _reply_subshell_for(self, data: object, default: str | None) -> str | None:
            return "the cell's"

    view.comm = Remembers()
    keep_on_subshells()
    assert view.comm._reply_subshell_for({}, "the page's") == "the page's"


def test_a_comm_without_a_memory_needs_no_help(view: FakeView) -> None:
    view.comm = object()
    keep_on_subshells()
    assert not hasattr(view.comm, "_reply_subshell_for")


def test_ipykernel_still_has_what_is_worked_around(notebook: Notebook) -> None:
    """When this fails, `keep_on_subshells` has nothing left to do."""
    notebook.run("import ipywidgets; widget = ipywidgets.Button()")
    assert notebook.value("hasattr(widget.comm, '_reply_subshell_for')")


def test_a_view_of_a_cell_is_kept_on_subshells(notebook: Notebook) -> None:
    notebook.run("view = watch()")
    assert notebook.value("view.comm._reply_subshell_for({}, 'chosen')") == "chosen"
    notebook.run("view.close()")
    assert eventually(lambda: notebook.value("len(__import__('wirebook_widgets').views)") == 0)
