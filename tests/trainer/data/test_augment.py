"""Augmentation: what each kind does to real steps, and that padding stays what it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trainer.corpus_helper import small_settings, toy_corpus
from trainer.data.augment import (
    add_noise,
    augment,
    change_speed,
    drop_modality,
    mask_bands,
    mask_time,
    mix,
    shift_bands,
)
from trainer.data.sequences import Steps
from trainer.settings import AugmentSettings
from trainer.training.train import train_head

LENGTHS = (13, 0, 1, 7)
EVERYTHING = AugmentSettings(
    speed=0.3,
    time_masks=2,
    band_masks=2,
    band_shift=2,
    gain=0.5,
    audio_noise=0.5,
    video_noise=0.5,
    drop_modality=0.5,
    mixup=0.5,
)


def steps(*shape: int, lengths: tuple[int, ...] = LENGTHS, seed: int = 3) -> Steps:
    generator = torch.Generator().manual_seed(seed)
    features = 1.0 + torch.rand((len(lengths), max(lengths), *shape), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    keep = mask.reshape(*mask.shape, *(1,) * len(shape))
    return Steps(features.masked_fill(~keep, 0.0), mask)


def padding(part: Steps) -> Tensor:
    return part.features[~part.mask]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


def test_nothing_is_done_by_default() -> None:
    batch = {"audio": steps(11, 3), "video": steps(5)}
    result = augment(batch, AugmentSettings(), spectrogram=True)
    for name, part in batch.items():
        assert torch.equal(result.batch[name].features, part.features)
        assert torch.equal(result.batch[name].mask, part.mask)
    assert result.share == 1.0
    assert result.partner.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(11,), (11, 3)])
def test_whatever_is_done_padding_stays_zero_and_shapes_stay(shape: tuple[int, ...]) -> None:
    for _ in range(7):
        batch = {"audio": steps(*shape), "video": steps(5)}
        result = augment(batch, EVERYTHING, spectrogram=True).batch
        for name, part in result.items():
            assert part.features.shape[2:] == batch[name].features.shape[2:]
            assert part.features.shape[:2] == part.mask.shape
            assert not padding(part).any()
            assert torch.isfinite(part.features).all()


def test_the_same_seed_gives_the_same_batch_and_another_another() -> None:
    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        batch = {"audio": steps(11, 3), "video": steps(5)}
        return augment(batch, EVERYTHING, spectrogram=True).batch["video"].features

    assert torch.equal(draw(7), draw(7))
    assert not torch.equal(draw(7), draw(11))


def test_embeddings_of_sound_keep_their_bands() -> None:
    settings = AugmentSettings(band_masks=5, band_mask=11, band_shift=5)
    part = steps(11)
    result = augment({"audio": part}, settings, spectrogram=False).batch["audio"]
    assert torch.equal(result.features, part.features)


def test_a_changed_speed_interpolates_between_the_first_and_the_last_step() -> None:
    ramp = torch.arange(101.0).reshape(1, 101, 1)
    lengths = set()
    for _ in range(11):
        result = change_speed(Steps(ramp, torch.ones(1, 101, dtype=torch.bool)), 0.2)
        count = int(result.mask.sum())
        lengths.add(count)
        torch.testing.assert_close(result.features[0, :, 0], torch.linspace(0, 100, count))
    assert min(lengths) >= 81
    assert max(lengths) <= 121
    assert len(lengths) > 5


def test_a_changed_speed_leaves_a_clip_without_steps_and_one_with_a_single_step() -> None:
    result = change_speed(steps(5), 0.9)
    assert not result.mask[1].any()
    single = result.features[2][result.mask[2]]
    assert len(single) in (1, 2)
    assert torch.equal(single, steps(5).features[2, :1].expand_as(single))


def test_shifted_bands_move_alike_over_time_and_repeat_the_outermost() -> None:
    bins = torch.arange(11.0).reshape(1, 1, 11, 1).expand(64, 2, 11, 3)
    shifted = shift_bands(bins, 2)
    allowed = [[min(max(b - s, 0), 10) for b in range(11)] for s in range(-2, 3)]
    found = {tuple(int(v) for v in clip[0, :, 0]) for clip in shifted}
    assert found == {tuple(values) for values in allowed}
    assert torch.equal(shifted[:, 0], shifted[:, 1])


def test_a_masked_stretch_of_time_is_one_and_no_longer_than_its_share() -> None:
    mask = torch.ones(64, 101, dtype=torch.bool)
    hidden = mask_time(torch.ones(64, 101, 2), mask, 0.2)[..., 0] == 0
    widths = hidden.sum(dim=1)
    assert int(widths.max()) <= 21
    assert len(set(widths.tolist())) > 5
    edges = hidden.int().diff(dim=1).abs().sum(dim=1)
    assert int(edges.max()) <= 2


def test_masked_bands_are_neighbours_and_no_more_than_asked_for() -> None:
    hidden = mask_bands(torch.ones(64, 2, 11, 3), 4)[:, 0, :, 0] == 0
    assert set(hidden.sum(dim=1).tolist()) == {0, 1, 2, 3, 4}
    assert int(hidden.int().diff(dim=1).abs().sum(dim=1).max()) <= 2
    # Every bin is hidden at times, the outermost too.
    assert hidden.any(dim=0).all()


def test_noise_has_the_deviation_asked_for() -> None:
    part = steps(97, lengths=(89, 83))
    noise = (add_noise(part, 0.5).features - part.features)[part.mask]
    assert float(noise.std()) == pytest.approx(0.5, rel=0.05)
    assert add_noise(part, 0.0) is part


def test_a_gain_moves_the_level_of_a_clip_and_not_its_deltas() -> None:
    part = steps(11, 3)
    result = augment({"audio": part}, AugmentSettings(gain=1.0), spectrogram=True).batch["audio"]
    moved = result.features - part.features
    assert not moved[..., 1:].any()
    level = moved[0, :, :, 0]
    torch.testing.assert_close(level, level[0, 0].expand_as(level))
    assert abs(float(level[0, 0])) > 0


def test_a_dropped_modality_leaves_every_clip_one_that_it_had() -> None:
    lengths = (3, 0, 2, *(5,) * 61)
    batch = {"video": steps(5, lengths=lengths), "audio": steps(7, lengths=lengths[::-1])}
    before = torch.stack([part.mask.any(dim=1) for part in batch.values()], dim=1)
    result = drop_modality(batch, 0.5)
    after = torch.stack([part.mask.any(dim=1) for part in result.values()], dim=1)
    assert torch.equal(after.any(dim=1), before.any(dim=1))
    lost = (before & ~after).sum(dim=0)
    assert int(lost.min()) > 5  # of either about a quarter of 62
    assert 20 <= int(lost.sum()) <= 42
    for part in result.values():
        assert not padding(part).any()


def test_a_mixture_is_the_sum_of_both_shares_and_real_where_one_is() -> None:
    part = steps(5)
    result = mix(part, torch.tensor([3, 0, 1, 2]), 0.25)
    expected = 0.25 * part.features[0] + 0.75 * part.features[3]
    torch.testing.assert_close(result.features[0], expected)
    assert result.mask.sum(dim=1).tolist() == [13, 13, 1, 7]


@pytest.mark.slow
def test_mixup_trains_towards_the_labels_of_both() -> None:
    corpus = toy_corpus()
    plain = train_head(corpus, range(20), small_settings()).history[-1].loss
    mixed = small_settings(augment={"mixup": 1.0})
    # Whose labels are mixed can't be fitted as well.
    assert train_head(corpus, range(20), mixed).history[-1].loss > plain


@pytest.mark.slow
def test_an_augmented_training_is_the_same_bit_for_bit_and_evaluation_sees_none() -> None:
    corpus = toy_corpus(missing=True)
    settings = small_settings(augment={"audio_noise": 0.5, "drop_modality": 0.3, "mixup": 0.4})
    first = train_head(corpus, range(20), settings, validation_clips=range(20, 30))
    second = train_head(corpus, range(20), settings, validation_clips=range(20, 30))
    assert all(torch.equal(value, second.state[name]) for name, value in first.state.items())
    plain = train_head(corpus, range(20), small_settings())
    assert not torch.equal(*(h.state["classifiers.fused.weight"] for h in (first, plain)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("speed", 1.0, "speed must be at least 0 and below 1, got 1.0"),
        ("time_mask", -0.1, "time_mask must be at least 0 and below 1, got -0.1"),
        ("drop_modality", 1.5, "drop_modality must be at least 0 and below 1, got 1.5"),
        ("time_masks", -1, "time_masks must be at least 0, got -1"),
        ("band_shift", -2, "band_shift must be at least 0, got -2"),
        ("mixup", float("nan"), "mixup must be at least 0, got nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentSettings(**{name: value})
