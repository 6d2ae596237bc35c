"""Figures from predictions, worked out by hand."""

from __future__ import annotations

import json

import pytest

from trainer.runs.metrics import measure, spread, spread_of, wilson_interval

CLASSES = ("angry", "happy", "sad")
# Rows of the confusion matrix: angry 3 of 4, happy 4 of 5, sad 0 of 2.
LABELS = ["angry"] * 4 + ["happy"] * 5 + ["sad"] * 2
PREDICTIONS = ["angry"] * 3 + ["happy"] + ["happy"] * 4 + ["sad"] + ["angry", "happy"]


def test_every_figure_of_eleven_clips_is_the_one_worked_out_by_hand() -> None:
    result = measure(LABELS, PREDICTIONS, CLASSES)
    assert result.confusion == ((3, 1, 0), (0, 4, 1), (1, 1, 0))
    assert (result.n, result.correct) == (11, 7)
    assert result.accuracy == pytest.approx(7 / 11)
    assert result.recall == {"angry": 3 / 4, "happy": 4 / 5, "sad": 0.0}
    assert result.uar == pytest.approx((3 / 4 + 4 / 5 + 0) / 3)
    # F1 = 2 tp / (2 tp + fp + fn): angry 6 / (6 + 1 + 1), happy 8 / (8 + 2 + 1), sad 0
    assert result.macro_f1 == pytest.approx((6 / 8 + 8 / 11 + 0) / 3)
    assert result.without_clips == ()


def test_the_interval_of_7_of_11_is_wilsons() -> None:
    # z = 1.959964: centre (7/11 + z^2/22) / (1 + z^2/11) = 0.601068, half width 0.247267
    assert wilson_interval(7, 11) == pytest.approx((0.353801, 0.848335), abs=1e-6)
    assert measure(LABELS, PREDICTIONS, CLASSES).interval == wilson_interval(7, 11)


def test_intervals_stay_inside_0_and_1_and_have_width_at_both_ends() -> None:
    # With nothing right the upper end is z^2 / (n + z^2).
    assert wilson_interval(0, 5) == pytest.approx((0.0, 3.841459 / 8.841459), abs=1e-6)
    assert wilson_interval(5, 5) == pytest.approx((5 / 8.841459, 1.0), abs=1e-6)


def test_a_class_without_clips_is_left_out_of_the_means_and_named() -> None:
    result = measure(["angry", "happy"], ["angry", "sad"], CLASSES)
    assert result.recall == {"angry": 1.0, "happy": 0.0, "sad": None}
    assert result.uar == 0.5
    assert result.macro_f1 == 0.5
    assert result.without_clips == ("sad",)


def test_figures_of_no_clip_are_undefined_and_not_zero() -> None:
    result = measure([], [], CLASSES)
    assert (result.n, result.correct) == (0, 0)
    assert (result.accuracy, result.interval, result.uar, result.macro_f1) == (None,) * 4
    assert result.without_clips == CLASSES
    assert result.confusion == ((0, 0, 0),) * 3


def test_the_figures_are_json() -> None:
    text = json.dumps(measure(LABELS, PREDICTIONS, CLASSES).to_json(), allow_nan=False)
    assert json.loads(text)["confusion"] == [[3, 1, 0], [0, 4, 1], [1, 1, 0]]
    assert json.loads(text)["interval"][0] == pytest.approx(0.353801, abs=1e-6)


def test_lists_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 labels and 3 predictions"):
        measure(["angry"] * 2, ["angry"] * 3, CLASSES)
    with pytest.raises(ValueError, match="'bored' is not one of the classes angry, happy, sad"):
        measure(["angry"], ["bored"], CLASSES)


def test_the_spread_over_seeds_has_the_sample_deviation() -> None:
    result = spread([0.25, 0.5, None, 0.75])
    assert (result.mean, result.deviation, result.count) == (0.5, 0.25, 3)
    assert result.values == (0.25, 0.5, None, 0.75)
    assert json.loads(json.dumps(result.to_json())) == {
        "mean": 0.5,
        "deviation": 0.25,
        "count": 3,
        "values": [0.25, 0.5, None, 0.75],
    }


def test_one_value_has_no_deviation_and_none_has_no_mean() -> None:
    assert (spread([0.5]).mean, spread([0.5]).deviation) == (0.5, None)
    assert (spread([None]).mean, spread([]).count) == (None, 0)


def test_each_headline_figure_has_a_spread() -> None:
    good = measure(["angry", "happy"], ["angry", "happy"], CLASSES)
    bad = measure(["angry", "happy"], ["angry", "angry"], CLASSES)
    result = spread_of([good, bad])
    assert result["accuracy"].mean == 0.75
    assert result["uar"].mean == 0.75
    assert result["macro_f1"].mean == pytest.approx((1 + (2 / 3 + 0) / 2) / 2)
