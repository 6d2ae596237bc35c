"""Augmentation of training batches, after normalisation; nothing of it happens in evaluation.

Every draw comes from PyTorch's global generator, which a training seeds epoch by epoch. Padding
stays 0 and masked, whatever is done to the real steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.data.sequences import Steps
from trainer.settings import AugmentSettings


class Augmented(NamedTuple):
    """A batch after augmentation.

    Args:
        batch: modality -> steps.
        partner: (B,) the clip that each clip is mixed with.
        share: of the clip itself in the mixture, and so in the loss; 1 without mixup.
    """

    batch: dict[str, Steps]
    partner: Tensor
    share: float


def augment(
    batch: Mapping[str, Steps], settings: AugmentSettings, *, spectrogram: bool
) -> Augmented:
    """Augment a batch as the settings say.

    Args:
        batch: modality -> normalised steps.
        settings: what to do.
        spectrogram: whether the sound's steps are those of a spectrogram, and so have bands.

    Source:
        Park et al., "SpecAugment", 2019 (masks of time and frequency, on log-mel; without its
        time warp); Zhang et al., "mixup", ICLR 2018 (one share a batch).
    """
    result = dict(batch)
    if "audio" in result:
        result["audio"] = _augment_audio(result["audio"], settings, spectrogram=spectrogram)
    if "video" in result:
        result["video"] = add_noise(result["video"], settings.video_noise)
    if settings.drop_modality and len(result) == 2:
        result = drop_modality(result, settings.drop_modality)
    size = len(next(iter(result.values())).mask)
    if not settings.mixup:
        return Augmented(result, torch.arange(size), 1.0)
    share = float(torch.distributions.Beta(settings.mixup, settings.mixup).sample())
    partner = torch.randperm(size)
    mixed = {name: mix(steps, partner, share) for name, steps in result.items()}
    return Augmented(mixed, partner, share)


def _augment_audio(steps: Steps, settings: AugmentSettings, *, spectrogram: bool) -> Steps:
    if settings.speed:
        steps = change_speed(steps, settings.speed)
    features, mask = steps.features, steps.mask
    shape = features.shape
    if spectrogram and features.ndim == 3:
        features = features.unsqueeze(-1)
    if settings.band_shift and spectrogram:
        features = shift_bands(features, settings.band_shift)
    if settings.gain:
        # A level shifts the logarithm; deltas, the channels after the first, don't see it.
        offset = settings.gain * torch.randn(len(mask), 1, 1, device=mask.device)
        if features.ndim == 4:
            added = features[..., 0] + offset
            features = torch.cat([added.unsqueeze(-1), features[..., 1:]], dim=-1)
        else:
            features = features + offset
        features = _clear(features, mask)
    for _ in range(settings.time_masks):
        features = mask_time(features, mask, settings.time_mask)
    for _ in range(settings.band_masks if spectrogram else 0):
        features = mask_bands(features, settings.band_mask)
    return add_noise(steps._replace(features=features.reshape(shape)), settings.audio_noise)


def change_speed(steps: Steps, most: float) -> Steps:
    """Stretch each clip by a factor within 1 - most and 1 + most, between its first and last step.

    A clip with steps keeps at least one.
    """
    features, mask = steps.features, steps.mask
    lengths = mask.sum(dim=1)
    factors = 1.0 + most * (2.0 * torch.rand(len(mask)) - 1.0)
    stretched = (lengths * factors.to(mask.device)).round().long().clamp(min=1) * (lengths > 0)
    position = torch.arange(max(1, int(stretched.max())), device=mask.device)
    scale = (lengths - 1).clamp(min=0) / (stretched - 1).clamp(min=1)
    place = position * scale.unsqueeze(1)  # (B, M), in steps of the clip
    place = torch.minimum(place, (lengths - 1).clamp(min=0).unsqueeze(1))
    before = place.floor().long()
    after = torch.minimum(before + 1, (lengths - 1).clamp(min=0).unsqueeze(1))
    share = _like(place - before, features)
    rows = torch.arange(len(mask), device=mask.device).unsqueeze(1)
    values = features[rows, before] * (1.0 - share) + features[rows, after] * share
    real = position < stretched.unsqueeze(1)
    return steps._replace(features=_clear(values, real), mask=real)


def shift_bands(features: Tensor, most: int) -> Tensor:
    """Shift each clip's (T, F, C) by up to ``most`` bins; the outermost bin fills what is left."""
    bins = features.shape[2]
    shift = torch.randint(-most, most + 1, (len(features),), device=features.device)
    source = (torch.arange(bins, device=features.device) - shift.unsqueeze(1)).clamp(0, bins - 1)
    return features.gather(2, source[:, None, :, None].expand_as(features))


def mask_time(features: Tensor, mask: Tensor, longest: float) -> Tensor:
    """Set one stretch of each clip to 0, of up to a share ``longest`` of its steps."""
    lengths = mask.sum(dim=1)
    width = torch.rand(len(mask), device=mask.device) * longest * lengths
    start = torch.rand(len(mask), device=mask.device) * (lengths - width)
    position = torch.arange(mask.shape[1], device=mask.device)
    hidden = (position >= start.unsqueeze(1)) & (position < (start + width).unsqueeze(1))
    return _clear(features, ~hidden)


def mask_bands(features: Tensor, widest: int) -> Tensor:
    """Set one range of up to ``widest`` neighbouring bins of each clip's (T, F, C) to 0."""
    bins = features.shape[2]
    width = torch.randint(0, min(widest, bins) + 1, (len(features),), device=features.device)
    start = (torch.rand(len(features), device=features.device) * (bins - width + 1)).long()
    position = torch.arange(bins, device=features.device)
    hidden = (position >= start.unsqueeze(1)) & (position < (start + width).unsqueeze(1))
    return features.masked_fill(hidden[:, None, :, None], 0.0)


def add_noise(steps: Steps, deviation: float) -> Steps:
    """Add normal noise to every number of the real steps."""
    if not deviation:
        return steps
    noisy = steps.features + deviation * torch.randn_like(steps.features)
    return steps._replace(features=_clear(noisy, steps.mask))


def drop_modality(batch: Mapping[str, Steps], probability: float) -> dict[str, Steps]:
    """Take one modality, video or audio alike, from some of the clips that have both."""
    video, audio = batch["video"].mask, batch["audio"].mask
    dropped = torch.rand(len(video), device=video.device) < probability
    dropped &= video.any(dim=1) & audio.any(dim=1)
    lose_video = dropped & (torch.rand(len(video), device=video.device) < 0.5)
    result = {}
    for name, lost in (("video", lose_video), ("audio", dropped & ~lose_video)):
        real = batch[name].mask & ~lost.unsqueeze(1)
        result[name] = batch[name]._replace(features=_clear(batch[name].features, real), mask=real)
    return result


def mix(steps: Steps, partner: Tensor, share: float) -> Steps:
    """Add up each clip and its partner, step by step; a step is real where one of both is."""
    partner = partner.to(steps.mask.device)
    features = blend(steps.features, partner, share)
    return steps._replace(features=features, mask=steps.mask | steps.mask[partner])


def blend(values: Tensor, partner: Tensor, share: Tensor | float) -> Tensor:
    """Mix each row with its partner's (Zhang et al., "mixup", ICLR 2018).

    Args:
        values: (B, ...), of clips or of images.
        partner: (B,) the row that each row is mixed with.
        share: of the row itself, in [0, 1]: one number, or one a row, with the axes of ``values``.
    """
    return share * values + (1.0 - share) * values[partner]


def _like(values: Tensor, features: Tensor) -> Tensor:
    """Give (B, T) values as many axes as (B, T, ...) features have."""
    return values.reshape(*values.shape, *(1,) * (features.ndim - 2))


def _clear(features: Tensor, keep: Tensor) -> Tensor:
    """Fill with 0 where ``keep`` is False; a product would keep a nan."""
    return features.masked_fill(~_like(keep, features), 0.0)
