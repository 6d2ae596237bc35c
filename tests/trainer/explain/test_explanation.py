"""Explanations as compact JSON."""

from __future__ import annotations

import json

import numpy as np

from tests.trainer.explain_helper import make_explanation
from trainer.explain.explanation import Windows, thin
from trainer.training.predict import Attention


def test_weights_are_percent_of_an_equal_share_and_times_are_differences() -> None:
    attention = {"video": Attention(np.array([0.04, 0.08, 0.2]), np.array([0.5, 0.3, 0.2]))}
    written = make_explanation(attention=attention).to_json()
    assert written["attention"] == {
        "video": {"steps": 3, "times": [40, 40, 120], "weights": [150, 90, 60]}
    }
    assert written["probabilities"] == [200, 500, 300]
    assert written["windows"]["times"] == [500, 250, 250, 250, 250]
    assert written["windows"]["probabilities"][2] == [100, 800, 100]
    assert written["windows"]["milliseconds"] == 1000


def test_a_clip_of_five_seconds_takes_less_than_4_kb() -> None:
    rng = np.random.default_rng(3)
    windows = Windows(0.5 + np.arange(17) / 4, rng.dirichlet(np.ones(7), 17), 1.0)
    attention = {
        "video": Attention(np.arange(150) / 30, rng.dirichlet(np.ones(150))),
        "audio": Attention(np.arange(500) / 100, rng.dirichlet(np.ones(500))),
    }
    classes = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    one = make_explanation(
        "a_clip_with_rather_a_long_name_0001",
        classes=classes,
        probabilities=rng.dirichlet(np.ones(7)),
        windows=windows,
        attention=attention,
    )
    assert len(json.dumps(one.to_json(), separators=(",", ":"))) < 4000


def test_too_many_points_become_means_of_their_neighbours() -> None:
    times, values = thin(2, np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3, 5, 7, 12]))
    np.testing.assert_allclose(times, [0.5, 3.0])
    np.testing.assert_allclose(values, [2.0, 8.0])
    times, values = thin(3, np.arange(3.0), np.eye(3))
    np.testing.assert_array_equal(values, np.eye(3))


def test_what_a_clip_lacks_stays_empty() -> None:
    nothing = np.zeros(0)
    written = make_explanation(
        label=None,
        prediction=None,
        attention={"video": Attention(nothing, nothing)},
        windows=Windows(nothing, np.zeros((0, 3)), 1.0),
    ).to_json()
    assert written["attention"]["video"] == {"steps": 0, "times": [], "weights": []}
    assert written["windows"]["probabilities"] == []
    assert (written["label"], written["prediction"]) == (None, None)
