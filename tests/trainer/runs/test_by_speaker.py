"""Uncertainty by speaker, against enumerations and figures worked out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from trainer.runs import by_speaker
from trainer.runs.by_speaker import (
    compare_by_speaker,
    explain_absence,
    flip_signs,
    measure_by_speaker,
)
from trainer.runs.metrics import wilson_interval


def clips_of(*groups: tuple[str, int, int]) -> tuple[list[bool], list[str | None]]:
    """Each speaker's name, number of clips and number of right ones."""
    correct = [i < right for _, n, right in groups for i in range(n)]
    return correct, [name for name, n, _ in groups for _ in range(n)]


def test_of_two_speakers_one_right_and_one_wrong_nothing_is_known() -> None:
    # Drawn twice from two: both x (1), both y (0) or one of each, a quarter, a quarter, a half.
    found = measure_by_speaker(*clips_of(("x", 50, 50), ("y", 50, 0)))
    assert found is not None
    assert found.interval == (0.0, 1.0)
    assert (found.speakers, found.samples) == (2, 10_000)
    low, high = wilson_interval(50, 100) or (0.0, 1.0)
    assert high - low < 0.2  # which is what a hundred independent clips would tell


def test_speakers_drawn_again_are_as_all_draws_enumerated() -> None:
    groups = (("a", 2, 1), ("b", 3, 3), ("c", 5, 1))
    found = measure_by_speaker(*clips_of(*groups))
    # All 27 draws of three from three are equally likely. The outermost, each 1/27 > 2.5 %, are
    # three times c (1/5) and three times b (3/3).
    draws = [
        sum(right for _, _, right in drawn) / sum(n for _, n, _ in drawn)
        for drawn in itertools.product(groups, repeat=3)
    ]
    assert found is not None
    assert found.interval == (min(draws), max(draws)) == (0.2, 1.0)


def test_quantiles_inside_are_those_of_the_enumeration() -> None:
    # With 5 speakers there are 3125 draws and the 2.5 % lie inside.
    groups = [(name, 2 + i, (i * 7) % (3 + i)) for i, name in enumerate("abcde")]
    draws = np.array(
        [
            sum(right for _, _, right in drawn) / sum(n for _, n, _ in drawn)
            for drawn in itertools.product(groups, repeat=5)
        ]
    )
    found = measure_by_speaker(*clips_of(*groups))
    assert found is not None
    # 10,000 draws estimate a share of 0.025 with a deviation of 0.0016.
    assert (draws < found.interval[0]).mean() == pytest.approx(0.025, abs=0.008)
    assert (draws > found.interval[1]).mean() == pytest.approx(0.025, abs=0.008)


def test_each_speaker_has_a_row_in_natural_order() -> None:
    found = measure_by_speaker(*clips_of(("s10", 3, 1), ("s2", 5, 5)))
    assert found is not None
    assert list(found.per_speaker) == ["s2", "s10"]
    assert found.to_json()["per_speaker"]["s10"] == {"n": 3, "correct": 1, "accuracy": 1 / 3}


def test_the_order_of_clips_and_the_size_of_a_draw_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    correct, speakers = clips_of(("a", 7, 5), ("b", 11, 3), ("c", 2, 2))
    whole = measure_by_speaker(correct, speakers)
    assert whole == measure_by_speaker(correct[::-1], speakers[::-1])
    monkeypatch.setattr(by_speaker, "_MOST_DRAWN", 3 * 1001)
    assert measure_by_speaker(correct, speakers) == whole


@pytest.mark.parametrize(
    ("speakers", "reason"),
    [
        ((), "there are no clips"),
        ((None, None), "the predictions name no speaker"),
        (("a", None, "b"), "1 of 3 clips don't name their speaker"),
        (("a", "a"), "all clips are of one speaker"),
        (("a", "b"), ""),
    ],
)
def test_where_nothing_can_be_said_by_speaker_the_reason_is(
    speakers: Sequence[str | None], reason: str
) -> None:
    assert explain_absence(speakers) == reason
    correct = [True] * len(speakers)
    assert (measure_by_speaker(correct, speakers) is None) is bool(reason)
    assert (compare_by_speaker(correct, correct, speakers) is None) is bool(reason)


def test_the_sign_flip_test_of_three_speakers_is_the_one_worked_out_by_hand() -> None:
    # +-2 +-1 +-1: sums 4, 2, 2, 0, 0, -2, -2, -4. Two of the eight are as far out as 4.
    assert flip_signs([2, 1, 1]) == 2 / 8
    assert flip_signs([2, 1, -1]) == 6 / 8  # sum 2: all but the two zeros
    assert flip_signs([-2, -1, -1]) == 2 / 8
    assert flip_signs([1, -1, 0]) == 1.0
    assert flip_signs([0, 0]) == 1.0
    assert flip_signs([]) == 1.0


def test_the_sign_flip_test_is_as_all_exchanges_enumerated() -> None:
    gains = [3, -1, 4, 1, -5, 9, 2, -6, 5, 3]
    sums = [
        abs(sum(s * g for s, g in zip(signs, gains, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(gains))
    ]
    expected = sum(value >= abs(sum(gains)) for value in sums) / len(sums)
    assert flip_signs(gains) == pytest.approx(expected, rel=1e-12)
    assert flip_signs([3] * 1000) == 2.0**-999  # 2 of 2^1000, and no time


def test_a_gain_that_one_speaker_makes_is_no_gain_of_speakers() -> None:
    # b wins 30 clips of x and loses none; the other three speakers are as before.
    a, speakers = clips_of(("x", 40, 0), ("y", 40, 20), ("z", 40, 20), ("u", 40, 20))
    b, _ = clips_of(("x", 40, 30), ("y", 40, 20), ("z", 40, 20), ("u", 40, 20))
    found = compare_by_speaker(a, b, speakers)
    assert found is not None
    assert found.difference == 30 / 160
    assert (found.better_a, found.better_b, found.speakers) == (0, 1, 4)
    assert found.p_value == 1.0  # one speaker may as well have gone the other way
    # x is not drawn at all in (3/4)^4 = 32 % of the draws
    assert found.interval[0] == 0.0
    turned = compare_by_speaker(b, a, speakers)
    assert turned is not None
    assert turned.difference == -found.difference
    assert turned.interval == pytest.approx((-found.interval[1], -found.interval[0]))
