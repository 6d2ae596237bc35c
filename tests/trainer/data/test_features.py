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
    summarise,
)
from trainer.data.sequences import Sequences

NETWORK = ["times", "rung", "basic", "mean", "std"]
VOICE = ["times", "steps", "clip/functionals"]


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
        ("statistics", NETWORK, "statistics"),
        ("statistics", ["times", "logmel"], "statistics"),
        ("steps", ["times", "logmel"], "logmel"),
        *((f, VOICE, "functionals") for f in ("auto", "statistics", "functionals")),
        ("steps", VOICE, "steps"),
    ],
)
def test_auto_is_basic_or_the_only_array(features: str, offered: list[str], chosen: str) -> None:
    assert choose_features(features, offered, "s") == chosen


@pytest.mark.parametrize("features", ["auto", "statistics"])
def test_auto_and_its_statistics_without_one_answer_are_refused(features: str) -> None:
    with pytest.raises(FeaturesError, match="set faces has the arrays box, score; say which"):
        choose_features(features, ["times", "rung", "box", "score"], "faces")


@pytest.mark.parametrize("features", ["auto", "statistics", "mean", "crops/embedding"])
@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("faces", ["times", "rung", "tracks/box"]),
        ("identity", ["times", "crops/embedding", "crops/track"]),
    ],
)
def test_a_set_of_faces_or_persons_is_refused(features: str, name: str, offered: list[str]) -> None:
    """It was said to have "the arrays none", or to offer the statistics of nothing."""
    with pytest.raises(FeaturesError, match=f"set {name} has no features, only facts about faces"):
        choose_features(features, offered, name)


def test_features_that_a_set_lacks_are_refused_and_its_own_named() -> None:
    with pytest.raises(
        FeaturesError, match="set lips offers no features 'mean'; it offers values, st"
    ):
        choose_features("mean", ["times", "values"], "lips")


def test_view_statistics_of_a_set_without_views_say_how_to_have_them() -> None:
    with pytest.raises(
        FeaturesError, match=r"offers basic, norm_fft, statistics; .* --views basic"
    ):
        choose_features("mean_std", ["times", "rung", "basic"], "ir50")


def test_statistics_are_mean_deviation_and_percentiles_of_each_number_at_the_middle() -> None:
    # A clip of five steps, one without any and one of a single step; two bands in three channels.
    first = np.array([5, 1, 3, 2, 9], np.float32)[:, None] * np.arange(1, 7, dtype=np.float32)
    values = np.concatenate([first, np.full((1, 6), 7, np.float32)]).reshape(6, 2, 3)
    times = np.array([0.1, 0.2, 0.3, 0.4, 0.7, 1.5])
    found = summarise(Sequences(values, times, np.array([0, 5, 5, 6])))
    assert found.offsets.tolist() == [0, 1, 1, 2]
    assert found.times == pytest.approx([0.4, 1.5])
    # Mean 4, squares of (1, -3, -1, -2, 5) sum to 40; sorted 1 2 3 5 9, so that 5 % lie below 1.2.
    of_one = [4, 8**0.5, 1.2, 2, 3, 5, 8.2]
    want = np.outer(of_one, np.arange(1, 7)).ravel()
    np.testing.assert_allclose(found.of(0)[0], want, rtol=1e-6)
    np.testing.assert_array_equal(found.of(2)[0], [7] * 6 + [0] * 6 + [7] * 30)


def test_statistics_of_clips_without_any_step_are_no_steps_of_the_same_shape() -> None:
    found = summarise(Sequences(np.zeros((0, 3), np.float32), np.zeros(0), np.zeros(3, int)))
    assert (found.values.shape, found.lengths.tolist()) == ((0, 21), [0, 0])
