"""Derived features and normalisation against their definitions."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

import trainer.data.features
from trainer.data.features import (
    FeaturesError,
    arrays_of,
    choose_features,
    derive,
    norm_fft,
)

NETWORK = ["times", "rung", "basic", "mean", "std"]


def rows(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(3.0, 2.0, shape).astype(np.float32)


def test_norm_fft_is_the_normalised_transform_over_the_features_real_then_imaginary() -> None:
    basic = rows(3, 5)
    result = norm_fft(basic)
    assert result.shape == (3, 10)
    for n in range(3):
        spectrum = [
            sum(float(basic[n, d]) * cmath.exp(-2j * math.pi * k * d / 5) for d in range(5))
            for k in range(5)
        ]
        norm = math.sqrt(sum(abs(x) ** 2 for x in spectrum))
        want = [x.real / norm for x in spectrum] + [x.imag / norm for x in spectrum]
        np.testing.assert_allclose(result[n], want, atol=1e-6)


def test_norm_fft_of_two_values_is_what_paper_and_pencil_say() -> None:
    # the transform of (3, 1) is (4, 2), of norm sqrt 20
    np.testing.assert_allclose(
        norm_fft(np.array([[3, 1]], np.float32)), [[4 / 20**0.5, 2 / 20**0.5, 0, 0]], rtol=1e-6
    )


def test_norm_fft_of_a_zero_embedding_is_zero() -> None:
    assert not norm_fft(np.zeros((2, 3), np.float32)).any()


def test_norm_fft_works_in_pieces_like_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = norm_fft(rows(7, 3))
    monkeypatch.setattr(trainer.data.features, "CHUNK", 2)
    np.testing.assert_array_equal(norm_fft(rows(7, 3)), whole)


def test_mean_std_writes_the_deviation_behind_the_mean() -> None:
    arrays = {"mean": rows(3, 5), "std": rows(3, 5) + 1}
    assert arrays_of("mean_std") == ("mean", "std")
    result = derive("mean_std", arrays)
    np.testing.assert_array_equal(result, np.hstack([arrays["mean"], arrays["std"]]))


@pytest.mark.parametrize("features", ["basic", "mean", "values", "spectrogram"])
def test_an_array_by_its_own_name_is_read_as_it_is(features: str) -> None:
    values = rows(2, 3)
    assert arrays_of(features) == (features,)
    assert derive(features, {features: values}) is values


@pytest.mark.parametrize(
    ("features", "offered", "chosen"),
    [
        ("auto", NETWORK, "basic"),
        ("auto", ["times", "rung", "basic"], "basic"),
        ("auto", ["times", "values"], "values"),
        ("auto", ["times", "spectrogram"], "spectrogram"),
        ("auto", ["times", "tracks/box", "grid"], "grid"),
        ("norm_fft", ["times", "basic"], "norm_fft"),
        ("mean_std", NETWORK, "mean_std"),
    ],
)
def test_auto_is_basic_or_the_only_array(features: str, offered: list[str], chosen: str) -> None:
    assert choose_features(features, offered, "s") == chosen


def test_auto_without_one_answer_is_refused() -> None:
    with pytest.raises(FeaturesError, match="set faces has the arrays box, score; say which"):
        choose_features("auto", ["times", "rung", "box", "score"], "faces")


def test_features_that_a_set_lacks_are_refused_and_its_own_named() -> None:
    with pytest.raises(FeaturesError, match="set lips offers no features 'mean'; it offers values"):
        choose_features("mean", ["times", "values"], "lips")


def test_view_statistics_of_a_set_without_views_say_how_to_have_them() -> None:
    with pytest.raises(FeaturesError, match=r"offers basic, norm_fft; .* --views basic"):
        choose_features("mean_std", ["times", "rung", "basic"], "ir50")
