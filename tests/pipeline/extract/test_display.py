from __future__ import annotations

import io

import pytest

from cache.progress import Progress
from pipeline.extract.display import Display
from pipeline.extract.job import ClipResult, SetResult
from pipeline.workers.pulse import Pace


class Log(io.StringIO):
    """Standard error as a log of events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, object]] = []

    def event(self, name: str, **fields: object) -> None:
        self.events.append({"event": name, **fields})


def result(clip: str, state: str) -> ClipResult:
    return ClipResult(clip, {"faces": SetResult(state, ("no video stream",))})


def test_a_clip_of_two_hours_moves_the_bar_and_failures_are_counted_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("cache.progress.time.monotonic", lambda: now)
    log = Log()
    with Progress("clips", log) as progress:
        display = Display(progress, 3, lambda: {"consumer_fill": 0.75, "consumer_wait": 0.5})
        now += 2
        display.pace(Pace(1, 1, 2, 0.0))
        now += 1800  # a quarter of 180,000 frames of a clip of two hours; another is short
        display.pace(Pace(45001, 36001, 2, 0.25))
        now += 2
        display.result(result("short", "failed"))
        display.pace(Pace(45100, 36100, 1, 0.26))
    *_, quarter, failure, last = log.events
    assert quarter["share"] == pytest.approx(0.25 / 3, abs=1e-6)
    assert quarter["detail"] == (
        "45001 frames, 25.0 frames/s, 80% with a face, 2 working, 1 waiting, batches 75% full, "
        "network idle 50%"
    )
    assert failure == {
        "event": "failure",
        "text": "short: failed: no video stream",
        "clip": "short",
        "reason": "no video stream",
    }
    assert (last["done"], last["failed"], last["frames"]) == (1, 1, 45001)


def test_the_bar_never_goes_back_and_ends_full(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("cache.progress.time.monotonic", lambda: now)
    log = Log()
    with Progress("clips", log) as progress:
        display = Display(progress, 2, tell_failures=False)
        for step in (
            lambda: display.pace(Pace(1, 0, 2, 1.5)),
            lambda: display.pace(Pace(1, 0, 2, 0.1)),  # a clip was given up and begun again
            lambda: display.result(result("a", "ok")),
            lambda: display.result(result("b", "failed")),
        ):
            now += 2
            step()
    assert [event["share"] for event in log.events] == [0.0, 0.75, 0.75, 0.75, 1.0]
    assert [event["done"] for event in log.events] == [0, 0, 0, 1, 2]
