"""The process's reactor."""

from __future__ import annotations

import pytest

import wirebook
from tests.core.deferred_kit import run_python
from wirebook.error import ReactorAlreadyInstalledError
from wirebook.installed import install, the_reactor
from wirebook.transports.reactor import Reactor


def test_the_process_reactor_is_the_one_that_the_face_hands_on() -> None:
    assert the_reactor() is wirebook.reactor


def test_a_second_reactor_cannot_be_installed() -> None:
    other = Reactor()
    with pytest.raises(ReactorAlreadyInstalledError, match="has a reactor already"):
        install(other)
    other.close()


def test_asking_too_early_says_what_to_do() -> None:
    code = "import wirebook.installed as i; i._reactor = None\ntry: i.the_reactor()\nexcept RuntimeError as e: print(e)"
    assert "import wirebook completely first" in run_python(code).stdout
