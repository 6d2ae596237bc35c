"""Normalisation: fitted to training steps or per speaker, safe where nothing varies."""

from __future__ import annotations

import numpy as np
import pytest

import trainer.data.features
from trainer.data.corpus import Corpus, CorpusError
from trainer.data.normalisation import (
    fit_normalisation,
    fit_normalisations,
    normalise,
    normalise_per_speaker,
)
from trainer.data.sequences import Sequences
from trainer.settings import FusionSettings, HeadSettings, ModalitySettings


def rows(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(3.0, 2.0, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5,), (3, 2)])
@pytest.mark.parametrize("chunk", [2, 1000])
def test_normalisation_makes_the_training_steps_mean_zero_and_deviation_one(
    shape: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.data.features, "CHUNK", chunk)
    values, train = rows(11, *shape), np.array([0, 1, 2, 5, 6, 9])
    fitted = fit_normalisation(values, train)
    np.testing.assert_allclose(fitted.mean, values[train].mean(0), rtol=1e-6)
    np.testing.assert_allclose(fitted.deviation, values[train].std(0), rtol=1e-5)
    result = fitted.apply(values)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[train].mean(0), np.zeros(shape), atol=1e-6)
    np.testing.assert_allclose(result[train].std(0), np.ones(shape), rtol=1e-5)


def test_normalisation_sees_no_other_step_than_the_training_clips() -> None:
    values, train = rows(11, 5), np.array([1, 4, 6])
    before = fit_normalisation(values, train)
    values[[0, 2, 3, 5, 7, 8, 9, 10]] = 1e6
    after = fit_normalisation(values, train)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.deviation, after.deviation)


def test_a_feature_that_does_not_vary_becomes_zero() -> None:
    values = np.tile(np.array([0.0, 7.1, -1e6], np.float32), (5, 1))
    values[:, 2] += [0.0, 0.0625, 0.0, 0.0625, 0.0]  # rounding of a large constant
    fitted = fit_normalisation(values, np.arange(5))
    assert fitted.deviation.tolist() == [1.0, 1.0, 1.0]
    assert np.abs(fitted.apply(values)).max() < 0.1


def test_a_small_feature_that_varies_is_kept() -> None:
    values = np.array([[1e-9], [3e-9]], np.float32)
    result = fit_normalisation(values, np.arange(2)).apply(values)
    np.testing.assert_allclose(result, [[-1], [1]], rtol=1e-6)


def test_no_training_step_is_refused() -> None:
    with pytest.raises(CorpusError, match="no training clip has features"):
        fit_normalisation(rows(3, 2), np.zeros(0, np.int64))


def corpus(**lengths: list[int]) -> Corpus:
    sequences = {
        name: Sequences(
            rows(sum(of), 5), np.arange(float(sum(of))), np.concatenate([[0], np.cumsum(of)])
        )
        for name, of in lengths.items()
    }
    n = len(next(iter(lengths.values())))
    return Corpus(tuple(f"c{i}" for i in range(n)), sequences, (), np.zeros(n, np.int64))


def test_each_modality_is_normalised_by_its_training_clips() -> None:
    both = corpus(video=[2, 3, 1], audio=[1, 0, 4])
    settings = HeadSettings()
    result = normalise(both, fit_normalisations(both, np.array([0, 1]), settings), settings)
    assert set(result) == {"video", "audio"}
    np.testing.assert_allclose(result["video"].values[:5].mean(0), np.zeros(5), atol=1e-6)
    # The only training step of audio does not vary.
    np.testing.assert_array_equal(result["audio"].of(0), np.zeros((1, 5)))
    np.testing.assert_array_equal(result["video"].offsets, both.sequences["video"].offsets)


def test_a_modality_without_normalisation_stays_as_it_is() -> None:
    only = corpus(video=[2, 3])
    settings = HeadSettings(
        video=ModalitySettings(normalise="none"), fusion=FusionSettings("video")
    )
    fitted = fit_normalisations(only, np.array([0]), settings)
    assert fitted == {}
    assert normalise(only, fitted, settings)["video"] is only.sequences["video"]


def test_training_clips_that_all_lack_a_modality_are_refused() -> None:
    both = corpus(video=[2, 3, 1], audio=[0, 0, 4])
    with pytest.raises(CorpusError, match=r"none of the 2 training clips has audio.*kind=fbp"):
        fit_normalisations(both, np.array([0, 1]), HeadSettings())


def test_a_corpus_without_a_modality_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"fusion\.kind=fbp needs audio features"):
        normalise(corpus(video=[1]), {}, HeadSettings())


def spoken(*speakers: str | None, lengths: tuple[int, ...] = (2, 3, 0, 1, 5)) -> Corpus:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Corpus(
        clip_ids=tuple(f"c{i}" for i in range(len(lengths))),
        sequences={"video": Sequences(rows(int(offsets[-1]), 3), np.arange(11.0), offsets)},
        classes=("a", "b"),
        labels=np.zeros(len(lengths), np.int64),
        speakers=speakers,
    )


def test_per_speaker_each_speakers_steps_have_mean_zero_and_deviation_one() -> None:
    corpus = spoken("x", "y", None, "x", "y")
    settings = HeadSettings(
        video=ModalitySettings(normalise="per-speaker"), fusion=FusionSettings(kind="video")
    )
    assert fit_normalisations(corpus, np.array([0, 1]), settings) == {}
    result = normalise(corpus, {}, settings)["video"].values
    for own in ([0, 1, 5], [2, 3, 4, 6, 7, 8, 9, 10]):
        np.testing.assert_allclose(result[own].mean(0), np.zeros(3), atol=1e-6)
        np.testing.assert_allclose(result[own].std(0), np.ones(3), rtol=1e-5)


def test_per_speaker_a_clip_without_a_speaker_is_refused_by_name() -> None:
    with pytest.raises(CorpusError, match="the speaker of every clip; 1 have none, c3 first"):
        normalise_per_speaker(spoken("x", "y", "x", None, "y"), "video")
    with pytest.raises(CorpusError, match="4 have none, c0 first"):
        normalise_per_speaker(spoken(), "video")


def test_per_speaker_a_speakers_only_clip_is_refused_by_name() -> None:
    with pytest.raises(CorpusError, match="several clips of each speaker; z has only c3"):
        normalise_per_speaker(spoken("x", "x", "x", "z", "x"), "video")
