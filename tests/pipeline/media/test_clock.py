from __future__ import annotations

from itertools import pairwise, zip_longest

import pytest

from pipeline.media.packets import Clock


def stamps(times: list[float | None]) -> tuple[list[float], list[str]]:
    clock = Clock(0.1)
    pairs = zip_longest(times, times[1:])
    return [clock.stamp(seconds, following) for seconds, following in pairs], clock.problems()


def test_increasing_stamps_of_any_spacing_are_kept() -> None:
    assert stamps([0.3, 0.31, 2.0, 2.5]) == ([0.3, 0.31, 2.0, 2.5], [])


def test_a_missing_stamp_comes_one_interval_later() -> None:
    times, problems = stamps([None, None, 0.5])
    assert times == pytest.approx([0.0, 0.1, 0.5])
    assert problems == ["frames without a time, placed after the one before: 2"]


def test_a_repeated_stamp_moves_by_half_an_interval_and_leaves_its_neighbours() -> None:
    times, problems = stamps([0.0, 0.1, 0.1, 0.2])
    assert times == pytest.approx([0.0, 0.1, 0.15, 0.2])
    assert problems == ["frames whose time doesn't increase, moved up: 1"]


def test_repeated_stamps_with_room_behind_them_keep_the_interval() -> None:
    times, problems = stamps([0.0, 0.1, 0.05, 0.1, 0.4])
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert problems == ["frames without a time, placed after the one before: 2"]


def test_a_repeated_stamp_at_the_end_comes_one_interval_later() -> None:
    assert stamps([0.0, 0.1, 0.1])[0] == pytest.approx([0.0, 0.1, 0.2])


def test_a_clock_that_starts_again_goes_on() -> None:
    times, problems = stamps([5.0, 5.1, 0.0, 0.1, 0.3])
    assert times == pytest.approx([5.0, 5.1, 5.2, 5.3, 5.5])
    assert problems == ["jumps back of the clock, with later times shifted: 1"]


def test_any_stamps_become_strictly_increasing() -> None:
    times, _ = stamps([0.0, -0.5, 0.0, None, 0.0, -7.0, -6.9, -7.0, 3.0])
    assert all(b > a for a, b in pairwise(times))
