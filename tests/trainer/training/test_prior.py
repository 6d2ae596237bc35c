"""Priors: honest ones from training counts, and the papers' leak by name."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.training.loss import AFEW_TEST, apply_prior, prior_weights

AFEW = ["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
LABELS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])  # 9 : 1 : 0


@pytest.mark.parametrize(
    ("prior", "want"),
    [
        ("none", [1 / 3, 1 / 3, 1 / 3]),
        ("train", [0.9, 0.1, 0.0]),
        ("sqrt-train", [0.75, 0.25, 0.0]),
    ],
)
def test_a_prior_counts_the_training_clips(prior: str, want: list[float]) -> None:
    np.testing.assert_allclose(prior_weights(prior, "abc", LABELS), want)


def test_the_papers_vector_is_given_to_the_classes_by_name() -> None:
    weights = prior_weights("afew-test", AFEW, LABELS)
    printed = [0.15, 0.097, 0.129, 0.185, 0.215, 0.138, 0.082]  # in the order of AFEW above
    np.testing.assert_allclose(weights, np.array(printed) / sum(printed))
    np.testing.assert_allclose(sum(AFEW_TEST.values()), 0.996)


def test_the_papers_vector_is_refused_for_other_classes() -> None:
    with pytest.raises(ValueError, match=r"for the classes angry, .* got Angry, Calm"):
        prior_weights("afew-test", ["Angry", "Calm"], LABELS)


def test_an_unknown_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'test'"):
        prior_weights("test", AFEW, LABELS)


def test_a_prior_multiplies_probabilities_which_still_sum_to_one() -> None:
    result = apply_prior(np.array([[0.25, 0.75], [1.0, 0.0]]), np.array([0.75, 0.25]))
    np.testing.assert_allclose(result, [[0.5, 0.5], [1.0, 0.0]])


def test_a_clip_whose_classes_all_weigh_nothing_keeps_its_probabilities() -> None:
    result = apply_prior(np.array([[0.0, 1.0]]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(result, [[0.0, 1.0]])
