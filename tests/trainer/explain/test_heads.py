"""Heads asked about windows: numbers that can be worked out, and clips cut by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.corpus_helper import small_settings, toy_corpus, values, write_set
from trainer.data.corpus import Corpus, load_corpus
from trainer.data.normalisation import fit_normalisation
from trainer.data.sequences import Sequences
from trainer.explain.heads import MOST_WINDOWS, explain_steps, mean_attention, plan_windows
from trainer.explain.steps import ClipSteps, read_steps
from trainer.training.predict import Attention, predict_head
from trainer.training.train import train_head
from trainer.training.trained import TrainedHead

CUT = slice(25, 50)  # the second second, at 25 steps a second


def known_head(weight: float) -> TrainedHead:
    """A head of one number a step: attention sigmoid(weight f), logits (pooled f, 0)."""
    settings = small_settings(
        fusion={"kind": "video"}, video={"attention": "self", "normalise": "none"}
    )
    return TrainedHead(
        settings=settings,
        classes=("a", "b"),
        shapes={"video": (1,)},
        state={
            "branches.video.pooling.alpha.weight": torch.tensor([[weight]]),
            "classifiers.video.weight": torch.tensor([[1.0], [0.0]]),
            "classifiers.video.bias": torch.zeros(2),
        },
        normalisation={},
        prior=np.ones(2),
        seed=0,
        features={"video": "basic"},
        set_keys={},
        untrained=False,
    )


def steps_of(corpus: Corpus) -> ClipSteps:
    """Give a corpus in memory whose features are no statistics."""
    parts = {name: [part] for name, part in corpus.sequences.items()}
    return ClipSteps(corpus, parts, {name: [name] for name in parts})


def one_clip(numbers: list[float], times: list[float]) -> ClipSteps:
    steps = Sequences(
        np.array(numbers, np.float32)[:, None], np.array(times), np.array([0, len(numbers)])
    )
    return steps_of(Corpus(("clip",), {"video": steps}, ("a", "b"), np.array([0])))


def test_a_head_with_known_weights_gives_known_attention_at_known_times() -> None:
    # sigmoid(log 3) = 3/4 and sigmoid(0) = 1/2; with weight 0 every step has the same.
    steps = one_clip([0.0, log(3.0), 0.0], [0.1, 0.5, 0.9])
    (one,) = explain_steps([known_head(1.0), known_head(0.0)], steps, [0])
    attention = one.attention["video"]
    np.testing.assert_allclose(attention.times, [0.1, 0.5, 0.9])
    first = np.array([2 / 7, 3 / 7, 2 / 7])
    np.testing.assert_allclose(attention.weights, (first + 1 / 3) / 2, rtol=1e-6)
    assert (one.num_heads, one.prediction, one.clip) == (2, "a", "clip")


def test_a_window_is_answered_from_its_own_steps_alone() -> None:
    # Two steps a second: a window of 1 s holds two. Alone they are pooled to log 3, log 3 / 2 or 0,
    # and the probability of the first class is 3/4, sqrt(3) / (1 + sqrt(3)) or 1/2.
    numbers = [log(3.0), log(3.0), 0.0, 0.0, 0.0]
    (one,) = explain_steps([known_head(0.0)], one_clip(numbers, [0.0, 0.5, 1.0, 1.5, 2.0]), [0])
    np.testing.assert_allclose(one.windows.times, [0.5, 0.75, 1.0, 1.25, 1.5])
    half = 3**0.5 / (1 + 3**0.5)
    expected = [0.75, half, half, 0.5, 0.5]
    np.testing.assert_allclose(one.windows.probabilities[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(one.windows.probabilities.sum(axis=1), 1.0)


def test_windows_begin_every_quarter_of_a_second_and_a_short_clip_is_one() -> None:
    np.testing.assert_allclose(plan_windows(0.5, 2.0)[:, 0], [0.5, 0.75, 1.0])
    np.testing.assert_allclose(np.diff(plan_windows(0.5, 2.0)), 1.0)
    ((first, end),) = plan_windows(0.2, 0.6)
    assert first == 0.2
    assert end > 0.6
    two_hours = plan_windows(0.0, 7200.0)
    assert len(two_hours) == MOST_WINDOWS
    assert two_hours[-1, 1] == pytest.approx(7200.0, abs=0.1)


def test_windows_without_a_step_are_left_out() -> None:
    (one,) = explain_steps([known_head(1.0)], one_clip([1.0, 1.0], [0.0, 2.97]), [0])
    np.testing.assert_allclose(one.windows.times, [0.5, 2.5])
    (none,) = explain_steps([known_head(1.0)], one_clip([], []), [0])
    assert none.prediction is None
    assert none.windows.probabilities.shape == (0, 2)
    assert none.attention["video"].times.shape == (0,)


def test_windows_are_only_asked_about_where_they_are_wanted() -> None:
    steps = one_clip([1.0, 2.0], [0.0, 0.5])
    (one,) = explain_steps([known_head(1.0)], steps, [0], windows=False)
    assert one.windows.times.shape == (0,)
    assert one.prediction == "a"


def test_weights_of_a_grid_at_one_time_are_added_up() -> None:
    times = np.array([0.0, 0.0, 1.0, 1.0])
    heads = [Attention(times, np.array(w)) for w in ([0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.2])]
    mean = mean_attention(heads)
    np.testing.assert_allclose(mean.times, [0.0, 1.0])
    np.testing.assert_allclose(mean.weights, [0.5, 0.5])


@pytest.mark.parametrize("audio", [{"features": "statistics"}, {}])
def test_a_window_is_what_the_head_says_of_a_clip_cut_to_it(
    tmp_path: Path, audio: dict[str, str]
) -> None:
    """Also where the head sees statistics of the whole clip: of the window, then."""
    picture, sound = values(75, 5), values(75, 7, seed=1)
    write_set(tmp_path, "resnet18", {"whole": {"basic": picture}, "cut": {"basic": picture[CUT]}})
    write_set(tmp_path, "tones", {"whole": {"tones": sound}, "cut": {"tones": sound[CUT]}})
    settings = small_settings(
        video={"set": "resnet18"}, audio={"set": "tones", **audio}, optim={"epochs": 1}
    )
    labels = {"whole": "angry", "cut": "sad"}
    corpus = load_corpus(tmp_path, ["whole", "cut"], settings, labels=labels)
    head = train_head(corpus, range(2), settings)
    (one,) = explain_steps([head], read_steps(tmp_path, ["whole"], settings), [0])
    window = one.windows.times.tolist().index(1.5)
    alone = predict_head(head, corpus, [1]).probabilities[0]
    np.testing.assert_allclose(one.windows.probabilities[window], alone, atol=1e-6)
    assert not np.allclose(one.probabilities, alone, atol=1e-3)


def test_many_windows_are_asked_about_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = one_clip(list(np.linspace(-2, 2, 41)), list(np.arange(41) / 5))
    (together,) = explain_steps([known_head(1.0)], steps, [0])
    monkeypatch.setattr("trainer.explain.heads.AT_ONCE", 3)
    (pieces,) = explain_steps([known_head(1.0)], steps, [0])
    np.testing.assert_allclose(pieces.windows.probabilities, together.windows.probabilities)
    assert len(pieces.windows.times) > 3


def test_windows_of_a_head_per_speaker_are_normalised_by_all_clips_of_the_speaker() -> None:
    corpus = replace(toy_corpus(), speakers=tuple(f"s{i % 3}" for i in range(30)))
    per_speaker = {"normalise": "per-speaker"}
    settings = small_settings(video=per_speaker, audio=per_speaker, optim={"epochs": 1})
    head = train_head(corpus, range(20), settings)
    (one,) = explain_steps([head], steps_of(corpus), [4])
    # The clips of s1 normalised by hand, and a head that takes them as they are.
    sequences = {}
    for name, part in corpus.sequences.items():
        rows = part.rows(np.arange(1, 30, 3))
        sequences[name] = part.with_values(fit_normalisation(part.values, rows).apply(part.values))
    bare = replace(
        head,
        settings=replace(
            settings,
            video=replace(settings.video, normalise="none"),
            audio=replace(settings.audio, normalise="none"),
        ),
    )
    alone = predict_head(bare, replace(corpus, sequences=sequences), [4])
    assert len(one.windows.times) == 1  # the clip is shorter than a window
    np.testing.assert_allclose(one.windows.probabilities, alone.probabilities, atol=1e-6)
