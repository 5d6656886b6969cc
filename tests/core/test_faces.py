"""Names that a face hands on come when they are asked for, stay, and fail clearly."""

from __future__ import annotations

import math
import sys
import xml.dom
from types import ModuleType

import pytest

from wirebook.faces import load

LATER = {"math": ("sqrt",), "nowhere": ("lost",), "cmath": ("nothing",)}


@pytest.fixture
def face(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package with a face."""
    module = ModuleType("face")
    monkeypatch.setitem(sys.modules, "face", module)
    return module


def test_a_name_is_what_its_module_has_and_stays_in_the_face(face: ModuleType) -> None:
    assert load("face", "sqrt", LATER) is math.sqrt
    assert face.sqrt is math.sqrt


def test_a_module_that_names_come_from_can_be_asked_for() -> None:
    assert load("xml", "dom", {"xml.dom": ("Node",)}) is xml.dom


def test_a_name_that_nobody_has_is_an_attribute_that_is_missing(face: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"^module 'face' has no attribute 'sqroot'$"):
        load("face", "sqroot", LATER)


def test_what_is_wrong_with_a_module_is_told_by_its_import(face: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        load("face", "lost", LATER)
    with pytest.raises(AttributeError, match="'cmath' has no attribute 'nothing'"):
        load("face", "nothing", LATER)
