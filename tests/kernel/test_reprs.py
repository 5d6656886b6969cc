"""How IPython is told of the pictures: by name, and so that a repr never raises and never waits long."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from wirebook import Deferred, reactor, succeed
from wirebook.task import LoopingCall
from wirebook_kernel import reprs
from wirebook_kernel.reprs import PICTURES, look


def bundle_of(shell: InteractiveShell, value: object) -> dict[str, str]:
    """What a cell with this value shows."""
    formatter = shell.display_formatter
    assert formatter is not None
    data, _ = formatter.format(value)
    return dict(data)


def text_of(shell: InteractiveShell, value: object) -> str:
    """The text; the same words are in the HTML."""
    bundle = bundle_of(shell, value)
    assert bundle["text/html"].startswith("<div")
    return bundle["text/plain"]


@pytest.fixture
def _shown(shell: InteractiveShell) -> Iterator[None]:
    """The shell shows the framework's objects."""
    reprs.install(shell)
    yield
    reprs.uninstall(shell)


@pytest.mark.parametrize("name", PICTURES)
def test_every_name_is_that_of_a_class(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert f"{found.__module__}.{found.__name__}" == name


def test_after_uninstalling_nothing_is_left(shell: InteractiveShell) -> None:
    values: list[object] = [Deferred(), LoopingCall(print)]
    for value in values:
        before = bundle_of(shell, value)
        reprs.install(shell)
        assert bundle_of(shell, value) != before
        reprs.uninstall(shell)
        assert bundle_of(shell, value) == before


@pytest.mark.usefixtures("_shown")
def test_inside_something_else_an_object_takes_one_line(shell: InteractiveShell) -> None:
    assert bundle_of(shell, [succeed(1)])["text/plain"] == "[<Deferred: fired>]"
    assert bundle_of(shell, {1: reactor})["text/plain"] == f"{{1: {reactor!r}}}"


@pytest.mark.usefixtures("_shown")
def test_a_repr_of_a_users_own_comes_first(shell: InteractiveShell) -> None:
    class Mine(LoopingCall):
        def __repr__(self) -> str:
            return "mine"

    assert bundle_of(shell, Mine(print))["text/plain"] == "mine"


class Unspeakable:
    """Its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.usefixtures("_shown")
def test_a_value_whose_repr_raises_is_shown_all_the_same(shell: InteractiveShell) -> None:
    assert "<Unspeakable instance at" in text_of(shell, succeed(Unspeakable()))


def test_a_picture_that_raises_says_so() -> None:
    def draw(shown: object) -> reprs.Shown:
        raise LookupError("gone")

    assert look(7, draw).text() == "<int>\nit cannot be shown: LookupError: gone"


def test_a_repr_does_not_wait_for_a_callback_that_keeps_the_reactor(
    monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell
) -> None:
    monkeypatch.setattr(reprs, "PATIENCE", 0.01)
    held, done = threading.Event(), threading.Event()

    def keep() -> None:
        with reactor.turn():
            held.set()
            done.wait(10)

    keeper = threading.Thread(target=keep)
    keeper.start()
    held.wait(10)
    shown = look(Deferred(), PICTURES["wirebook.deferred.core.Deferred"]).text()
    done.set()
    keeper.join()
    assert shown.startswith("<Deferred: busy>\na callback keeps the reactor")
