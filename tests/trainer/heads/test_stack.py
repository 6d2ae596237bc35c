"""Stacked heads: what each learns is what it learns alone, to the stated tolerance."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer.heads.stack_batches
import trainer.training.train
from tests.trainer.corpus_helper import small_settings, toy_corpus
from trainer.heads.stack import STACKABLE, why_not_stacked
from trainer.settings import TrainSettings
from trainer.training.train import train_head, train_heads, training_identity
from trainer.training.trained import EpochRecord, TrainedHead

TRAIN, TEST = np.arange(19), np.arange(20, 30)
# float32, summed in another order, over 12 updates.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def attention_pairs() -> list[TrainSettings]:
    """Every pair of attentions that can be stacked."""
    return [
        small_settings(video={"attention": video}, audio={"attention": audio})
        for video, audio in product(STACKABLE, STACKABLE)
    ]


def alone(settings: TrainSettings, seed: int, **options: Any) -> TrainedHead:
    """Train the same head by itself, on padded batches."""
    plain = replace(settings, optim=replace(settings.optim, stack="off"))
    return train_head(toy_corpus(missing=True), TRAIN, plain, seed=seed, **options)


def assert_same(stacked: TrainedHead, plain: TrainedHead) -> None:
    for name, value in plain.state.items():
        torch.testing.assert_close(stacked.state[name], value, **CLOSE)
    for ours, theirs in zip(stacked.history, plain.history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.train_accuracy == theirs.train_accuracy
        assert ours.learning_rate == theirs.learning_rate
        if theirs.validation_loss is not None:
            assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-5)


@pytest.mark.slow
def test_every_pair_of_attentions_and_every_seed_learns_in_a_stack_what_it_learns_alone() -> None:
    variants, seeds = attention_pairs(), (5, 2, 11)
    stack = train_heads(toy_corpus(missing=True), TRAIN, variants, seeds, validation_clips=TEST)
    for number, (settings, seed) in enumerate(product(variants, seeds)):
        assert (stack[number].settings, stack[number].seed) == (settings, seed)
        if number % 4 == 0 or seed == 2:  # the others take time and say the same
            assert_same(stack[number], alone(settings, seed, validation_clips=TEST))


@pytest.mark.slow
@pytest.mark.parametrize(
    "tables",
    [
        {"fusion": {"kind": "concat"}},
        {  # the form of the preset fast
            "video": {"attention": "self", "embedding_dim": 13, "embedding_dropout": 0.5},
            "audio": {"attention": "mean", "embedding_dim": 17, "embedding_dropout": 0.5},
            "fusion": {"kind": "concat"},
        },
        {"fusion": {"kind": "video", "classifier_dropout": 0.4}},
        {"fusion": {"kind": "audio"}, "audio": {"attention": "relation"}},
        {"fusion": {"dropout": 0.0, "signed_sqrt": True, "factor_bias": True}},
        {"video": {"embedding_dim": 13, "embedding_dropout": 0.3}},
        {"video": {"pooled": "unreduced", "scale": 0.3}, "audio": {"scale": 0.7}},
        {"optim": {"class_weight": "balanced", "label_smoothing": 0.0, "grad_clip": 0.01}},
        {"optim": {"optimiser": "sgd", "grad_clip": 0.0, "schedule": "constant"}},
        {"video": {"normalise": "none"}},
    ],
)
def test_every_setting_that_can_be_stacked_means_the_same_in_a_stack(tables: Any) -> None:
    settings = small_settings(**tables)
    stack = train_heads(toy_corpus(missing=True), TRAIN, [settings], (1, 2))
    for head in stack:
        assert_same(head, alone(settings, head.seed))


@pytest.mark.slow
def test_a_stack_of_one_is_what_a_head_alone_is_trained_by() -> None:
    settings = small_settings()
    corpus = toy_corpus(missing=True)
    (stacked,) = train_heads(corpus, TRAIN, [settings], (3,))
    head = train_head(corpus, TRAIN, settings, seed=3)
    assert all(torch.equal(head.state[name], stacked.state[name]) for name in head.state)
    assert_same(head, alone(settings, 3))


@pytest.mark.slow
@pytest.mark.parametrize("block", [3, 1])
def test_batches_of_more_clips_than_a_block_holds_mean_the_same(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batches of 10 and 9 clips: blocks of 3, the last ones not full, or of one clip, some empty.
    monkeypatch.setattr(trainer.heads.stack_batches, "BLOCK", block)
    for kind in STACKABLE:
        settings = small_settings(
            video={"attention": kind}, audio={"attention": kind}, optim={"batch_size": 10}
        )
        for head in train_heads(toy_corpus(missing=True), TRAIN, [settings], (1, 2)):
            assert_same(head, alone(settings, head.seed))


def test_a_nan_in_one_clip_stays_out_of_heads_that_are_not_trained_on_it() -> None:
    corpus = toy_corpus()
    for part in corpus.sequences.values():
        part.of(25)[:] = np.nan
    for head in train_heads(corpus, TRAIN, [small_settings()], (1, 2)):
        assert all(value.isfinite().all() for value in head.state.values())


@pytest.mark.slow
def test_an_interrupted_stack_continues_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.training.train, "PROGRESS_SECONDS", 0.0)
    corpus, variants = toy_corpus(), attention_pairs()[10:12]

    def train(**options: Any) -> list[TrainedHead]:
        return train_heads(corpus, TRAIN, variants, (4, 1), **options)

    def stop(number: int, record: EpochRecord) -> None:
        if record.epoch == 2 and number == 3:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(progress=tmp_path / "p", on_epoch=stop)
    seen: list[tuple[int, int]] = []
    rest = train(progress=tmp_path / "p", on_epoch=lambda n, r: seen.append((n, r.epoch)))
    assert seen == [(n, epoch) for epoch in (3, 4) for n in range(4)]
    for a, b in zip(whole, rest, strict=True):
        assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)
        assert [r.loss for r in a.history] == [r.loss for r in b.history]


@pytest.mark.slow
def test_the_progress_of_a_stack_of_other_heads_or_of_a_head_alone_is_not_continued(
    tmp_path: Path,
) -> None:
    corpus, settings = toy_corpus(), small_settings()
    path = tmp_path / "p"
    train_heads(corpus, TRAIN, [settings], (4, 1), progress=path)
    seen: list[EpochRecord] = []
    for seeds in ((4, 2), (1, 4), (4,)):
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes())
        before = len(seen)
        train_heads(
            corpus, TRAIN, [settings], seeds, progress=copy, on_epoch=lambda _, r: seen.append(r)
        )
        assert len(seen) - before == 4 * len(seeds)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"audio": {"encoder": "alexnet"}}, "audio.encoder=alexnet is trained with each head"),
        ({"augment": {"video_noise": 0.1}}, "augmentation changes the batches"),
        ({"fusion": {"kind": "late"}}, "fusion.kind=late trains two heads in one"),
        ({"video": {"attention": "statistics"}}, "video.attention=statistics is not among mean, "),
    ],
)
def test_a_head_that_cannot_be_stacked_is_refused_by_on_and_trained_alone_by_auto(
    tables: Any, reason: str
) -> None:
    settings = small_settings(**tables)
    assert why_not_stacked([settings]).startswith(reason)
    on = replace(settings, optim=replace(settings.optim, stack="on", epochs=1))
    with pytest.raises(ValueError, match=f"can't be trained as one: {reason}"):
        train_head(toy_corpus(), TRAIN, on)
    if settings.audio.encoder == "none":
        auto = replace(settings, optim=replace(settings.optim, epochs=1))
        assert train_head(toy_corpus(), TRAIN, auto).history


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"fusion": {"rank": 3}}, "their fusion or optim settings differ"),
        ({"optim": {"epochs": 9}}, "their fusion or optim settings differ"),
        (
            {"audio": {"normalise": "none"}},
            "their audio settings differ in more than the attention",
        ),
    ],
)
def test_heads_that_differ_in_more_than_the_attention_are_not_stacked(
    tables: Any, reason: str
) -> None:
    both = [small_settings(), small_settings(**tables)]
    with pytest.raises(ValueError, match=reason):
        train_heads(toy_corpus(), TRAIN, both, (1,))


def test_attentions_of_other_lengths_are_stacked_under_fbp_alone() -> None:
    both = [
        small_settings(fusion={"kind": "concat"}, video={"attention": kind})
        for kind in ("self", "relation")
    ]
    assert why_not_stacked(both) == "fusion.kind=concat needs embeddings of one length"


def test_off_trains_no_stack() -> None:
    settings = small_settings(optim={"stack": "off"})
    with pytest.raises(ValueError, match=r"can't be trained as one: optim\.stack=off"):
        train_heads(toy_corpus(), TRAIN, [settings], (1, 2))


def test_a_training_by_itself_and_one_of_a_stack_are_not_each_others_progress() -> None:
    def identity(kind: str) -> str:
        clips = TRAIN, TEST
        return training_identity(toy_corpus(), clips, [(small_settings(), 1)], 4, kind=kind)

    assert identity("plain") != identity("stacked") == identity("stacked")


@pytest.mark.slow
def test_heads_stacked_on_a_gpu_learn_what_they_learn_alone_and_on_the_processor(gpu: str) -> None:
    variants, seeds = attention_pairs()[::3], (5, 2)
    corpus = toy_corpus(missing=True)
    variants = [replace(own, optim=replace(own.optim, epochs=2)) for own in variants]
    stack = train_heads(corpus, TRAIN, variants, seeds, validation_clips=TEST, device=gpu)
    expected = train_heads(corpus, TRAIN, variants, seeds, validation_clips=TEST)
    for number, (settings, seed) in enumerate(product(variants, seeds)):
        # The noise is drawn on the processor, for one head as for many.
        one = train_head(corpus, TRAIN, settings, seed=seed, validation_clips=TEST, device=gpu)
        for other in (one, expected[number]):
            assert stack[number].history[-1].loss == pytest.approx(other.history[-1].loss, rel=1e-4)
            for name, value in other.state.items():
                torch.testing.assert_close(stack[number].state[name], value, rtol=1e-3, atol=1e-3)
