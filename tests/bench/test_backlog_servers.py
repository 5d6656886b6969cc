"""What the backlog benchmark's servers measure: stalls are seen, and a flood stops when it is told to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pytest

from tests.bench.backlog_servers import BEAT, PIECE, PIECES, Flood, Heart, Talk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SIZE = 10 * PIECE * PIECES


class Loop:
    """Calls that wait."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def later(self, delay: float, call: Callable[[], None]) -> None:
        """Remember it."""
        self.calls.append((delay, call))

    def turn(self) -> None:
        """Make the calls that wait now."""
        calls, self.calls = self.calls, []
        for _, call in calls:
            call()


def burn(seconds: float) -> None:
    """Use the processor, as a callback does that hogs the loop."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_heart_sees_how_long_the_loop_was_held() -> None:
    loop = Loop()
    heart = Heart(loop.later)
    burn(0.05)
    loop.turn()
    assert heart.longest >= 0.04
    heart.start()
    loop.turn()
    assert heart.longest < 0.04
    assert {delay for delay, _ in loop.calls} == {BEAT}
    heart.close()


@pytest.mark.parametrize(("heeds", "written"), [(True, PIECE * 5), (False, SIZE)])
def test_only_a_flood_that_honours_backpressure_pauses(heeds: bool, written: int) -> None:
    loop, pieces = Loop(), []

    def write(piece: bytes) -> None:
        pieces.append(piece)
        if len(pieces) == 5:
            flood.pauseProducing()

    flood = Flood(SIZE, heeds, write, loop.later)
    flood.resumeProducing()
    for _ in range(20):
        loop.turn()
    assert sum(map(len, pieces)) == written == SIZE - flood.left
    flood.resumeProducing()
    for _ in range(20):
        loop.turn()
    assert flood.left == 0
    assert len(set(pieces)) == len(pieces)


def test_a_report_tells_of_memory_that_was_given_back_since() -> None:
    loop = Loop()
    talk = Talk(loop.later)
    said: list[bytes] = []
    flood = talk.received(b"ignore %d\n" % SIZE, said.append)
    assert flood is not None
    kept = bytearray(b"x") * (64 << 20)
    del kept
    talk.received(b"report\n", said.append)
    report = json.loads(said[0])
    assert report["left"] == SIZE
    assert 60 << 20 < report["grown"] < 80 << 20
    talk.close()
