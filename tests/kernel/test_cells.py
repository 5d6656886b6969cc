"""Which run of which cell is at work; with a shell that is only what `Cells` knows of one."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from wirebook import reactor
from wirebook_kernel.cells import Cell, Cells, cell_of, current_cell, describe_cell
from wirebook_kernel.sharing import SWITCH_INTERVAL


@dataclass
class Shell:
    """A shell that handles the message `message`."""

    execution_count: int = 1
    message: str = "m1"
    metadata: dict[str, Any] = field(default_factory=dict)
    code: str = "code"

    def get_parent(self) -> dict[str, Any]:
        header = {"msg_id": self.message, "msg_type": "execute_request"}
        return {"header": header, "metadata": self.metadata, "content": {"code": self.code}}


@dataclass(frozen=True)
class Info:
    """As IPython's ``ExecutionInfo``."""

    raw_cell: str = "code"
    cell_id: str | None = None
    store_history: bool = True


@dataclass(frozen=True)
class Result:
    """As IPython's ``ExecutionResult``."""

    info: Info


class Session:
    """A shell whose cells are followed, and the runs that were not their cell's first."""

    def __init__(self) -> None:
        self.shell = Shell()
        self.again: list[Cell] = []
        self.cells = Cells(self.shell, self.again.append)

    def begin(self, info: Info, message: str) -> Cell | None:
        """A cell begins; returns the current one."""
        self.shell.message = message
        self.shell.execution_count += info.store_history
        self.cells.begin(info)
        return current_cell.get()

    def run(self, info: Info, message: str) -> Cell | None:
        """A cell begins and ends."""
        cell = self.begin(info, message)
        self.cells.end(Result(info))
        return cell


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    usual = sys.getswitchinterval()
    yield session
    session.cells.leave()
    assert sys.getswitchinterval() == usual


def test_a_run_has_the_cells_id_its_number_and_counts(session: Session) -> None:
    first = session.run(Info(cell_id="a"), "m1")
    again = session.run(Info(cell_id="a"), "m2")
    assert first is not None
    assert again is not None
    assert (first.id, first.number, first.run) == ("a", 1, 1)
    assert (again.id, again.number, again.run) == ("a", 2, 2)
    assert again.parent_header["msg_id"] == "m2"


def test_only_a_cell_that_ran_before_is_run_again(session: Session) -> None:
    session.run(Info(cell_id="a"), "m1")
    session.run(Info(cell_id="b"), "m2")
    assert session.again == []
    assert session.again == [session.run(Info(cell_id="a"), "m3")]


def test_without_an_id_the_source_is_what_counts(session: Session) -> None:
    first = session.run(Info(raw_cell="listen()"), "m1")
    session.run(Info(raw_cell="listen() # edited"), "m2")
    assert session.again == []
    session.run(Info(raw_cell="listen()\n"), "m3")
    assert first is not None
    assert first.is_known_by_source
    assert [cell.id for cell in session.again] == [first.id]


def test_a_run_knows_its_source_and_which_runs_were_before_it(session: Session) -> None:
    first = session.run(Info(raw_cell="one", cell_id="a"), "m1")
    second = session.run(Info(raw_cell="two", store_history=False), "m2")
    assert first is not None
    assert second is not None
    assert (first.source, second.source) == ("one", "two")
    assert first.order < second.order
    assert not first.is_known_by_source


@pytest.mark.parametrize("messages", [("m1", "m2"), ("", "")], ids=["with messages", "without"])
def test_a_run_is_running_until_its_end(session: Session, messages: tuple[str, str]) -> None:
    earlier = session.run(Info(cell_id="a"), messages[0])
    now = session.begin(Info(cell_id="b"), messages[1])
    assert earlier is not None
    assert now is not None
    assert (session.cells.is_running(earlier), session.cells.is_running(now)) == (False, True)
    session.cells.end(Result(Info()))
    assert not session.cells.is_running(now)


def test_what_a_cell_runs_through_the_shell_belongs_to_that_cell(session: Session) -> None:
    outer = session.begin(Info(raw_cell="%run script"), "m1")
    inner = Info(raw_cell="inside")
    assert session.begin(inner, "m1") is outer
    session.cells.end(Result(inner))
    assert current_cell.get() is outer
    session.cells.end(Result(Info(raw_cell="%run script")))
    assert current_cell.get() is None


def test_a_cancelled_run_ends_without_a_result(session: Session) -> None:
    session.begin(Info(), "m1")
    session.cells.end(None)
    assert current_cell.get() is None


def test_the_switch_interval_is_short_until_the_last_cell_ends(session: Session) -> None:
    usual = sys.getswitchinterval()
    session.begin(Info(raw_cell="one"), "m1")
    session.begin(Info(raw_cell="two"), "m2")
    session.cells.end(Result(Info(raw_cell="two")))
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
    session.shell.message = "m1"
    session.cells.end(Result(Info(raw_cell="one")))
    assert sys.getswitchinterval() == usual


def test_the_cell_that_is_running_can_be_joined(session: Session) -> None:
    session.shell.metadata = {"cellId": "loads"}
    session.shell.execution_count = 5
    session.cells.join()
    cell = current_cell.get()
    assert cell is not None
    assert (cell.id, cell.number) == ("loads", 4)
    session.cells.end(Result(Info()))
    assert current_cell.get() is None


def test_a_shell_without_messages_has_cells_all_the_same() -> None:
    class Terminal:
        execution_count = 2

    cells = Cells(Terminal(), print)
    cells.join()
    assert current_cell.get() is None
    cells.begin(Info())
    assert str(current_cell.get()) == "[1]"
    cells.end(Result(Info()))


def test_a_handle_tells_its_cell_at_any_later_time() -> None:
    context = contextvars.copy_context()
    context.run(current_cell.set, Cell("a", 3, 1))
    call = context.run(reactor.callLater, 3600, print)
    try:
        assert cell_of(call) == Cell("a", 3, 1)
        assert describe_cell(call) == "[3]"
    finally:
        call.cancel()
    outside = reactor.callLater(3600, print)
    outside.cancel()
    assert describe_cell(outside) == ""
