"""Temperatures: what they do to probabilities, and what they are fitted to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.training.temperature import LEAST, MOST, fit_temperature, temper


def test_probabilities_are_raised_to_the_inverse_temperature_and_sum_to_one() -> None:
    surer = np.array([[0.8, 0.2]])
    np.testing.assert_allclose(temper(surer, 2.0), [[2 / 3, 1 / 3]])  # sqrt(0.8) = 2 sqrt(0.2)
    np.testing.assert_allclose(temper(surer, 0.5), [[16 / 17, 1 / 17]])
    np.testing.assert_array_equal(temper(surer, 1.0), surer)
    tiny = np.array([[1e-300, 3e-300, 1.0]])
    np.testing.assert_allclose(temper(tiny, MOST)[0, :2], [1e-30, 3**0.1 * 1e-30])


def test_answers_and_classes_without_a_chance_stay_and_the_inverse_undoes_it() -> None:
    found = np.random.default_rng(2).dirichlet(np.ones(5), 37)
    found[3] = [0.0, 1.0, 0.0, 0.0, 0.0]
    each = np.linspace(LEAST, MOST, 37)[:, None]
    changed = temper(found, each)
    np.testing.assert_array_equal(changed.argsort(axis=1), found.argsort(axis=1))
    np.testing.assert_array_equal(changed[3], found[3])
    np.testing.assert_allclose(temper(changed, 1 / each)[5:], found[5:], rtol=1e-9)


def test_a_head_that_is_surer_than_it_is_right_gets_the_temperature_that_mends_it() -> None:
    """Sure to 90 % and right in 7 of 10: 70 % is the best to say, for two classes."""
    probabilities = np.tile([0.9, 0.1], (10, 1))
    labels = np.array([0] * 7 + [1] * 3)
    wanted = math.log(0.9 / 0.1) / math.log(0.7 / 0.3)
    found = fit_temperature(probabilities, labels)
    assert found == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_allclose(temper(probabilities, found)[0], [0.7, 0.3], atol=1e-5)


def test_temperatures_are_bounded_where_the_clips_would_ask_for_none_or_all() -> None:
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert fit_temperature(probabilities, np.array([0, 1])) == pytest.approx(LEAST, rel=1e-3)
    assert fit_temperature(probabilities, np.array([1, 0])) == pytest.approx(MOST, rel=1e-3)
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64)) == 1.0
    impossible = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert math.isfinite(fit_temperature(impossible, np.array([0, 1, 1])))
