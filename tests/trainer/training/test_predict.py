"""Predictions of a trained head, and where it looked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extractors.alexnet import grid_steps, min_steps
from tests.trainer.corpus_helper import AUDIO_DIM, ragged, small_settings, toy_corpus
from trainer.data.corpus import CorpusError
from trainer.training.predict import predict_head
from trainer.training.train import train_head
from trainer.training.trained import TrainedHead


@pytest.fixture(scope="module")
def head() -> TrainedHead:
    return train_head(toy_corpus(), range(20), small_settings(optim={"epochs": 2}))


def test_predictions_are_in_the_order_asked_for_and_do_not_depend_on_company(
    head: TrainedHead,
) -> None:
    corpus = toy_corpus(missing=True)
    clips = [27, 1, 3, 12]
    together = predict_head(head, corpus, clips)
    assert together.clips.tolist() == clips
    for row, clip in enumerate(clips):
        alone = predict_head(head, corpus, [clip])
        np.testing.assert_allclose(alone.logits[0], together.logits[row], rtol=1e-5, atol=1e-6)


def test_probabilities_are_the_softmax_of_the_logits(head: TrainedHead) -> None:
    result = predict_head(head, toy_corpus(), range(20, 30))
    want = np.exp(result.logits) / np.exp(result.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.probabilities, want)


def test_a_prior_multiplies_the_probabilities_and_not_the_logits(head: TrainedHead) -> None:
    prior = np.array([0.2, 0.3, 0.5])
    plain = predict_head(head, toy_corpus(), [4])
    weighed = predict_head(replace(head, prior=prior), toy_corpus(), [4])
    np.testing.assert_array_equal(weighed.logits, plain.logits)
    want = plain.probabilities * prior
    np.testing.assert_allclose(weighed.probabilities, want / want.sum())


def test_each_step_has_a_weight_and_its_time(head: TrainedHead) -> None:
    corpus = toy_corpus(missing=True)
    result = predict_head(head, corpus, [5, 1, 2], attention=True)
    for name, of in result.attention.items():
        for row, clip in enumerate([5, 1, 2]):
            part = corpus.sequences[name]
            np.testing.assert_array_equal(of[row].times, part.times_of(clip))
            assert of[row].weights.shape == of[row].times.shape
            total = 1.0 if part.lengths[clip] else 0.0
            assert of[row].weights.sum() == pytest.approx(total, abs=1e-6)
    assert set(result.attention) == {"video", "audio"}
    assert predict_head(head, corpus, [5]).attention == {}


def test_no_clip_is_no_prediction(head: TrainedHead) -> None:
    result = predict_head(head, toy_corpus(), [], attention=True)
    assert result.probabilities.shape == (0, 3)
    assert result.attention == {"video": [], "audio": []}


def test_sound_through_an_encoder_is_shown_in_seconds_and_lengthened_clips_are_marked() -> None:
    reach = min_steps()
    lengths = [reach + 64, reach - 1, 0]
    corpus = replace(toy_corpus(3), sequences={"audio": ragged(lengths, 40, seed=1)})
    settings = small_settings(
        fusion={"kind": "audio"}, audio={"encoder": "alexnet"}, optim={"epochs": 1}
    )
    head = train_head(corpus, range(3), settings)
    result = predict_head(head, corpus, range(3), attention=True)
    assert result.lengthened.tolist() == [False, True, False]
    attention = result.attention["audio"]
    bands = 1  # 40 bins end as one band
    assert [len(a.weights) for a in attention] == [grid_steps(lengths[0]) * bands, bands, 0]
    assert [len(a.times) for a in attention] == [len(a.weights) for a in attention]
    assert attention[0].times[0] == pytest.approx((reach - 1) / 2 / 25)
    assert attention[1].times[0] <= (reach - 2) / 25
    assert attention[0].weights.sum() == pytest.approx(1.0)


def test_features_of_another_shape_are_refused(head: TrainedHead) -> None:
    corpus = toy_corpus()
    other = replace(corpus, sequences={**corpus.sequences, "audio": ragged([2] * 30, 11, seed=0)})
    with pytest.raises(CorpusError, match=rf"audio steps of shape \({AUDIO_DIM},\), got \(11,\)"):
        predict_head(head, other, [0])


def test_a_corpus_without_a_modality_is_refused(head: TrainedHead) -> None:
    corpus = toy_corpus()
    other = replace(corpus, sequences={"video": corpus.sequences["video"]})
    with pytest.raises(CorpusError, match=r"fusion\.kind=fbp needs audio features"):
        predict_head(head, other, [0])
