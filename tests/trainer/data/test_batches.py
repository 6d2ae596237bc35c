"""Batches: every clip once, little padding, the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.trainer.corpus_helper import ragged, toy_corpus
from trainer.data.batches import BatchMaker, ordered_batches, plan_batches
from trainer.data.sequences import Sequences

LENGTHS = np.random.default_rng(1).integers(1, 200, 700)


def plan(clips: int = 500, *, seed: int = 0, epoch: int = 1) -> list[np.ndarray]:
    return plan_batches(LENGTHS, np.arange(clips), 16, seed=[seed, epoch])


@pytest.mark.parametrize("clips", [1, 15, 16, 17, 500])
def test_every_clip_is_in_exactly_one_batch_and_batches_are_of_almost_one_size(clips: int) -> None:
    batches = plan(clips)
    assert sorted(np.concatenate(batches).tolist()) == list(range(clips))
    sizes = [len(batch) for batch in batches]
    assert len(batches) == math.ceil(clips / 16)
    assert max(sizes) <= 16
    assert max(sizes) - min(sizes) <= 1


def test_only_the_clips_asked_for_are_dealt() -> None:
    clips = np.array([3, 690, 41])
    batches = plan_batches(LENGTHS, clips, 2, seed=[0])
    assert sorted(np.concatenate(batches).tolist()) == [3, 41, 690]
    assert plan_batches(LENGTHS, clips[:0], 2, seed=[0]) == []
    assert clips.tolist() == [3, 690, 41]


def test_the_same_seed_deals_the_same_batches_and_another_others() -> None:
    def dealt(**seed: int) -> list[list[int]]:
        return [batch.tolist() for batch in plan(**seed)]

    assert dealt(seed=1, epoch=2) == dealt(seed=1, epoch=2)
    assert dealt(seed=1, epoch=2) != dealt(seed=1, epoch=3)
    assert dealt(seed=1, epoch=2) != dealt(seed=2, epoch=2)


def test_a_small_corpus_is_mixed_anew_every_epoch() -> None:
    members = {tuple(sorted(batch.tolist())) for e in range(9) for batch in plan(32, epoch=e)}
    assert len(members) > 10  # not the same two batches in every epoch


def test_clips_of_similar_length_share_a_batch() -> None:
    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * LENGTHS[batch].max() for batch in batches)

    real = LENGTHS[:500].sum()
    shuffled = np.array_split(np.random.default_rng(0).permutation(500), 32)
    assert padded(plan()) < 1.35 * real < padded(shuffled)
    assert padded(ordered_batches(LENGTHS, np.arange(500), 16)) < 1.05 * real


def test_a_batch_holds_each_clips_steps_and_zeros_behind_them() -> None:
    corpus = toy_corpus(missing=True)
    clips = np.array([4, 1, 3])
    batch = BatchMaker(corpus.sequences).batch(clips)
    for name, (features, mask) in batch.items():
        part = corpus.sequences[name]
        assert features.shape == (3, part.lengths[clips].max(), *part.shape)
        for row, clip in enumerate(clips):
            n = part.lengths[clip]
            assert mask[row].tolist() == [True] * n + [False] * (mask.shape[1] - n)
            np.testing.assert_array_equal(features[row, :n].numpy(), part.of(clip))
            assert not features[row, n:].any()


def test_a_batch_of_clips_without_a_step_has_one_that_is_not_real() -> None:
    nothing = Sequences(np.zeros((0, 5), np.float32), np.zeros(0), np.zeros(3, np.int64))
    features, mask = BatchMaker({"video": nothing}).batch(np.array([0, 1]))["video"]
    assert features.shape == (2, 1, 5)
    assert not mask.any()


def test_steps_of_any_shape_are_batched() -> None:
    part = ragged([2, 3], 6, 0)
    cube = Sequences(part.values.reshape(-1, 2, 3), part.times, part.offsets)
    features, _ = BatchMaker({"audio": cube}).batch(np.array([1, 0]))["audio"]
    np.testing.assert_array_equal(features[1, :2].numpy(), cube.of(0))


def test_the_corpus_is_not_changed_by_batching_it() -> None:
    part = ragged([2, 3], 5, 0)
    part.values.flags.writeable = False
    batch = BatchMaker({"video": part}).batch(np.array([0, 1]))
    batch["video"].features.fill_(7.0)
    assert part.values.max() < 7.0


def test_a_batchs_cost_counts_the_steps_of_all_modalities() -> None:
    corpus = toy_corpus(7)
    want = corpus.sequences["video"].lengths + corpus.sequences["audio"].lengths
    assert BatchMaker(corpus.sequences).lengths.tolist() == want.tolist()
