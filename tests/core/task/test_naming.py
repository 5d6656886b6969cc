"""What the tables call work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from wirebook.task.naming import name_of


class Sensor:
    def read(self) -> None: ...


class Probe:
    def __call__(self) -> None: ...
    def __repr__(self) -> str:
        return "Probe 7 of " + "a very long row of probes " * 10


def stream() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (stream, "stream"),
        (Sensor().read, "Sensor.read"),
        (partial(partial(stream), 3), "stream"),
        (stream(), "stream"),
        (len, "len"),
    ],
)
def test_work_is_called_by_the_users_function(work: object, name: str) -> None:
    assert name_of(work) == name


def test_what_has_no_name_is_called_by_its_repr_cut_short() -> None:
    probe: Callable[[], None] = Probe()
    assert name_of(probe).startswith("Probe 7 of a very long row")
    assert len(name_of(probe)) == 80
