"""Calibration, worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trainer.runs.calibration import measure_calibration


def test_the_error_of_five_clips_is_the_one_worked_out_by_hand() -> None:
    probabilities = np.array(
        [
            [0.95, 0.03, 0.02],
            [0.05, 0.91, 0.04],
            [0.1, 0.15, 0.75],
            [0.5, 0.3, 0.2],
            [0.4, 0.4, 0.2],
        ]
    )
    found = measure_calibration(probabilities, [True, False, True, False, True])
    # (0.9, 1.0]: sure 0.93, half right; (0.7, 0.8]: 0.75, right; (0.4, 0.5]: 0.5, wrong;
    # (0.3, 0.4]: 0.4, right.
    by_end = {round(one.high, 1): one for one in found.bins}
    assert {end: one.n for end, one in by_end.items() if one.n} == {1.0: 2, 0.8: 1, 0.5: 1, 0.4: 1}
    assert by_end[1.0].confidence == pytest.approx(0.93)
    assert by_end[1.0].accuracy == 0.5
    assert (by_end[0.6].confidence, by_end[0.6].accuracy) == (None, None)
    expected = (2 * abs(0.5 - 0.93) + abs(1 - 0.75) + abs(0 - 0.5) + abs(1 - 0.4)) / 5
    assert found.ece == pytest.approx(expected)


def test_a_head_that_is_as_often_right_as_it_is_sure_has_no_error() -> None:
    probabilities = np.array([[0.75, 0.25]] * 4 + [[1.0, 0.0]] * 3)
    assert measure_calibration(probabilities, [True] * 3 + [False] + [True] * 3).ece == 0.0


def test_bins_hold_their_upper_end_and_what_rounding_lifts_over_1() -> None:
    tops = [number / 10 for number in range(2, 11)] + [1.0000000000000002]
    probabilities = np.array([[top, 1 - top] for top in tops])
    probabilities[:, 1] = 0.0
    found = measure_calibration(probabilities, [True] * len(tops))
    assert [one.n for one in found.bins] == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    assert [(one.low, one.high) for one in found.bins][:2] == [(0.0, 0.1), (0.1, 0.2)]


def test_without_clips_nothing_is_defined_and_it_is_still_json() -> None:
    found = measure_calibration(np.zeros((0, 3)), [])
    assert found.ece is None
    assert len(found.bins) == 10
    json.dumps(found.to_json(), allow_nan=False)
