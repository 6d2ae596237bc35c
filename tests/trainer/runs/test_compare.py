"""Paired comparison of two runs."""

from __future__ import annotations

import math

import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.compare import Difference, compare_predictions, mcnemar, paired_interval
from trainer.runs.metrics import wilson_interval
from trainer.runs.predictions import PredictionsError
from trainer.runs.terminal import format_comparison

#                  labels   a        b
# both right 2, only a 1, only b 6, both wrong 3 (one of them: two other classes)
LABELS = "aa" + "h" + "ssssss" + "aaa"
A = predictions_of(LABELS, "aa" + "h" + "aaaaaa" + "hhs")
B = predictions_of(LABELS, "aa" + "s" + "ssssss" + "hhh")


def test_mcnemars_test_of_1_against_6_is_the_binomial_tail() -> None:
    # two-sided: 2 * (C(7, 0) + C(7, 1)) / 2^7
    assert mcnemar(1, 6) == pytest.approx(2 * (1 + 7) / 128)
    assert mcnemar(6, 1) == mcnemar(1, 6)
    assert mcnemar(3, 3) == pytest.approx(1.0)
    assert mcnemar(0, 0) == 1.0


def test_two_runs_are_counted_clip_by_clip() -> None:
    result = compare_predictions(A, B)
    assert (result.both_right, result.only_a, result.only_b, result.both_wrong) == (2, 1, 6, 3)
    assert result.n == 12
    assert result.difference == pytest.approx(5 / 12)
    assert result.p_value == pytest.approx(0.125)
    assert result.left_out == (0, 0)
    assert result.interval == paired_interval(2, 6, 1, 3)
    assert len(result.clips) == 1 + 6 + 1
    assert result.clips[0] == Difference("c02", "happy", "happy", "sad")
    assert result.clips[-1] == Difference("c11", "angry", "sad", "happy")


def test_the_comparison_is_json() -> None:
    values = compare_predictions(A, B).to_json()
    assert values["accuracy_a"] == 3 / 12
    assert values["accuracy_b"] == 8 / 12
    assert values["only_b_right"] == 6
    assert values["differing_clips"][0] == {
        "clip": "c02",
        "label": "happy",
        "a": "happy",
        "b": "sad",
    }


def test_swapping_the_runs_turns_the_interval_round() -> None:
    one, other = compare_predictions(A, B), compare_predictions(B, A)
    assert one.difference == -other.difference
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's formula, written from its definition."""
    z, share = 1.959963984540054, right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # 36 both, 12 only first, 2 only second, 0 neither: shares 48/50 and 38/50; ad - bc = -24.
    (low_1, high_1), (low_2, high_2) = wilson(48, 50), wilson(38, 50)
    phi = -24 / math.sqrt(48 * 2 * 38 * 12)
    x, y = 0.96 - low_1, high_2 - 0.76
    below = math.sqrt(x * x - 2 * phi * x * y + y * y)
    x, y = high_1 - 0.96, 0.76 - low_2
    above = math.sqrt(x * x - 2 * phi * x * y + y * y)
    assert paired_interval(36, 12, 2, 0) == pytest.approx((0.2 - below, 0.2 + above))


def test_a_positive_correlation_narrows_the_interval() -> None:
    # 14 both, 5 only first, 0 only second, 22 neither: ad - bc = 308, less n/2 = 20.5.
    (low_1, high_1), (low_2, high_2) = wilson(19, 41), wilson(14, 41)
    phi = (14 * 22 - 41 / 2) / math.sqrt(19 * 22 * 14 * 27)
    x, y = 19 / 41 - low_1, high_2 - 14 / 41
    below = math.sqrt(x * x - 2 * phi * x * y + y * y)
    x, y = high_1 - 19 / 41, 14 / 41 - low_2
    above = math.sqrt(x * x - 2 * phi * x * y + y * y)
    assert paired_interval(14, 5, 0, 22) == pytest.approx((5 / 41 - below, 5 / 41 + above))


def test_a_weak_positive_correlation_is_taken_as_none() -> None:
    # ad - bc = 3 * 3 - 2 * 2 = 5 is not above n / 2 = 5, so the two distances add as if
    # independent; both shares are 5/10 with the Wilson interval 0.5 -+ 0.263405.
    assert paired_interval(3, 2, 2, 3) == pytest.approx(
        (-0.263405 * 2**0.5, 0.263405 * 2**0.5), abs=1e-5
    )


def test_the_interval_has_width_without_a_discordant_pair_and_stays_inside_1() -> None:
    low, high = paired_interval(20, 0, 0, 0)
    assert low < 0 < high
    assert paired_interval(0, 10, 0, 0)[1] == pytest.approx(1.0)


def test_runs_on_other_clips_are_refused_unless_the_common_ones_are_asked_for() -> None:
    fewer = B.select(lambda i: i not in (0, 5))
    with pytest.raises(PredictionsError, match="r1 has 12 clips and r2 10, 10 of them in both"):
        compare_predictions(A, fewer, names=("r1", "r2"))
    result = compare_predictions(A, fewer, common=True)
    assert (result.n, result.left_out) == (10, (2, 0))
    assert (result.both_right, result.only_b) == (1, 5)
    with pytest.raises(PredictionsError, match="run a and run b have no clip in common"):
        compare_predictions(A.select(lambda i: i == 0), A.select(lambda i: i == 1), common=True)


def test_runs_with_other_labels_or_classes_are_refused() -> None:
    with pytest.raises(PredictionsError, match="have another label in run a than in run b"):
        compare_predictions(A, predictions_of("h" * 12, "h" * 12))
    with pytest.raises(PredictionsError, match="they must be the same"):
        compare_predictions(A, predictions_of("aa", "aa", classes=("angry", "bored")))


def test_where_speakers_are_known_the_difference_is_by_speaker() -> None:
    # b gains 2 clips of x, 1 of y and 1 of z: of the 8 exchanges of signs two are as far out.
    a = predictions_of("aaaaaa", "hhahah", speakers="xxxyyz")
    b = predictions_of("aaaaaa", "aaaaaa", speakers="xxxyyz")
    found = compare_predictions(a, b)
    assert found.by_speaker is not None
    assert found.by_speaker.difference == found.difference == 4 / 6
    assert found.by_speaker.p_value == 2 / 8
    assert found.to_json()["by_speaker"]["speakers"] == 3
    text = format_comparison(found, names=("a", "b"))
    assert "b less a, by speaker: +66.7 points, 95 % interval [+50.0, +100.0] (3 speakers" in text
    assert "exact sign-flip test p = 0.25\n" in text
    assert "b gets more clips of 3 speakers right, a of 0\n" in text
    assert "by clip, as if clips were independent: 95 % interval [" in text
    assert "McNemar's exact test p = 0.125\n" in text  # 2 of 2^4
    # a gets 1 of 3, 1 of 2 and 0 of 1 clips right: at worst three times z, at best three times y.
    assert "a: a: accuracy 33.3 % of 6 clips, 95 % interval by speaker [0.0, 50.0], Wil" in text
    low, high = wilson_interval(2, 6) or (0, 0)
    assert f"Wilson's [{100 * low:.1f}, {100 * high:.1f}]\nb: b: accuracy 100.0 % of" in text
    assert found.to_json()["intervals_b"]["by_speaker"] == [1.0, 1.0]


def test_without_speakers_a_comparison_says_what_it_takes_for_granted() -> None:
    found = compare_predictions(A, B)
    assert found.by_speaker is None
    assert (
        "both take clips as independent, and clips of one speaker are not (the predictions "
        "name no speaker)"
    ) in format_comparison(found, names=("a", "b"))
    assert "12 clips, 95 % interval Wilson's [" in format_comparison(found, names=("a", "b"))


def test_an_older_run_takes_its_speakers_from_the_other_and_a_contradiction_has_none() -> None:
    old = predictions_of("aaaa", "aaah")
    new = predictions_of("aaaa", "aahh", speakers="xxyy")
    assert compare_predictions(old, new).by_speaker is not None
    other = predictions_of("aaaa", "aahh", speakers="xxyz")
    found = compare_predictions(new, other)
    assert found.by_speaker is None
    assert found.not_by_speaker == "1 of 4 clips don't name their speaker"
