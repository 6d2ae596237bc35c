"""Seconds by step: each is charged once, to the innermost step."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeline.workers import stopwatch
from pipeline.workers.stopwatch import Stopwatch


def clock(monkeypatch: pytest.MonkeyPatch, moments: Iterable[float]) -> None:
    """Let the stopwatch read these moments, one after the other."""
    monkeypatch.setattr(stopwatch.time, "perf_counter", iter(moments).__next__)


def test_a_step_inside_another_counts_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [0, 2, 5, 7, 18, 23, 31, 53])
    watch = Stopwatch()
    with watch.step("other"):  # 0 to 53
        with watch.step("faces"), watch.step("decode"):  # 2 to 18, and in it 5 to 7
            pass
        with watch.step("faces"):  # 23 to 31
            pass
    assert watch.seconds == {"decode": 2, "faces": 14 + 8, "other": 53 - 16 - 8}


def test_making_items_is_charged_and_using_them_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # Begin of all; making of the first, of the second, and to find the end; end of all.
    clock(monkeypatch, [0, 3, 5, 16, 23, 36, 37, 41])
    watch = Stopwatch()
    with watch.step("use"):
        assert list(watch.each("make", iter("ab"))) == ["a", "b"]
    assert watch.seconds == {"make": 2 + 7 + 1, "use": 41 - 10}


def test_shares_of_a_step_are_charged_to_others_and_an_error_keeps_the_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock(monkeypatch, [0, 8, 10, 13])
    watch = Stopwatch()
    with watch.step("network") as shares:
        shares.update(queue=0.5, transfer=0.125)
    with pytest.raises(ValueError, match="lost"), watch.step("network"):
        raise ValueError("lost")
    assert watch.seconds == {"queue": 4, "transfer": 1, "network": 3 + 3}
